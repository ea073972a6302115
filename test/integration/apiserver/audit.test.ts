/** The audit log of a server: levels, stages, both transports. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { natsTransport } from '#shared/bus/api-client.ts'
import { makeAuthority, sign } from '#shared/certificates/certificate.ts'
import { startTestApiServer, type ApiServerFixture } from '../../fixtures/apiserver.ts'
import { startWebhook, webhookKubeconfig } from '../../fixtures/identityproviders.ts'
import { configMap, configMaps, merge } from './setup.ts'

const policy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
- {level: None, users: ['system:apiserver']}
- {level: RequestResponse, namespaces: [full], resources: [{resources: [configmaps, services, pods]}]}
- {level: Request, namespaces: [request]}
- {level: Metadata, omitStages: [RequestReceived]}`

let api: ApiServerFixture
let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cox-audit-'))
  await writeFile(join(dir, 'policy.yaml'), policy)
  api = await startTestApiServer({ auditPolicyFile: join(dir, 'policy.yaml'), auditLogPath: join(dir, 'audit.log') }, [
    { name: 'Note', validate: a => void (a.resource.resource === 'configmaps' && a.annotate('note.example.com/seen', a.operation)) },
  ])
  for (const name of ['full', 'request']) await api.rest('POST', '/api/v1/namespaces', { metadata: { name } })
})
afterAll(async () => {
  await api?.stop()
  await rm(dir, { recursive: true, force: true })
})

/** The events of a request, once there are as many. */
async function eventsOf(id: string, count: number): Promise<any[]> {
  const read = async () =>
    (await readFile(join(dir, 'audit.log'), 'utf8'))
      .split('\n')
      .slice(0, -1)
      .map(line => JSON.parse(line))
      .filter(e => e.auditID === id)
  await expect.poll(async () => (await read()).length).toBe(count)
  return read()
}
let ids = 0
const newId = (): string => `id-${ids++}`
const withId = (headers: Record<string, string> = {}) => {
  const id = newId()
  return { id, options: { headers: { 'audit-id': id, ...headers } } }
}

test('a create at level RequestResponse', async () => {
  const { id, options } = withId({ 'user-agent': 'tester', 'x-forwarded-for': '10.1.2.3, nonsense' })
  const reply = await api.rest('POST', '/api/v1/namespaces/full/configmaps?fieldManager=me', configMap('x'), options)
  expect(reply.headers['audit-id']).toBe(id)
  const [received, complete] = await eventsOf(id, 2)
  expect(received).toEqual({
    kind: 'Event',
    apiVersion: 'audit.k8s.io/v1',
    level: 'RequestResponse',
    auditID: id,
    stage: 'RequestReceived',
    requestURI: '/api/v1/namespaces/full/configmaps?fieldManager=me',
    verb: 'create',
    user: {
      username: 'kubernetes-admin',
      groups: expect.arrayContaining(['system:masters', 'system:authenticated']),
      extra: received.user.extra,
    },
    sourceIPs: ['10.1.2.3', '127.0.0.1'],
    userAgent: 'tester',
    objectRef: { resource: 'configmaps', namespace: 'full', apiVersion: 'v1' },
    requestReceivedTimestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/),
    stageTimestamp: received.requestReceivedTimestamp,
  })
  const { managedFields, ...metadata } = reply.body.metadata
  expect(managedFields).toBeDefined()
  expect(complete).toMatchObject({
    stage: 'ResponseComplete',
    objectRef: { resource: 'configmaps', namespace: 'full', name: 'x', apiVersion: 'v1' },
    responseStatus: { metadata: {}, code: 201 },
    requestObject: { kind: 'ConfigMap', metadata: { name: 'x' }, data: { a: '1' } },
    annotations: { 'authorization.k8s.io/decision': 'allow', 'authorization.k8s.io/reason': '', 'note.example.com/seen': 'CREATE' },
  })
  expect(complete.responseObject).toEqual({ ...reply.body, metadata })
})

test('lists and objects in every form', async () => {
  for (const accept of [
    'application/json',
    'application/vnd.kubernetes.protobuf',
    'application/yaml',
    'application/json;as=Table;g=meta.k8s.io;v=v1',
  ]) {
    const { id, options } = withId({ accept })
    await api.rest('GET', '/api/v1/namespaces/full/configmaps', undefined, options)
    const events = await eventsOf(id, 2)
    const { responseObject } = events.at(-1)
    expect(responseObject.kind).toBe(accept.includes('Table') ? 'Table' : 'ConfigMapList')
    const x = accept.includes('Table') ? responseObject.rows[0].object : responseObject.items[0]
    expect(x.metadata).toMatchObject({ name: 'x', namespace: 'full' })
    expect(x.metadata.managedFields).toBeUndefined()
  }
})

test('a long list, compressed on its way', async () => {
  const data = { text: Array.from({ length: 10_000 }, (_, i) => `${i}`).join() }
  for (let i = 0; i < 5; i++) await api.rest('POST', '/api/v1/namespaces/full/configmaps', configMap(`long-${i}`, data))
  const { id, options } = withId({ 'accept-encoding': 'gzip' })
  // This client cannot read it.
  await expect(api.rest('GET', '/api/v1/namespaces/full/configmaps', undefined, options)).rejects.toThrow(SyntaxError)
  const [, complete] = await eventsOf(id, 2)
  expect(complete.responseObject.items.map((i: any) => i.metadata.name)).toEqual(['long-0', 'long-1', 'long-2', 'long-3', 'long-4', 'x'])
  expect(complete.responseObject.items[0].data).toEqual(data)
})

test('a patch at level Request, refused and accepted', async () => {
  await api.rest('POST', '/api/v1/namespaces/request/configmaps', configMap('y'))
  const bad = withId({ 'content-type': 'application/merge-patch+json' })
  await api.rest('PATCH', '/api/v1/namespaces/request/configmaps/y', { data: { '!': 'no' } }, bad.options)
  const [, refused] = await eventsOf(bad.id, 2)
  expect(refused.requestObject).toEqual({ data: { '!': 'no' } })
  expect(refused.responseStatus).toMatchObject({
    status: 'Failure',
    reason: 'Invalid',
    code: 422,
    details: { name: 'y', kind: 'ConfigMap' },
  })
  expect(refused.responseObject).toBeUndefined()
  const good = withId(merge.headers)
  await api.rest('PATCH', '/api/v1/namespaces/request/configmaps/y', { data: { b: '2' } }, good.options)
  expect((await eventsOf(good.id, 2))[1]).toMatchObject({ level: 'Request', responseStatus: { code: 200 } })
  const gone = withId()
  await api.rest('DELETE', '/api/v1/namespaces/request/configmaps/y', { propagationPolicy: 'Background' }, gone.options)
  const [, deleted] = await eventsOf(gone.id, 2)
  expect(deleted.requestObject).toMatchObject({ propagationPolicy: 'Background' })
  expect(deleted.responseStatus).toMatchObject({ status: 'Success', code: 200, details: { name: 'y' } })
})

test('a watch has an event when it begins and when it has ended', async () => {
  const id = newId()
  const watch = await api.rest.watch('/api/v1/namespaces/full/configmaps?watch=1', { 'audit-id': id })
  await watch.next()
  expect((await eventsOf(id, 2)).map(e => e.stage)).toEqual(['RequestReceived', 'ResponseStarted'])
  watch.stop()
  const events = await eventsOf(id, 3)
  expect(events[2]).toMatchObject({ stage: 'ResponseComplete', verb: 'watch', responseStatus: { code: 200 } })
  expect(events[2].responseObject).toBeUndefined()
})

test('who is impersonated, who is forbidden, and who is nobody', async () => {
  const as = withId({ 'impersonate-user': 'jane', 'impersonate-group': 'devs' })
  await api.rest('GET', configMaps, undefined, as.options)
  expect((await eventsOf(as.id, 1))[0]).toMatchObject({
    level: 'Metadata',
    user: { username: 'kubernetes-admin' },
    impersonatedUser: { username: 'jane', groups: ['devs', 'system:authenticated'] },
  })
  const anonymous = withId()
  await api.rest('GET', configMaps, undefined, { ...anonymous.options, as: 'nobody' })
  expect((await eventsOf(anonymous.id, 1))[0]).toMatchObject({
    user: { username: 'system:anonymous' },
    responseStatus: { status: 'Failure', reason: 'Forbidden', code: 403 },
    annotations: { 'authorization.k8s.io/decision': 'forbid' },
  })
  const wrong = withId({ authorization: 'Bearer wrong' })
  await api.rest('GET', configMaps, undefined, { ...wrong.options, as: 'nobody' })
  expect((await eventsOf(wrong.id, 1))[0]).toMatchObject({
    stage: 'ResponseStarted',
    user: {},
    responseStatus: { message: 'Authentication failed, attempted: bearer', code: 401 },
  })
})

test('requests over NATS', async () => {
  const transport = natsTransport(await api.nats.connect('system:admin'))
  const id = newId()
  await transport.request({
    method: 'POST',
    path: '/api/v1/namespaces/full/configmaps',
    query: new URLSearchParams(),
    headers: { 'content-type': 'application/json', 'audit-id': id },
    body: Buffer.from(JSON.stringify(configMap('over-nats'))),
  })
  const [, complete] = await eventsOf(id, 2)
  expect(complete).toMatchObject({ user: { username: 'system:admin' }, responseObject: { metadata: { name: 'over-nats' } } })
  expect(complete.sourceIPs).toBeUndefined()
  await transport.close()
})

test('the numbers', async () => {
  const { text } = await api.rest('GET', '/metrics')
  expect(Number(/^apiserver_audit_event_total (\d+)$/m.exec(text)?.[1])).toBeGreaterThan(20)
  expect(text).toMatch(/^apiserver_audit_level_total\{level="RequestResponse"\} \d+$/m)
  expect(text).toMatch(/^apiserver_audit_error_total\{plugin="log"\} 0$/m)
})

test('events are posted to a webhook in batches, again when it fails', async () => {
  const authority = await makeAuthority()
  const pair = await sign(authority, { commonName: 'hook', names: { dns: [], ips: ['127.0.0.1'] } })
  let failures = 1
  const webhook = await startWebhook(pair, () => (failures-- > 0 ? 403 : {}))
  const file = join(dir, 'webhook.yaml')
  await writeFile(file, webhookKubeconfig(webhook.url, authority))
  const batches = { auditWebhookBatchMaxSize: 5, auditWebhookBatchMaxWait: 100, auditWebhookInitialBackoff: 50 }
  const other = await api.startAnother({ auditLogPath: undefined, auditWebhookConfigFile: file, ...batches })
  const ids = await Promise.all(
    Array.from({ length: 12 }, async () => {
      const { id, options } = withId()
      await other.rest('GET', configMaps, undefined, options)
      return id
    }),
  )
  const delivered = () => new Set(webhook.received.flatMap(list => list.items.map((e: { auditID: string }) => e.auditID)))
  await expect.poll(() => ids.filter(id => !delivered().has(id))).toEqual([])
  const [first] = webhook.received
  expect(first).toMatchObject({ kind: 'EventList', apiVersion: 'audit.k8s.io/v1', metadata: {} })
  expect(first.items[0]).toMatchObject({ kind: 'Event', stage: 'ResponseComplete' })
  expect(webhook.received.filter(list => list.items[0].auditID === first.items[0].auditID)).toEqual([first, first])
  expect(Math.max(...webhook.received.map(list => list.items.length))).toBeLessThanOrEqual(5)
  const lost = async () => (await other.rest('GET', '/metrics')).text.match(/^apiserver_audit_error_total{plugin="webhook"} (\d+)$/m)?.[1]
  expect(await lost()).toBe('0')
  // What waits is sent before the server has ended.
  const { id, options } = withId()
  await other.rest('GET', configMaps, undefined, options)
  await other.server.close()
  expect(delivered()).toContain(id)
  await webhook.stop()
})

test('a server does not start with a policy that is wrong', async () => {
  await writeFile(join(dir, 'wrong.yaml'), 'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Everything}]')
  const start = api.startAnother({ auditPolicyFile: join(dir, 'wrong.yaml') })
  await expect(start).rejects.toThrow(/loading audit policy file: rules\[0\].level: Unsupported value: "Everything".*wrong.yaml/)
})

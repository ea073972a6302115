/** Admission webhooks that are down, slow or answer nonsense, and what is said of it: to clients, in the audit log, in metrics. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { freePort } from '../../fixtures/free-port.ts'
import { accept, allowed, denied, hookOf, patched, startWebhook, type Answer, type WebhookServer } from '../../fixtures/webhook.ts'
import { configMap, configMaps } from './setup.ts'

let api: ApiServerFixture
let rest: Rest
let hook: WebhookServer
let dir: string
const configurations = '/apis/admissionregistration.k8s.io/v1'
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cox-webhooks-'))
  const auditPolicyFile = join(dir, 'policy.yaml')
  const rules = [
    { level: 'Metadata', verbs: ['create'], namespaces: ['default'], resources: [{ group: '', resources: ['configmaps'] }] },
    { level: 'Request', verbs: ['create'], namespaces: ['kube-system'], resources: [{ group: '', resources: ['configmaps'] }] },
    { level: 'None' },
  ]
  await writeFile(
    auditPolicyFile,
    JSON.stringify({ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', omitStages: ['RequestReceived'], rules }),
  )
  ;[api, hook] = await Promise.all([startTestApiServer({ auditPolicyFile, auditLogPath: join(dir, 'audit.log') }), startWebhook()])
  rest = api.rest
})
afterAll(async () => {
  await Promise.all([api?.stop(), hook?.stop()])
  await rm(dir, { recursive: true, force: true })
})
beforeEach(() => {
  hook.answer = accept
  hook.asked.length = 0
})
afterEach(async () => {
  for (const plural of ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'])
    await rest('DELETE', `${configurations}/${plural}`)
  for (const namespace of ['default', 'kube-system'])
    await rest('DELETE', `/api/v1/namespaces/${namespace}/configmaps?fieldSelector=metadata.name%3Dx`)
})

type Kind = 'mutating' | 'validating'
async function configure(kind: Kind, name: string, ...webhooks: object[]): Promise<void> {
  const { code, body } = await rest('POST', `${configurations}/${kind}webhookconfigurations`, { metadata: { name }, webhooks })
  expect({ code, message: body.message }).toEqual({ code: 201, message: undefined })
}
const create = (query = '', namespace = 'default', by = rest) =>
  by('POST', `/api/v1/namespaces/${namespace}/configmaps${query}`, configMap('x'))
const raw =
  (code: number, body: string): Answer =>
  (_review, _req, res) =>
    void res.writeHead(code, { 'content-type': 'application/json' }).end(body)
/** Answers when it is told to. */
function late(): { answer: Answer; go: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { answer: review => promise.then(() => allowed(review)), go: resolve }
}

describe.each(['validating', 'mutating'] as const)('%s webhooks', kind => {
  const failing = async (more: object = {}): Promise<string> => {
    await configure(kind, 'f', hookOf(hook, 'f', more))
    const { code, body } = await create()
    expect({ code, reason: body.reason }).toEqual({ code: 500, reason: 'InternalError' })
    const [, why] = /^Internal error occurred: failed calling webhook "f.example.com": (.*)$/s.exec(body.message) ?? []
    return why ?? body.message
  }
  const post = (url: string): string => `failed to call webhook: Post "${url}?timeout=10s": `

  it('that are not there', async () => {
    const port = await freePort()
    expect(await failing({ clientConfig: { url: `https://127.0.0.1:${port}/x`, caBundle: hook.caBundle } })).toBe(
      `${post(`https://127.0.0.1:${port}/x`)}dial tcp 127.0.0.1:${port}: connect: connection refused`,
    )
  })

  it('whose certificate is of somebody else, or another name', async () => {
    expect(await failing({ clientConfig: { url: `${hook.url}/x` } })).toBe(
      `${post(`${hook.url}/x`)}tls: failed to verify certificate: x509: certificate signed by unknown authority`,
    )
    await rest('DELETE', `${configurations}/${kind}webhookconfigurations/f`)
    const other = await startWebhook(accept, { dns: ['elsewhere'] })
    const url = `https://localhost:${other.port}`
    expect(await failing({ clientConfig: { url, caBundle: other.caBundle } })).toBe(
      `${post(`${url}/`)}tls: failed to verify certificate: x509: certificate is valid for elsewhere, 127.0.0.1, not localhost`,
    )
    await other.stop()
  })

  it('that speak no TLS', async () => {
    const plain = createServer(socket => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n').on('error', () => {}))
    await new Promise<void>(resolve => plain.listen(0, '127.0.0.1', resolve))
    const { port } = plain.address() as { port: number }
    const url = `https://127.0.0.1:${port}/x`
    expect(await failing({ clientConfig: { url, caBundle: hook.caBundle } })).toBe(
      `${post(url)}http: server gave HTTP response to HTTPS client`,
    )
    plain.close()
  })

  it('that do not answer in time', async () => {
    const { answer, go } = late()
    hook.answer = answer
    expect(await failing({ timeoutSeconds: 1 })).toBe(`failed to call webhook: Post "${hook.url}/f?timeout=1s": context deadline exceeded`)
    go()
  })

  it('that hang up', async () => {
    hook.answer = (_review, req) => void req.socket.destroy()
    expect(await failing()).toBe(`${post(`${hook.url}/f`)}EOF`)
  })

  it.each([
    [500, 'it broke', 'an error on the server ("it broke") has prevented the request from succeeding'],
    [404, 'nothing', 'the server could not find the requested resource'],
    [200, 'hello', "couldn't get version/kind; json parse error: invalid character 'h' looking for beginning of value"],
    [200, '{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"allowed":"yes"}}', /^json: cannot unmarshal/],
    [503, '{"kind":"Status","apiVersion":"v1","status":"Failure","message":"gone","code":503}', 'gone'],
    [200, '"'.padEnd(11 << 20, 'x'), /http: response body too large/],
  ])('that answer with %d %.20s', async (code, text, expected) => {
    hook.answer = raw(code, text)
    const why = await failing()
    if (typeof expected === 'string') expect(why).toBe(`failed to call webhook: ${expected}`)
    else expect(why.replace(/^failed to call webhook: (Post "[^"]*": )?/, '')).toMatch(expected)
  })

  it.each([
    ['{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}', 'webhook response was absent'],
    [
      '{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"allowed":true}}',
      /^expected response.uid="[^"]+", got ""$/,
    ],
  ])('whose response is %s', async (text, expected) => {
    hook.answer = raw(200, text)
    const why = (await failing()).replace(/^received invalid webhook response: /, '')
    if (typeof expected === 'string') expect(why).toBe(expected)
    else expect(why).toMatch(expected)
  })

  it('whose answer is of another kind', async () => {
    hook.answer = (review, _req, res) => void res.end(JSON.stringify({ response: allowed(review) }))
    expect(await failing()).toBe(
      'received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind=',
    )
  })

  it('of a Service that is not there, has no such port, or no endpoints', async () => {
    const service = { namespace: 'default', name: 'hooks', port: 8443, path: '/p' }
    const of = `failed to call webhook: Post "https://hooks.default.svc:8443/p?timeout=10s": `
    const ask = async (): Promise<string> => {
      const why = await failing({ clientConfig: { service, caBundle: hook.caBundle } })
      await rest('DELETE', `${configurations}/${kind}webhookconfigurations/f`)
      return why
    }
    expect(await ask()).toBe(`${of}service "hooks" not found`)
    const spec = { ports: [{ port: 443 }] }
    await rest('POST', '/api/v1/namespaces/default/services', { metadata: { name: 'hooks' }, spec })
    expect(await ask()).toBe(`${of}no service port 8443 found for service "hooks"`)
    await rest('DELETE', '/api/v1/namespaces/default/services/hooks')
    await rest('POST', '/api/v1/namespaces/default/services', { metadata: { name: 'hooks' }, spec: { ports: [{ port: 8443 }] } })
    expect(await ask()).toBe(`${of}no endpoints available for service "hooks"`)
    await rest('DELETE', '/api/v1/namespaces/default/services/hooks')
  })

  it('that may fail are passed over', async () => {
    const down = { clientConfig: { url: `https://127.0.0.1:${await freePort()}`, caBundle: hook.caBundle }, failurePolicy: 'Ignore' }
    await configure(kind, 'f', hookOf(hook, 'down', down), hookOf(hook, 'up'))
    expect((await create()).code).toBe(201)
    expect(hook.asked).toHaveLength(1)
  })

  it('that may not be asked in a dry run', async () => {
    await configure(kind, 'f', hookOf(hook, 'f', { failurePolicy: 'Ignore' }))
    const path = `${configurations}/${kind}webhookconfigurations/f`
    // Kept from a time when that could be written.
    const webhook = (await rest('GET', path)).body.webhooks[0]
    expect((await rest('PUT', path, { metadata: { name: 'f' }, webhooks: [{ ...webhook, sideEffects: 'Some' }] })).code).toBe(422)
    expect((await create('?dryRun=All')).code).toBe(201)
  })
})

it('patches that are none are failures of the webhook, those of what is not there are not', async () => {
  await configure('mutating', 'f', hookOf(hook, 'f', { failurePolicy: 'Ignore' }))
  hook.answer = review => allowed(review, { patchType: 'JSONPatch', patch: Buffer.from('{"op":1}').toString('base64') })
  expect((await create()).code).toBe(201)
  await rest('DELETE', `${configMaps}/x`)
  hook.answer = review => patched(review, [{ op: 'replace', path: '/data/none/none', value: 'x' }])
  expect((await create()).code).toBe(500)
})

it('a validating webhook may not change anything', async () => {
  await configure('validating', 'f', hookOf(hook, 'f'))
  hook.answer = review => patched(review, [])
  expect((await create()).body.message).toContain('validating webhook may not return response.patch')
})

it('one that is slow holds up nobody else, and is given up when its client is gone', async () => {
  const slow = late()
  const other = await startWebhook()
  await configure('mutating', 'slow', hookOf(hook, 'slow', { objectSelector: { matchLabels: { slow: 'yes' } }, timeoutSeconds: 30 }))
  await configure(
    'mutating',
    'other',
    hookOf(other, 'other', { rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['secrets'] }] }),
  )
  hook.answer = slow.answer
  const slowly = Array.from({ length: 120 }, (_, i) =>
    rest('POST', configMaps, { metadata: { name: `slow-${i}`, labels: { slow: 'yes' } } }).then(r => r.code),
  )
  // Only as many at a time are asked as the pool has connections.
  await expect.poll(() => hook.asked.length).toBe(64)
  const { code } = await rest('POST', '/api/v1/namespaces/default/secrets', { metadata: { name: 'quick' } })
  expect(code).toBe(201)
  expect((await create()).code).toBe(201)
  const short = await rest('POST', `${configMaps}?timeout=1s`, { metadata: { name: 'short', labels: { slow: 'yes' } } })
  // Whichever comes first: the request's deadline, or the webhook's, which is not later.
  expect([500, 504]).toContain(short.code)
  slow.go()
  expect(new Set(await Promise.all(slowly))).toEqual(new Set([201]))
  expect((await rest('GET', `${configMaps}/short`)).code).toBe(404)
  await rest('DELETE', configMaps)
  await other.stop()
})

it('connections are kept, and made anew when the other side closed them', async () => {
  await configure('validating', 'f', hookOf(hook, 'f'))
  const before = hook.connections
  for (let i = 0; i < 5; i++) await create('?dryRun=All')
  expect(hook.connections - before).toBeLessThanOrEqual(1)
  hook.closeIdle()
  expect((await create()).code).toBe(201)
})

it('a Service is reached at its ready endpoints, by the name of its certificate', async () => {
  const host = Object.values(networkInterfaces())
    .flatMap(list => list ?? [])
    .find(a => a.family === 'IPv4' && !a.internal)?.address
  expect(host, 'this machine has an address of its own').toBeDefined()
  const [a, b] = await Promise.all([0, 1].map(() => startWebhook(accept, { host: host!, dns: ['pool.default.svc'] })))
  await rest('POST', '/api/v1/namespaces/default/services', { metadata: { name: 'pool' }, spec: { ports: [{ name: 'https', port: 443 }] } })
  const slice = (of: WebhookServer, name: string, ready: boolean) => ({
    metadata: { name, labels: { 'kubernetes.io/service-name': 'pool' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [host], conditions: { ready } }],
    ports: [{ name: 'https', port: of.port }],
  })
  const slices = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices'
  await rest('POST', slices, slice(a!, 'a', true))
  await rest('POST', slices, slice(b!, 'b', false))
  await configure(
    'validating',
    'f',
    hookOf(hook, 'f', { clientConfig: { service: { namespace: 'default', name: 'pool' }, caBundle: a!.caBundle } }),
  )
  for (let i = 0; i < 4; i++) expect((await create('?dryRun=All')).code).toBe(201)
  expect([a!.asked.length, b!.asked.length]).toEqual([4, 0])
  expect(a!.connections).toBe(1)
  // The kept connection leads to one that is ready no more.
  await rest('PUT', `${slices}/a`, slice(a!, 'a', false))
  await rest('PUT', `${slices}/b`, slice(b!, 'b', true))
  expect((await create('?dryRun=All')).code).toBe(201)
  expect([a!.asked.length, b!.asked.length]).toEqual([4, 1])
  // One that is gone before its endpoint is: the other is asked.
  await rest('PUT', `${slices}/a`, slice(a!, 'a', true))
  await b!.stop()
  for (let i = 0; i < 8; i++) expect((await create('?dryRun=All')).code).toBe(201)
  expect(a!.asked.length).toBe(12)
  await Promise.all([a!.stop(), rest('DELETE', '/api/v1/namespaces/default/services/pool'), rest('DELETE', slices)])
})

it('the audit log names what webhooks did, patches only where requests are logged', async () => {
  const down = { clientConfig: { url: `https://127.0.0.1:${await freePort()}`, caBundle: hook.caBundle }, failurePolicy: 'Ignore' }
  await configure('mutating', 'm', hookOf(hook, 'change'), hookOf(hook, 'down', down))
  await configure('validating', 'v', hookOf(hook, 'note'), hookOf(hook, 'down', down))
  hook.answer = (review, req) =>
    req.url!.startsWith('/change')
      ? patched(review, [{ op: 'add', path: '/data/b', value: '2' }])
      : allowed(review, { auditAnnotations: { why: 'because' } })
  const noted = async (namespace: string): Promise<Record<string, string>> => {
    const { headers } = await create('', namespace)
    const find = async () =>
      (await readFile(join(dir, 'audit.log'), 'utf8'))
        .split('\n')
        .slice(0, -1)
        .map(line => JSON.parse(line))
        .find(e => e.auditID === headers['audit-id'])
    await expect.poll(find).toBeDefined()
    const { annotations } = await find()
    return Object.fromEntries(Object.entries(annotations as Record<string, string>).filter(([key]) => !key.startsWith('authorization')))
  }
  const change = { configuration: 'm', webhook: 'change.example.com' }
  const both = {
    'mutation.webhook.admission.k8s.io/round_0_index_0': JSON.stringify({ ...change, mutated: true }),
    'mutation.webhook.admission.k8s.io/round_0_index_1': JSON.stringify({
      configuration: 'm',
      webhook: 'down.example.com',
      mutated: false,
    }),
    'failed-open.mutation.webhook.admission.k8s.io/round_0_index_1': 'down.example.com',
    'failed-open.validating.webhook.admission.k8s.io/round_0_index_1': 'down.example.com',
    'note.example.com/why': 'because',
  }
  expect(await noted('default')).toEqual(both)
  expect(await noted('kube-system')).toEqual({
    ...both,
    'patch.webhook.admission.k8s.io/round_0_index_0': JSON.stringify({
      ...change,
      patch: [{ op: 'add', path: '/data/b', value: '2' }],
      patchType: 'JSONPatch',
    }),
  })
})

it('metrics count calls, rejections and what was passed over', async () => {
  const down = { clientConfig: { url: `https://127.0.0.1:${await freePort()}`, caBundle: hook.caBundle }, failurePolicy: 'Ignore' }
  await configure('validating', 'f', hookOf(hook, 'counted'), hookOf(hook, 'counted-down', down))
  hook.answer = review => denied(review, { code: 418 })
  await create()
  const { text } = await rest('GET', '/metrics')
  const samples = text.split('\n').filter(line => line.includes('name="counted'))
  const of = 'type="validating",operation="CREATE"'
  expect(samples).toEqual(
    expect.arrayContaining([
      `apiserver_admission_webhook_request_total{name="counted.example.com",${of},code="418",rejected="true"} 1`,
      `apiserver_admission_webhook_request_total{name="counted-down.example.com",${of},code="503",rejected="false"} 1`,
      `apiserver_admission_webhook_rejection_count{name="counted.example.com",${of},error_type="no_error",rejection_code="418"} 1`,
      'apiserver_admission_webhook_fail_open_count{name="counted-down.example.com",type="validating"} 1',
      `apiserver_admission_webhook_admission_duration_seconds_count{name="counted.example.com",${of},rejected="true"} 1`,
    ]),
  )
})

it('a configuration is in force on every API server when its write is acknowledged', async () => {
  const another = await api.startAnother()
  hook.answer = review => denied(review)
  for (let i = 0; i < 10; i++) {
    await configure('validating', 'f', hookOf(hook, 'f'))
    expect((await create('', 'default', another.rest)).code).toBe(400)
    expect((await another.rest('DELETE', `${configurations}/validatingwebhookconfigurations/f`)).code).toBe(200)
    expect((await create('?dryRun=All')).code).toBe(201)
  }
  await another.server.close()
})

it('a server starts though a webhook that is down wants to be asked about everything', async () => {
  const everything = { rules: [{ operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'] }] }
  await configure('validating', 'f', hookOf(hook, 'f', { ...everything, clientConfig: { url: `https://127.0.0.1:${await freePort()}` } }))
  const another = await api.startAnother()
  expect((await another.rest('GET', '/readyz')).code).toBe(200)
  await another.server.close()
})

it('plugins can be turned off', async () => {
  const names = ['MutatingAdmissionWebhook', 'ValidatingAdmissionWebhook']
  const off = await api.startAnother({ disableAdmissionPlugins: names })
  hook.answer = review => denied(review)
  await configure('validating', 'f', hookOf(hook, 'f'))
  expect((await create('', 'default', off.rest)).code).toBe(201)
  await off.server.close()
})

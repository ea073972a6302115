/**
 * What policy engines (Kyverno, Gatekeeper) do to an API server: they register themselves as webhooks for nearly everything, with a
 * certificate of their own that they renew, look things up while they judge, and must not be in the way when they are gone.
 */
import { networkInterfaces } from 'node:os'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { makeAuthority, sign, type Pair } from '#shared/certificates/certificate.ts'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { allowed, denied, patched, startWebhook, type WebhookServer } from '../../fixtures/webhook.ts'
import { configMap, configMaps, merge } from './setup.ts'

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const configurations = '/apis/admissionregistration.k8s.io/v1'
const secrets = '/api/v1/namespaces/policy/secrets'
const host = Object.values(networkInterfaces())
  .flatMap(list => list ?? [])
  .find(a => a.family === 'IPv4' && !a.internal)?.address

let api: ApiServerFixture
let rest: Rest
let engine: WebhookServer
beforeAll(async () => {
  expect(host, 'this machine has an address of its own').toBeDefined()
  ;[api, engine] = await Promise.all([startTestApiServer(), startWebhook(undefined, { host: host! })])
  rest = api.rest
  await rest('POST', '/api/v1/namespaces', { metadata: { name: 'policy' } })
  await rest('POST', '/api/v1/namespaces/policy/services', {
    metadata: { name: 'engine' },
    spec: { ports: [{ name: 'https', port: 443 }] },
  })
  await rest('POST', '/apis/discovery.k8s.io/v1/namespaces/policy/endpointslices', {
    metadata: { name: 'engine', labels: { 'kubernetes.io/service-name': 'engine' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [host], conditions: { ready: true } }],
    ports: [{ name: 'https', port: engine.port }],
  })
})
afterAll(async () => {
  await Promise.all([api?.stop(), engine?.stop()])
})

/** A new authority and a certificate by it, kept in Secrets as engines do; what the Secrets say afterwards is what is used. */
async function renew(): Promise<{ ca: string; pair: Pair }> {
  const ca = await makeAuthority()
  const made = await sign(ca, { commonName: 'engine', names: { dns: ['engine.policy.svc'], ips: [] } })
  const keep = async (name: string, { cert, key }: Pair): Promise<Pair> => {
    const secret = { metadata: { name }, type: 'kubernetes.io/tls', data: { 'tls.crt': base64(cert), 'tls.key': base64(key) } }
    const { code } = await rest('GET', `${secrets}/${name}`)
    const { body } = code === 404 ? await rest('POST', secrets, secret) : await rest('PUT', `${secrets}/${name}`, secret)
    const text = (field: string): string => Buffer.from(body.data[field], 'base64').toString()
    return { cert: text('tls.crt'), key: text('tls.key') }
  }
  const [authority, pair] = await Promise.all([keep('engine-ca', ca), keep('engine-tls', made)])
  return { ca: authority.cert, pair }
}

const service = (path: string) => ({ service: { namespace: 'policy', name: 'engine', path } })
const webhook = (name: string, ca: string, more: object = {}) => ({
  name: `${name}.engine.example.com`,
  clientConfig: { ...service(`/${name}`), caBundle: base64(ca) },
  rules: [{ operations: ['CREATE', 'UPDATE', 'DELETE', 'CONNECT'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'], scope: '*' }],
  // Nobody is kept from mending the engine, and from its own namespace.
  namespaceSelector: { matchExpressions: [{ key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: ['policy', 'kube-system'] }] },
  failurePolicy: 'Ignore',
  sideEffects: 'NoneOnDryRun',
  admissionReviewVersions: ['v1', 'v1beta1'],
  timeoutSeconds: 3,
  ...more,
})
const path = (kind: 'mutating' | 'validating', name = ''): string => `${configurations}/${kind}webhookconfigurations${name && `/${name}`}`

/** As controllers inject certificates: read, change, write, and again when somebody else wrote meanwhile. */
async function inject(kind: 'mutating' | 'validating', name: string, caBundle: string): Promise<void> {
  for (;;) {
    const { body } = await rest('GET', path(kind, name))
    for (const w of body.webhooks) w.clientConfig.caBundle = base64(caBundle)
    const { code } = await rest('PUT', path(kind, name), body)
    if (code === 200) return
    expect(code).toBe(409)
  }
}

it('registers itself, judges and changes nearly everything, and looks things up while it does', async () => {
  const { ca, pair } = await renew()
  engine.show(pair)
  engine.answer = async (review, req) => {
    const { object, operation, name } = review.request
    if (operation === 'DELETE') return allowed(review)
    if (req.url!.startsWith('/change'))
      return patched(review, [{ op: 'add', path: '/metadata/annotations', value: { ...object.metadata.annotations, seen: 'yes' } }])
    // What it asks here is for its own namespace, or nothing that is stored.
    const policy = await rest('GET', '/api/v1/namespaces/policy/configmaps/rules')
    const may = await rest('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', {
      spec: {
        user: review.request.userInfo.username,
        groups: review.request.userInfo.groups,
        resourceAttributes: { verb: 'create', resource: 'pods' },
      },
    })
    const ok = policy.body.data.forbidden !== name && may.body.status.allowed
    return ok
      ? allowed(review, { auditAnnotations: { policy: 'rules' } })
      : denied(review, { message: `policy rules: ${name} is forbidden` })
  }
  await rest('POST', '/api/v1/namespaces/policy/configmaps', { metadata: { name: 'rules' }, data: { forbidden: 'bad' } })
  const some = { rules: [{ operations: ['CREATE', 'UPDATE', 'DELETE'], apiGroups: [''], apiVersions: ['v1'], resources: ['*'] }] }
  expect(
    (
      await rest('POST', path('validating'), {
        metadata: { name: 'engine' },
        webhooks: [webhook('check', ca, { ...some, failurePolicy: 'Fail' })],
      })
    ).code,
  ).toBe(201)
  expect(
    (
      await rest('POST', path('mutating'), {
        metadata: { name: 'engine' },
        webhooks: [webhook('change', ca, { ...some, reinvocationPolicy: 'IfNeeded' })],
      })
    ).code,
  ).toBe(201)

  const good = await rest('POST', configMaps, configMap('good'))
  expect(good).toMatchObject({ code: 201, body: { metadata: { annotations: { seen: 'yes' } } } })
  const bad = await rest('POST', configMaps, configMap('bad'))
  expect(bad).toMatchObject({
    code: 400,
    body: { message: 'admission webhook "check.engine.example.com" denied the request: policy rules: bad is forbidden' },
  })
  // Many at once, each of which asks the API server in turn.
  const many = await Promise.all(Array.from({ length: 40 }, (_, i) => rest('POST', configMaps, configMap(`many-${i}`))))
  expect(new Set(many.map(r => r.code))).toEqual(new Set([201]))
})

it('renews its certificate while it is asked', async () => {
  engine.answer = review => allowed(review)
  let over = false
  const failed: string[] = []
  const writer = async (name: string): Promise<number> => {
    let n = 0
    for (; !over; n++) {
      const { code, body } = await rest('PATCH', `${configMaps}/${name}`, { data: { n: String(n) } }, merge)
      if (code !== 200) failed.push(body.message)
    }
    return n
  }
  const writers = ['good', 'many-1', 'many-2'].map(writer)
  let { ca: before } = await renew()
  // What is shown is by the authority that is known until the new one is known too.
  for (let i = 0; i < 3; i++) {
    const current = await rest('GET', path('validating', 'engine'))
    before = Buffer.from(current.body.webhooks[0].clientConfig.caBundle, 'base64').toString()
    const { ca, pair } = await renew()
    for (const kind of ['mutating', 'validating'] as const) await inject(kind, 'engine', `${before}\n${ca}`)
    engine.show(pair)
    for (const kind of ['mutating', 'validating'] as const) await inject(kind, 'engine', ca)
  }
  over = true
  const counts = await Promise.all(writers)
  expect(failed).toEqual([])
  expect(Math.min(...counts)).toBeGreaterThan(0)
})

it('proves by a lease that it is asked', async () => {
  const { body } = await rest('GET', path('mutating', 'engine'))
  const { caBundle } = body.webhooks[0].clientConfig
  const ca = Buffer.from(caBundle, 'base64').toString()
  const leases = '/apis/coordination.k8s.io/v1/namespaces/policy/leases'
  const verify = {
    rules: [{ operations: ['UPDATE'], apiGroups: ['coordination.k8s.io'], apiVersions: ['v1'], resources: ['leases'] }],
    namespaceSelector: {},
    objectSelector: { matchLabels: { 'app.kubernetes.io/name': 'engine' } },
  }
  await rest('POST', path('mutating'), { metadata: { name: 'verify' }, webhooks: [webhook('verify', ca, verify)] })
  engine.answer = review => patched(review, [{ op: 'add', path: '/metadata/annotations', value: { 'engine.example.com/last': 'now' } }])
  await rest('POST', leases, { metadata: { name: 'health', labels: { 'app.kubernetes.io/name': 'engine' } }, spec: {} })
  const { body: lease } = await rest('PATCH', `${leases}/health`, { spec: { leaseDurationSeconds: 5 } }, merge)
  expect(lease.metadata.annotations).toEqual({ 'engine.example.com/last': 'now' })
})

it('with many policies, those that are meant are asked, and others cost nothing', async () => {
  engine.answer = review => allowed(review)
  const { body } = await rest('GET', path('mutating', 'engine'))
  const ca = Buffer.from(body.webhooks[0].clientConfig.caBundle, 'base64').toString()
  const rule = (group: string, resource: string) => ({
    operations: ['*'],
    apiGroups: [group],
    apiVersions: ['*'],
    resources: [resource, `${resource}/*`],
  })
  const kinds = [
    'deployments',
    'statefulsets',
    'daemonsets',
    'replicasets',
    'jobs',
    'cronjobs',
    'ingresses',
    'networkpolicies',
    'pods',
    'services',
  ]
  const policies = Array.from({ length: 120 }, (_, i) =>
    webhook(`policy-${i}`, ca, { rules: kinds.map(k => rule(['apps', 'batch', '', 'networking.k8s.io'][i % 4]!, k)) }),
  )
  const { code } = await rest('POST', path('validating'), { metadata: { name: 'policies' }, webhooks: policies })
  expect(code).toBe(201)
  engine.asked.length = 0
  await rest('POST', '/apis/apps/v1/namespaces/default/deployments', {
    metadata: { name: 'd' },
    spec: {
      selector: { matchLabels: { x: 'y' } },
      template: { metadata: { labels: { x: 'y' } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
    },
  })
  expect(engine.asked.filter(a => a.path.startsWith('/policy-'))).toHaveLength(30)
  engine.asked.length = 0
  await rest('POST', configMaps, configMap('unconcerned'))
  expect(engine.asked.filter(a => a.path.startsWith('/policy-'))).toEqual([])
  await rest('DELETE', path('validating', 'policies'))
})

it('is in the way of nobody when it is gone and may be passed over', async () => {
  await rest('PATCH', path('validating', 'engine'), [{ op: 'replace', path: '/webhooks/0/failurePolicy', value: 'Ignore' }], {
    headers: { 'content-type': 'application/json-patch+json' },
  })
  await engine.stop()
  expect((await rest('POST', configMaps, configMap('bad'))).code).toBe(201)
  await rest('PATCH', path('validating', 'engine'), [{ op: 'replace', path: '/webhooks/0/failurePolicy', value: 'Fail' }], {
    headers: { 'content-type': 'application/json-patch+json' },
  })
  const { body } = await rest('DELETE', `${configMaps}/bad`)
  expect(body.message).toMatch(
    /^Internal error occurred: failed calling webhook "check.engine.example.com": failed to call webhook: Post "https:\/\/engine.policy.svc:443\/check\?timeout=3s": dial tcp /,
  )
  // Its own namespace is left alone, and so are configurations.
  expect((await rest('DELETE', '/api/v1/namespaces/policy/configmaps/rules')).code).toBe(200)
  for (const kind of ['mutating', 'validating'] as const) expect((await rest('DELETE', path(kind, 'engine'))).code).toBe(200)
  expect((await rest('DELETE', `${configMaps}/bad`)).code).toBe(200)
  engine = await startWebhook()
})

/**
 * Admission policies and custom kinds: as what is judged and changed, in other versions, and as parameters; and requests that are no plain
 * writes.
 */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Reply, type Rest } from '../../fixtures/apiserver.ts'
import { define, version } from './define.ts'
import { addServiceAccount, merge, pod } from './setup.ts'

let api: ApiServerFixture
let rest: Rest
let other: Rest
const registration = '/apis/admissionregistration.k8s.io'
const group = 'policies.example.com'
const root = `/apis/${group}`
const preserving = { schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } } }
const partsSchema = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      properties: {
        size: { type: 'integer', default: 1 },
        parts: {
          type: 'array',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name'],
          items: { type: 'object', required: ['name'], properties: { name: { type: 'string' }, color: { type: 'string' } } },
        },
        tags: { type: 'array', items: { type: 'string' } },
      },
    },
  },
}
const schema = { schema: { openAPIV3Schema: partsSchema } }

beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
  other = (await api.startAnother()).rest
  await addServiceAccount(rest)
  await define(rest, {
    group,
    plural: 'machines',
    kind: 'Machine',
    versions: [version('v1', schema), version('v1beta1', { ...schema, storage: false })],
  })
  await define(rest, { group, plural: 'limits', kind: 'Limit', scope: 'Cluster', versions: [version('v1', preserving)] })
})
afterAll(() => api?.stop())

const post = async (path: string, body: object): Promise<Reply> => {
  const reply = await rest('POST', path, body)
  expect(reply.code, reply.text).toBe(201)
  return reply
}
const rules = (apiGroup: string, resource: string, operations = ['CREATE', 'UPDATE'], apiVersion = 'v1') => ({
  resourceRules: [{ apiGroups: [apiGroup], apiVersions: [apiVersion], operations, resources: [resource] }],
})
/** Does `work` while a policy with one binding is in force. */
async function under(kind: 'validating' | 'mutating', spec: object, work: () => Promise<void>, binding: object = {}): Promise<void> {
  const at = `${registration}/${kind === 'validating' ? 'v1' : 'v1beta1'}/${kind}admissionpolic`
  await post(`${at}ies`, { metadata: { name: 'p' }, spec: { ...(kind === 'mutating' ? { reinvocationPolicy: 'Never' } : {}), ...spec } })
  const actions = kind === 'validating' ? { validationActions: ['Deny'] } : {}
  await post(`${at}ybindings`, { metadata: { name: 'p' }, spec: { policyName: 'p', ...actions, ...binding } })
  try {
    await work()
  } finally {
    await rest('DELETE', `${at}ybindings/p`)
    await rest('DELETE', `${at}ies/p`)
  }
}
const machine = (v: string, name: string, spec: object = {}) => ({ apiVersion: `${group}/${v}`, kind: 'Machine', metadata: { name }, spec })
const machines = (v: string): string => `${root}/${v}/namespaces/default/machines`

it('judges custom resources in the version that the policy names, with parameters of a custom kind', async () => {
  const spec = {
    paramKind: { apiVersion: `${group}/v1`, kind: 'Limit' },
    matchConstraints: rules(group, 'machines'),
    validations: [
      {
        expression: `object.apiVersion == '${group}/v1' && request.kind.version == 'v1' && object.spec.size <= params.spec.max`,
        messageExpression: "'at most ' + string(params.spec.max) + ', asked in ' + request.requestKind.version",
      },
    ],
  }
  const binding = { paramRef: { name: 'machines', parameterNotFoundAction: 'Deny' } }
  await post(`${root}/v1/limits`, { apiVersion: `${group}/v1`, kind: 'Limit', metadata: { name: 'machines' }, spec: { max: 3 } })
  await under(
    'validating',
    spec,
    async () => {
      expect((await rest('POST', machines('v1'), machine('v1', 'a', { size: 3 }))).code).toBe(201)
      expect((await other('POST', machines('v1beta1'), machine('v1beta1', 'b', { size: 4 }))).body).toMatchObject({
        code: 422,
        message: expect.stringMatching(/denied request: at most 3, asked in v1beta1$/),
      })
      await rest('PATCH', `${root}/v1/limits/machines`, { spec: { max: 4 } }, merge)
      expect((await other('POST', machines('v1beta1'), machine('v1beta1', 'b', { size: 4 }))).code).toBe(201)
    },
    binding,
  )
  await under('validating', { ...spec, matchConstraints: { ...spec.matchConstraints, matchPolicy: 'Exact' } }, async () => {
    expect((await rest('POST', machines('v1beta1'), machine('v1beta1', 'c', { size: 40 }))).code).toBe(201)
  })
})

it('merges into custom resources by the keys of their lists, and refuses what their schema does not know', async () => {
  const apply = (expression: string) => ({
    matchConstraints: rules(group, 'machines', ['CREATE'], '*'),
    mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression } }],
  })
  await under('mutating', apply('Object{spec: Object.spec{parts: [Object.spec.parts{name: "x", color: "red"}]}}'), async () => {
    for (const v of ['v1', 'v1beta1']) {
      const { body } = await post(machines(v), machine(v, `merged-${v}`, { parts: [{ name: 'y' }, { name: 'x' }] }))
      expect(body).toMatchObject({ apiVersion: `${group}/${v}`, spec: { size: 1, parts: [{ name: 'y' }, { name: 'x', color: 'red' }] } })
    }
  })
  const refused = async (expression: string, text: string): Promise<void> =>
    under('mutating', apply(expression), async () => {
      expect((await rest('POST', machines('v1'), machine('v1', 'no'))).body.message).toContain(text)
    })
  await refused('Object{spec: Object.spec{nothing: 1}}', '.spec.nothing: field not declared in schema')
  await refused('Object{spec: Object.spec{tags: ["x"]}}', 'may not mutate atomic arrays, maps or structs: .spec.tags')
})

it('judges deletions by what is deleted', async () => {
  await post(machines('v1'), machine('v1', 'kept'))
  const spec = {
    matchConstraints: rules(group, 'machines', ['DELETE']),
    validations: [{ expression: "object == null && oldObject.metadata.name != 'kept'", message: 'it is kept' }],
  }
  await under('validating', spec, async () => {
    expect((await rest('DELETE', `${machines('v1')}/kept`)).body.message).toMatch(/: it is kept$/)
    expect((await rest('DELETE', machines('v1'))).body.message).toMatch(/: it is kept$/)
  })
  expect((await rest('DELETE', `${machines('v1')}/kept`)).code).toBe(200)
})

it('judges subresources as what they are: status, scale, eviction, exec', async () => {
  await post('/api/v1/namespaces/default/pods', pod('p'))
  const deployment = {
    metadata: { name: 'd' },
    spec: { replicas: 1, selector: { matchLabels: { a: 'b' } }, template: { metadata: { labels: { a: 'b' } }, spec: pod('x').spec } },
  }
  await post('/apis/apps/v1/namespaces/default/deployments', deployment)
  const never = (match: object, expression: string) => ({ matchConstraints: match, validations: [{ expression, message: 'never' }] })
  await under(
    'validating',
    never(rules('apps', 'deployments/scale', ['UPDATE']), "object.kind == 'Scale' && object.spec.replicas < 3"),
    async () => {
      const at = '/apis/apps/v1/namespaces/default/deployments/d'
      expect((await rest('PATCH', `${at}/scale`, { spec: { replicas: 3 } }, merge)).body.message).toMatch(/: never$/)
      expect((await rest('PATCH', `${at}/scale`, { spec: { replicas: 2 } }, merge)).code).toBe(200)
      expect((await rest('PATCH', at, { spec: { replicas: 3 } }, merge)).code).toBe(200)
    },
  )
  await under(
    'validating',
    never(rules('', 'pods/status', ['UPDATE']), "!has(object.status.message) || object.status.message != 'bad'"),
    async () => {
      const at = '/api/v1/namespaces/default/pods/p'
      expect((await rest('PATCH', `${at}/status`, { status: { message: 'bad' } }, merge)).body.message).toMatch(/: never$/)
      expect((await rest('PATCH', `${at}/status`, { status: { message: 'good' } }, merge)).code).toBe(200)
    },
  )
  await under(
    'validating',
    never(rules('', 'pods/eviction', ['CREATE']), "object.kind != 'Eviction' || object.metadata.name != 'p'"),
    async () => {
      const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'p', namespace: 'default' } }
      expect((await rest('POST', '/api/v1/namespaces/default/pods/p/eviction', eviction)).body.message).toMatch(/: never$/)
    },
  )
  await under(
    'validating',
    never(rules('', 'pods/exec', ['CONNECT']), "object.kind == 'PodExecOptions' && !('sh' in object.command)"),
    async () => {
      const { code, body } = await rest('POST', '/api/v1/namespaces/default/pods/p/exec?command=sh&stdout=true')
      expect([code, body.message]).toEqual([422, expect.stringMatching(/: never$/)])
    },
  )
})

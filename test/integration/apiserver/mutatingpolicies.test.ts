/** MutatingAdmissionPolicies in force on a real API server: merged configurations and JSON patches, in order and again. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { startTestApiServer, type ApiServerFixture, type Reply, type Rest } from '../../fixtures/apiserver.ts'
import { merge } from './setup.ts'

let api: ApiServerFixture
let rest: Rest
const group = '/apis/admissionregistration.k8s.io/v1beta1'
const maps = '/api/v1/namespaces/tests/configmaps'
const deployments = '/apis/apps/v1/namespaces/tests/deployments'
/** What a plugin of this server's own does to objects, for what happens when somebody else changes them too. */
let meddle: ((object: KubeObject) => void) | undefined

beforeAll(async () => {
  api = await startTestApiServer({}, [{ name: 'Meddler', mutate: a => void (a.object && meddle?.(a.object)) }])
  rest = api.rest
  await rest('POST', '/api/v1/namespaces', { metadata: { name: 'tests', labels: { team: 'a' } } })
})
afterEach(async () => {
  meddle = undefined
  await rest('DELETE', `${group}/mutatingadmissionpolicybindings`)
  await rest('DELETE', `${group}/mutatingadmissionpolicies`)
  await rest('DELETE', maps)
  await rest('DELETE', deployments)
})
afterAll(() => api?.stop())

const rules = (apiGroup: string, resource: string) => ({
  resourceRules: [{ apiGroups: [apiGroup], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: [resource] }],
})
const post = async (path: string, body: object): Promise<Reply> => {
  const reply = await rest('POST', path, body)
  expect(reply.code, reply.text).toBe(201)
  return reply
}
const apply = (expression: string) => ({ patchType: 'ApplyConfiguration', applyConfiguration: { expression } })
const patch = (expression: string) => ({ patchType: 'JSONPatch', jsonPatch: { expression } })
const policy = async (name: string, mutations: object[], spec: object = {}, binding: object = {}) => {
  const own = { matchConstraints: rules('', 'configmaps'), reinvocationPolicy: 'Never', mutations, ...spec }
  await post(`${group}/mutatingadmissionpolicies`, { metadata: { name }, spec: own })
  await post(`${group}/mutatingadmissionpolicybindings`, { metadata: { name }, spec: { policyName: name, ...binding } })
}
const make = (name: string, data: object = {}, metadata: object = {}) => rest('POST', maps, { metadata: { name, ...metadata }, data })
const deployment = (name: string) => ({
  metadata: { name },
  spec: {
    replicas: 2,
    selector: { matchLabels: { app: 'test' } },
    template: { metadata: { labels: { app: 'test' } }, spec: { containers: [{ name: 'nginx', image: 'nginx:latest' }] } },
  },
})

it('merges a configuration into a deployment, as server-side apply would', async () => {
  await policy(
    'annotate',
    [
      apply(`Object{metadata: Object.metadata{annotations: {"mutated-by": "admission-policy"}}}`),
      apply(
        `Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{
          initContainers: [Object.spec.template.spec.initContainers{name: "proxy", image: "proxy:v1", restartPolicy: "Always"}],
          containers: object.spec.template.spec.containers.map(c, Object.spec.template.spec.containers{
            name: c.name, env: [Object.spec.template.spec.containers.env{name: "TEAM", value: namespaceObject.metadata.labels["team"]}]
          })
        }}}}`,
      ),
    ],
    { matchConstraints: rules('apps', 'deployments') },
  )
  const { body } = await post(deployments, deployment('a'))
  expect(body.metadata.annotations).toEqual({ 'mutated-by': 'admission-policy' })
  const { containers, initContainers } = body.spec.template.spec
  // The default of a container that came with the change is there, too.
  expect(initContainers).toMatchObject([{ name: 'proxy', image: 'proxy:v1', imagePullPolicy: 'IfNotPresent' }])
  expect(containers).toMatchObject([{ name: 'nginx', image: 'nginx:latest', env: [{ name: 'TEAM', value: 'a' }] }])
})

it('patches', async () => {
  await policy('patch', [
    patch(`has(object.metadata.annotations) ? [
      JSONPatch{op: "test", path: "/metadata/annotations/x", value: "1"},
      JSONPatch{op: "add", path: "/metadata/annotations/" + jsonpatch.escapeKey("example.com/y"), value: "2"}
    ] : []`),
    patch(`[JSONPatch{op: "add", path: "/metadata/labels", value: {"a": "b"}}]`),
  ])
  const annotated = async (name: string, x: string) => (await make(name, {}, { annotations: { x } })).body.metadata
  expect(await annotated('a', '1')).toMatchObject({ annotations: { x: '1', 'example.com/y': '2' }, labels: { a: 'b' } })
  // A test that fails leaves the object alone.
  const { annotations, labels } = await annotated('b', '2')
  expect({ annotations, labels }).toEqual({ annotations: { x: '2' }, labels: { a: 'b' } })
  const changed = await rest('PATCH', `${maps}/b`, { metadata: { annotations: { x: '1' } } }, merge)
  expect(changed.body.metadata.annotations).toEqual({ x: '1', 'example.com/y': '2' })
})

it('goes by conditions, parameters and variables', async () => {
  await make('param', { value: 'from params' })
  await policy(
    'set',
    [apply(`Object{data: {"set": variables.value}}`)],
    {
      paramKind: { apiVersion: 'v1', kind: 'ConfigMap' },
      matchConditions: [{ name: 'marked', expression: "has(object.metadata.labels) && 'set' in object.metadata.labels" }],
      variables: [{ name: 'value', expression: 'params.data.value' }],
    },
    { paramRef: { name: 'param', parameterNotFoundAction: 'Deny' } },
  )
  expect((await make('free')).body.data ?? {}).toEqual({})
  expect((await make('marked', {}, { labels: { set: '' } })).body.data).toEqual({ set: 'from params' })
})

it('sees what policies before it have changed, and what others have when it may be asked again', async () => {
  await policy('first', [apply(`Object{data: {"first": string(has(object.data) ? size(object.data) : 0)}}`)], {
    reinvocationPolicy: 'IfNeeded',
  })
  await policy('second', [apply(`Object{data: {"second": string(has(object.data) ? size(object.data) : 0)}}`)])
  // The first is asked again because the second changed the object after it.
  expect((await make('a')).body.data).toEqual({ first: '2', second: '1' })
})

it('is not asked again when nobody else changed anything', async () => {
  await policy('count', [apply(`Object{data: {"n": string(has(object.data) && 'n' in object.data ? int(object.data.n) + 1 : 1)}}`)], {
    reinvocationPolicy: 'IfNeeded',
  })
  expect((await make('a')).body.data).toEqual({ n: '1' })
  meddle = object => {
    const data = (object['data'] ??= {}) as Record<string, string>
    data['seen'] = String(Number(data['seen'] ?? 0) + 1)
  }
  // The plugin of the server is asked again after the policy, changes the object, and so the policy is, too.
  expect((await make('b')).body.data).toMatchObject({ n: '2' })
})

it('refuses when a change cannot be made, unless failures are ignored', async () => {
  await policy('broken', [apply(`Object{data: {"x": object.data.missing}}`)])
  const refused = await make('a', { y: '1' })
  expect(refused.body).toMatchObject({
    code: 403,
    reason: 'Invalid',
    message: expect.stringMatching(
      /^policy 'broken' with binding 'broken' denied request: expression '.*' resulted in error: no such key: missing$/,
    ),
  })
  await rest('PATCH', `${group}/mutatingadmissionpolicies/broken`, { spec: { failurePolicy: 'Ignore' } }, merge)
  expect((await make('a', { y: '1' })).code).toBe(201)
})

it('says what does not fit the type of the object', async () => {
  const saying = async (mutation: object, on = rules('', 'configmaps')) => {
    await policy('wrong', [mutation], { matchConstraints: on })
    const { body } = await (on.resourceRules[0]!.resources[0] === 'deployments' ? rest('POST', deployments, deployment('a')) : make('a'))
    await rest('DELETE', `${group}/mutatingadmissionpolicybindings/wrong`)
    await rest('DELETE', `${group}/mutatingadmissionpolicies/wrong`)
    return body.message
  }
  expect(await saying(apply('Object{nothing: "x"}'))).toMatch(
    /denied request: error applying patch: failed to convert patch object to typed object: \.nothing: field not declared in schema$/,
  )
  expect(await saying(apply('Object{metadata: Object.spec{name: "x"}}'))).toMatch(
    /denied request: type mismatch: unexpected type name "Object\.spec", expected "Object\.metadata", which matches field name path from root Object type$/,
  )
  expect(
    await saying(apply('Object{spec: Object.spec{selector: Object.spec.selector{matchLabels: {"a": "b"}}}}'), rules('apps', 'deployments')),
  ).toMatch(
    /denied request: error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: \.spec\.selector$/,
  )
  expect(await saying(patch('[JSONPatch{op: "add", path: "/nothing", value: 1}]'))).toMatch(
    /strict decoding error: unknown field "nothing"/,
  )
})

it('tells what is wrong with expressions when a policy is written', async () => {
  const refused = async (mutation: object) => {
    const spec = { matchConstraints: rules('', 'configmaps'), reinvocationPolicy: 'Never', mutations: [mutation] }
    const { code, body } = await rest('POST', `${group}/mutatingadmissionpolicies`, { metadata: { name: 'x' }, spec })
    expect(code).toBe(422)
    return body.details.causes
  }
  expect((await refused(apply('1')))[0]).toMatchObject({
    field: 'spec.mutations[0].applyConfiguration.expression',
    message: expect.stringContaining('must evaluate to Object but got int'),
  })
  expect((await refused(patch('Object{}')))[0]).toMatchObject({
    field: 'spec.mutations[0].jsonPatch.expression',
    message: expect.stringContaining('must evaluate to list(JSONPatch) but got Object'),
  })
  expect((await refused(apply('Object{x: nobody}')))[0].message).toContain("undeclared reference to 'nobody'")
})

it('counts, and changes belong to nobody', async () => {
  await policy('counted', [apply('Object{data: {"x": "1"}}')])
  const { body } = await make('a', { y: '1' })
  expect(body.metadata.managedFields[0].fieldsV1['f:data']).not.toHaveProperty('f:x')
  const { text } = await rest('GET', '/metrics')
  expect(text).toMatch(
    /apiserver_mutating_admission_policy_check_total\{policy="counted",policy_binding="counted",error_type="no_error"\} 1/,
  )
})

/** Integers of 64 bits in custom and untyped fields, exact on every way into the API server and out of it. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { define } from './define.ts'
import { jsonPatch, merge } from './setup.ts'

let api: ApiServerFixture
let rest: Rest
const group = 'int64.example.com'
const path = `/apis/${group}/v1/namespaces/default/things`
const wide = '9007199254740993'
const next = '9007199254740994'
const most = '9223372036854775807'

beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
  const spec = {
    type: 'object',
    'x-kubernetes-preserve-unknown-fields': true,
    properties: {
      n: {
        type: 'integer',
        format: 'int64',
        maximum: 9.3e18,
        'x-kubernetes-validations': [{ rule: `self != ${next}`, message: 'not this one' }],
      },
      items: {
        type: 'array',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['id'],
        items: { type: 'object', required: ['id'], properties: { id: { type: 'integer' }, note: { type: 'string' } } },
      },
    },
    'x-kubernetes-validations': [{ rule: '!has(self.n) || !has(oldSelf.n) || self.n >= oldSelf.n', message: 'grows' }],
  }
  await define(rest, {
    group,
    plural: 'things',
    kind: 'Thing',
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', properties: { spec } } },
        additionalPrinterColumns: [{ name: 'N', type: 'integer', jsonPath: '.spec.n' }],
        selectableFields: [{ jsonPath: '.spec.n' }],
      },
    ],
  })
})
afterAll(() => api?.stop())

const body = (name: string, spec: string): string =>
  `{"apiVersion":"${group}/v1","kind":"Thing","metadata":{"name":"${name}"},"spec":${spec}}`
const make = (name: string, spec: string, type = 'application/json') =>
  rest('POST', path, body(name, spec), { headers: { 'content-type': type } })
const apply = (name: string, manager: string, spec: string) =>
  rest('PATCH', `${path}/${name}?fieldManager=${manager}`, body(name, spec), {
    headers: { 'content-type': 'application/apply-patch+yaml' },
  })
const all = `{"n":${wide},"other":[{"deep":-${most}}],"items":[{"id":${wide}}]}`

it('as they came, in every form, from a watch, and on a server that reads them from the store', async () => {
  const made = await make('a', all)
  expect(made.code, made.text).toBe(201)
  expect((await make('b', all, 'application/yaml')).code).toBe(201)
  const another = await api.startAnother()
  for (const server of [rest, another.rest]) {
    for (const name of ['a', 'b']) {
      const spec = new RegExp(`"spec":\\{"n":${wide},"other":\\[\\{"deep":-${most}\\}\\],"items":\\[\\{"id":${wide}\\}\\]\\}`)
      expect((await server('GET', `${path}/${name}`)).text).toMatch(spec)
      expect((await server('GET', path)).text).toMatch(spec)
    }
    const yaml = await server('GET', `${path}/a`, undefined, { headers: { accept: 'application/yaml' } })
    expect(yaml.text).toContain(`'n': ${wide}\n  other:\n  - deep: -${most}`)
    expect((await server('GET', `${path}?watch=1&timeoutSeconds=1`)).text).toContain(`"spec":{"n":${wide},"other"`)
    expect((await server('GET', `${path}/a?pretty=true`)).text).toContain(`"n": ${wide},`)
    const table = await server('GET', path, undefined, { headers: { accept: 'application/json;as=Table;g=meta.k8s.io;v=v1' } })
    expect(table.text).toContain(`"cells":["a",${wide}]`)
    const selected = await server('GET', `${path}?fieldSelector=spec.n=${wide}`)
    expect(selected.body.items).toHaveLength(2)
    expect((await server('GET', `${path}?fieldSelector=spec.n=${next}`)).body.items).toHaveLength(0)
  }
})

it('patches change the one they name by one', async () => {
  await make('p', all)
  const add = async (patch: string, options: typeof merge): Promise<string> => {
    const reply = await rest('PATCH', `${path}/p`, patch, options)
    expect(reply.code, reply.text).toBe(200)
    return reply.text
  }
  expect(await add('{"spec":{"n":9007199254740995}}', merge)).toContain(`"n":9007199254740995,"other":[{"deep":-${most}}]`)
  // Nothing is written where nothing changes.
  const { resourceVersion } = (await rest('GET', `${path}/p`)).body.metadata
  expect(await add('{"spec":{"n":9007199254740995}}', merge)).toContain(`"resourceVersion":"${resourceVersion}"`)
  const test = (value: string) => `[{"op":"test","path":"/spec/n","value":${value}},{"op":"replace","path":"/spec/n","value":${most}}]`
  expect((await rest('PATCH', `${path}/p`, test('9007199254740996'), jsonPatch)).code).toBe(422)
  expect(await add(test('9007199254740995'), jsonPatch)).toContain(`"n":${most}`)
})

it('rules see them', async () => {
  const refused = await make('r', `{"n":${next}}`)
  expect(refused.code).toBe(422)
  expect(refused.body.message).toContain(`Invalid value: ${next}: not this one`)
  expect((await make('r', `{"n":${wide}}`)).code).toBe(201)
  const less = await rest('PATCH', `${path}/r`, '{"spec":{"n":9007199254740992}}', merge)
  expect(less.code).toBe(422)
  expect(less.body.message).toContain('grows')
  const tooMuch = await make('s', '{"n":9223372036854775808}')
  expect(tooMuch.body.message).toContain('spec.n in body must be of type integer: "number"')
})

it('server-side apply tells neighbours apart, also as keys of items', async () => {
  expect((await apply('s', 'one', `{"n":${wide},"items":[{"id":${wide},"note":"x"}]}`)).code).toBe(201)
  expect((await apply('s', 'two', `{"n":${wide}}`)).code).toBe(200)
  const conflict = await apply('s', 'two', '{"n":9007199254740995}')
  expect(conflict.code).toBe(409)
  expect(conflict.body.details.causes[0].field).toBe('.spec.n')
  const both = await apply('s', 'two', `{"items":[{"id":9007199254740992,"note":"y"}]}`)
  expect(both.text).toContain(`"items":[{"id":${wide},"note":"x"},{"id":9007199254740992,"note":"y"}]`)
  expect(both.text).toContain(`k:{\\"id\\":${wide}}`)
  const other = await apply('s', 'two', `{"items":[{"id":${wide},"note":"y"}]}`)
  expect(other.body.details.causes[0].field).toBe(`.spec.items[id=${wide}].note`)
})

it('untyped fields of built-in kinds keep them, and policies see and set them', async () => {
  const revisions = '/apis/apps/v1/namespaces/default/controllerrevisions'
  const revision = `{"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{"name":"c"},"revision":1,"data":{"n":${wide}}}`
  expect((await rest('POST', revisions, revision)).code).toBe(201)
  const patched = await rest('PATCH', `${revisions}/c`, '{"revision":2}', merge)
  expect(patched.text).toContain(`"data":{"n":${wide}}`)
  const admission = '/apis/admissionregistration.k8s.io/v1beta1'
  const rules = { resourceRules: [{ apiGroups: [group], apiVersions: ['v1'], operations: ['CREATE'], resources: ['things'] }] }
  const spec = (patchType: string, part: object) => ({
    failurePolicy: 'Fail',
    reinvocationPolicy: 'Never',
    matchConstraints: rules,
    matchConditions: [{ name: 'named', expression: `object.metadata.name == "mutated-${patchType.toLowerCase()}"` }],
    mutations: [{ patchType, ...part }],
  })
  const policies = {
    applied: spec('ApplyConfiguration', {
      applyConfiguration: { expression: `Object{spec: Object.spec{n: object.spec.n + 2}}` },
    }),
    patched: spec('JSONPatch', { jsonPatch: { expression: `[JSONPatch{op: "add", path: "/spec/text", value: object.spec.n}]` } }),
  }
  for (const [name, policy] of Object.entries(policies)) {
    const made = await rest('POST', `${admission}/mutatingadmissionpolicies`, { metadata: { name }, spec: policy })
    expect(made.code, made.text).toBe(201)
    await rest('POST', `${admission}/mutatingadmissionpolicybindings`, { metadata: { name }, spec: { policyName: name } })
  }
  expect((await make('mutated-applyconfiguration', `{"n":${wide},"other":${most}}`)).text).toContain(
    `"spec":{"n":9007199254740995,"other":${most}}`,
  )
  // Upstream's patches come through protobuf's Value: what a float64 does not hold is a text.
  expect((await make('mutated-jsonpatch', `{"n":${wide}}`)).text).toContain(`"spec":{"n":${wide},"text":"${wide}"}`)
})

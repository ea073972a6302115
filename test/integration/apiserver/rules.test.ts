/** Rules in CEL of custom resources: in force on every write, and looked at when they are defined. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { jsonPatch, merge } from './setup.ts'

const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const group = 'rules.example.com'
let api: ApiServerFixture
let rest: Rest
beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
})
afterAll(() => api?.stop())

const spec = {
  type: 'object',
  required: ['min', 'max'],
  properties: {
    min: { type: 'integer' },
    max: { type: 'integer' },
    class: { type: 'string', maxLength: 20, 'x-kubernetes-validations': [{ rule: 'self == oldSelf', message: 'class is fixed' }] },
    names: {
      type: 'array',
      maxItems: 5,
      items: {
        type: 'string',
        maxLength: 20,
        'x-kubernetes-validations': [{ rule: "self.matches('^[a-z]+$')", message: 'lower case only' }],
      },
    },
  },
  'x-kubernetes-validations': [
    { rule: 'self.min <= self.max', messageExpression: "self.min > 100 ? 'far too large' : 'min is more than max'", fieldPath: '.min' },
  ],
}
const status = {
  type: 'object',
  properties: { ready: { type: 'integer' } },
  'x-kubernetes-validations': [{ rule: 'self.ready >= 0', message: 'ready is not negative', reason: 'FieldValueForbidden' }],
}
const definition = (plural: string, kind: string, properties: object) => ({
  kind: 'CustomResourceDefinition',
  apiVersion: 'apiextensions.k8s.io/v1',
  metadata: { name: `${plural}.${group}` },
  spec: {
    group,
    scope: 'Namespaced',
    names: { plural, kind },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: { openAPIV3Schema: { type: 'object', properties } },
      },
    ],
  },
})

async function define(plural: string, kind: string, properties: object): Promise<string> {
  expect((await rest('POST', definitions, definition(plural, kind, properties))).code).toBe(201)
  const watch = await rest.watch(`${definitions}?watch=1&fieldSelector=metadata.name=${plural}.${group}`)
  try {
    const isEstablished = (c: { type: string; status: string }) => c.type === 'Established' && c.status === 'True'
    while (!(await watch.next()).object.status?.conditions?.some(isEstablished));
  } finally {
    watch.stop()
  }
  return `/apis/${group}/v1/namespaces/default/${plural}`
}

const causes = ({ body }: { body: any }): string[] =>
  body.details.causes.map((c: { field: string; message: string }) => `${c.field}: ${c.message}`) // any: as Rest

it('are in force on create, update, patch and status', async () => {
  const path = await define('ranges', 'Range', { spec, status })
  const range = (name: string, values: object) => ({ kind: 'Range', apiVersion: `${group}/v1`, metadata: { name }, spec: values })

  const refused = await rest('POST', path, range('a', { min: 3, max: 1, names: ['ok', 'NO'] }))
  expect(refused.code).toBe(422)
  expect(causes(refused)).toEqual(['spec.min: Invalid value: min is more than max', 'spec.names[1]: Invalid value: "NO": lower case only'])
  expect(causes(await rest('POST', path, range('a', { min: 300, max: 1 })))).toEqual(['spec.min: Invalid value: far too large'])

  expect((await rest('POST', path, range('a', { min: 1, max: 3, class: 'x' }))).code).toBe(201)
  expect(causes(await rest('PATCH', `${path}/a`, { spec: { class: 'y' } }, merge))).toEqual([
    'spec.class: Invalid value: "y": class is fixed',
  ])
  expect((await rest('PATCH', `${path}/a`, [{ op: 'replace', path: '/spec/min', value: 2 }], jsonPatch)).code).toBe(200)
  expect(causes(await rest('PATCH', `${path}/a`, { spec: { min: 4 } }, merge))).toEqual(['spec.min: Invalid value: min is more than max'])
  expect(causes(await rest('PATCH', `${path}/a/status`, { status: { ready: -1 } }, merge))).toEqual([
    'status: Forbidden: ready is not negative',
  ])
  expect((await rest('PATCH', `${path}/a/status`, { status: { ready: 1 } }, merge)).code).toBe(200)
})

it('that are new do not blame a change for what it leaves as it was', async () => {
  const path = await define('levels', 'Level', {
    spec: { type: 'object', properties: { level: { type: 'integer' }, note: { type: 'string' } } },
  })
  const level = { kind: 'Level', apiVersion: `${group}/v1`, metadata: { name: 'a' }, spec: { level: -1 } }
  expect((await rest('POST', path, level)).code).toBe(201)
  const rules = [
    {
      op: 'add',
      path: '/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/level/x-kubernetes-validations',
      value: [{ rule: 'self >= 0' }],
    },
  ]
  expect((await rest('PATCH', `${definitions}/levels.${group}`, rules, jsonPatch)).code).toBe(200)
  // The rule is in force when a new object is refused.
  await expect
    .poll(async () => (await rest('POST', `${path}?dryRun=All`, { ...level, metadata: { name: 'b' } })).code, { timeout: 10_000 })
    .toBe(422)
  expect((await rest('PATCH', `${path}/a`, { spec: { note: 'kept' } }, merge)).code).toBe(200)
  expect((await rest('PATCH', `${path}/a`, { spec: { level: -2 } }, merge)).code).toBe(422)
})

it('that are wrong or too dear are not defined', async () => {
  const wrong = await rest(
    'POST',
    definitions,
    definition('wrongs', 'Wrong', { spec: { ...spec, 'x-kubernetes-validations': [{ rule: 'self.mim > 0' }] } }),
  )
  expect(wrong.code).toBe(422)
  expect(causes(wrong)).toEqual([
    expect.stringContaining(
      'spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: Invalid value: {"Rule":"self.mim \\u003e 0"',
    ),
  ])
  expect(wrong.body.message).toContain("ERROR: <input>:1:5: undefined field 'mim'\n | self.mim > 0\n | ....^")
  const list = { type: 'array', items: { type: 'string' } }
  const dear = { rule: 'self.list.all(a, self.list.all(b, a == b))' }
  const refused = await rest(
    'POST',
    definitions,
    definition('dears', 'Dear', { spec: { type: 'object', properties: { list }, 'x-kubernetes-validations': [dear] } }),
  )
  expect(causes(refused)[0]).toMatch(/estimated rule cost exceeds budget by factor of more than 100x/)
})

it('are judged beside what else is wrong, but not at its level and above', async () => {
  const broken = { type: 'integer', 'x-kubernetes-validations': [{ rule: 'self.x' }] }
  const set = { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'none' }
  const said = async (part: object, names: object = {}) => {
    const { spec } = definition('wrongs', 'Wrong', { spec: part })
    const metadata = { name: `wrongs.${group}` }
    const reply = await rest('POST', definitions, { metadata, spec: { ...spec, names: { ...spec.names, ...names } } })
    return reply.body.details.causes.map((c: { field: string }) => c.field.replace('spec.validation.openAPIV3Schema.properties[spec]', '~'))
  }
  const rule = 'x-kubernetes-validations[0].rule'
  expect(await said({ type: 'object', properties: { a: broken } }, { singular: 'No Name' })).toEqual([
    'spec.names.singular',
    `~.properties[a].${rule}`,
  ])
  const around = { type: 'object', properties: { a: broken, set }, 'x-kubernetes-validations': [{ rule: 'self.y' }] }
  expect(await said(around)).toEqual(['~.properties[set].x-kubernetes-list-type', `~.properties[a].${rule}`])
  // What is not structural has no types to judge by.
  expect(await said({ type: 'object', properties: { a: broken, b: {} } })).toEqual(['~.properties[b].type'])
  expect(await said({ type: 'object', properties: { a: broken, b: { type: 'null' } } })).toEqual([
    '~.properties[b].type',
    '~.properties[b].type',
    `~.properties[a].${rule}`,
  ])
  const old = { type: 'object', properties: { a: { type: 'integer', 'x-kubernetes-validations': [{ rule: 'self == oldSelf' }] } } }
  expect(await said({ ...old, 'x-kubernetes-map-type': 'none' })).toEqual(['~.x-kubernetes-map-type', `~.properties[a].${rule}`])
})

it('judge defaults', async () => {
  const positive = { type: 'integer', 'x-kubernetes-validations': [{ rule: 'self > 0', message: 'positive' }] }
  const anew = { rule: 'oldSelf.hasValue() || self < 5', message: 'small at first', optionalOldSelf: true }
  const properties = {
    good: { ...positive, default: 1 },
    bad: { ...positive, default: -1 },
    first: { type: 'integer', 'x-kubernetes-validations': [anew], default: 7 },
    whole: { type: 'object', properties: { n: positive }, default: { n: 0 } },
    unknown: { type: 'object', properties: { n: { type: 'integer' } }, default: { m: 0 } },
  }
  const at = 'spec.validation.openAPIV3Schema.properties[spec].properties'
  const create = async (names: string[]) => {
    const own = Object.fromEntries(Object.entries(properties).filter(([name]) => names.includes(name)))
    return rest('POST', `${definitions}?dryRun=All`, definition('defaults', 'Default', { spec: { type: 'object', properties: own } }))
  }
  expect((await create(['good'])).code).toBe(201)
  expect(causes(await create(['good', 'bad', 'first', 'whole']))).toEqual([
    `${at}[bad].default: Invalid value: -1: positive`,
    `${at}[first].default: Invalid value: 7: small at first`,
    `${at}[whole].default.n: Invalid value: 0: positive`,
  ])
  expect(causes(await create(['unknown']))).toEqual([`${at}[unknown].default: Invalid value: {"m":0}: must not have unknown fields`])
})

/** A custom kind on a running server: structural rules in place of Go's struct rules, through the same verbs. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { objectMeta, typeMeta } from '#shared/api/meta/objectmeta.ts'
import type { Resource } from '#shared/api/resource.ts'
import { obj, opt } from '#shared/machinery/schema.ts'
import type { JsonSchema } from '#shared/machinery/structural/schema.ts'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { jsonPatch, merge, strategic } from './setup.ts'

let api: ApiServerFixture
let rest: Rest
const path = '/apis/custom.example.com/v1/namespaces/default/backups'
const head = { kind: 'Backup', apiVersion: 'custom.example.com/v1' }
const root: JsonSchema = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      required: ['schedule'],
      properties: {
        schedule: { type: 'string' },
        keep: { type: 'integer', default: 3 },
        note: { type: 'string', nullable: true },
        targets: {
          type: 'array',
          items: { type: 'object', properties: { name: { type: 'string' }, path: { type: 'string' } }, required: ['name'] },
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name'],
        },
        options: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
      },
    },
    status: { type: 'object', properties: { last: { type: 'string' } } },
  },
}
const kind: Resource = {
  group: 'custom.example.com',
  version: 'v1',
  kind: 'Backup',
  plural: 'backups',
  singular: 'backup',
  namespaced: true,
  schema: obj('com.example.custom.v1.Backup', '', () => ({ ...typeMeta(), metadata: opt(1, objectMeta) })),
  structural: { root },
  hasStatus: true,
  hasGeneration: true,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
}
beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
  api.server.surface.install({ resource: kind })
})
afterAll(() => api?.stop())

const make = (name: string, spec: object, query = '') => rest('POST', `${path}${query}`, { ...head, metadata: { name }, spec })
const apply = (name: string, manager: string, spec: object, query = '') =>
  rest(
    'PATCH',
    `${path}/${name}?fieldManager=${manager}${query}`,
    { ...head, metadata: { name }, spec },
    {
      headers: { 'content-type': 'application/apply-patch+yaml' },
    },
  )

it('keeps what its schema knows, as it was sent', async () => {
  const spec = { schedule: '', note: null, targets: [], options: { deep: { x: [null, {}] } }, foo: 1 }
  const { code, body, headers } = await make('a', spec)
  expect(code).toBe(201)
  expect(body.spec).toEqual({ schedule: '', note: null, targets: [], options: { deep: { x: [null, {}] } }, keep: 3 })
  expect(body).toMatchObject({ metadata: { generation: 1, name: 'a' } })
  expect(body).not.toHaveProperty('status')
  expect(headers['warning']).toContain('unknown field \\"spec.foo\\"')
  expect((await rest('GET', `${path}/a`)).body).toEqual(body)
  expect((await make('b', spec, '?fieldValidation=Strict')).body).toMatchObject({
    code: 400,
    message: expect.stringContaining('strict decoding error: unknown field "spec.foo"'),
  })
})

it('says what is wrong as 422 with all causes', async () => {
  const { body } = await make('wrong', { keep: 'many', targets: [{}, { name: 'x' }, { name: 'x' }] })
  expect(body).toMatchObject({ code: 422, reason: 'Invalid' })
  expect(body.details.causes).toEqual([
    { field: 'spec.schedule', reason: 'FieldValueRequired', message: 'Required value' },
    {
      field: 'spec.keep',
      reason: 'FieldValueTypeInvalid',
      message: 'Invalid value: "string": spec.keep in body must be of type integer: "string"',
    },
    { field: 'spec.targets[0].name', reason: 'FieldValueRequired', message: 'Required value' },
    { field: 'spec.targets[2]', reason: 'FieldValueDuplicate', message: 'Duplicate value: {"name":"x"}' },
  ])
  const refused = await rest('PATCH', `${path}/a`, { spec: { keep: [] } }, merge)
  expect(refused.body).toMatchObject({ code: 422, message: expect.stringContaining('spec.keep in body must be of type integer: "array"') })
  expect((await rest('PATCH', `${path}/a/status`, { status: { last: 1 } }, merge)).code).toBe(422)
})

it('takes every patch but a strategic one', async () => {
  expect((await rest('PATCH', `${path}/a`, { spec: { keep: 5, note: 'n' } }, merge)).body).toMatchObject({
    metadata: { generation: 2 },
    spec: { keep: 5, note: 'n' },
  })
  expect((await rest('PATCH', `${path}/a`, [{ op: 'replace', path: '/spec/note', value: null }], jsonPatch)).body.spec.note).toBeNull()
  expect(await rest('PATCH', `${path}/a`, { spec: { keep: 6 } }, strategic)).toMatchObject({
    code: 415,
    body: { reason: 'UnsupportedMediaType' },
  })
  expect((await rest('PATCH', `${path}/a`, { kind: 'Secret' }, merge)).code).toBe(422)
  const status = await rest('PATCH', `${path}/a/status`, { spec: { keep: 7 }, status: { last: 'now' } }, merge)
  expect(status.body).toMatchObject({ metadata: { generation: 3 }, spec: { keep: 5 }, status: { last: 'now' } })
})

it('merges what appliers say by the keys of its lists', async () => {
  expect((await apply('s', 'one', { schedule: 'daily', targets: [{ name: 'x', path: '/x' }] })).code).toBe(201)
  const both = await apply('s', 'two', { targets: [{ name: 'y', path: '/y' }] })
  expect(both.body.spec.targets).toEqual([
    { name: 'x', path: '/x' },
    { name: 'y', path: '/y' },
  ])
  expect((await apply('s', 'two', { targets: [{ name: 'x', path: '/z' }] })).body).toMatchObject({
    code: 409,
    message: 'Apply failed with 1 conflict: conflict with "one": .spec.targets[name="x"].path',
  })
  expect((await apply('s', 'one', { schedule: 'daily' })).body.spec.targets).toEqual([{ name: 'y', path: '/y' }])
  expect((await apply('s', 'one', { schedule: 'daily', foo: 1 })).body.message).toContain('.spec.foo: field not declared in schema')
  expect((await apply('s', 'one', { schedule: 'daily', targets: 'x' })).body.message).toContain('.spec.targets: expected list, got string')
})

it('merges what appliers say of what its schema does not describe, by its names', async () => {
  await apply('free', 'one', { schedule: 'daily', options: { values: { image: { tag: 'a' }, replicas: 1 } } })
  const both = await apply('free', 'two', { options: { values: { image: { pull: 'Always' }, args: ['x'] } } })
  expect(both.body.spec.options).toEqual({ values: { image: { tag: 'a', pull: 'Always' }, replicas: 1, args: ['x'] } })
  expect((await apply('free', 'two', { options: { values: { image: { tag: 'b' } } } })).body).toMatchObject({
    code: 409,
    message: 'Apply failed with 1 conflict: conflict with "one": .spec.options.values.image.tag',
  })
  const less = await apply('free', 'one', { schedule: 'daily', options: { values: { replicas: 1 } } })
  expect(less.body.spec.options).toEqual({ values: { image: { pull: 'Always' }, replicas: 1, args: ['x'] } })
  expect(less.body.metadata.managedFields.find((m: { manager: string }) => m.manager === 'one').fieldsV1['f:spec']['f:options']).toEqual({
    'f:values': { '.': {}, 'f:replicas': {} },
  })
})

it('has no protobuf form, but its metadata has', async () => {
  const accepting = (accept: string) => rest('GET', `${path}/a`, undefined, { headers: { accept } })
  const protobuf = 'application/vnd.kubernetes.protobuf'
  expect((await accepting(protobuf)).code).toBe(406)
  expect((await accepting(`${protobuf},application/json`)).headers['content-type']).toBe('application/json')
  expect((await rest('GET', path, undefined, { headers: { accept: protobuf } })).code).toBe(406)
  expect((await accepting(`${protobuf};as=PartialObjectMetadata;g=meta.k8s.io;v=v1`)).headers['content-type']).toBe(protobuf)
  expect((await rest('POST', path, 'k8s', { headers: { 'content-type': protobuf } })).code).toBe(415)
})

it('is in OpenAPI as its schema says', async () => {
  const v3 = (await rest('GET', '/openapi/v3/apis/custom.example.com/v1')).body.components.schemas['com.example.custom.v1.Backup']
  expect(v3.properties.spec).toEqual(root.properties!['spec'])
  expect(v3['x-kubernetes-group-version-kind']).toEqual([{ group: 'custom.example.com', version: 'v1', kind: 'Backup' }])
  const v2 = (await rest('GET', '/openapi/v2')).body.definitions['com.example.custom.v1.Backup']
  expect(v2.properties.spec.properties.note).toEqual({})
  expect(v2.properties.metadata.$ref).toContain('ObjectMeta')
})

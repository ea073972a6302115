/** A kind in two versions: the hub form is that of v2, where `spec.size` is `spec.dimensions.size`; v1 converts at once or later. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nameColumn } from '#shared/api/columns.ts'
import { objectMeta, typeMeta, type KubeObject } from '#shared/api/meta/objectmeta.ts'
import { resource, type Convert, type Resource } from '#shared/api/resource.ts'
import { int32, obj, opt, str } from '#shared/machinery/schema.ts'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { jsonPatch, merge } from './setup.ts'

let api: ApiServerFixture
let rest: Rest
beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
})
afterAll(() => api?.stop())

interface V1 extends KubeObject {
  spec?: { size?: number; color?: string }
}
interface V2 extends KubeObject {
  spec?: { dimensions?: { size?: number }; color?: string }
}
const group = 'two.example.com'
const head = (version: string) =>
  obj(`com.example.two.${version}.Box`, 'A box.', () => ({
    ...typeMeta(),
    metadata: opt(1, objectMeta, { default: {} }),
    spec: opt(2, version === 'v1' ? specV1 : specV2),
  }))
const specV1 = obj('com.example.two.v1.BoxSpec', '', () => ({ size: opt(1, int32()), color: opt(2, str()) }))
const dimensions = obj('com.example.two.v2.Dimensions', '', () => ({ size: opt(1, int32()) }))
const specV2 = obj('com.example.two.v2.BoxSpec', '', () => ({ dimensions: opt(1, dimensions), color: opt(2, str()) }))

function toV2({ spec, ...rest }: V1): V2 {
  const { size, ...own } = spec ?? {}
  return {
    ...rest,
    apiVersion: `${group}/v2`,
    ...(spec ? { spec: { ...own, ...(size === undefined ? {} : { dimensions: { size } }) } } : {}),
  }
}
function toV1({ spec, ...rest }: V2): V1 {
  const { dimensions: d, ...own } = spec ?? {}
  return { ...rest, apiVersion: `${group}/v1`, ...(spec ? { spec: { ...own, ...(d?.size === undefined ? {} : { size: d.size }) } } : {}) }
}
const later =
  <A, B>(convert: (object: A) => B): Convert<A, B> =>
  async objects => {
    await new Promise(setImmediate)
    return objects.map(convert)
  }
const atOnce =
  <A, B>(convert: (object: A) => B): Convert<A, B> =>
  objects =>
    objects.map(convert)

function box(plural: string, how: typeof later): Resource {
  return resource<V2>({
    group,
    version: 'v2',
    kind: `Box${plural}`,
    plural,
    singular: plural,
    namespaced: true,
    schema: head('v2'),
    columns: [nameColumn, { name: 'Size', type: 'integer', cell: b => b.spec?.dimensions?.size ?? 0 }],
    fields: { 'spec.color': b => b.spec?.color ?? '' },
    versions: [
      { version: 'v2', schema: head('v2') },
      {
        version: 'v1',
        schema: head('v1'),
        deprecated: `${group}/v1 is deprecated`,
        conversion: { toHub: how<KubeObject, V2>(o => toV2(o as V1)), fromHub: how<V2, KubeObject>(toV1) },
      },
    ],
  })
}

describe.each([
  ['boxes', atOnce],
  ['crates', later],
])('%s', (plural, how) => {
  const v1 = `/apis/${group}/v1/namespaces/default/${plural}`
  const v2 = `/apis/${group}/v2/namespaces/default/${plural}`
  beforeAll(() => api.server.surface.install({ resource: box(plural, how as typeof later) }))
  const apply = (path: string, name: string, manager: string, spec: object, force = false) =>
    rest(
      'PATCH',
      `${path}/${name}?fieldManager=${manager}&force=${force}`,
      { kind: `Box${plural}`, apiVersion: `${group}/${path === v1 ? 'v1' : 'v2'}`, metadata: { name }, spec },
      { headers: { 'content-type': 'application/apply-patch+yaml' } },
    )

  it('is written and read in both', async () => {
    const made = await rest('POST', v1, { metadata: { name: 'a' }, spec: { size: 3, color: 'red' } })
    expect(made.body).toMatchObject({ apiVersion: `${group}/v1`, spec: { size: 3 } })
    expect(made.headers['warning']).toContain('v1 is deprecated')
    expect(made.body.metadata.managedFields).toMatchObject([{ apiVersion: `${group}/v1`, fieldsV1: { 'f:spec': { 'f:size': {} } } }])
    expect((await rest('GET', `${v2}/a`)).body).toMatchObject({ apiVersion: `${group}/v2`, spec: { dimensions: { size: 3 } } })
    expect((await rest('PATCH', `${v1}/a`, { spec: { size: 4 } }, merge)).body.spec).toEqual({ size: 4, color: 'red' })
    const replaced = await rest('PATCH', `${v2}/a`, [{ op: 'replace', path: '/spec/dimensions/size', value: 5 }], jsonPatch)
    expect(replaced.body.spec).toEqual({ dimensions: { size: 5 }, color: 'red' })
    expect((await rest('GET', `${v1}?fieldSelector=spec.color%3Dred`)).body).toMatchObject({
      kind: `Box${plural}List`,
      apiVersion: `${group}/v1`,
      items: [{ spec: { size: 5, color: 'red' } }],
    })
    const table = await rest('GET', v1, undefined, { headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' } })
    expect(table.body.rows[0].cells).toEqual(['a', 5])
    const watch = await rest.watch(`${v1}?watch=true`)
    expect(await watch.next()).toMatchObject({ type: 'ADDED', object: { apiVersion: `${group}/v1`, spec: { size: 5 } } })
    await rest('PATCH', `${v2}/a`, { spec: { dimensions: { size: 6 } } }, merge)
    expect(await watch.next()).toMatchObject({ type: 'MODIFIED', object: { apiVersion: `${group}/v1`, spec: { size: 6 } } })
    watch.stop()
  })

  it('appliers of both see each other', async () => {
    expect((await apply(v1, 'b', 'one', { size: 1 })).code).toBe(201)
    const refused = await apply(v2, 'b', 'two', { dimensions: { size: 2 } })
    expect(refused.body).toMatchObject({
      code: 409,
      message: 'Apply failed with 1 conflict: conflict with "one": .spec.size',
    })
    const forced = await apply(v2, 'b', 'two', { dimensions: { size: 2 }, color: 'blue' }, true)
    expect(forced.body.spec).toEqual({ dimensions: { size: 2 }, color: 'blue' })
    expect(forced.body.metadata.managedFields.map((e: { manager: string }) => e.manager)).toEqual(['two'])
    expect((await apply(v1, 'b', 'one', { size: 1 })).body).toMatchObject({
      code: 409,
      message: 'Apply failed with 1 conflict: conflict with "two": .spec.dimensions.size',
    })
    // A plain write in one version takes the field from its manager in the other.
    await rest('PATCH', `${v1}/b?fieldManager=plain`, { spec: { size: 7 } }, merge)
    const { managedFields } = (await rest('GET', `${v1}/b`)).body.metadata
    expect(managedFields).toMatchObject([
      { manager: 'two', apiVersion: `${group}/v2`, fieldsV1: { 'f:spec': { 'f:color': {} } } },
      { manager: 'plain', apiVersion: `${group}/v1`, fieldsV1: { 'f:spec': { 'f:size': {} } } },
    ])
    expect(JSON.stringify(managedFields[0])).not.toContain('size')
  })

  it('a manager that changes its version lets go of what it no longer names', async () => {
    await apply(v1, 'c', 'one', { size: 1, color: 'red' })
    await apply(v2, 'c', 'other', { dimensions: { size: 1 } })
    const { body } = await apply(v2, 'c', 'one', { dimensions: { size: 1 } })
    expect(body.spec).toEqual({ dimensions: { size: 1 } })
    expect(body.metadata.managedFields).toMatchObject([{ manager: 'one', apiVersion: `${group}/v2` }, { manager: 'other' }])
    // It gives up everything; what the other one has stays.
    expect((await apply(v1, 'c', 'one', {})).body.spec).toEqual({ size: 1 })
  })

  it('what is stored in another version is shown and written anew in this one', async () => {
    // As if v1 were the hub before: what is written now is stored so.
    const before = box(plural, how as typeof later)
    const asHub = (version: string, other: string, to: (o: never) => KubeObject, from: (o: never) => KubeObject): Resource => ({
      ...before,
      version,
      schema: head(version),
      versions: [
        { version, schema: head(version) },
        {
          version: other,
          schema: head(other),
          conversion: {
            toHub: (how as typeof later)<KubeObject, KubeObject>(o => to(o as never)),
            fromHub: (how as typeof later)<KubeObject, KubeObject>(o => from(o as never)),
          },
        },
      ],
    })
    api.server.surface.install({ resource: asHub('v1', 'v2', toV1, toV2) })
    expect((await rest('POST', v2, { metadata: { name: 'd' }, spec: { dimensions: { size: 9 } } })).code).toBe(201)
    api.server.surface.install({ resource: before })
    for (const [path, spec] of [
      [v1, { size: 9 }],
      [v2, { dimensions: { size: 9 } }],
    ] as const) {
      expect((await rest('GET', `${path}/d`)).body.spec).toEqual(spec)
      const { items } = (await rest('GET', path)).body
      expect(items.find((i: KubeObject) => i.metadata.name === 'd').spec).toEqual(spec)
    }
    const { body } = await rest('GET', `${v2}/d`)
    const rewritten = await rest('PUT', `${v2}/d`, body)
    expect(rewritten.body.metadata.resourceVersion).not.toBe(body.metadata.resourceVersion)
    expect(rewritten.body.spec).toEqual(body.spec)
    expect((await rest('PUT', `${v2}/d`, rewritten.body)).body).toEqual(rewritten.body)
    expect((await rest('DELETE', `${v1}/d`)).code).toBe(200)
  })
})

/** Custom resources: versions, subresources, columns, selectors and all else that a definition says of its kind. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { define, definition, version } from './define.ts'
import { jsonPatch, merge } from './setup.ts'

let api: ApiServerFixture
let rest: Rest
beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
})
afterAll(() => api?.stop())

const group = 'zoo.example.com'
const at = (plural: string, v = 'v1'): string => `/apis/${group}/${v}/namespaces/default/${plural}`
const head = (kind: string, name: string, v = 'v1') => ({ kind, apiVersion: `${group}/${v}`, metadata: { name } })
const object = (properties: object, more = {}) => ({ type: 'object', properties, ...more })
const schema = (spec: object, status: object = object({}, { 'x-kubernetes-preserve-unknown-fields': true }), more = {}) => ({
  schema: { openAPIV3Schema: object({ spec, status }, more) },
})
const string = { type: 'string' }
const integer = { type: 'integer' }
const asTable = { headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' } }

describe('subresources', () => {
  it('status is apart where there is one, and the rest where there is none', async () => {
    const spec = object({ size: integer })
    await define(rest, {
      group,
      plural: 'lions',
      kind: 'Lion',
      versions: [version('v1', { ...schema(spec, object({ x: { ...integer, maximum: 5 } })), subresources: { status: {} } })],
    })
    await define(rest, { group, plural: 'tigers', kind: 'Tiger', versions: [version('v1', schema(spec))] })
    const lion = (await rest('POST', at('lions'), { ...head('Lion', 'a'), spec: { size: 1 }, status: { x: 1 } })).body
    expect(lion).not.toHaveProperty('status')
    const status = await rest(
      'PATCH',
      `${at('lions')}/a/status`,
      { metadata: { labels: { a: 'b' } }, spec: { size: 2 }, status: { x: 2 } },
      merge,
    )
    expect(status.body).toMatchObject({ metadata: { generation: 1 }, spec: { size: 1 }, status: { x: 2 } })
    expect(status.body.metadata).not.toHaveProperty('labels')
    expect((await rest('PATCH', `${at('lions')}/a/status`, { status: { x: 6 } }, merge)).body.details.causes).toEqual([
      { reason: 'FieldValueInvalid', field: 'status.x', message: 'Invalid value: 6: x in body should be less than or equal to 5' },
    ])
    const main = await rest('PATCH', `${at('lions')}/a`, { spec: { size: 3 }, status: { x: 3 } }, merge)
    expect(main.body).toMatchObject({ metadata: { generation: 2 }, spec: { size: 3 }, status: { x: 2 } })
    expect((await rest('PATCH', `${at('lions')}/a`, { metadata: { labels: { a: 'b' } } }, merge)).body.metadata.generation).toBe(2)
    const tiger = (await rest('POST', at('tigers'), { ...head('Tiger', 'a'), status: { x: 1 } })).body
    expect(tiger).toMatchObject({ metadata: { generation: 1 }, status: { x: 1 } })
    expect((await rest('PATCH', `${at('tigers')}/a`, { status: { x: 2 } }, merge)).body).toMatchObject({
      metadata: { generation: 2 },
      status: { x: 2 },
    })
    expect((await rest('GET', `${at('tigers')}/a/status`)).code).toBe(404)
  })

  it('a status has the defaults of its schema from the beginning, whatever a client sends', async () => {
    const phase = { ...object({ phase: { ...string, default: 'Pending' } }), default: {} }
    await define(rest, {
      group,
      plural: 'moles',
      kind: 'Mole',
      versions: [version('v1', { ...schema(object({}), phase), subresources: { status: {} } })],
    })
    const made = (await rest('POST', at('moles'), { ...head('Mole', 'a'), status: { phase: 'Ready' } })).body
    expect(made.status).toEqual({ phase: 'Pending' })
    expect((await rest('GET', `${at('moles')}/a`)).body).toEqual(made)
  })

  it('scale reads and writes where the definition says', async () => {
    const paths = { specReplicasPath: '.spec.count', statusReplicasPath: '.status.there', labelSelectorPath: '.status.selector' }
    await define(rest, {
      group,
      plural: 'herds',
      kind: 'Herd',
      versions: [version('v1', { ...schema(object({ count: integer })), subresources: { status: {}, scale: paths } })],
    })
    await rest('POST', at('herds'), { ...head('Herd', 'a'), spec: { count: 2 } })
    await rest('PATCH', `${at('herds')}/a/status`, { status: { there: 1, selector: 'a=b' } }, merge)
    expect((await rest('GET', `${at('herds')}/a/scale`)).body).toMatchObject({
      kind: 'Scale',
      apiVersion: 'autoscaling/v1',
      metadata: { name: 'a', namespace: 'default' },
      spec: { replicas: 2 },
      status: { replicas: 1, selector: 'a=b' },
    })
    const scaled = await rest('PATCH', `${at('herds')}/a/scale`, { spec: { replicas: 5 } }, merge)
    expect(scaled.body.spec.replicas).toBe(5)
    expect((await rest('GET', `${at('herds')}/a`)).body).toMatchObject({ metadata: { generation: 2 }, spec: { count: 5 } })
    expect((await rest('POST', at('herds'), { ...head('Herd', 'b'), spec: { count: -1 } })).body).toMatchObject({
      code: 422,
      details: { causes: [{ field: '.spec.count', message: 'Invalid value: -1: should be a non-negative integer' }] },
    })
    expect((await rest('POST', at('herds'), { ...head('Herd', 'b'), spec: { count: 1.5 } })).body.details.causes).toContainEqual({
      field: '.spec.count',
      reason: 'FieldValueInvalid',
      message: 'Invalid value: 0: .spec.count accessor error: 1.5 is of the type float64, expected int64',
    })
    expect((await rest('POST', at('herds'), { ...head('Herd', 'b'), spec: [{ a: 1 }] })).body.details.causes).toContainEqual({
      field: '.spec.count',
      reason: 'FieldValueInvalid',
      message: 'Invalid value: 0: .spec.count accessor error: [map[]] is of the type []interface {}, expected map[string]interface{}',
    })
    await rest('POST', at('herds'), head('Herd', 'c'))
    expect((await rest('GET', `${at('herds')}/c/scale`)).body).toMatchObject({
      code: 500,
      message: 'Internal error occurred: the spec replicas field ".spec.count" does not exist',
    })
    expect((await rest('PATCH', `${at('herds')}/c/scale`, { spec: { replicas: 3 } }, merge)).body.spec.replicas).toBe(3)
    const { resources } = (await rest('GET', `/apis/${group}/v1`)).body
    expect(resources.filter((r: { name: string }) => r.name.startsWith('herds/'))).toEqual([
      { name: 'herds/status', singularName: '', namespaced: true, kind: 'Herd', verbs: ['get', 'patch', 'update'] },
      {
        name: 'herds/scale',
        singularName: '',
        namespaced: true,
        group: 'autoscaling',
        version: 'v1',
        kind: 'Scale',
        verbs: ['get', 'patch', 'update'],
      },
    ])
    const strategic = { headers: { 'content-type': 'application/strategic-merge-patch+json' } }
    expect((await rest('PATCH', `${at('herds')}/a/scale`, { spec: { replicas: 3 } }, strategic)).code).toBe(415)
  })
})

describe('versions', () => {
  beforeAll(() =>
    define(rest, {
      group,
      plural: 'birds',
      kind: 'Bird',
      versions: [
        version('v1alpha1', { ...schema(object({ old: string })), storage: false, deprecated: true }),
        version('v1beta1', {
          ...schema(object({ old: string, song: { ...string, default: 'tweet' } })),
          storage: false,
          deprecated: true,
          deprecationWarning: 'use v1',
        }),
        version('v1', schema(object({ song: string, wings: { ...integer, default: 2 } }))),
        version('v2', { ...schema(object({ song: string })), storage: false, served: false }),
      ],
    }),
  )

  it('show one object each by its own schema', async () => {
    const made = await rest('POST', at('birds', 'v1beta1'), { ...head('Bird', 'a', 'v1beta1'), spec: { old: 'x', foo: 1 } })
    // What the storage version does not know is not stored.
    expect(made.body).toMatchObject({ apiVersion: `${group}/v1beta1`, spec: { song: 'tweet' } })
    expect(made.body.spec).not.toHaveProperty('old')
    expect((await rest('GET', `${at('birds')}/a`)).body).toMatchObject({ apiVersion: `${group}/v1`, spec: { song: 'tweet', wings: 2 } })
    expect((await rest('GET', at('birds', 'v1alpha1'))).body.items[0].spec).toEqual({})
    expect((await rest('GET', at('birds', 'v2'))).code).toBe(404)
    const watch = await rest.watch(`${at('birds', 'v1beta1')}?watch=1`)
    expect(await watch.next()).toMatchObject({ type: 'ADDED', object: { apiVersion: `${group}/v1beta1`, spec: { song: 'tweet' } } })
    watch.stop()
    const patched = await rest('PATCH', `${at('birds', 'v1beta1')}/a`, [{ op: 'replace', path: '/spec/song', value: 'crow' }], jsonPatch)
    expect(patched.body).toMatchObject({ apiVersion: `${group}/v1beta1`, spec: { song: 'crow' } })
    expect((await rest('GET', `${at('birds')}/a`)).body.spec).toEqual({ song: 'crow', wings: 2 })
  })

  it('warn of those that are deprecated', async () => {
    expect((await rest('GET', at('birds', 'v1beta1'))).headers['warning']).toBe('299 - "use v1"')
    expect((await rest('GET', at('birds', 'v1alpha1'))).headers['warning']).toBe(
      `299 - "${group}/v1alpha1 Bird is deprecated; use ${group}/v1 Bird"`,
    )
    expect((await rest('GET', at('birds'))).headers['warning']).toBeUndefined()
  })

  it('are validated each by its own schema, and by the other rules of the version that was asked', async () => {
    const wrong = await rest('POST', at('birds', 'v1alpha1'), { ...head('Bird', 'b', 'v1alpha1'), spec: { old: 5 } })
    expect(wrong.body).toMatchObject({ code: 422, details: { causes: [{ field: 'spec.old' }] } })
  })

  it('are those of managers, too', async () => {
    const apply = (v: string, manager: string, spec: object, name = 'm') =>
      rest(
        'PATCH',
        `${at('birds', v)}/${name}?fieldManager=${manager}`,
        { ...head('Bird', name, v), spec },
        {
          headers: { 'content-type': 'application/apply-patch+yaml' },
        },
      )
    expect((await apply('v1', 'one', { song: 'a' })).code).toBe(201)
    expect((await apply('v1beta1', 'two', { song: 'b' })).body).toMatchObject({
      code: 409,
      message: `Apply failed with 1 conflict: conflict with "one": .spec.song`,
    })
    expect((await apply('v1beta1', 'one', { song: 'b' })).body.spec).toEqual({ song: 'b' })
  })

  it('another one stores from now on, and what is stored stays readable', async () => {
    const name = `birds.${group}`
    const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
    const { spec } = (await rest('GET', `${path}/${name}`)).body
    for (const v of spec.versions) {
      v.storage = v.name === 'v1beta1'
      v.served = v.name !== 'v1'
    }
    const changed = await rest('PATCH', `${path}/${name}`, { spec: { versions: spec.versions } }, merge)
    expect(changed.body.status.storedVersions).toEqual(['v1', 'v1beta1'])
    expect((await rest('GET', `${at('birds', 'v1beta1')}/a`)).body).toMatchObject({
      apiVersion: `${group}/v1beta1`,
      spec: { song: 'crow' },
    })
    // An update that changes nothing stores it in the new version.
    const before = (await rest('GET', `${at('birds', 'v1beta1')}/a`)).body
    const after = (await rest('PUT', `${at('birds', 'v1beta1')}/a`, before)).body
    expect(after.metadata.resourceVersion).not.toBe(before.metadata.resourceVersion)
    const again = (await rest('PUT', `${at('birds', 'v1beta1')}/a`, after)).body
    expect(again.metadata.resourceVersion).toBe(after.metadata.resourceVersion)
    const left = spec.versions.filter((v: { name: string }) => v.name !== 'v1')
    const refused = await rest('PATCH', `${path}/${name}`, { spec: { versions: left } }, merge)
    expect(refused.body).toMatchObject({ code: 422, details: { causes: [{ field: 'status.storedVersions[0]' }] } })
    await rest('PATCH', `${path}/${name}/status`, { status: { storedVersions: ['v1beta1'] } }, merge)
    expect((await rest('PATCH', `${path}/${name}`, { spec: { versions: left } }, merge)).code).toBe(200)
  })
})

it('has the columns that its definition gives it', async () => {
  await define(rest, {
    group,
    plural: 'cats',
    kind: 'Cat',
    versions: [
      version('v1', {
        ...schema(
          object({
            size: integer,
            tall: { type: 'boolean' },
            weight: { type: 'number' },
            born: string,
            toys: { type: 'array', items: string },
          }),
        ),
        additionalPrinterColumns: [
          { name: 'Size', type: 'integer', jsonPath: '.spec.size' },
          { name: 'Tall', type: 'boolean', jsonPath: '.spec.tall', description: 'how tall' },
          { name: 'Weight', type: 'number', jsonPath: '.spec.weight', priority: 1, format: 'double' },
          { name: 'Born', type: 'date', jsonPath: '.spec.born' },
          { name: 'Toys', type: 'string', jsonPath: '.spec.toys' },
          { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
        ],
      }),
    ],
  })
  const spec = { size: 3, tall: true, weight: 2.5, born: new Date(Date.now() - 7_205_000).toISOString(), toys: ['a', 'b'] }
  const conditions = [{ type: 'Other', status: 'x' }, { type: 'Ready', status: 'True' }] // prettier-ignore
  await rest('POST', at('cats'), { ...head('Cat', 'a'), spec, status: { conditions } })
  await rest('POST', at('cats'), head('Cat', 'b'))
  const { columnDefinitions, rows } = (await rest('GET', at('cats'), undefined, asTable)).body
  expect(columnDefinitions.map((c: { name: string; type: string; priority: number }) => [c.name, c.type, c.priority])).toEqual([
    ['Name', 'string', 0],
    ['Size', 'integer', 0],
    ['Tall', 'boolean', 0],
    ['Weight', 'number', 1],
    ['Born', 'date', 0],
    ['Toys', 'string', 0],
    ['Ready', 'string', 0],
  ])
  expect(columnDefinitions[1].description).toBe('Custom resource definition column (in JSONPath format): .spec.size')
  expect(rows.map((r: { cells: unknown[] }) => r.cells)).toEqual([
    ['a', 3, true, 2.5, '120m', '["a","b"]', 'True'],
    ['b', null, null, null, null, null, null],
  ])
})

it('is selected by the fields that its definition names', async () => {
  await define(rest, {
    group,
    plural: 'fish',
    kind: 'Fish',
    versions: [
      version('v1', {
        ...schema(object({ colour: string, fins: integer })),
        selectableFields: [{ jsonPath: '.spec.colour' }, { jsonPath: '.spec.fins' }],
      }),
    ],
  })
  const wrong = await rest(
    'POST',
    '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
    definition({
      group,
      plural: 'frogs',
      kind: 'Frog',
      versions: [
        version('v1', {
          ...schema(object({ colour: string })),
          selectableFields: ['.spec.colour', '.spec.colour', '.spec.legs', '.spec', 'spec.colour'].map(jsonPath => ({ jsonPath })),
        }),
      ],
    }),
  )
  expect(wrong.body.details.causes.map((c: { field: string; message: string }) => `${c.field}: ${c.message}`)).toEqual([
    'spec.versions[0].selectableFields[1].jsonPath: Duplicate value: ".spec.colour"',
    'spec.versions[0].selectableFields[2].jsonPath: Invalid value: ".spec.legs": is an invalid path: does not refer to a valid field',
    'spec.versions[0].selectableFields[3].jsonPath: Invalid value: ".spec": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.',
    'spec.versions[0].selectableFields[4].jsonPath: Invalid value: "spec.colour": is an invalid path: expected [ or . but got: spec',
  ])
  for (const [name, spec] of Object.entries({ a: { colour: 'red', fins: 2 }, b: { colour: 'blue', fins: 3 }, c: {} }))
    await rest('POST', at('fish'), { ...head('Fish', name), spec })
  const names = async (selector: string) =>
    (await rest('GET', `${at('fish')}?fieldSelector=${encodeURIComponent(selector)}`)).body.items.map((i: any) => i.metadata.name) // any: of the kind
  expect(await names('spec.colour=red')).toEqual(['a'])
  expect(await names('spec.colour!=red')).toEqual(['b', 'c'])
  expect(await names('spec.fins=3,spec.colour=blue')).toEqual(['b'])
  expect((await rest('GET', `${at('fish')}?fieldSelector=spec.other=x`)).body).toMatchObject({
    code: 400,
    message: 'field label not supported: spec.other',
  })
  const watch = await rest.watch(`${at('fish')}?watch=1&fieldSelector=spec.colour=red`)
  expect((await watch.next()).object.metadata.name).toBe('a')
  await rest('PATCH', `${at('fish')}/c`, { spec: { colour: 'red' } }, merge)
  expect(await watch.next()).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'c' } } })
  await rest('PATCH', `${at('fish')}/a`, { spec: { colour: 'green' } }, merge)
  expect(await watch.next()).toMatchObject({ type: 'DELETED', object: { metadata: { name: 'a' } } })
  watch.stop()
  await rest('DELETE', `${at('fish')}?fieldSelector=spec.colour=green`)
  expect(await names('')).toEqual(['b', 'c'])
})

it('has metadata as other kinds, but any finalizer', async () => {
  await define(rest, { group, plural: 'dogs', kind: 'Dog' })
  expect((await rest('POST', at('dogs'), head('Dog', 'Not_A_Name'))).body).toMatchObject({
    code: 422,
    details: { causes: [{ field: 'metadata.name' }] },
  })
  const generated = await rest('POST', at('dogs'), { ...head('Dog', ''), metadata: { generateName: 'rex-', finalizers: ['hold'] } })
  expect(generated.code).toBe(201)
  expect(generated.headers['warning']).toContain('metadata.finalizers: \\"hold\\": prefer a domain-qualified finalizer name')
  const { name } = generated.body.metadata
  const { resourceVersion: _, ...unversioned } = generated.body.metadata
  expect((await rest('PUT', `${at('dogs')}/${name}`, { ...generated.body, metadata: unversioned })).body).toMatchObject({
    code: 422,
    message: expect.stringContaining('metadata.resourceVersion: Invalid value: 0: must be specified for an update'),
  })
  expect((await rest('PUT', `${at('dogs')}/nobody`, { ...head('Dog', 'nobody') })).code).toBe(404)
  expect((await rest('DELETE', `${at('dogs')}/${name}`)).body).toMatchObject({ metadata: { deletionTimestamp: expect.any(String) } })
  await rest('PATCH', `${at('dogs')}/${name}`, { metadata: { finalizers: null } }, merge)
  expect((await rest('GET', `${at('dogs')}/${name}`)).code).toBe(404)
})

it('says in lists what each object is, under the name that the definition gives lists', async () => {
  await define(rest, { group, plural: 'crows', kind: 'Crow', names: { listKind: 'Murder' } })
  const made = (await rest('POST', at('crows'), { ...head('Crow', 'a'), spec: {} })).body
  const list = { kind: 'Murder', apiVersion: `${group}/v1`, items: [made] }
  expect((await rest('GET', at('crows'))).body).toMatchObject(list)
  expect((await rest('GET', `${at('crows')}?pretty=true`)).body).toMatchObject(list)
  // Those of all namespaces can but be looked at.
  for (const method of ['POST', 'DELETE']) expect((await rest(method, `/apis/${group}/v1/crows`, head('Crow', 'b'))).code).toBe(404)
  const yaml = await rest('GET', `${at('crows')}/b`, undefined, { headers: { accept: 'application/yaml' } })
  expect(yaml.code).toBe(404)
  expect(yaml.text).toContain('\nkind: Status\n')
  expect((await rest('DELETE', at('crows'))).body).toMatchObject(list)
})

it('is in discovery of both kinds and in OpenAPI at once', async () => {
  const names = { shortNames: ['ow'], categories: ['all', 'zoo'] }
  const subresources = { status: {}, scale: { specReplicasPath: '.spec.size', statusReplicasPath: '.status.size' } }
  const versions = [version('v1', { subresources, selectableFields: [{ jsonPath: '.spec.size' }] })]
  await define(rest, { group, plural: 'owls', kind: 'Owl', scope: 'Cluster', names: { ...names, listKind: 'Parliament' }, versions })
  const all = (await rest('GET', `/apis/${group}/v1`)).body.resources.map((r: { name: string }) => r.name)
  expect(all.filter((name: string) => name.startsWith('owls'))).toEqual(['owls', 'owls/status', 'owls/scale'])
  const listed = (await rest('GET', `/apis/${group}/v1`)).body.resources.find((r: { name: string }) => r.name === 'owls')
  expect(listed).toMatchObject({ singularName: 'owl', namespaced: false, kind: 'Owl', ...names, storageVersionHash: expect.any(String) })
  const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'
  const { items } = (await rest('GET', '/apis', undefined, { headers: { accept } })).body
  const own = items.find((i: { metadata: { name: string } }) => i.metadata.name === group)
  expect(own.versions.find((v: { version: string }) => v.version === 'v1').resources).toContainEqual(
    expect.objectContaining({ resource: 'owls', responseKind: { group, version: 'v1', kind: 'Owl' }, scope: 'Cluster', ...names }),
  )
  const type = 'com.example.zoo.v1.Owl'
  const { serverRelativeURL } = (await rest('GET', '/openapi/v3')).body.paths[`apis/${group}/v1`]
  const v3 = await rest('GET', serverRelativeURL)
  expect(v3.headers['cache-control']).toContain('immutable')
  expect(v3.body.components.schemas[type].properties.spec.properties.size).toEqual({ type: 'integer', default: 1 })
  expect((await rest('GET', '/openapi/v2')).body.definitions[type].properties.spec.properties.size).toEqual({ type: 'integer' })
  for (const [of, kind] of [
    [type, 'Owl'],
    ['com.example.zoo.v1.Parliament', 'Parliament'],
  ] as const) {
    expect(v3.body.components.schemas[of]).toMatchObject({
      'x-kubernetes-group-version-kind': [{ group, version: 'v1', kind }],
      'x-kubernetes-selectable-fields': [{ fieldPath: 'spec.size' }],
    })
  }
  await rest(
    'PATCH',
    `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/owls.${group}`,
    { spec: { names: { categories: [] } } },
    merge,
  )
  expect((await rest('GET', '/openapi/v3')).body.paths[`apis/${group}/v1`].serverRelativeURL).not.toBe(serverRelativeURL)
  await rest('DELETE', `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/owls.${group}`)
})

it('has limits that are integers of 64 bits, anywhere in its schema', async () => {
  const wide = 9223372036854775000
  const items = object({ priority: { ...integer, maximum: wide }, name: { ...string, maxLength: wide } })
  await define(rest, {
    group,
    plural: 'routes',
    kind: 'Route',
    versions: [version('v1', schema(object({ routes: { type: 'array', items } })))],
  })
  const route = (name: string, priority: number) => ({ ...head('Route', name), spec: { routes: [{ priority, name: 'a' }] } })
  expect((await rest('POST', at('routes'), route('a', 1))).code).toBe(201)
  const refused = await rest('POST', at('routes'), route('b', 9223372036854775807))
  expect(refused.body.message).toContain('spec.routes[0].priority in body should be less than or equal to')
  const accept = 'application/com.github.proto-openapi.spec.v3.v1.0+protobuf'
  expect((await rest('GET', `/openapi/v3/apis/${group}/v1`, undefined, { headers: { accept } })).code).toBe(200)
})

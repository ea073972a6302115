/** What every kind can do because it is one: a new kind is tested by being in the list. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { resources } from '#shared/api/resources.ts'
import { encodeMessage, enveloped } from '#shared/machinery/protobuf-encode.ts'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { samples } from './samples.ts'
import { follow, prepare, remove, servedVersions, type ServedVersion } from './served.ts'

let api: ApiServerFixture
let rest: Rest
beforeAll(async () => {
  // Flow control writes into its objects' status by itself; no controller is there to take the finalizer of a claim away.
  api = await startTestApiServer({ enablePriorityAndFairness: false, disableAdmissionPlugins: ['StorageObjectInUseProtection'] })
  rest = api.rest
  await prepare(rest)
})
afterAll(() => api?.stop())

const as = (type: string) => ({ headers: { 'content-type': type } })
const merge = as('application/merge-patch+json')
const table = { headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' } }
const partial = { headers: { accept: 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io' } }
const protobuf = 'application/vnd.kubernetes.protobuf'

/** Without what each creation chooses anew. */
const settled = ({ metadata: { uid, creationTimestamp: _time, managedFields: _managers, ...metadata }, ...rest }: any): unknown =>
  // any: of all kinds
  JSON.parse(
    JSON.stringify({ ...rest, metadata })
      .replaceAll(uid, 'uid')
      .replace(/kube-api-access-\w{5}/g, 'kube-api-access')
      .replace(/"(10\.96\.[\d.]+|\d{5})"/g, '"address"'),
  )

type ManagedFields = { fieldsV1: Record<string, any> } // any: paths of fields

test('every kind has a sample', () => {
  expect(resources.map(r => `${r.group}/${r.plural}`).sort()).toEqual(Object.keys(samples).sort())
})

describe.each(servedVersions.map(s => [s.title, s] as const))('%s', (_, s: ServedVersion) => {
  const { path, resource, apiVersion } = s
  const n = s.named
  const at = (short: string): string => `${path}/${n(short)}`
  const { kind, plural } = resource
  const made = new Set<string>()
  afterEach(async () => {
    for (const name of made) await remove(rest, `${path}/${name}`)
    made.clear()
  })
  const create = async (name: string, change: object = {}) => {
    made.add(n(name))
    const answer = await rest('POST', path, { ...s.object(name), ...change })
    expect(answer.code, answer.text).toBe(201)
    if (s.settled(answer.body)) return answer.body
    return follow(rest, at(name), answer.body.metadata.resourceVersion, (_type, object) => s.settled(object))
  }
  const versionOf = (object: { metadata: { resourceVersion: string } }): number => Number(object.metadata.resourceVersion)

  test('create and get', async () => {
    const object = await create('a')
    expect(object).toMatchObject({ apiVersion, kind, metadata: { name: n('a'), labels: { suite: 'resources' } } })
    expect(object.metadata.uid).toMatch(/^[0-9a-f-]{36}$/)
    expect(object.metadata.creationTimestamp).toMatch(/^\d{4}-.*Z$/)
    expect(versionOf(object)).toBeGreaterThan(0)
    if (resource.hasGeneration) expect(object.metadata.generation).toBe(1)
    expect((await rest('GET', at('a'))).body).toEqual(object)
    expect((await rest('POST', path, s.object('a'))).body).toMatchObject({ code: 409, reason: 'AlreadyExists', details: { name: n('a') } })
    expect((await rest('GET', at('nobody'))).body).toMatchObject({ code: 404, reason: 'NotFound', details: { kind: plural } })
    if (!s.generates) return
    const { name: _name, ...generate } = s.object('a').metadata
    const named = (await rest('POST', path, { ...s.object('a'), metadata: { ...generate, generateName: 'b-' } })).body
    made.add(named.metadata.name)
    expect(named.metadata.name).toMatch(/^b-[a-z0-9]{5}$/)
  })

  test('lists: whole, in pages, by label and by name, as a table', async () => {
    const short = ['l1', 'l2', 'l3']
    for (const name of short) await create(name)
    const names = short.map(n)
    const list = async (query: string, more?: object) =>
      (await rest('GET', `${path}?labelSelector=suite%3Dresources&${query}`, undefined, more)).body
    const namesOf = (l: { items: { metadata: { name: string } }[] }) => l.items.map(i => i.metadata.name)
    const whole = await list('')
    expect(whole).toMatchObject({ apiVersion, kind: `${kind}List` })
    expect(namesOf(whole)).toEqual(names)
    const first = await list('limit=2')
    expect(namesOf(first)).toEqual(names.slice(0, 2))
    const next = await list(`limit=2&continue=${encodeURIComponent(first.metadata.continue)}`)
    expect(namesOf(next)).toEqual(names.slice(2))
    expect(next.metadata.continue ?? '').toBe('')
    expect(namesOf((await rest('GET', `${path}?labelSelector=name+in+(l1,l3)`)).body)).toEqual([names[0], names[2]])
    expect(namesOf(await list(`fieldSelector=metadata.name%3D${n('l2')}`))).toEqual([n('l2')])
    expect(namesOf((await rest('GET', `${s.everywhere}?labelSelector=suite%3Dresources`)).body)).toEqual(names)
    const rows = await list('', table)
    expect(rows).toMatchObject({ kind: 'Table', apiVersion: 'meta.k8s.io/v1' })
    expect(rows.rows).toHaveLength(3)
    for (const row of rows.rows) {
      expect(row.cells).toHaveLength(rows.columnDefinitions.length)
      for (const cell of row.cells) expect(cell ?? '').not.toBe('undefined')
    }
    expect((await rest('GET', at('l1'), undefined, partial)).body).toMatchObject({
      kind: 'PartialObjectMetadata',
      metadata: { name: n('l1') },
    })
    expect((await rest('GET', `${path}?fieldSelector=no.such%3Dx`)).body).toMatchObject({ code: 400, reason: 'BadRequest' })
  })

  test('watch: what is there, what is added, changed and removed', async () => {
    const { metadata } = (await rest('GET', path)).body
    await create('w1')
    const watch = await rest.watch(`${path}?watch=1&resourceVersion=${metadata.resourceVersion}&labelSelector=name+in+(w1,w2)`)
    const next = async () => {
      let { type, object } = await watch.next()
      // What the server did by itself.
      while (type === 'MODIFIED' && object.metadata.annotations?.seen === undefined) ({ type, object } = await watch.next())
      return [type, object.metadata.name, object.kind]
    }
    expect(await next()).toEqual(['ADDED', n('w1'), kind])
    await create('w2')
    expect(await next()).toEqual(['ADDED', n('w2'), kind])
    await rest('PATCH', at('w2'), { metadata: { annotations: { seen: 'yes' } } }, merge)
    expect(await next()).toEqual(['MODIFIED', n('w2'), kind])
    // It leaves the selection.
    await rest('PATCH', at('w2'), { metadata: { labels: { name: 'other' } } }, merge)
    expect(await next()).toEqual(['DELETED', n('w2'), kind])
    watch.stop()
  })

  test('every patch', async () => {
    const before = await create('p')
    const patches: [string, unknown][] = [
      ['application/merge-patch+json', { metadata: { labels: { how: 'merge' } } }],
      ['application/json-patch+json', [{ op: 'add', path: '/metadata/labels/how', value: 'json' }]],
      ['application/strategic-merge-patch+json', { metadata: { labels: { how: 'strategic' } } }],
    ]
    let version = versionOf(before)
    for (const [type, patch] of patches) {
      const how = type.split(/[/-]/)[1]
      const patched = await rest('PATCH', `${at('p')}?fieldManager=${how}`, patch, as(type))
      expect(patched.code, patched.text).toBe(200)
      expect(patched.body.metadata.labels.how).toBe(how)
      // Who wrote it last has it, and nobody else.
      const owners = patched.body.metadata.managedFields.filter((m: ManagedFields) => m.fieldsV1['f:metadata']?.['f:labels']?.['f:how'])
      expect(owners).toMatchObject([{ manager: how, operation: 'Update', apiVersion, fieldsType: 'FieldsV1' }])
      expect(versionOf(patched.body)).toBeGreaterThan(version)
      version = versionOf(patched.body)
      const again = await rest('PATCH', `${at('p')}?fieldManager=${how}`, patch, as(type))
      expect(versionOf(again.body), 'a patch that changes nothing writes nothing').toBe(version)
    }
    for (const [field, value] of [
      ['kind', 'Other'],
      ['apiVersion', 'other.example/v1'],
    ] as const) {
      const refused = await rest('PATCH', at('p'), { [field]: value }, merge)
      expect(refused.code, refused.text).toBeGreaterThanOrEqual(400)
      expect(refused.code).toBeLessThan(500)
    }
    expect((await rest('GET', at('p'))).body).toMatchObject({ kind, apiVersion })
    expect((await rest('PATCH', at('p'), {}, as('text/plain'))).code).toBe(415)
    expect((await rest('PATCH', at('nobody'), {}, merge)).code).toBe(404)
  })

  test('server-side apply', async () => {
    made.add(n('s'))
    const apply = (object: unknown, query: string) => rest('PATCH', `${at('s')}?${query}`, object, as('application/apply-patch+yaml'))
    const object = s.object('s')
    const first = await apply(object, 'fieldManager=one')
    expect(first.code, first.text).toBe(201)
    const { resourceVersion } = first.body.metadata
    const settled = s.settled(first.body) ? first.body : await follow(rest, at('s'), resourceVersion, (_type, object) => s.settled(object))
    const again = await apply(object, 'fieldManager=one')
    expect([again.code, versionOf(again.body)]).toEqual([200, versionOf(settled)])
    const labelled = { ...object, metadata: { ...object.metadata, labels: { ...object.metadata.labels, name: 'two' } } }
    const conflict = await apply(labelled, 'fieldManager=two')
    expect(conflict.body).toMatchObject({ code: 409, reason: 'Conflict', details: { causes: [{ reason: 'FieldManagerConflict' }] } })
    expect((await apply(labelled, 'fieldManager=two&force=true')).body.metadata.labels.name).toBe('two')
    const managers = (await rest('GET', at('s'))).body.metadata.managedFields as {
      manager: string
      apiVersion: string
      subresource?: string
    }[]
    const main = managers.filter(m => m.subresource === undefined)
    expect(main.map(m => m.manager).sort()).toEqual(['one', 'two'])
    for (const m of managers) expect(m.apiVersion).toBe(apiVersion)
    // What one gives up alone goes.
    const { labels: _labels, ...bare } = object.metadata
    await apply({ ...object, metadata: bare }, 'fieldManager=one')
    expect((await rest('GET', at('s'))).body.metadata.labels).not.toHaveProperty('absent')
  })

  test('update: only of what was read, never of identity', async () => {
    const object = await create('u')
    const changed = { ...object, metadata: { ...object.metadata, labels: { changed: 'yes' } } }
    const updated = await rest('PUT', at('u'), changed)
    expect(updated.code, updated.text).toBe(200)
    expect(updated.body.metadata).toMatchObject({ labels: { changed: 'yes' }, uid: object.metadata.uid })
    if (resource.hasGeneration) expect(updated.body.metadata.generation).toBe(1)
    expect((await rest('PUT', at('u'), { ...changed, metadata: { ...changed.metadata, labels: {} } })).body).toMatchObject({
      code: 409,
      reason: 'Conflict',
    })
    expect((await rest('PUT', at('other'), object)).body).toMatchObject({ code: 400, reason: 'BadRequest' })
    const uid = '00000000-0000-0000-0000-000000000000'
    expect((await rest('PUT', at('u'), { ...updated.body, metadata: { ...updated.body.metadata, uid } })).code).toBe(409)
    expect((await rest('DELETE', at('u'), { preconditions: { uid } })).body).toMatchObject({ code: 409, reason: 'Conflict' })
  })

  test('dry run changes nothing', async () => {
    const dry = await rest('POST', `${path}?dryRun=All`, s.object('d'))
    expect(dry.code, dry.text).toBe(201)
    expect((await rest('GET', at('d'))).code).toBe(404)
    // Only the store minds a version.
    const { metadata, ...others } = s.object('d')
    expect((await rest('POST', `${path}?dryRun=All`, { ...others, metadata: { ...metadata, resourceVersion: '5' } })).code).toBe(201)
    const object = await create('d')
    const patched = await rest('PATCH', `${at('d')}?dryRun=All`, { metadata: { labels: { dry: 'run' } } }, merge)
    expect(patched.body.metadata.labels.dry).toBe('run')
    await rest('DELETE', `${at('d')}?dryRun=All`)
    expect((await rest('GET', at('d'))).body).toEqual(object)
    expect((await rest('POST', `${path}?dryRun=Some`, s.object('d2'))).body).toMatchObject({ code: 422, reason: 'Invalid' })
  })

  test.runIf(resource.hasStatus)('status is written apart', async () => {
    const object = await create('st')
    const spec = object.spec
    const put = await rest('PUT', `${at('st')}/status`, {
      ...object,
      spec: undefined,
      metadata: { ...object.metadata, labels: object.metadata.labels },
    })
    expect(put.code, put.text).toBe(200)
    expect(put.body.spec).toEqual(spec)
    const main = await rest('PATCH', at('st'), { status: { observedGeneration: 77, phase: 'Failed' } }, merge)
    expect(main.code, main.text).toBe(200)
    expect(main.body.status).toEqual(put.body.status)
    const { name, namespace } = object.metadata
    const patches: [string, unknown][] = [
      ['application/merge-patch+json', {}],
      ['application/json-patch+json', []],
      ['application/strategic-merge-patch+json', {}],
      ['application/apply-patch+yaml', { apiVersion, kind, metadata: { name, namespace }, status: {} }],
    ]
    for (const [type, patch] of patches) {
      const patched = await rest('PATCH', `${at('st')}/status?fieldManager=applier`, patch, as(type))
      expect(patched.code, patched.text).toBe(200)
      expect(patched.body).toMatchObject({ kind, apiVersion })
    }
  })

  test.runIf(resource.scale)('scale', async () => {
    await create('sc')
    expect((await rest('GET', `${at('sc')}/scale`)).body).toMatchObject({
      apiVersion: 'autoscaling/v1',
      kind: 'Scale',
      spec: { replicas: 2 },
    })
    expect((await rest('PATCH', `${at('sc')}/scale`, { spec: { replicas: 5 } }, merge)).body.spec.replicas).toBe(5)
    const refused = await rest('PATCH', `${at('sc')}/scale`, { kind: 'Other' }, merge)
    expect(refused.code, refused.text).toBeGreaterThanOrEqual(400)
    expect((await rest('GET', at('sc'))).body).toMatchObject({ kind, spec: { replicas: 5 } })
  })

  test('YAML and protobuf say the same as JSON', async () => {
    await create('m')
    const yaml = await rest('GET', at('m'), undefined, { headers: { accept: 'application/yaml' } })
    expect(yaml.text).toMatch(new RegExp(`^kind: ${kind}$`, 'm'))
    const sent = enveloped(apiVersion, kind, encodeMessage(s.schema, s.object('m2')))
    const answers = [await rest('POST', `${path}?dryRun=All`, sent, as(protobuf)), await rest('POST', `${path}?dryRun=All`, s.object('m2'))]
    expect(answers.map(a => a.code)).toEqual([201, 201])
    expect(settled(answers[0]!.body)).toEqual(settled(answers[1]!.body))
    const got = await rest('GET', at('m'), undefined, { headers: { accept: protobuf } })
    expect([got.code, got.headers['content-type']]).toEqual([200, protobuf])
    expect(got.text.slice(0, 3)).toBe('k8s')
  })

  test('deletion of one and of many', async () => {
    for (const name of ['x1', 'x2', 'x3']) await create(name, {})
    const gone = await rest('DELETE', `${at('x1')}?gracePeriodSeconds=0&propagationPolicy=Background`)
    expect([200, 202]).toContain(gone.code)
    expect((await rest('DELETE', at('nobody'))).body).toMatchObject({ code: 404, reason: 'NotFound' })
    await rest('PATCH', at('x2'), { metadata: { finalizers: ['example.com/hold'] } }, merge)
    await rest('DELETE', `${at('x2')}?gracePeriodSeconds=0&propagationPolicy=Background`)
    const held = (await rest('GET', at('x2'))).body
    expect(held.metadata).toMatchObject({ deletionTimestamp: expect.any(String), finalizers: expect.arrayContaining(['example.com/hold']) })
    await rest('PATCH', at('x2'), { metadata: { finalizers: null } }, merge)
    if (resource.namespaced) {
      const all = await rest('DELETE', `${path}?labelSelector=name%3Dx3&gracePeriodSeconds=0&propagationPolicy=Background`)
      expect(all.code, all.text).toBe(200)
      expect((await rest('GET', `${path}?labelSelector=suite%3Dresources`)).body.items).toEqual([])
    }
  })

  test('bad input is refused in words', async () => {
    const bodies: [unknown, number, RegExp][] = [
      ['', 400, /./],
      ['[]', 400, /./],
      ['{"kind":', 400, /./],
      [{ ...s.object('bad'), kind: 'Other' }, 400, /cannot be handled as/],
      [{ ...s.object('bad'), apiVersion: 'v9' }, 400, /does not match the expected API version/],
      [{ ...s.object('bad'), metadata: 5 }, 400, /cannot unmarshal number into Go struct field/],
      [{ ...s.object('bad'), metadata: { labels: { a: 5 } } }, 400, /cannot unmarshal number/],
      [{ ...s.object('bad'), metadata: { name: 'not/a/name' } }, 422, /Invalid value/],
      [{ ...s.object('bad'), metadata: { name: n('bad'), labels: { 'a b': 'c' } } }, 422, /metadata\.labels: Invalid value/],
      [
        { ...s.object('bad'), metadata: { name: n('bad'), resourceVersion: '5' } },
        500,
        /resourceVersion should not be set on objects to be created/,
      ],
    ]
    // The server gives a LimitRange a name of its own.
    if (kind !== 'LimitRange') bodies.push([{ ...s.object('bad'), metadata: {} }, 422, /name or generateName is required|Required value/])
    for (const [body, code, message] of bodies) {
      const answer = await rest('POST', path, body)
      expect({ code: answer.code, message: answer.body.message }, JSON.stringify(body)).toMatchObject({
        code,
        message: expect.stringMatching(message),
      })
    }
    const strict = await rest('POST', `${path}?fieldValidation=Strict&dryRun=All`, { ...s.object('bad'), unknownField: 1 })
    expect(strict.body).toMatchObject({ code: 400, message: expect.stringMatching(/unknown field "unknownField"/) })
    const warned = await rest('POST', `${path}?dryRun=All`, { ...s.object('bad'), unknownField: 1 })
    expect(warned.headers['warning'], warned.text).toContain('unknown field')
    expect((await rest('POST', path, '{}', as('text/plain'))).code).toBe(415)
    expect((await rest('GET', `${path}?limit=-1`)).code).toBeLessThan(500)
    expect((await rest('GET', `${path}?continue=garbage`)).body).toMatchObject({ code: 400 })
    expect((await rest('GET', `${path}?labelSelector=%3D%3D`)).body).toMatchObject({ code: 400 })
    expect((await rest('GET', `${path}?watch=1&resourceVersion=x`)).code).toBe(400)
  })

  test('discovery and OpenAPI know it', async () => {
    const root = s.group === '' ? 'api/v1' : `apis/${apiVersion}`
    const listed = (await rest('GET', `/${root}`)).body.resources.find((r: { name: string }) => r.name === plural)
    expect(listed).toMatchObject({ kind, namespaced: resource.namespaced, singularName: resource.singular })
    const paths = (await rest('GET', `/openapi/v3/${root}`)).body.paths as object
    expect(Object.keys(paths)).toContain(s.everywhere)
  })
})

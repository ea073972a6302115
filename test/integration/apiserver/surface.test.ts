/** Kinds that come and go while the server runs. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { resource, type Resource } from '#shared/api/resource.ts'
import { objectMeta, typeMeta, type KubeObject } from '#shared/api/meta/objectmeta.ts'
import { map, obj, opt, str } from '#shared/machinery/schema.ts'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'

let api: ApiServerFixture
let rest: Rest
beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
})
afterAll(() => api?.stop())

const group = 'stable.example.com'
const kindOf = (n: number, own: Partial<Resource> = {}): Resource =>
  resource<KubeObject>({
    group,
    version: 'v1',
    kind: `Widget${n}`,
    plural: `widget${n}s`,
    singular: `widget${n}`,
    namespaced: true,
    schema: obj(`com.example.stable.v1.Widget${n}`, 'A thing.', () => ({
      ...typeMeta(),
      metadata: opt(1, objectMeta, { default: {} }),
      spec: opt(2, map(str())),
    })),
    ...own,
  })
const path = (n: number): string => `/apis/${group}/v1/namespaces/default/widget${n}s`
const aggregated = { headers: { accept: 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList' } }

it('is found, written, watched and gone', async () => {
  const { surface } = api.server
  expect((await rest('GET', path(0))).code).toBe(404)
  const before = await rest('GET', '/apis', undefined, aggregated)
  const indexBefore = (await rest('GET', '/openapi/v3')).body.paths

  surface.install({ resource: kindOf(0) })
  const named = { name: 'widget0s', kind: 'Widget0' }
  expect((await rest('GET', '/apis')).body.groups.map((g: { name: string }) => g.name)).toContain(group)
  expect((await rest('GET', `/apis/${group}/v1`)).body.resources).toEqual([expect.objectContaining(named)])
  const after = await rest('GET', '/apis', undefined, aggregated)
  expect(after.headers.etag).not.toBe(before.headers.etag)
  expect(JSON.stringify(after.body)).toContain('widget0s')
  const index = (await rest('GET', '/openapi/v3')).body.paths
  expect(index['apis/apps/v1']).toEqual(indexBefore['apis/apps/v1'])
  const document = await rest('GET', index[`apis/${group}/v1`].serverRelativeURL)
  expect(Object.keys(document.body.components.schemas)).toContain('com.example.stable.v1.Widget0')
  expect(Object.keys((await rest('GET', '/openapi/v2')).body.definitions)).toContain('com.example.stable.v1.Widget0')

  const watch = await rest.watch(`${path(0)}?watch=true`)
  expect(await rest('POST', path(0), { metadata: { name: 'one' }, spec: { a: 'b' } })).toMatchObject({
    code: 201,
    body: { kind: 'Widget0' },
  })
  expect(await watch.next()).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'one' } } })
  expect((await rest('GET', path(0))).body).toMatchObject({ kind: 'Widget0List', items: [{ spec: { a: 'b' } }] })

  // Another definition of it: watches end, so that clients come back for what it is now.
  surface.install({ resource: kindOf(0, { shortNames: ['w'] }) })
  await expect(watch.next()).rejects.toThrow('the watch ended')
  expect((await rest('GET', `/apis/${group}/v1`)).body.resources).toEqual([expect.objectContaining({ shortNames: ['w'] })])
  const again = await rest.watch(`${path(0)}?watch=true`)
  expect(await again.next()).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'one' } } })

  surface.remove(kindOf(0))
  await expect(again.next()).rejects.toThrow('the watch ended')
  expect((await rest('GET', path(0))).code).toBe(404)
  const gone = await rest('GET', '/apis', undefined, aggregated)
  expect(gone.headers.etag).toBe(before.headers.etag)
  expect((await rest('GET', '/openapi/v3')).body.paths).toEqual(indexBefore)
})

it('three hundred of them, one by one, each seen at once', async () => {
  const { surface } = api.server
  const changes: number[] = []
  const stop = surface.onChange(change => changes.push(change.installed.length - change.removed.length))
  for (let n = 1; n <= 300; n++) {
    surface.install({ resource: kindOf(n, { group: `g${n % 30}.example.com` }) })
    if (n % 90 === 0) expect((await rest('GET', `/apis/g${n % 30}.example.com/v1`)).body.resources).toHaveLength(n / 30)
  }
  expect(Object.keys((await rest('GET', '/openapi/v3')).body.paths).filter(p => p.includes('.example.com'))).toHaveLength(30)
  for (let n = 1; n <= 300; n++) surface.remove({ group: `g${n % 30}.example.com`, plural: `widget${n}s` })
  stop()
  expect(changes).toEqual([...Array<number>(300).fill(1), ...Array<number>(300).fill(-1)])
  expect((await rest('GET', '/apis')).text).not.toContain('.example.com')
})

it('a group version of another server', async () => {
  const { surface } = api.server
  const resources = [
    {
      name: 'gauges',
      singular: 'gauge',
      namespaced: true,
      kind: 'Gauge',
      verbs: ['get'],
      shortNames: [],
      categories: [],
      storageVersionHash: '',
      subresources: [],
    },
  ]
  surface.proxy({
    group: 'metrics.example.com',
    version: 'v1',
    resources,
    freshness: 'Current',
    openApi: { v2: undefined, v3: undefined },
    serve: ctx => ({ code: 200, headers: { 'content-type': 'text/plain' }, body: Buffer.from(`other: ${ctx.info.path}`) }),
  })
  expect((await rest('GET', '/apis')).body.groups.map((g: { name: string }) => g.name)).toContain('metrics.example.com')
  expect((await rest('GET', '/apis', undefined, aggregated)).text).toContain('gauges')
  for (const asked of ['/apis/metrics.example.com/v1', '/apis/metrics.example.com/v1/namespaces/a/gauges/b'])
    expect((await rest('GET', asked)).text).toBe(`other: ${asked}`)
  surface.unproxy('metrics.example.com', 'v1')
  expect((await rest('GET', '/apis/metrics.example.com/v1')).code).toBe(404)
})

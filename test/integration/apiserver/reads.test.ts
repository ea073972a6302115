import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { configMap, configMaps, merge } from './setup.ts'

let api: ApiServerFixture
let rest: Rest
beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
  for (let i = 0; i < 5; i++) await rest('POST', configMaps, configMap(`m${i}`, {}, { labels: { parity: i % 2 ? 'odd' : 'even' } }))
})
afterAll(() => api?.stop())

interface Named {
  metadata: { name: string; resourceVersion: string; annotations?: Record<string, string> }
}
const names = (body: { items: Named[] }): string[] => body.items.map(o => o.metadata.name)

describe('list', () => {
  it('shows items without kind, and the version', async () => {
    const { body } = await rest('GET', configMaps)
    expect(body).toMatchObject({ kind: 'ConfigMapList', apiVersion: 'v1' })
    expect(names(body)).toEqual(['m0', 'm1', 'm2', 'm3', 'm4'])
    expect(body.items[0].kind).toBeUndefined()
    expect(Number(body.metadata.resourceVersion)).toBeGreaterThanOrEqual(Number(body.items[4].metadata.resourceVersion))
  })

  it('of a deprecated kind comes with a warning', async () => {
    const endpoints = '/api/v1/namespaces/default/endpoints'
    const warning = '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
    expect((await rest('GET', endpoints)).headers['warning']).toBe(warning)
    await rest('POST', endpoints, { metadata: { name: 'e' } })
    expect(
      (await rest('PATCH', `${endpoints}/e?fieldValidation=Warn`, { metadata: { labels: { a: 'b' } }, nope: 1 }, merge)).headers['warning'],
    ).toBe(`${warning}, 299 - "unknown field \\"nope\\""`)
    expect((await rest('GET', '/apis/discovery.k8s.io/v1/endpointslices')).headers['warning']).toBeUndefined()
  })

  it('leaves managedFields out for components that ask for that', async () => {
    const [whole, lean] = [
      await rest('GET', configMaps),
      await rest('GET', configMaps, undefined, { headers: { 'cox-omit': 'managedFields' } }),
    ]
    const items = structuredClone(whole.body.items)
    for (const { metadata } of items) {
      expect(metadata.managedFields).toHaveLength(1)
      delete metadata.managedFields
    }
    expect(lean.body.items).toEqual(items)
  })

  it('in parts shows one moment', async () => {
    const first = await rest('GET', `${configMaps}?limit=2`)
    expect(names(first.body)).toEqual(['m0', 'm1'])
    expect(first.body.metadata.remainingItemCount).toBe(3)
    await rest('DELETE', `${configMaps}/m3`)
    await rest('POST', configMaps, configMap('m2a'))
    const second = await rest('GET', `${configMaps}?limit=2&continue=${first.body.metadata.continue}`)
    expect(names(second.body)).toEqual(['m2', 'm3'])
    expect(second.body.metadata.resourceVersion).toBe(first.body.metadata.resourceVersion)
    const third = await rest('GET', `${configMaps}?limit=2&continue=${second.body.metadata.continue}`)
    expect(names(third.body)).toEqual(['m4'])
    expect(third.body.metadata.continue).toBeUndefined()
    const exact = await rest('GET', `${configMaps}?resourceVersion=${first.body.metadata.resourceVersion}&resourceVersionMatch=Exact`)
    expect(names(exact.body)).toEqual(['m0', 'm1', 'm2', 'm3', 'm4'])
    await rest('DELETE', `${configMaps}/m2a`)
    await rest('POST', configMaps, configMap('m3', {}, { labels: { parity: 'odd' } }))
  })

  it('in more than a hundred parts shows one moment, whatever is written meanwhile', async () => {
    await rest('POST', '/api/v1/namespaces', { metadata: { name: 'parts' } })
    const path = '/api/v1/namespaces/parts/configmaps'
    const name = (i: number): string => `c${String(i).padStart(3, '0')}`
    for (let i = 0; i < 230; i++) await rest('POST', path, configMap(name(i), { a: '0' }))
    const before = (await rest('GET', path)).body.items
    const found: unknown[] = []
    let parts = 0
    for (let next = ''; ; parts++) {
      const { body } = await rest('GET', `${path}?limit=2&continue=${next}`)
      found.push(...body.items)
      expect(body.metadata.remainingItemCount ?? 0).toBe(230 - found.length)
      next = body.metadata.continue ?? ''
      if (next === '') break
      // Something goes, something changes, something comes, before and behind the part that was just read.
      await rest('DELETE', `${path}/${name((parts * 7) % 230)}`)
      await rest('PATCH', `${path}/${name((parts * 5 + 1) % 230)}`, { data: { a: '1' } }, merge)
      await rest('POST', path, configMap(`${name((parts * 3) % 230)}-new`))
    }
    expect(parts).toBe(114)
    expect(found).toEqual(before)
    // A selector reads the same parts.
    const first = (await rest('GET', `${path}?limit=3&labelSelector=!x`)).body
    const second = (await rest('GET', `${path}?limit=3&labelSelector=!x&continue=${first.metadata.continue}`)).body
    const all = (await rest('GET', path)).body.items
    expect([...first.items, ...second.items]).toEqual(all.slice(0, 6))
    await rest('DELETE', path)
  })

  it('of many objects as a table or metadata shows every one', async () => {
    await rest('POST', '/api/v1/namespaces', { metadata: { name: 'rows' } })
    const path = '/api/v1/namespaces/rows/configmaps'
    const expected = Array.from({ length: 1001 }, (_, i) => `c${String(i).padStart(4, '0')}`)
    await Promise.all(expected.map(name => rest('POST', path, configMap(name))))
    const as = (kind: string) => ({ headers: { accept: `application/json;as=${kind};g=meta.k8s.io;v=v1` } })
    const table = (await rest('GET', path, undefined, as('Table'))).body
    expect(table.columnDefinitions).toHaveLength(3)
    expect(table.rows.map((r: { cells: string[] }) => r.cells[0])).toEqual(expected)
    const metadata = (await rest('GET', path, undefined, as('PartialObjectMetadataList'))).body
    expect(metadata.kind).toBe('PartialObjectMetadataList')
    expect(names(metadata)).toEqual(expected)
    await rest('DELETE', path)
  })

  it('selects by labels and fields', async () => {
    expect(names((await rest('GET', `${configMaps}?labelSelector=parity%20in%20(odd)`)).body)).toEqual(['m1', 'm3'])
    expect(names((await rest('GET', `${configMaps}?fieldSelector=metadata.name%3Dm2`)).body)).toEqual(['m2'])
    expect(
      names((await rest('GET', `/api/v1/configmaps?fieldSelector=metadata.namespace!%3Ddefault,metadata.namespace!%3Dkube-system`)).body),
    ).toEqual([])
    expect(names((await rest('GET', `${configMaps}?labelSelector=parity%3Deven&limit=2`)).body)).toEqual(['m0', 'm2'])
  })

  it('by resourceVersionMatch: exactly a version, or none older; a continuation that has expired goes on with what is there now', async () => {
    const api = await startTestApiServer({ watchHistory: 20 })
    const { rest } = api
    const path = '/api/v1/namespaces/default/configmaps'
    for (const name of ['a', 'b', 'c', 'd']) await rest('POST', path, configMap(name))
    const own = '&labelSelector=!none'
    const before = (await rest('GET', path)).body.metadata.resourceVersion
    const first = (await rest('GET', `${path}?limit=2${own}`)).body
    await rest('DELETE', `${path}/c`)
    const now = names((await rest('GET', path)).body)
    const of = async (query: string) => {
      const { code, body } = await rest('GET', `${path}?${query}`)
      return code === 200 ? names(body) : body.code
    }
    expect(await of(`resourceVersion=${before}&resourceVersionMatch=Exact`)).toEqual([...now.slice(0, -1), 'c', now.at(-1)!].sort())
    expect(await of(`resourceVersion=${before}&limit=500`)).toContain('c')
    for (const query of [
      `resourceVersion=${before}&resourceVersionMatch=NotOlderThan`,
      `resourceVersion=${before}`,
      'resourceVersion=0',
      '',
    ])
      expect(await of(query), query).toEqual(now)
    for (const [query, code, message] of [
      ['resourceVersion=0&resourceVersionMatch=Exact', 422, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'],
      ['resourceVersion=1&resourceVersionMatch=Other', 422, 'Unsupported value: "Other": supported values: "Exact", "NotOlderThan", ""'],
      [`continue=${first.metadata.continue}&resourceVersionMatch=Exact&resourceVersion=1`, 422, 'is forbidden when continue is provided'],
      [`continue=${first.metadata.continue}&resourceVersion=5`, 400, 'specifying resource version is not allowed when using continue'],
    ] as const)
      expect((await rest('GET', `${path}?${query}`)).body, query).toMatchObject({ code, message: expect.stringContaining(message) })
    for (let i = 0; i < 30; i++) await rest('PATCH', `${path}/a`, { data: { i: String(i) } }, merge)
    expect(await of(`resourceVersion=${before}&resourceVersionMatch=Exact`)).toBe(410)
    const expired = (await rest('GET', `${path}?limit=2${own}&continue=${first.metadata.continue}`)).body
    expect(expired).toMatchObject({
      code: 410,
      reason: 'Expired',
      message: expect.stringContaining('The provided continue parameter is too old to display a consistent list result.'),
      metadata: { continue: expect.any(String) },
    })
    const rest2 = (await rest('GET', `${path}?limit=2${own}&continue=${expired.metadata.continue}`)).body
    expect([...names(first), ...names(rest2)]).toEqual(now)
    expect(rest2.metadata.resourceVersion).toBe((await rest('GET', path)).body.metadata.resourceVersion)
    await api.stop()
  })

  it('answers wrong options as upstream does', async () => {
    const answers: [string, number, string][] = [
      ['limit=abc', 400, 'strconv.ParseInt: parsing "abc": invalid syntax'],
      ['labelSelector=a%3D%3D%3Db', 400, "unable to parse requirement: found '=', expected: identifier"],
      ['fieldSelector=spec.x%3D1', 400, '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"'],
      ['continue=nonsense', 400, 'continue key is not valid: incorrect encoded continue token'],
      ['resourceVersion=abc', 400, 'invalid resource version: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax'],
      [
        'resourceVersionMatch=Exact',
        422,
        'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided',
      ],
      [
        'sendInitialEvents=true',
        422,
        'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list',
      ],
    ]
    for (const [query, code, message] of answers)
      expect((await rest('GET', `${configMaps}?${query}`)).body, query).toMatchObject({ code, message })
  })

  it('of a version to come waits, then says so', async () => {
    const { code, body } = await rest('GET', `${configMaps}?resourceVersion=999999`)
    expect(code).toBe(504)
    expect(body).toMatchObject({ reason: 'Timeout', details: { causes: [{ reason: 'ResourceVersionTooLarge' }] } })
  })
})

describe('forms', () => {
  const as = (kind: string) => ({ headers: { accept: `application/json;as=${kind};v=v1;g=meta.k8s.io,application/json` } })
  it('tables and metadata', async () => {
    const table = await rest('GET', configMaps, undefined, as('Table'))
    expect(table.body).toMatchObject({ kind: 'Table', apiVersion: 'meta.k8s.io/v1' })
    expect(table.body.columnDefinitions.map((c: { name: string }) => c.name)).toEqual(['Name', 'Data', 'Age'])
    expect(table.body.rows[0]).toMatchObject({ cells: ['m0', 0, expect.any(String)], object: { kind: 'PartialObjectMetadata' } })
    expect((await rest('GET', `${configMaps}/m0`, undefined, as('PartialObjectMetadata'))).body).toMatchObject({
      kind: 'PartialObjectMetadata',
      metadata: { name: 'm0' },
    })
    expect((await rest('GET', configMaps, undefined, as('PartialObjectMetadataList'))).body.kind).toBe('PartialObjectMetadataList')
  })

  it('no object without what is particular to its cluster', async () => {
    const said = 'the export parameter, deprecated since v1.14, is no longer supported'
    expect(await rest('GET', `${configMaps}/m0?export=true`)).toMatchObject({ code: 400, body: { message: said } })
    expect((await rest('GET', `${configMaps}/m0?export=false`)).code).toBe(200)
  })

  it('yaml, pretty JSON, and nothing else', async () => {
    const yaml = await rest('GET', `${configMaps}/m0`, undefined, { headers: { accept: 'application/yaml' } })
    expect(yaml.headers['content-type']).toBe('application/yaml')
    expect(yaml.text).toContain('kind: ConfigMap\n')
    expect((await rest('GET', `${configMaps}/m0?pretty=true`)).text).toContain('\n  "kind"')
    expect((await rest('GET', configMaps, undefined, { headers: { accept: 'text/html' } })).body).toMatchObject({
      code: 406,
      reason: 'NotAcceptable',
    })
    expect((await rest('GET', configMaps, undefined, { headers: { accept: 'application/json;as=Table;v=v9;g=meta.k8s.io' } })).code).toBe(
      406,
    )
  })
})

describe('watch', () => {
  it('goes on from a version', async () => {
    const { body } = await rest('GET', configMaps)
    const w = await rest.watch(`${configMaps}?watch=true&resourceVersion=${body.metadata.resourceVersion}`)
    await rest('POST', configMaps, configMap('seen'))
    await rest('PATCH', `${configMaps}/seen`, { data: { x: 'y' } }, merge)
    const last = (await rest('PATCH', `${configMaps}/seen`, { metadata: { labels: { l: 'v' } } }, merge)).body
    await rest('DELETE', `${configMaps}/seen`)
    const events = [await w.next(), await w.next(), await w.next(), await w.next()]
    expect(events.map(e => e.type)).toEqual(['ADDED', 'MODIFIED', 'MODIFIED', 'DELETED'])
    expect(events[2].object).toEqual(last)
    expect(events[3].object).toMatchObject({ metadata: { labels: { l: 'v' } } })
    expect(Number(events[3].object.metadata.resourceVersion)).toBeGreaterThan(Number(last.metadata.resourceVersion))
    w.stop()
  })

  it('leaves managedFields out for components that ask for that', async () => {
    const { body } = await rest('GET', configMaps)
    const path = `${configMaps}?watch=true&resourceVersion=${body.metadata.resourceVersion}`
    const [whole, lean] = [await rest.watch(path), await rest.watch(path, { 'cox-omit': 'managedFields' })]
    await rest('POST', configMaps, configMap('lean'))
    await rest('DELETE', `${configMaps}/lean`)
    for (const type of ['ADDED', 'DELETED']) {
      const { object } = await whole.next()
      expect(object.metadata.managedFields).toHaveLength(1)
      delete object.metadata.managedFields
      expect(await lean.next()).toEqual({ type, object })
    }
    whole.stop()
    lean.stop()
  })

  it('begins with what is there and says when that is complete', async () => {
    const w = await rest.watch(`${configMaps}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`)
    const seen: string[] = []
    for (;;) {
      const e = await w.next()
      if (e.type === 'BOOKMARK') {
        expect(e.object.metadata.annotations).toEqual({ 'k8s.io/initial-events-end': 'true' })
        expect(e.object.kind).toBe('ConfigMap')
        break
      }
      expect(e.type).toBe('ADDED')
      seen.push(e.object.metadata.name)
    }
    expect(seen).toEqual(['m0', 'm1', 'm2', 'm3', 'm4'])
    await rest('POST', configMaps, configMap('after'))
    expect((await w.next()).object.metadata.name).toBe('after')
    await rest('DELETE', `${configMaps}/after`)
    w.stop()
  })

  it('shows entering and leaving a selection', async () => {
    const { body } = await rest('GET', configMaps)
    const w = await rest.watch(`${configMaps}?watch=true&labelSelector=in%3Dyes&resourceVersion=${body.metadata.resourceVersion}`)
    await rest('POST', configMaps, configMap('guest'))
    await rest('PATCH', `${configMaps}/guest`, { metadata: { labels: { in: 'yes' } } }, merge)
    await rest('PATCH', `${configMaps}/guest`, { data: { x: '1' } }, merge)
    const left = (await rest('PATCH', `${configMaps}/guest`, { metadata: { labels: { in: 'no' } } }, merge)).body
    await rest('DELETE', `${configMaps}/guest`)
    const events = [await w.next(), await w.next(), await w.next()]
    expect(events.map(e => e.type)).toEqual(['ADDED', 'MODIFIED', 'DELETED'])
    // As it was seen last, with the version at which it left.
    expect(events[2].object.metadata).toMatchObject({ labels: { in: 'yes' }, resourceVersion: left.metadata.resourceVersion })
    w.stop()
  })

  it('of one object by the old path, and as tables', async () => {
    const one = await rest.watch('/api/v1/watch/namespaces/default/configmaps/m1')
    expect((await one.next()).object.metadata.name).toBe('m1')
    one.stop()
    const table = await rest('GET', `${configMaps}?watch=true&timeoutSeconds=1`, undefined, {
      headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' },
    })
    const lines = table.text
      .trim()
      .split('\n')
      .map(l => JSON.parse(l))
    expect(lines).toHaveLength(5)
    expect(lines[0].object.columnDefinitions).toHaveLength(3)
    expect(lines[1].object).toMatchObject({ kind: 'Table', columnDefinitions: null, rows: [{ cells: ['m1', 0, expect.any(String)] }] })
  })

  it('refuses wrong options', async () => {
    expect((await rest('GET', `${configMaps}?watch=true&sendInitialEvents=true`)).body).toMatchObject({
      code: 422,
      message:
        'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan',
    })
    expect((await rest('GET', `${configMaps}?watch=true&resourceVersionMatch=Exact&resourceVersion=1`)).code).toBe(422)
  })
})

describe('other paths', () => {
  it('version, health, discovery, OpenAPI, metrics', async () => {
    expect((await rest('GET', '/version', undefined, { as: 'nobody' })).body.gitVersion).toBe('v1.35.0')
    expect((await rest('GET', '/readyz?verbose', undefined, { as: 'nobody' })).text).toMatch(/^\[\+\]ping ok\n[^]*readyz check passed\n$/)
    expect((await rest('GET', '/livez', undefined, { as: 'nobody' })).text).toBe('ok')
    // Single checks are not for everybody.
    expect((await rest('GET', '/livez/ping', undefined, { as: 'nobody' })).code).toBe(403)
    expect((await rest('GET', '/livez/ping')).text).toBe('ok')
    expect((await rest('GET', '/metrics/slis')).text).toMatch(/^kubernetes_healthcheck\{name="etcd",type="readyz"\} 1$/m)
    expect((await rest('GET', '/apis/apps')).body).toMatchObject({ kind: 'APIGroup', name: 'apps' })
    expect(
      (
        await rest('GET', '/apis', undefined, {
          headers: { accept: 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList' },
        })
      ).body.kind,
    ).toBe('APIGroupDiscoveryList')
    const index = await rest('GET', '/openapi/v3')
    const document = await rest('GET', index.body.paths['api/v1'].serverRelativeURL)
    expect(document.body.components.schemas['io.k8s.api.core.v1.Pod']).toBeDefined()
    expect((await rest('GET', '/openapi/v3/api/v1', undefined, { headers: { 'if-none-match': document.headers['etag']! } })).code).toBe(304)
    expect((await rest('GET', '/metrics')).text).toMatch(/apiserver_request_total\{.*verb="LIST".*resource="configmaps"/)
  })
})

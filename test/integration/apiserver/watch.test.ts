/** Watches that a client, an object or a slow reader could make fail: each alone, and the API server goes on. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { configMap, configMaps } from './setup.ts'

let api: ApiServerFixture
let rest: Rest
const uncaught: unknown[] = []
const remember = (e: unknown): void => void uncaught.push(e)
beforeAll(async () => {
  process.on('uncaughtException', remember)
  api = await startTestApiServer()
  rest = api.rest
})
afterAll(async () => {
  process.off('uncaughtException', remember)
  await api?.stop()
})

const newest = async (path: string): Promise<string> => (await rest('GET', `${path}?limit=1`)).body.metadata.resourceVersion

describe('a view that cannot be watched is refused before the watch begins', () => {
  const table = 'application/json;as=Table;g=meta.k8s.io;v=v1'
  it.each([
    ['application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1', '', 406],
    ['application/json;as=APIGroupDiscoveryList;g=apidiscovery.k8s.io;v=v2', '', 406],
    ['application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1', '', 406],
    [table, '&includeObject=zz', 400],
    ['application/yaml', '', 406],
  ])('%s %s', async (accept, query, code) => {
    const path = `${configMaps}?watch=1&timeoutSeconds=1&resourceVersion=${await newest(configMaps)}${query}`
    const watching = rest('GET', path, undefined, { headers: { accept } })
    const created = await rest('POST', configMaps, { ...configMap(''), metadata: { generateName: 'view-' } })
    expect(created.code).toBe(201)
    expect((await watching).code).toBe(code)
    expect(uncaught).toEqual([])
  })
})

it('an object that cannot be selected ends the watch that asks for that, with an error, and no other', async () => {
  const events = '/api/v1/namespaces/default/events'
  const after = `watch=1&resourceVersion=${await newest(events)}`
  const plain = await rest.watch(`${events}?${after}`)
  const selecting = await rest.watch(`${events}?${after}&fieldSelector=involvedObject.name%3Dx`)
  const registry = await api.nats.connect('registry')
  // Nobody can write this through the API: its involvedObject has no fields.
  const broken = '{"kind":"Event","apiVersion":"v1","metadata":{"name":"broken","namespace":"default"},"involvedObject":null}'
  registry.nats.publish('registry._.events.default.broken', broken)
  expect((await plain.next()).object.metadata.name).toBe('broken')
  const error = await selecting.next()
  expect(error).toMatchObject({ type: 'ERROR', object: { kind: 'Status', code: 500, reason: 'InternalError' } })
  await expect(selecting.next()).rejects.toThrow('the watch ended')
  expect(uncaught).toEqual([])
  plain.stop()
})

it('sends everything that is there, far more than 32 MiB, to a reader who is slow while objects change', async () => {
  await rest('POST', '/api/v1/namespaces', { metadata: { name: 'large' } })
  const path = '/api/v1/namespaces/large/configmaps'
  const data = { a: 'x'.repeat(1_000_000) }
  const count = 60
  for (let i = 0; i < count; i++) expect((await rest('POST', path, configMap(`c${i}`, data))).code).toBe(201)
  const w = await rest.watch(`${path}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`)
  const names = new Set<string>([(await w.next()).object.metadata.name])
  for (let i = 0; i < 20; i++) {
    const patch = { metadata: { labels: { round: String(i) } } }
    expect((await rest('PATCH', `${path}/c${i}`, patch, { headers: { 'content-type': 'application/merge-patch+json' } })).code).toBe(200)
  }
  for (;;) {
    const e = await w.next()
    if (e.type === 'BOOKMARK') {
      expect(e.object.metadata.annotations).toEqual({ 'k8s.io/initial-events-end': 'true' })
      break
    }
    expect(e.type).toBe('ADDED')
    names.add(e.object.metadata.name)
  }
  expect(names.size).toBe(count)
  for (let i = 0; i < 20; i++) expect((await w.next()).object.metadata).toMatchObject({ name: `c${i}`, labels: { round: String(i) } })
  w.stop()
})

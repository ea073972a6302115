import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WriteConflict, VersionExpired, type Registry } from '#control-plane/apiserver/registry/registry.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { startNats, type NatsFixture } from '../../fixtures/nats.ts'
import { dataOf, deployments, object, open, pods, record, until } from './setup.ts'

let nats: NatsFixture
let registry: Registry
const indexed = { ...pods, indexed: { 'spec.data': (o: KubeObject) => String(dataOf(o)) } }
beforeAll(async () => {
  nats = await startNats()
  registry = await open(nats, { tables: [indexed] })
})
afterAll(async () => {
  await registry?.close()
  await nats?.stop()
})

describe('writes', () => {
  test('compare and swap', async () => {
    const one = await registry.put(pods, 'cas', 'a', object('a', 1, 'cas'), 0)
    expect(JSON.parse(one.json.toString())).toEqual({
      kind: 'Pod',
      apiVersion: 'v1',
      metadata: { resourceVersion: String(one.version), name: 'a', namespace: 'cas' },
      spec: { data: 1 },
    })
    expect(one.object).toEqual(JSON.parse(one.json.toString()))
    expect(registry.get(pods, 'cas', 'a')).toBe(one)
    await expect(registry.put(pods, 'cas', 'a', object('a'), 0)).rejects.toMatchObject({
      name: 'WriteConflict',
      current: { version: one.version },
    })
    const two = await registry.put(pods, 'cas', 'a', object('a', 2, 'cas'), one.version)
    expect(two.version).toBeGreaterThan(one.version)
    await expect(registry.put(pods, 'cas', 'a', object('a'), one.version)).rejects.toMatchObject({ current: { version: two.version } })
    await expect(registry.remove(pods, 'cas', 'a', one.version)).rejects.toBeInstanceOf(WriteConflict)
    const gone = await registry.remove(pods, 'cas', 'a', two.version)
    expect(gone.object).toMatchObject({ metadata: { resourceVersion: String(gone.version) }, spec: { data: 2 } })
    expect(JSON.parse(gone.json.toString())).toEqual(gone.object)
    expect(registry.get(pods, 'cas', 'a')).toBeUndefined()
    await expect(registry.put(pods, 'cas', 'a', object('a'), two.version)).rejects.toBeInstanceOf(WriteConflict)
    await expect(registry.remove(pods, 'cas', 'a', two.version)).rejects.toBeInstanceOf(WriteConflict)
    const again = await registry.put(pods, 'cas', 'a', object('a', 3, 'cas'), 0)
    expect(again.version).toBeGreaterThan(gone.version)
  })

  test('names of all kinds', async () => {
    const names = [
      'web-1',
      'sh.helm.release.v1.foo.v1',
      'system:controller:node-controller',
      'a b*c>d',
      'ünïcode:λ',
      '_',
      '>',
      '*',
      '%2E',
      '..a',
    ]
    for (const name of names)
      await registry.put({ group: 'rbac.authorization.k8s.io', plural: 'clusterroles' }, '', name, object(name, name, ''), 0)
    const other = await open(nats)
    const read = other.list({ group: 'rbac.authorization.k8s.io', plural: 'clusterroles' })
    expect(read.map(s => [s.name, s.namespace, dataOf(s.object)])).toEqual(names.toSorted().map(n => [n, '', n]))
    await other.close()
  })

  test('two servers, many writers: one wins each round, both agree', async () => {
    const other = await open(nats)
    let version = (await registry.put(pods, 'race', 'r', object('r', 0, 'race'), 0)).version
    for (let round = 0; round < 20; round++) {
      const results = await Promise.allSettled(
        Array.from({ length: 8 }, (_, i) =>
          (i % 2 ? other : registry).put(pods, 'race', 'r', object('r', `${round}-${i}`, 'race'), version),
        ),
      )
      const won = results.filter(r => r.status === 'fulfilled')
      expect(won.length).toBe(1)
      for (const r of results) if (r.status === 'rejected') expect(r.reason).toMatchObject({ current: { version: won[0]!.value.version } })
      version = won[0]!.value.version
    }
    const counters = await Promise.all(
      Array.from({ length: 6 }, async (_, i) => {
        const mine = i % 2 ? other : registry
        for (let done = 0; done < 10;) {
          const current = mine.get(pods, 'race', 'counter')
          const next = object('counter', current ? (dataOf(current.object) as number) + 1 : 1, 'race')
          await mine.put(pods, 'race', 'counter', next, current?.version ?? 0).then(
            () => done++,
            (e: unknown) => expect(e).toBeInstanceOf(WriteConflict),
          )
        }
      }),
    )
    expect(counters.length).toBe(6)
    await Promise.all([registry.fresh(), other.fresh()])
    for (const r of [registry, other]) expect(dataOf(r.get(pods, 'race', 'counter')!.object)).toBe(60)
    expect(other.list(pods).map(s => s.json.toString())).toEqual(registry.list(pods).map(s => s.json.toString()))
    await other.close()
  })

  test('creating and deleting in turns from two servers', async () => {
    const other = await open(nats)
    for (let i = 0; i < 10; i++) {
      const [a, b] = i % 2 ? [registry, other] : [other, registry]
      const made = await a.put(pods, 'turns', 'x', object('x', i, 'turns'), 0)
      await b.fresh()
      expect(b.get(pods, 'turns', 'x')?.version).toBe(made.version)
      await b.remove(pods, 'turns', 'x', made.version)
    }
    await other.close()
  })

  test('a read that waits for the newest state sees what another server has acknowledged', async () => {
    const other = await open(nats)
    for (let i = 0; i < 50; i++) {
      const { version } = await other.put(pods, 'fresh', `f${i}`, object(`f${i}`, i, 'fresh'), 0)
      await Promise.all([registry.fresh(), registry.fresh(), registry.fresh()])
      expect(registry.get(pods, 'fresh', `f${i}`)?.version).toBe(version)
    }
    await registry.reached(other.version)
    await expect(registry.reached(other.version + 1_000_000, 20)).rejects.toThrow(/did not reach/)
    await expect(registry.fresh(AbortSignal.abort(new Error('no more')))).rejects.toThrow('no more')
    await other.close()
  })
})

describe('lists', () => {
  test('sorted, a snapshot each, per namespace and over all', async () => {
    for (const [ns, name] of [
      ['l2', 'b'],
      ['l1', 'z'],
      ['l1', 'a'],
      ['l2', 'a'],
    ] as const)
      await registry.put(deployments, ns, name, object(name, 1, ns), 0)
    const before = registry.list(deployments)
    const l1 = registry.list(deployments, 'l1')
    const names = (list: readonly { namespace: string; name: string }[]) => list.map(s => `${s.namespace}/${s.name}`)
    expect(names(before)).toEqual(['l1/a', 'l1/z', 'l2/a', 'l2/b'])
    expect(names(l1)).toEqual(['l1/a', 'l1/z'])
    await registry.put(deployments, 'l1', 'm', object('m', 1, 'l1'), 0)
    await registry.remove(deployments, 'l1', 'a', l1[0]!.version)
    expect(names(before)).toEqual(['l1/a', 'l1/z', 'l2/a', 'l2/b'])
    expect(names(l1)).toEqual(['l1/a', 'l1/z'])
    expect(names(registry.list(deployments))).toEqual(['l1/m', 'l1/z', 'l2/a', 'l2/b'])
    expect(names(registry.list(deployments, ''))).toEqual(['l1/m', 'l1/z', 'l2/a', 'l2/b'])
    expect(registry.list(deployments, 'none')).toEqual([])
  })

  test('as they were at an older version', async () => {
    const table = { group: 'apps', plural: 'statefulsets' }
    const snapshots: { version: number; lists: string[][] }[] = []
    const shown = (r: Registry, version?: number) =>
      [undefined, 'n0', 'n1'].map(ns =>
        (version === undefined ? r.list(table, ns) : r.listAt(version, table, ns)).map(s => s.json.toString()),
      )
    for (let i = 0; i < 60; i++) {
      const [ns, name] = [`n${i % 2}`, `s${(i * 7) % 5}`]
      const current = registry.get(table, ns, name)
      if (current && i % 3 === 0) await registry.remove(table, ns, name, current.version)
      else await registry.put(table, ns, name, object(name, i, ns), current?.version ?? 0)
      snapshots.push({ version: registry.version, lists: shown(registry) })
    }
    for (const { version, lists } of snapshots) expect(shown(registry, version)).toEqual(lists)
    const restarted = await open(nats)
    for (const { version, lists } of snapshots) expect(shown(restarted, version)).toEqual(lists)
    await restarted.close()
    const forgetful = await open(nats, { history: 3 })
    expect(() => forgetful.listAt(snapshots[0]!.version, table)).toThrow(VersionExpired)
    expect(shown(forgetful, snapshots.at(-2)!.version)).toEqual(snapshots.at(-2)!.lists)
    await forgetful.close()
  })
})

describe('watches', () => {
  test('what happened since a version, and then what happens', async () => {
    const start = registry.version
    const a = await registry.put(pods, 'w', 'a', object('a', 1, 'w'), 0)
    const b = await registry.put(pods, 'w', 'a', object('a', 2, 'w'), a.version)
    const watch = record(registry, pods, { namespace: 'w', after: start })
    const late = record(registry, pods, { namespace: 'w', after: b.version })
    const elsewhere = record(registry, pods, { namespace: 'w2', after: start })
    const c = await registry.remove(pods, 'w', 'a', b.version)
    await until(() => watch.seen.length === 3, 'three events')
    expect(watch.seen.map(e => [e.type, e.version, e.stored.version, e.previous?.version])).toEqual([
      ['ADDED', a.version, a.version, undefined],
      ['MODIFIED', b.version, b.version, a.version],
      ['DELETED', c.version, c.version, b.version],
    ])
    expect(late.seen.map(e => e.type)).toEqual(['DELETED'])
    await until(() => elsewhere.progressed >= c.version, 'progress of a watch without events')
    expect(elsewhere.seen).toEqual([])
    watch.stop()
    await registry.put(pods, 'w', 'a', object('a', 3, 'w'), 0)
    expect(watch.seen.length).toBe(3)
    expect(late.seen.length).toBe(2)
  })

  test('by name and by an indexed field, entering and leaving', async () => {
    const after = registry.version
    const named = record(registry, pods, { namespace: 'i', name: 'x', after })
    const anywhere = record(registry, pods, { name: 'x', after })
    const field = record(registry, pods, { index: { path: 'spec.data', value: 'node-1' }, after })
    const both = record(registry, pods, { namespace: 'i2', index: { path: 'spec.data', value: 'node-1' }, after })
    let x = await registry.put(pods, 'i', 'x', object('x', '', 'i'), 0)
    x = await registry.put(pods, 'i', 'x', object('x', 'node-1', 'i'), x.version)
    x = await registry.put(pods, 'i', 'x', object('x', 'node-2', 'i'), x.version)
    x = await registry.put(pods, 'i', 'x', object('x', 'node-3', 'i'), x.version)
    await registry.put(pods, 'i2', 'x', object('x', 'node-1', 'i2'), 0)
    await registry.put(pods, 'i2', 'y', object('y', 'node-9', 'i2'), 0)
    expect(named.seen.map(e => dataOf(e.stored.object))).toEqual(['', 'node-1', 'node-2', 'node-3'])
    expect(anywhere.seen.length).toBe(5)
    expect(field.seen.map(e => [e.type, e.stored.namespace, dataOf(e.stored.object)])).toEqual([
      ['MODIFIED', 'i', 'node-1'],
      ['MODIFIED', 'i', 'node-2'],
      ['ADDED', 'i2', 'node-1'],
    ])
    expect(both.seen.map(e => e.stored.namespace)).toEqual(['i2'])
    const replayed = record(registry, pods, { index: { path: 'spec.data', value: 'node-1' }, after })
    await until(() => replayed.seen.length > 0, 'the replay')
    expect(replayed.seen).toEqual(field.seen)
  })

  test('resumed on another server that started later', async () => {
    const start = registry.version
    const here = record(registry, pods, { namespace: 'r', after: start })
    for (let i = 0; i < 30; i++)
      await registry.put(pods, 'r', `p${i % 3}`, object(`p${i % 3}`, i, 'r'), registry.get(pods, 'r', `p${i % 3}`)?.version ?? 0)
    await registry.remove(pods, 'r', 'p0', registry.get(pods, 'r', 'p0')!.version)
    const other = await open(nats)
    const there = record(other, pods, { namespace: 'r', after: start })
    await until(() => there.seen.length === 31, 'the history of the other server')
    const shown = (r: typeof here) => r.seen.map(e => [e.type, e.version, e.stored.json.toString(), e.previous?.version])
    expect(shown(there)).toEqual(shown(here))
    await other.close()
    const forgetful = await open(nats, { history: 4 })
    expect(() => record(forgetful, pods, { after: start })).toThrow(VersionExpired)
    await forgetful.close()
  })

  test('of too many objects with a time to live the oldest go', async () => {
    const events = { group: 'few', plural: 'events', ttlSeconds: 5, maxObjects: 10 }
    const other = await open(nats, { tables: [events] })
    for (let i = 0; i < 30; i++) await registry.put(events, 'e', `e${i}`, object(`e${i}`, i, 'e'), 0)
    // Written again, it is young.
    await registry.put(events, 'e', 'e3', object('e3', 'new', 'e'), registry.get(events, 'e', 'e3')!.version)
    await until(() => registry.list(events).length <= 10, 'the oldest to go')
    expect(registry.list(events).map(s => s.name)).toEqual([...Array.from({ length: 9 }, (_, i) => `e${21 + i}`), 'e3'].sort())
    await other.close()
  })

  test('objects with a time to live go', async () => {
    const events = { group: '', plural: 'events', ttlSeconds: 1 }
    const other = await open(nats, { tables: [events] })
    const watch = record(registry, events, { after: registry.version })
    const made = await registry.put(events, 'e', 'old', object('old', 1, 'e'), 0)
    await registry.put(pods, 'e', 'stays', object('stays', 1, 'e'), 0)
    await until(() => watch.seen.length === 2, 'the expiry')
    expect(watch.seen.map(e => e.type)).toEqual(['ADDED', 'DELETED'])
    expect(watch.seen[1]!.stored.object).toMatchObject({ metadata: { name: 'old' }, spec: { data: 1 } })
    expect(watch.seen[1]!.previous?.version).toBe(made.version)
    expect(registry.get(pods, 'e', 'stays')).toBeDefined()
    await other.close()
  })
})

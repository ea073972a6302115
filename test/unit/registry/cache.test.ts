/** The cache against a model: random histories of a few objects, compared at every version. */
import fc from 'fast-check'
import { headers } from 'nats'
import { expect, test } from 'vitest'
import {
  ageHistories,
  apply,
  eventsAfter,
  getCached,
  listCached,
  listCachedAt,
  newCache,
  oldestOf,
  type Cache,
} from '#control-plane/apiserver/registry/cache.ts'
import type { StreamMessage } from '#control-plane/apiserver/registry/follow.ts'
import { lengthOf } from '#control-plane/apiserver/registry/history.ts'
import { VersionExpired, type RegistryEvent, type Watcher } from '#control-plane/apiserver/registry/registry.ts'
import { encode, newStored, restamped, withoutManagedFields } from '#control-plane/apiserver/registry/stored.ts'
import { subjectOf } from '#control-plane/apiserver/registry/stream.ts'
import { pushEvents } from '#control-plane/apiserver/registry/pushed.ts'
import { Watches } from '#control-plane/apiserver/registry/watches.ts'

const pods = { group: '', plural: 'pods' }
const object = (namespace: string, name: string, node: string) => ({
  kind: 'Pod',
  apiVersion: 'v1',
  metadata: { name, namespace },
  spec: { node },
})
const nodeOf = (o: unknown) => (o as ReturnType<typeof object>).spec.node

interface Step {
  namespace: string
  name: string
  node: string
  remove: boolean
}
const steps = fc.array(
  fc.record({
    namespace: fc.constantFrom('a', 'a-b', 'b'),
    name: fc.constantFrom('x', 'x.y', 'x-', 'z'),
    node: fc.constantFrom('', 'n1', 'n2'),
    remove: fc.boolean(),
  }),
  { maxLength: 40 },
)

/** The messages of a history; a removal of what is not there is left out. */
function messagesOf(history: Step[]): StreamMessage[] {
  const last = new Map<string, { seq: number; live: boolean }>()
  const messages: StreamMessage[] = []
  for (const { namespace, name, node, remove } of history) {
    const subject = subjectOf(pods, namespace, name)
    const before = last.get(subject)
    if (remove && !before?.live) continue
    const seq = messages.length + 1
    const h = headers()
    h.set('Cox-Replaces', String(before?.live ? before.seq : 0))
    messages.push({
      seq,
      subject,
      data: remove ? new Uint8Array() : encode(object(namespace, name, node)),
      headers: h,
      time: 0,
      pending: 0,
      first: false,
    })
    last.set(subject, { seq, live: !remove })
  }
  return messages
}
const shown = (list: readonly { namespace: string; name: string; json: Buffer }[]) =>
  list.map(s => `${s.namespace}/${s.name} ${s.json.toString()}`)

test('lists are sorted snapshots, now and then', () => {
  fc.assert(
    fc.property(steps, fc.boolean(), (history, listing) => {
      const cache = newCache({ count: 1000 })
      const then: string[][] = [[]]
      const kept: (readonly (readonly [string[], readonly { namespace: string; name: string; json: Buffer }[]])[])[] = []
      const model = new Map<string, string>()
      for (const m of messagesOf(history)) {
        const event = apply(cache, m)!.event!
        const key = `${event.stored.namespace}/${event.stored.name}`
        if (event.type === 'DELETED') model.delete(key)
        else model.set(key, `${key} ${event.stored.json.toString()}`)
        const expected = [...model].toSorted(([a], [b]) => compare(a, b)).map(([, v]) => v)
        then.push(expected)
        expect(getCached(cache, pods, event.stored.namespace, event.stored.name)).toBe(event.type === 'DELETED' ? undefined : event.stored)
        if (listing)
          kept.push([
            [expected, listCached(cache, pods)],
            [expected.filter(e => e.startsWith('a/')), listCached(cache, pods, 'a')],
          ])
      }
      for (const [expected, list] of kept.flat()) expect(shown(list)).toEqual(expected)
      for (const [version, expected] of then.entries()) {
        expect(shown(listCachedAt(cache, version, pods))).toEqual(expected)
        expect(shown(listCachedAt(cache, version, pods, 'a-b'))).toEqual(expected.filter(e => e.startsWith('a-b/')))
      }
    }),
  )
})
const compare = (a: string, b: string): number => {
  const [[an, ax], [bn, bx]] = [a.split('/'), b.split('/')] as [[string, string], [string, string]]
  return an < bn ? -1 : an > bn ? 1 : ax < bx ? -1 : ax > bx ? 1 : 0
}

test('a cache that starts from a compacted stream knows what it may have missed', () => {
  fc.assert(
    fc.property(steps, fc.nat(), (history, n) => {
      const messages = messagesOf(history)
      const cutoff = n % (messages.length + 1)
      const whole = newCache({ count: 1000 })
      const all: RegistryEvent[] = []
      for (const m of messages) all.push(apply(whole, m)!.event!)
      // What the compactor leaves: of each subject the newest at or before the cutoff, unless that is a tombstone, and all after it.
      const newest = new Map<string, number>()
      for (const m of messages) if (m.seq <= cutoff) newest.set(m.subject, m.seq)
      const left = messages.filter(m => m.seq > cutoff || (newest.get(m.subject) === m.seq && m.data.length > 0))
      const cache = newCache({ count: 1000 })
      for (const m of left) apply(cache, m)
      if (cache.version < messages.length) cache.floor = cache.version = messages.length
      expect(shown(listCached(cache, pods))).toEqual(shown(listCached(whole, pods)))
      expect(oldestOf(cache, pods)).toBeLessThanOrEqual(Math.max(cutoff, left.at(-1)?.seq === messages.length ? 0 : messages.length))
      for (let version = 0; version <= messages.length; version++) {
        if (version < oldestOf(cache, pods)) expect(() => eventsAfter(cache, pods, version)).toThrow(VersionExpired)
        else expect(eventsAfter(cache, pods, version).map(eventShown)).toEqual(all.slice(version).map(eventShown))
      }
    }),
  )
})
const eventShown = (e: RegistryEvent) => [e.type, e.version, e.stored.json.toString(), e.previous?.json.toString()]

test('the history is bounded, and says from where on it is whole', () => {
  const cache = newCache({ count: 10 })
  for (const m of messagesOf(Array.from({ length: 100 }, (_, i) => ({ namespace: 'a', name: 'x', node: String(i), remove: false }))))
    apply(cache, m)
  expect(oldestOf(cache, pods)).toBe(90)
  expect(eventsAfter(cache, pods, 90).map(e => e.version)).toEqual(Array.from({ length: 10 }, (_, i) => 91 + i))
  expect(() => eventsAfter(cache, pods, 89)).toThrow('too old resource version: 89 (90)')
})

test('the history is bounded in bytes, of a table and of all, in age, and keeps the last hundred events', () => {
  const write = (cache: Cache, table: typeof pods, name: string, size: number, time: number): void => {
    const before = getCached(cache, table, 'a', name)
    const h = headers()
    h.set('Cox-Replaces', String(before?.version ?? 0))
    const subject = subjectOf(table, 'a', name)
    const data = encode(object('a', name, 'x'.repeat(size)))
    apply(cache, { seq: cache.version + 1, subject, data, headers: h, time, pending: 0, first: false })
  }
  const historyOf = (cache: Cache, table: typeof pods) => cache.tables.get(`/${table.plural}`)!.history
  const services = { group: '', plural: 'services' }

  const bytes = newCache({ bytes: 1_000_000, totalBytes: 1_500_000 })
  for (let i = 0; i < 2000; i++) write(bytes, pods, 'x', 2000, 0)
  expect(historyOf(bytes, pods).bytes).toBeLessThanOrEqual(1_000_000)
  expect(lengthOf(historyOf(bytes, pods))).toBeGreaterThan(300)
  for (let i = 0; i < 2000; i++) write(bytes, services, 'x', 2000, 0)
  expect(bytes.historyBytes).toBeLessThanOrEqual(1_500_000)
  expect(bytes.historyBytes).toBe(historyOf(bytes, pods).bytes + historyOf(bytes, services).bytes)
  // Objects that nobody has replaced cost their history nothing.
  const many = newCache({ bytes: 1_000_000 })
  for (let i = 0; i < 1000; i++) write(many, pods, `x${i}`, 2000, 0)
  expect(oldestOf(many, pods)).toBe(0)

  const large = newCache({ bytes: 1_000_000 })
  for (let i = 0; i < 200; i++) write(large, pods, 'x', 100_000, 0)
  expect(lengthOf(historyOf(large, pods))).toBe(100)

  const age = newCache()
  for (let i = 0; i < 500; i++) write(age, pods, 'x', 10, i * 1000)
  expect(lengthOf(historyOf(age, pods))).toBe(100)
  for (let i = 0; i < 500; i++) write(age, pods, 'x', 10, 1_000_000)
  expect(lengthOf(historyOf(age, pods))).toBe(500)
  // What others write makes the events of a table old that nobody writes.
  write(age, services, 'x', 10, 2_000_000)
  ageHistories(age)
  expect(lengthOf(historyOf(age, pods))).toBe(100)
})

test('labels and the metadata that selectors need come without parsing the rest', () => {
  const metadata = fc.dictionary(fc.constantFrom('name', 'labels', 'annotations', 'managedFields', 'uid'), fc.jsonValue(), { maxKeys: 5 })
  fc.assert(
    fc.property(metadata, fc.jsonValue(), fc.nat(), (given, spec, version) => {
      const managedFields = Array.isArray(given['managedFields']) ? given['managedFields'] : undefined
      const o = { kind: 'Pod', apiVersion: 'v1', metadata: { ...given, managedFields }, spec } as never
      const stored = newStored('a', 'b', version, encode(o))
      expect(stored.labels).toEqual(JSON.parse(JSON.stringify(o))['metadata']['labels'])
      expect(restamped(stored, version + 1).labels).toEqual(stored.labels)
    }),
  )
})

test('only the objects that were parsed last stay parsed', () => {
  const stored = Array.from({ length: 10_000 }, (_, i) => newStored('a', `p${i}`, i + 1, encode(object('a', `p${i}`, 'n'))))
  const first = stored[0]!.object
  expect(stored[0]!.object).toBe(first)
  for (const s of stored) expect(s.object.metadata.name).toBe(s.name)
  expect(stored[0]!.object).not.toBe(first)
  expect(stored[0]!.object).toEqual(first)
})

test('an index holds what has its value, as the lists do', () => {
  fc.assert(
    fc.property(steps, history => {
      const cache = newCache({}, () => ({ 'spec.node': nodeOf }))
      for (const m of messagesOf(history)) {
        apply(cache, m)
        for (const value of ['', 'n1', 'n2'])
          for (const namespace of [undefined, 'a'])
            expect(listCached(cache, pods, namespace, { path: 'spec.node', value })).toEqual(
              listCached(cache, pods, namespace).filter(s => nodeOf(s.object) === value),
            )
      }
    }),
  )
})

test('each watch is handed exactly the events that concern it', () => {
  const option = fc.record({
    namespace: fc.constantFrom(undefined, '', 'a', 'a-b'),
    name: fc.constantFrom(undefined, 'x', 'x.y'),
    value: fc.constantFrom(undefined, '', 'n1', 'n2'),
    start: fc.nat({ max: 40 }),
  })
  return fc.assert(
    fc.asyncProperty(steps, fc.array(option, { minLength: 1, maxLength: 6 }), fc.integer({ min: 1, max: 5 }), (history, options, batch) => {
      const fields = () => ({ 'spec.node': nodeOf })
      const cache: Cache = newCache({ count: 1000 }, fields)
      const watches = new Watches(() => cache, fields)
      const messages = messagesOf(history)
      const all: RegistryEvent[] = []
      const watchers = options.map(o => ({ ...o, seen: [] as RegistryEvent[], after: -1 }))
      const startAt = (version: number) => {
        for (const w of watchers) {
          if (w.after >= 0 || w.start > version) continue
          w.after = Math.max(0, version - 3)
          const watcher: Watcher = { events: e => void w.seen.push(...e), progress: () => {}, expired: () => {} }
          const { namespace, name, value, after } = w
          const watch = {
            after,
            ...(namespace === undefined ? {} : { namespace }),
            ...(name ? { name } : {}),
            ...(value === undefined ? {} : { index: { path: 'spec.node', value } }),
          }
          pushEvents(
            owner => watches.add(pods, watch, owner),
            watcher,
            e => expect.fail(e.message),
          )
        }
      }
      startAt(0)
      for (let at = 0; at < messages.length; at += batch) {
        const events = messages.slice(at, at + batch).map(m => apply(cache, m)!.event!)
        all.push(...events)
        watches.dispatch(events.map(e => ['/pods', e] as const))
        startAt(cache.version)
      }
      return new Promise<void>(resolve => setImmediate(resolve)).then(() => {
        for (const { namespace, name, value, after, seen } of watchers) {
          if (after < 0) continue
          const concerns = (e: RegistryEvent) =>
            e.version > after &&
            (!namespace || e.stored.namespace === namespace) &&
            (!name || e.stored.name === name) &&
            (value === undefined || nodeOf(e.stored.object) === value || (e.previous !== undefined && nodeOf(e.previous.object) === value))
          expect(seen).toEqual(all.filter(concerns))
        }
      })
    }),
    { numRuns: 50 },
  )
})

test('the version is spliced into the bytes, whatever they are', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.dictionary(fc.string(), fc.jsonValue()), (metadata, rest) => {
      const o = { kind: 'K', apiVersion: 'v1', metadata, ...rest, spec: { template: { metadata: { name: 'inner' } } } }
      const stored = newStored('n', 'x', 12, encode({ ...o, kind: 'K', apiVersion: 'v1', metadata } as never))
      const expected = JSON.parse(
        JSON.stringify({ ...o, kind: 'K', apiVersion: 'v1', metadata: { ...metadata, resourceVersion: '12' } }),
      ) as unknown
      expect(JSON.parse(stored.json.toString())).toEqual(expected)
      const later = restamped(stored, 345)
      expect(later.object.metadata.resourceVersion).toBe('345')
      expect({ ...later.object, metadata: { ...later.object.metadata, resourceVersion: '12' } }).toEqual(expected)
    }),
  )
})

test('managedFields are cut out of the JSON, whatever is in them and around them', () => {
  const text = fc.string({ unit: fc.constantFrom('"', '\\', '[', ']', '{', ',', 'é', '\n'), maxLength: 6 })
  // Deeper values that look like the field stay.
  const other = fc.dictionary(
    fc.constantFrom('name', 'labels', 'annotations'),
    fc.oneof(text, fc.constant({ managedFields: [{ '"]': '"managedFields":[' }] })),
    { maxKeys: 2 },
  )
  const entries = fc.option(
    fc.array(fc.dictionary(text, fc.oneof(text, fc.array(text, { maxLength: 2 })), { maxKeys: 3 }), { minLength: 1, maxLength: 2 }),
    { nil: undefined },
  )
  fc.assert(
    fc.property(other, entries, fc.nat(), (metadata, managedFields, version) => {
      const object = {
        kind: 'Pod',
        apiVersion: 'v1',
        metadata: { ...metadata, ...(managedFields ? { managedFields } : {}) },
        spec: { managedFields: ['['] },
      } as never
      const stored = newStored('a', 'b', version, encode(object))
      const { managedFields: _, ...rest } = stored.object.metadata
      expect(JSON.parse(Buffer.concat([...withoutManagedFields(stored)]).toString())).toEqual({ ...stored.object, metadata: rest })
    }),
  )
})

test('JSON that breaks off within managedFields ends the search for their end', () => {
  const whole = encode({ kind: 'Pod', apiVersion: 'v1', metadata: { managedFields: [{ manager: 'm' }] } } as never)
  const broken = newStored('a', 'b', 1, whole.subarray(0, whole.indexOf('manager":"m') + 3))
  expect(Buffer.concat([...withoutManagedFields(broken)]).length).toBeLessThan(broken.json.length)
})

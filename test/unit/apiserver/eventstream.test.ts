import { headers } from 'nats'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Lifetime } from '#control-plane/apiserver/objects/endpoint.ts'
import { apply, newCache, type Cache } from '#control-plane/apiserver/registry/cache.ts'
import type { Stored } from '#control-plane/apiserver/registry/registry.ts'
import { encode } from '#control-plane/apiserver/registry/stored.ts'
import { subjectOf } from '#control-plane/apiserver/registry/stream.ts'
import { Watches } from '#control-plane/apiserver/registry/watches.ts'
import type { Encoder } from '#control-plane/apiserver/verbs/encoder.ts'
import { EventStream, type EventStreamOptions } from '#control-plane/apiserver/verbs/eventstream.ts'

const table = { group: '', plural: 'configmaps' }

/** A table that is written to, and streams of its events. */
function newTable(limits: Parameters<typeof newCache>[0] = {}) {
  let cache: Cache = newCache(limits)
  let live = true
  const watches = new Watches(
    () => cache,
    () => undefined,
  )
  const write = (name: string, data = '', labels: Record<string, string> = {}): void => {
    const h = headers()
    const before = cache.tables.get('/configmaps')?.lists.buckets.get('n')?.items.get(name)
    h.set('Cox-Replaces', String(before?.version ?? 0))
    const object = { kind: 'ConfigMap', apiVersion: 'v1', metadata: { name, labels }, data }
    const m = { seq: cache.version + 1, subject: subjectOf(table, 'n', name), data: encode(object as never) }
    const applied = apply(cache, { ...m, headers: h, time: Date.now(), pending: 0, first: false })!
    if (live) watches.dispatch([['/configmaps', applied.event!]])
  }
  return {
    watches,
    write,
    cache: () => cache,
    /** Another cache, with what `fill` writes into it. */
    replace(fill: () => void) {
      const { version } = cache
      cache = newCache(limits)
      live = false
      fill()
      live = true
      watches.replaced(version)
    },
    stream: (options: Partial<EventStreamOptions> & { after?: number } = {}) =>
      new EventStream({
        begin: owner => watches.add(table, { after: options.after ?? cache.version }, owner),
        encoder: plain,
        initial: [],
        lastsMs: 60_000,
        lifetime: new Lifetime(),
        failed: () => {},
        pause: () => new Promise(resolve => setImmediate(resolve)),
        ...options,
      }),
  }
}
const shown = (type: string, s: Stored): readonly Buffer[] => [Buffer.from(`${type} ${s.name} ${s.version} ${s.json.length}\n`)]
const plain: Encoder = {
  contentType: 'text/plain',
  event: shown,
  initial: s => shown('ADDED', s),
  bookmark: (version, end) => [Buffer.from(`BOOKMARK ${version} ${end}\n`)],
  error: status => [Buffer.from(`ERROR ${status.code} ${status.message}\n`)],
}
const whole: Encoder = { ...plain, event: (type, s) => [Buffer.from(type), s.json, Buffer.from('\n')] }

const piece = async (s: EventStream): Promise<string> => {
  const { value, done } = await s.next()
  return done ? 'end' : Buffer.from(value as Uint8Array).toString()
}
const text = async (s: EventStream): Promise<string> => {
  let out = ''
  for await (const part of s) out += Buffer.from(part).toString()
  return out
}

describe('event streams', () => {
  it('hand over events as they are taken, those that wait together', async () => {
    const t = newTable()
    const s = t.stream()
    const first = s.next()
    t.write('a')
    expect(Buffer.from((await first).value as Uint8Array).toString()).toMatch(/^ADDED a 1 \d+\n$/)
    t.write('a')
    t.write('b')
    expect(await piece(s)).toMatch(/^MODIFIED a 2 \d+\nADDED b 3 \d+\n$/)
  })

  it('hand over large events in pieces of 64 KiB', async () => {
    const t = newTable()
    const s = t.stream({ encoder: whole })
    t.write('a', 'x'.repeat(300_000))
    t.write('b', 'y'.repeat(1000))
    let out = ''
    while (!out.includes('yy')) {
      const { value } = await s.next()
      expect((value as Uint8Array).length).toBeLessThanOrEqual(64 * 1024)
      out += Buffer.from(value as Uint8Array).toString()
    }
    const lines = out.trim().split('\n')
    expect(lines.map(l => l.slice(0, 5))).toEqual(['ADDED', 'ADDED'])
    expect(JSON.parse(lines[0]!.slice(5)).data).toBe('x'.repeat(300_000))
  })

  it('begin with what is there, told when that is complete', async () => {
    const t = newTable()
    for (let i = 0; i < 5000; i++) t.write(`c${i}`, '', { half: String(i % 2) })
    const initial = [...t.cache().tables.get('/configmaps')!.lists.buckets.get('n')!.items.values()]
    const s = t.stream({ initial, initialEventsEnd: t.cache().version, matches: o => o.labels?.['half'] === '1', bookmarkEveryMs: 10_000 })
    t.write('late', '', { half: '1' })
    let out = ''
    while (!out.includes('late')) out += await piece(s)
    const lines = out.trim().split('\n')
    expect(lines).toHaveLength(2502)
    expect(lines.at(-2)).toBe('BOOKMARK 5000 true')
    expect(lines.at(-1)).toMatch(/^ADDED late/)
  })

  it('cost nothing while nobody reads, and then are told that they are too late', async () => {
    const t = newTable({ count: 100 })
    const streams = Array.from({ length: 1000 }, () => t.stream({ encoder: whole }))
    const before = process.memoryUsage()
    for (let i = 0; i < 1000; i++) t.write('a', 'x'.repeat(100_000))
    const after = process.memoryUsage()
    // The history of 100 events and the object; the 1,000 readers would have had 100 GB coming.
    expect(after.arrayBuffers - before.arrayBuffers + after.external - before.external).toBeLessThan(2 ** 30)
    for (const s of streams) expect(await text(s)).toBe('ERROR 410 too old resource version: 0 (900)\n')
  })

  it('end alone when an object cannot be encoded', async () => {
    const t = newTable()
    const failed: unknown[] = []
    const event: Encoder['event'] = (type, s) => {
      if (s.name === 'bad') throw new Error('cannot be shown')
      return shown(type, s)
    }
    const later: Encoder['event'] = async (type, s) => event(type, s)
    const [one, two, other] = [event, later, shown].map(e => t.stream({ encoder: { ...plain, event: e }, failed: e => failed.push(e) }))
    t.write('good')
    t.write('bad')
    t.write('better')
    for (const s of [one!, two!]) {
      const out = await text(s)
      expect(out).toMatch(/^ADDED good 1 \d+\nERROR 500 .*cannot be shown.*\n$/)
    }
    expect(await piece(other!)).toMatch(/good.*\n.*bad.*\n.*better/)
    expect(failed).toHaveLength(2)
  })

  it('keep the order when encoding takes its time', async () => {
    const t = newTable()
    const event: Encoder['event'] = async (type, s) => {
      await new Promise(resolve => setTimeout(resolve, s.version % 3))
      return shown(type, s)
    }
    const s = t.stream({ encoder: { ...plain, event } })
    let out = ''
    for (let i = 0; i < 20; i++) t.write(`c${i}`)
    while (!out.includes('c19 ')) out += await piece(s)
    expect([...out.matchAll(/ADDED c(\d+) /g)].map(m => Number(m[1]))).toEqual(Array.from({ length: 20 }, (_, i) => i))
  })

  it('go on in the cache that takes the place of theirs, except where that has a gap', async () => {
    const t = newTable()
    t.write('a')
    t.write('b')
    const behind = t.stream({ after: 0 })
    const idle = t.stream()
    const waiting = piece(idle)
    t.replace(() => {
      t.write('a')
      t.write('b')
      t.write('c')
    })
    expect(await waiting).toMatch(/^ADDED c 3 \d+\n$/)
    expect(await piece(behind)).toMatch(/^ADDED a 1 \d+\nADDED b 2 \d+\nADDED c 3 \d+\n$/)
    t.replace(() => {
      t.cache().version = t.cache().floor = 7
      t.write('c')
    })
    expect(await text(idle)).toBe('ERROR 410 too old resource version: 3 (7)\n')
  })

  it('end when the reader leaves', async () => {
    const t = newTable()
    const s = t.stream()
    const waiting = s.next()
    await s.return()
    expect(await waiting).toEqual({ done: true, value: undefined })
    t.write('a')
    expect(await s.next()).toEqual({ done: true, value: undefined })
  })
})

describe('event streams in time', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] }))
  afterEach(() => void vi.useRealTimers())

  it('show a bookmark now and then, and one at their end', async () => {
    const t = newTable()
    const s = t.stream({ bookmarkEveryMs: 10_000, lastsMs: 15_000 })
    const waiting = piece(s)
    t.cache().version = 7
    await t.watches.progress()
    vi.advanceTimersByTime(9_000)
    await t.watches.progress()
    vi.advanceTimersByTime(2_000)
    t.cache().version = 9
    await t.watches.progress()
    expect(await waiting).toBe('BOOKMARK 9 false\n')
    const last = text(s)
    t.cache().version = 11
    vi.advanceTimersByTime(5_000)
    expect(await last).toBe('BOOKMARK 11 false\n')
  })
})

import { setTimeout as after } from 'node:timers/promises'
import { afterEach, expect, test, vi } from 'vitest'
import { workQueue } from '#shared/client/workqueue.ts'

test('a key that is added several times is handed out once', async () => {
  const q = workQueue()
  for (const key of ['a', 'b', 'a', 'a']) q.add(key)
  expect([await q.next(), await q.next(), q.length]).toEqual(['a', 'b', 0])
})

test('a key is never with two workers, and comes again when added meanwhile', async () => {
  const q = workQueue()
  q.add('a')
  expect(await q.next()).toBe('a')
  q.add('a')
  q.add('a')
  expect(q.length).toBe(0)
  let again: string | undefined
  const waiting = q.next().then(k => (again = k))
  await after(5)
  expect(again).toBeUndefined()
  q.done('a')
  expect(await waiting).toBe('a')
  q.done('a')
  expect(q.length).toBe(0)
})

test('of several delays the earliest counts', async () => {
  const q = workQueue()
  q.addAfter('a', 60_000)
  q.addAfter('a', 1)
  q.addAfter('a', 30_000)
  expect(await q.next()).toBe('a')
  q.shutDown()
})

test('failures back off exponentially until forgotten', async () => {
  const q = workQueue({ baseMs: 1, limitMs: 4 })
  for (let i = 0; i < 4; i++) {
    q.addRateLimited('a')
    expect(await q.next()).toBe('a')
    q.done('a')
  }
  expect(q.requeues('a')).toBe(4)
  q.forget('a')
  expect(q.requeues('a')).toBe(0)
  q.shutDown()
})

afterEach(() => {
  vi.useRealTimers()
})

test('retries of all keys together are limited, whatever the back-off of each', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  const q = workQueue({ perSecond: 10, burst: 2 })
  for (const key of ['a', 'b', 'c', 'd']) q.addRateLimited(key)
  await vi.advanceTimersByTimeAsync(10)
  expect(q.length).toBe(2)
  await vi.advanceTimersByTimeAsync(100)
  expect(q.length).toBe(3)
  await vi.advanceTimersByTimeAsync(100)
  expect(q.length).toBe(4)
  // A storm does not put off the last one for ever.
  for (let i = 0; i < 20_000; i++) q.addRateLimited(`key-${i}`)
  await vi.advanceTimersByTimeAsync(1_000_000)
  expect(q.length).toBe(20_004)
})

test('order survives that keys are taken out, and what waits is counted', async () => {
  const q = workQueue()
  const names = Array.from({ length: 5000 }, (_, i) => `key-${i}`)
  for (const name of names) q.add(name)
  const out: string[] = []
  for (let i = 0; i < 3000; i++) {
    const key = (await q.next())!
    out.push(key)
    q.done(key)
    // Added again behind all others.
    if (i % 1000 === 0) q.add(key)
  }
  expect(q.length).toBe(2003)
  while (q.length) out.push((await q.next())!)
  expect(out).toEqual([...names, 'key-0', 'key-1000', 'key-2000'])
  expect(q.statistics).toMatchObject({ adds: 5003, retries: 0, queued: { count: 5003 }, worked: { count: 3000 } })
  expect(q.statistics.handedOut()).toHaveLength(2003)
})

test('shutting down frees the workers', async () => {
  const q = workQueue()
  const waiting = [q.next(), q.next()]
  q.addAfter('later', 60_000)
  q.shutDown()
  expect(await Promise.all(waiting)).toEqual([undefined, undefined])
  q.add('b')
  expect(await q.next()).toBeUndefined()
})

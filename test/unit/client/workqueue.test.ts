import { setTimeout as after } from 'node:timers/promises'
import { expect, test } from 'vitest'
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
  const q = workQueue(1, 4)
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

test('shutting down frees the workers', async () => {
  const q = workQueue()
  const waiting = [q.next(), q.next()]
  q.addAfter('later', 60_000)
  q.shutDown()
  expect(await Promise.all(waiting)).toEqual([undefined, undefined])
  q.add('b')
  expect(await q.next()).toBeUndefined()
})

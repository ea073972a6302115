import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Arrivals } from '#control-plane/apiserver/chain/arrivals.ts'
import { RunQueue } from '#control-plane/apiserver/chain/runqueue.ts'

let time = 0
/** Takes longer than a turn of the loop may. */
const compute = (): void => void (time += 6)
const newArrivals = () => new Arrivals(new RunQueue(() => time))

test('requests are begun in order, a few in each turn of the event loop', async () => {
  const arrivals = newArrivals()
  const begun: number[] = []
  for (let i = 0; i < 5; i++)
    arrivals.add('a', 0, () => {
      compute()
      begun.push(i)
    })
  expect(begun).toEqual([])
  await nextTurn()
  await nextTurn()
  expect(begun.length).toBeLessThan(5)
  for (let i = 5; i < 5000; i++) arrivals.add('a', 0, () => void begun.push(i))
  while (begun.length < 5000) await nextTurn()
  expect(begun).toEqual(Array.from({ length: 5000 }, (_, i) => i))
  arrivals.add('a', 0, () => void begun.push(5000))
  await nextTurn()
  expect(begun.at(-1)).toBe(5000)
})

test('those of each sender in turn, however many one has', async () => {
  const arrivals = newArrivals()
  const begun: string[] = []
  for (let i = 0; i < 4_000; i++)
    arrivals.add('flood', 0, () => {
      begun.push('flood')
      if (i < 3) compute()
    })
  for (const name of ['b', 'c']) for (let i = 0; i < 2; i++) arrivals.add(name, 0, () => void begun.push(name))
  while (begun.length < 4_004) await nextTurn()
  expect(begun.lastIndexOf('b')).toBeLessThan(10)
  expect(begun.lastIndexOf('c')).toBeLessThan(10)
})

test('no more of one sender waits than is bounded', async () => {
  const arrivals = newArrivals()
  let begun = 0
  const begin = () => void begun++
  for (let i = 0; i < 5_000; i++) expect(arrivals.add('a', 0, begin)).toBe(true)
  const more = [
    ['a', 0],
    ['b', 32 << 20],
    ['b', 1],
    ['c', 1],
  ] as const
  expect(more.map(([sender, bytes]) => arrivals.add(sender, bytes, begin))).toEqual([false, true, false, true])
  while (begun < 5_002) await nextTurn()
  expect(arrivals.add('a', 32 << 20, begin)).toBe(true)
})

import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { newTurns } from '#control-plane/apiserver/bus/turns.ts'

/** Computes for longer than a turn may take. */
function compute(): void {
  for (const end = performance.now() + 6; performance.now() < end;);
}

test('requests are begun in order, a few in each turn of the event loop', async () => {
  const turns = newTurns()
  const begun: number[] = []
  for (let i = 0; i < 5; i++)
    turns.add('a', 0, () => {
      compute()
      begun.push(i)
    })
  expect(begun).toEqual([])
  await nextTurn()
  await nextTurn()
  expect(begun.length).toBeLessThan(5)
  for (let i = 5; i < 5000; i++) turns.add('a', 0, () => void begun.push(i))
  while (begun.length < 5000) await nextTurn()
  expect(begun).toEqual(Array.from({ length: 5000 }, (_, i) => i))
  turns.add('a', 0, () => void begun.push(5000))
  await nextTurn()
  expect(begun.at(-1)).toBe(5000)
})

test('those of each identity in turn, however many one has', async () => {
  const turns = newTurns()
  const begun: string[] = []
  for (let i = 0; i < 4_000; i++)
    turns.add('flood', 0, () => {
      begun.push('flood')
      if (i < 3) compute()
    })
  for (const name of ['b', 'c']) for (let i = 0; i < 2; i++) turns.add(name, 0, () => void begun.push(name))
  while (begun.length < 4_004) await nextTurn()
  expect(begun.lastIndexOf('b')).toBeLessThan(10)
  expect(begun.lastIndexOf('c')).toBeLessThan(10)
})

test('no more of one identity waits than is bounded', async () => {
  const turns = newTurns()
  let begun = 0
  const begin = () => void begun++
  for (let i = 0; i < 5_000; i++) expect(turns.add('a', 0, begin)).toBe(true)
  expect([turns.add('a', 0, begin), turns.add('b', 32 << 20, begin), turns.add('b', 1, begin), turns.add('c', 1, begin)]).toEqual([
    false,
    true,
    false,
    true,
  ])
  while (begun < 5_002) await nextTurn()
  expect(turns.add('a', 32 << 20, begin)).toBe(true)
})

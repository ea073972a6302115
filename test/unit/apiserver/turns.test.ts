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
    turns.add(() => {
      compute()
      begun.push(i)
    })
  expect(begun).toEqual([])
  await nextTurn()
  await nextTurn()
  expect(begun.length).toBeLessThan(5)
  for (let i = 5; i < 5000; i++) turns.add(() => void begun.push(i))
  while (begun.length < 5000) await nextTurn()
  expect(begun).toEqual(Array.from({ length: 5000 }, (_, i) => i))
  turns.add(() => void begun.push(5000))
  await nextTurn()
  expect(begun.at(-1)).toBe(5000)
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Bag } from '#shared/machinery/bag.ts'
import { Fifo } from '#shared/machinery/fifo.ts'
import { ShortLived } from '#shared/machinery/shortlived.ts'

test('a bag holds what a Set would', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(7))), steps => {
      const items = Array.from({ length: 8 }, () => ({ at: -1 }))
      const bag = new Bag<{ at: number }>()
      const set = new Set<{ at: number }>()
      for (const [add, i] of steps) {
        const item = items[i]!
        if (add) {
          bag.add(item)
          set.add(item)
        } else expect(bag.delete(item)).toBe(set.delete(item))
        expect(items.map(i => bag.has(i))).toEqual(items.map(i => set.has(i)))
        expect(new Set(bag.items)).toEqual(set)
        expect(bag.items.length).toBe(set.size)
      }
    }),
  )
})

test('a queue gives back what an array would', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.nat(3000),
          fc.nat(3000).map(n => -n),
        ),
        { maxLength: 12 },
      ),
      steps => {
        const queue = new Fifo<number>()
        const array: number[] = []
        let next = 0
        for (const n of steps) {
          for (let i = 0; i < n; i++) {
            queue.push(next)
            array.push(next++)
          }
          const taken = array.splice(0, -n)
          expect(Array.from({ length: Math.max(0, -n) }, () => queue.shift()).filter(x => x !== undefined)).toEqual(taken)
          expect(queue.first).toBe(array[0])
          expect(queue.length).toBe(array.length)
        }
      },
    ),
  )
})

test('what is short-lived is found as in a Map, in the order of its coming', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(7))), steps => {
      const short = new ShortLived<number, { n: number }>()
      const map = new Map<number, { n: number }>()
      for (const [i, [set, key]] of steps.entries()) {
        const value = { n: i }
        if (set) {
          short.set(key, value)
          map.set(key, value)
        } else expect(short.delete(key)).toBe(map.delete(key))
        expect(short.get(key)).toBe(map.get(key))
        expect(short.has(key)).toBe(map.has(key))
        expect([...short]).toEqual([...map])
        expect([...short.values()]).toEqual([...map.values()])
        expect(short.size).toBe(map.size)
      }
    }),
  )
})

test('what is removed while others are walked over is left out', () => {
  const short = new ShortLived<string, { name: string }>()
  for (const name of ['a', 'b', 'c']) short.set(name, { name })
  const seen: string[] = []
  for (const { name } of short.values()) {
    seen.push(name)
    short.delete('b')
  }
  expect(seen).toEqual(['a', 'c'])
})

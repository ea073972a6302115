/** The sequence of `cox chaos` comes from its seed. */
import { expect, test } from 'vitest'
import { actionKinds, choose, sequence, type Step } from '#control-plane/cli/chaos/sequence.ts'

const first = (seed: number, n: number, kinds: Parameters<typeof sequence>[1] = actionKinds): Step[] =>
  sequence(seed, kinds).take(n).toArray()

test('the same seed gives the same sequence, another one another', () => {
  expect(first(7, 50)).toEqual(first(7, 50))
  expect(first(7, 50)).not.toEqual(first(8, 50))
  // What users were told about a seed stays true.
  expect(first(7, 8).map(s => s.kind)).toMatchInlineSnapshot(`
    [
      "node",
      "controller-manager",
      "controller-manager",
      "cloud-controller-manager",
      "apiserver",
      "apiserver",
      "agent",
      "node",
    ]
  `)
})
test('everything has its turn, and nothing else', () => {
  expect(new Set(first(1, 200).map(s => s.kind))).toEqual(new Set(actionKinds))
  expect(new Set(first(1, 50, ['nats', 'pod']).map(s => s.kind))).toEqual(new Set(['nats', 'pod']))
})
test('a draw points at one of what there is', () => {
  expect([0, 0.3, 0.5, 0.999, 1].map(at => choose(['a', 'b', 'c'], at))).toEqual(['a', 'a', 'b', 'c', 'c'])
  expect(() => choose([], 0.5)).toThrow('nothing to choose from')
})

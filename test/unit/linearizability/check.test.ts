import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { findViolation, type Action, type Operation } from '../../linearizability/check.ts'

const read = (value: string | null): Action => ({ kind: 'read', value })
const cas = (from: string | null, to: string | null, outcome: 'done' | 'refused' | 'unknown' = 'done'): Action => ({
  kind: 'cas',
  from,
  to,
  outcome,
})
/** `[called, returned, action]` of one register. */
type Line = [called: number, returned: number, action: Action]
const history = (...lines: Line[]): Operation[] =>
  lines.map(([called, returned, action], i) => ({ key: 'x', client: `c${i}`, called, returned, action }))
const explained = (...lines: Line[]): boolean => findViolation(history(...lines)) === undefined

describe('good histories', () => {
  test.each<[string, Line[]]>([
    ['nothing', []],
    [
      'one after the other',
      [
        [1, 2, read(null)],
        [3, 4, cas(null, 'a')],
        [5, 6, read('a')],
        [7, 8, cas('a', 'b')],
        [9, 10, cas('a', 'c', 'refused')],
        [11, 12, read('b')],
      ],
    ],
    [
      'a read beside a write sees the old or the new',
      [
        [1, 10, cas(null, 'a')],
        [2, 3, read(null)],
        [4, 5, read('a')],
        [6, 7, read('a')],
      ],
    ],
    [
      'of two swaps of the same value one is refused',
      [
        [1, 10, cas(null, 'a')],
        [2, 9, cas(null, 'b', 'refused')],
        [11, 12, read('a')],
      ],
    ],
    [
      'what returns first may have come second',
      [
        [1, 4, cas(null, 'b', 'refused')],
        [2, 10, cas(null, 'a')],
      ],
    ],
    [
      'made, removed, made again',
      [
        [1, 2, cas(null, 'a')],
        [3, 4, cas('a', null)],
        [5, 6, read(null)],
        [7, 8, cas('a', 'b', 'refused')],
        [9, 10, cas(null, 'c')],
      ],
    ],
    [
      'unknown: it happened',
      [
        [1, 2, cas(null, 'a', 'unknown')],
        [3, 4, read('a')],
      ],
    ],
    [
      'unknown: it never happened',
      [
        [1, 2, cas(null, 'a', 'unknown')],
        [3, 4, read(null)],
        [5, 6, cas(null, 'b')],
      ],
    ],
    [
      'unknown: it happened later',
      [
        [1, 2, cas(null, 'a', 'unknown')],
        [3, 4, read(null)],
        [5, 6, read('a')],
        [7, 8, cas('a', 'b')],
      ],
    ],
    [
      'unknown: several, of which one happened',
      [
        [1, 2, cas(null, 'a', 'unknown')],
        [3, 4, cas(null, 'b', 'unknown')],
        [5, 6, cas(null, 'c', 'unknown')],
        [7, 8, read('b')],
        [9, 10, read('b')],
      ],
    ],
    [
      'unknown: one on top of the other',
      [
        [1, 2, cas('a', 'b', 'unknown')],
        [3, 4, cas(null, 'a', 'unknown')],
        [5, 6, read('b')],
      ],
    ],
    [
      'unknown: the reason of a refusal',
      [
        [1, 2, cas(null, 'a')],
        [3, 4, cas('a', 'b', 'unknown')],
        [5, 6, cas('a', 'c', 'refused')],
        [7, 8, read('b')],
      ],
    ],
  ])('%s', (_, lines) => expect(explained(...lines)).toBe(true))

  test('registers do not know each other', () => {
    const other = history([1, 2, cas(null, 'z')], [3, 4, read('z')]).map(o => ({ ...o, key: 'y' }))
    expect(findViolation([...history([1, 2, cas(null, 'a')], [3, 4, read('a')]), ...other])).toBeUndefined()
  })
})

describe('bad histories', () => {
  test.each<[string, Line[]]>([
    [
      'a stale read',
      [
        [1, 2, cas(null, 'a')],
        [3, 4, cas('a', 'b')],
        [5, 6, read('a')],
      ],
    ],
    [
      'a read that goes back',
      [
        [1, 20, cas(null, 'a')],
        [2, 3, read('a')],
        [4, 5, read(null)],
      ],
    ],
    [
      'a lost update: two swaps of one value',
      [
        [1, 2, cas(null, 'a')],
        [3, 10, cas('a', 'b')],
        [4, 9, cas('a', 'c')],
      ],
    ],
    [
      'a swap of what was not there',
      [
        [1, 2, cas(null, 'a')],
        [3, 4, cas('b', 'c')],
      ],
    ],
    [
      'an acknowledged write that is gone',
      [
        [1, 2, cas(null, 'a')],
        [3, 4, read(null)],
      ],
    ],
    [
      'a removed one that is back',
      [
        [1, 2, cas(null, 'a')],
        [3, 4, cas('a', null)],
        [5, 6, read('a')],
      ],
    ],
    [
      'made twice',
      [
        [1, 2, cas(null, 'a')],
        [3, 4, cas(null, 'b')],
      ],
    ],
    ['a value out of nowhere', [[1, 2, read('a')]]],
    [
      'a value before it was written',
      [
        [1, 2, read('a')],
        [3, 4, cas(null, 'a')],
      ],
    ],
    [
      'refused without a reason',
      [
        [1, 2, cas(null, 'a')],
        [3, 4, cas('a', 'b', 'refused')],
        [5, 6, cas('a', 'c')],
      ],
    ],
    [
      'refused and yet done',
      [
        [1, 2, cas(null, 'a')],
        [3, 4, cas('a', 'b', 'refused')],
        [5, 6, read('b')],
      ],
    ],
    [
      'unknown: seen before its call',
      [
        [1, 2, read('a')],
        [3, 4, cas(null, 'a', 'unknown')],
      ],
    ],
    [
      'unknown: happened, then not',
      [
        [1, 2, cas(null, 'a', 'unknown')],
        [3, 4, read('a')],
        [5, 6, read(null)],
      ],
    ],
    [
      'unknown: happened twice',
      [
        [1, 2, cas(null, 'a', 'unknown')],
        [3, 4, read('a')],
        [5, 6, cas('a', null)],
        [7, 8, read('a')],
      ],
    ],
    [
      'unknown: explains one of two refusals',
      [
        [1, 2, cas(null, 'a')],
        [3, 4, cas('a', 'b', 'refused')],
        [5, 6, cas('a', 'c', 'unknown')],
        [7, 8, read('c')],
      ],
    ],
  ])('%s', (_, lines) => expect(explained(...lines)).toBe(false))

  test('are told with the operation that nothing explains', () => {
    const found = findViolation([
      ...history([1, 2, cas(null, 'a')], [3, 4, cas('a', 'b')], [5, 6, read('a')], [7, 8, read('b')]),
      { key: 'y', client: 'c', called: 9, returned: 10, action: read(null) },
    ])
    expect(found).toMatchObject({ key: 'x', stuck: { called: 5, action: read('a') } })
  })
})

/** Tries every order: right beyond doubt, and hopeless beyond a few operations. */
function bruteForce(operations: readonly Operation[], value: string | null = null): boolean {
  const isUnknown = (o: Operation) => o.action.kind === 'cas' && o.action.outcome === 'unknown'
  if (operations.every(isUnknown)) return true
  const firstReturn = Math.min(...operations.filter(o => !isUnknown(o)).map(o => o.returned))
  return operations.some(o => {
    if (o.called > firstReturn) return false
    const rest = operations.filter(other => other !== o)
    const { action } = o
    if (action.kind === 'read') return action.value === value && bruteForce(rest, value)
    if (action.outcome === 'refused') return action.from !== value && bruteForce(rest, value)
    return action.from === value && bruteForce(rest, action.to)
  })
}

test('agrees with trying every order', () => {
  const value = fc.constantFrom(null, 'a', 'b')
  const action = fc.oneof(
    fc.record({ kind: fc.constant('read' as const), value }),
    fc.record({
      kind: fc.constant('cas' as const),
      from: value,
      to: value,
      outcome: fc.constantFrom('done' as const, 'refused' as const, 'unknown' as const),
    }),
  )
  const operations = fc
    .array(fc.record({ start: fc.nat(40), length: fc.integer({ min: 1, max: 20 }), action }), { maxLength: 7 })
    .map(all =>
      all.map(({ start, length, action: a }, i): Operation => ({
        key: 'x',
        client: `c${i}`,
        called: start + i / 100,
        returned: start + length + i / 100 + 0.005,
        action: a,
      })),
    )
  let bad = 0
  let good = 0
  fc.assert(
    fc.property(operations, all => {
      const fine = bruteForce(all)
      if (fine) good++
      else bad++
      expect(findViolation(all) === undefined).toBe(fine)
    }),
    { numRuns: 3000 },
  )
  expect(Math.min(bad, good)).toBeGreaterThan(100)
})

test('a long history of a real register is judged quickly, and one wrong value in it is found', () => {
  const random = fc.sample(fc.double({ min: 0, max: 1, noNaN: true }), { numRuns: 20_000, seed: 7 })
  let n = 0
  const next = (): number => random[n++ % random.length]!
  let value: string | null = null
  let count = 0
  const all: Operation[] = []
  // Each acts at a moment between its call and its return, and eight overlap.
  for (let at = 10; at < 30_000; at += 10) {
    const called = at - 40 * next()
    const returned = at + 40 * next()
    if (next() < 0.5) all.push({ key: 'x', client: 'c', called, returned, action: read(value) })
    else {
      const from: string | null = next() < 0.7 ? value : `v${count - 1}`
      const to = `v${++count}`
      const unknown = next() < 0.03
      const fits = from === value
      if (fits && !(unknown && next() < 0.5)) value = to
      all.push({ key: 'x', client: 'c', called, returned, action: cas(from, to, unknown ? 'unknown' : fits ? 'done' : 'refused') })
    }
  }
  expect(findViolation(all)).toBeUndefined()
  const late = all.findLast(o => o.action.kind === 'read')!
  expect(findViolation(all.map(o => (o === late ? { ...o, action: read('v3') } : o)))).toBeDefined()
})

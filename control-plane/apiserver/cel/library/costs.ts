/** Costs of Kubernetes' libraries: k8s.io/apiserver/pkg/cel/library/cost.go. */
import { sizeOrUnknown, traversed, type CostEstimator } from '../estimate.ts'
import { traversal, type Overload } from '../functions.ts'
import { exactly, one, plus, scaled, times, unknown, type Range } from '../range.ts'
import { ListValue, MapValue, sizeOf, type Value } from '../values.ts'
import { spend } from '../work.ts'

type Costs = Pick<Overload, 'cost' | 'estimate'>

export const fixed = (cost: number): Costs => ({ cost: () => cost, estimate: () => ({ cost: exactly(cost) }) })

/** A walk through the first argument, which is parsed; `factor` times. */
export const parses = (factor = 1): Costs => ({
  cost: args => Math.ceil(sizeOf(args[0]!) * factor * 0.1),
  estimate: ([text]) => ({ cost: scaled(sizeOrUnknown(text), factor * 0.1) }),
})

/** The same where the result is as long as the argument. */
export const rewrites: Costs = {
  cost: args => traversal(sizeOf(args[0]!)),
  estimate: ([text]) => ({ cost: traversed(sizeOrUnknown(text)), size: sizeOrUnknown(text) }),
}

/** What it costs to walk through all that a value holds. */
export function walk(v: Value, depth = 0): number {
  if (typeof v === 'string' || v instanceof Uint8Array) return Math.floor(sizeOf(v) * 0.1)
  spend(1)
  if (depth > 100) return 1
  if (v instanceof ListValue) {
    let cost = 0
    for (const item of v) cost += walk(item, depth + 1)
    return cost
  }
  if (v instanceof MapValue) {
    let cost = 0
    for (const key of v.keys()) cost += walk(key, depth + 1) + walk(v.get(key)!, depth + 1)
    return cost
  }
  return 1
}

/** How large an element of a list argument may be, as its schema says. */
export const itemSize: (part: Parameters<CostEstimator>[0][number], sizes: Parameters<CostEstimator>[1]) => Range = (part, sizes) =>
  sizes.sizeAt([...part.path, '@items'], part.type.params[0]!) ?? unknown

/** Comparing or adding up all elements. */
export const searches: Costs = {
  cost: args => walk(args[0]!),
  estimate: ([list], sizes) => {
    const item = list!.type.params[0]
    if (!item) return { cost: traversed(sizeOrUnknown(list)) }
    const each = item.kind === 'string' || item.kind === 'bytes' ? plus(one, traversed(itemSize(list!, sizes))) : one
    return { cost: times(sizeOrUnknown(list), each) }
  },
}

export const finds: Costs = {
  cost: args => Math.ceil((1 + sizeOf(args[0]!)) * 0.1) * Math.ceil(sizeOf(args[1]!) * 0.25),
  estimate: ([text, pattern]) => ({
    cost: times(traversed(plus(sizeOrUnknown(text), one)), scaled(sizeOrUnknown(pattern), 0.25)),
    size: { min: 0, max: sizeOrUnknown(text).max },
  }),
}

/** A new list: `factor` for each of what `count` says. */
export const lists = (
  count: (args: readonly Value[], result: Value) => number,
  size: (args: Parameters<CostEstimator>[0]) => Range,
  factor = 1,
): Costs => ({
  cost: (args, result) => Math.floor(count(args, result) * factor) + 11,
  estimate: args => {
    const of = size(args)
    return { cost: plus(scaled(of, factor), exactly(11)), size: of }
  },
})

/** The number that an argument is, when it is written there. */
export const literalInt = (part: Parameters<CostEstimator>[0][number] | undefined, otherwise: number): number => {
  const value = part?.expr.kind === 'literal' ? part.expr.value : undefined
  return typeof value === 'bigint' ? Math.max(0, Number(value)) : otherwise
}

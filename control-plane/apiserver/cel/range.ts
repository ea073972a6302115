/** Ranges of sizes and costs that are estimated before there are values. As 64-bit counts upstream, they stop at the largest. */

export interface Range {
  readonly min: number
  readonly max: number
}

/** Stands for all that is too large to count. */
export const most = 2 ** 64
const bounded = (n: number): number => Math.min(n, most)

export const exactly = (n: number): Range => ({ min: n, max: n })
export const unknown: Range = { min: 0, max: most }
export const zero = exactly(0)
export const one = exactly(1)

export const plus = (...ranges: readonly Range[]): Range => ({
  min: bounded(ranges.reduce((sum, r) => sum + r.min, 0)),
  max: bounded(ranges.reduce((sum, r) => sum + r.max, 0)),
})
export const times = (a: Range, b: Range): Range => ({ min: bounded(a.min * b.min), max: bounded(a.max * b.max) })
/** Rounded up. */
export const scaled = (a: Range, factor: number): Range => ({
  min: bounded(Math.ceil(a.min * factor)),
  max: bounded(Math.ceil(a.max * factor)),
})
/** What covers both. */
export const union = (a: Range, b: Range): Range => ({ min: Math.min(a.min, b.min), max: Math.max(a.max, b.max) })

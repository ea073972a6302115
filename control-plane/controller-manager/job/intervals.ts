/** Completion indexes as sorted intervals that do not touch: what `1,3-5,7` in a job's status stands for. */

export interface Interval {
  readonly first: number
  readonly last: number
}
export type Intervals = readonly Interval[]

/** Reads indexes below `completions`; what cannot be read is left out, and an interval that goes on beyond them is cut. */
export function parseIntervals(text: string | undefined, completions: number): Intervals {
  const found: Interval[] = []
  for (const part of (text ?? '').split(',')) {
    const [first, last] = part.split('-')
    if (!/^\d+$/.test(first!) || (last !== undefined && !/^\d+$/.test(last))) continue
    if (Number(first) < completions) found.push({ first: Number(first), last: Math.min(Number(last ?? first), completions - 1) })
  }
  return merge(found, [])
}

/** As text: two neighbours are `1,2`, more of them `1-3`. */
export const formatIntervals = (intervals: Intervals): string =>
  intervals.map(({ first, last }) => (first === last ? `${first}` : last === first + 1 ? `${first},${last}` : `${first}-${last}`)).join(',')

export const intervalsOf = (indexes: Iterable<number>): Intervals =>
  merge(
    [...indexes].sort((a, b) => a - b).map(i => ({ first: i, last: i })),
    [],
  )

/** What is in one of them; both are sorted by their beginnings. */
export function merge(a: Intervals, b: Intervals): Intervals {
  const result: { first: number; last: number }[] = []
  for (let i = 0, j = 0; i < a.length || j < b.length;) {
    const next = j >= b.length || (i < a.length && a[i]!.first < b[j]!.first) ? a[i++]! : b[j++]!
    const before = result.at(-1)
    if (!before || next.first > before.last + 1) result.push({ ...next })
    else if (next.last > before.last) before.last = next.last
  }
  return result
}

export const total = (intervals: Intervals): number => intervals.reduce((n, { first, last }) => n + last - first + 1, 0)

export function has(intervals: Intervals, index: number): boolean {
  let [low, high] = [0, intervals.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (intervals[middle]!.last >= index) high = middle
    else low = middle + 1
  }
  return low < intervals.length && intervals[low]!.first <= index
}

/** How many indexes both have. */
export function common(a: Intervals, b: Intervals): number {
  let n = 0
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const [x, y] = [a[i]!, b[j]!]
    n += Math.max(0, Math.min(x.last, y.last) - Math.max(x.first, y.first) + 1)
    if (x.last <= y.last) i++
    if (y.last <= x.last) j++
  }
  return n
}

/** The first `count` indexes below `completions` that are in none of the intervals. */
export function firstMissing(intervals: Intervals, count: number, completions: number): number[] {
  const result: number[] = []
  let candidate = 0
  for (const { first, last } of [...intervals, { first: completions, last: completions }]) {
    for (; candidate < first && candidate < completions && result.length < count; candidate++) result.push(candidate)
    candidate = Math.max(candidate, last + 1)
  }
  return result
}

/** Indexes of an indexed job as text, `1,3-5,7`: sorted intervals below `completions`. */

/** Reads one interval. Throws an Error with upstream's text. */
function parseInterval(text: string, completions: number): readonly [first: number, last: number] {
  const limits = text.split('-')
  if (limits.length > 2)
    throw new Error(
      `the fragment ${JSON.stringify(text)} violates the requirement that an index interval can have at most two parts separated by '-'`,
    )
  const [first, last] = limits.map(limit => {
    if (!/^\+?\d+$/.test(limit)) throw new Error(`cannot convert string to integer for index: ${JSON.stringify(limit)}`)
    if (Number(limit) >= completions) throw new Error(`too large index: ${JSON.stringify(limit)}`)
    return Number(limit)
  }) as [number, number | undefined]
  if (last === undefined) return [first, first]
  if (first >= last) throw new Error(`non-increasing order, previous: ${first}, current: ${last}`)
  return [first, last]
}

/** How many indexes the text names. Throws an Error with upstream's text. */
export function countIndexes(text: string, completions: number): number {
  if (text === '') return 0
  let total = 0
  let previous: number | undefined
  for (const interval of text.split(',')) {
    const [first, last] = parseInterval(interval, completions)
    if (previous !== undefined && previous >= first) throw new Error(`non-increasing order, previous: ${previous}, current: ${first}`)
    total += last - first + 1
    previous = last
  }
  return total
}

/** The first index that two texts both name; what cannot be read is left out. */
export function overlap(a: string, b: string, completions: number): number | undefined {
  const intervals = (text: string) =>
    text.split(',').flatMap(interval => {
      try {
        return [parseInterval(interval, completions)]
      } catch {
        return []
      }
    })
  const [left, right] = [intervals(a), intervals(b)]
  for (let i = 0, j = 0; i < left.length && j < right.length;) {
    const [x, y] = [left[i]!, right[j]!]
    if (x[0] <= y[1] && y[0] <= x[1]) return Math.max(x[0], y[0])
    if (x[0] <= y[0]) i++
    else j++
  }
  return undefined
}

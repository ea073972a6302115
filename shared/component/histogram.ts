/** A histogram in plain numbers: prom-client's own is slow with each sample. */

export interface Histogram {
  observe(value: number): void
  readonly count: number
  readonly sum: number
  /** By upper bound, cumulated, the last one `+Inf`: Prometheus' samples. */
  buckets(): [le: number | '+Inf', count: number][]
}

/** `bounds` are the buckets' inclusive upper ends, rising. */
export function histogram(bounds: readonly number[]): Histogram {
  const counts = new Uint32Array(bounds.length)
  let count = 0
  let sum = 0
  return {
    observe(value) {
      count++
      sum += value
      let i = 0
      while (i < bounds.length && value > bounds[i]!) i++
      if (i < bounds.length) counts[i]!++
    },
    get count() {
      return count
    },
    get sum() {
      return sum
    },
    buckets() {
      let below = 0
      return [...bounds.map((le, i): [number, number] => [le, (below += counts[i]!)]), ['+Inf', count]]
    },
  }
}

/** The value below which a share `p` (0 to 1) of the samples lies; NaN when there are none. */
export function percentile(samples: readonly number[], p: number): number {
  const sorted = [...samples].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(p * sorted.length) - 1))] ?? NaN
}

/** Of an even number, half-way between the two in the middle. */
export const median = (samples: readonly number[]): number =>
  (percentile(samples, 0.5) -
    percentile(
      samples.map(s => -s),
      0.5,
    )) /
  2

/** Runs `task` `count` times, `width` at a time. */
export async function inFlight(count: number, width: number, task: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0
  const work = async (): Promise<void> => {
    while (next < count) await task(next++)
  }
  await Promise.all(Array.from({ length: Math.min(width, count) }, work))
}

/** Runs `task` for that many seconds, `width` at a time; resolves with how many ended per second. */
export async function ratePerSecond(seconds: number, width: number, task: (i: number) => Promise<unknown>): Promise<number> {
  const began = performance.now()
  const end = began + seconds * 1000
  let started = 0
  const work = async (): Promise<void> => {
    while (performance.now() < end) await task(started++)
  }
  await Promise.all(Array.from({ length: width }, work))
  return started / ((performance.now() - began) / 1000)
}

/** The node whose victims are the smallest loss. */
import { startOf } from './importance.ts'
import type { Victims } from './victims.ts'

/** Makes all priorities positive, so that many pods of a negative one are a larger loss than few. */
const offset = 2 ** 31

/** In upstream's order, higher is better: the next is asked only where the ones before leave several. */
const scores: readonly ((v: Victims) => number)[] = [
  v => -v.violations,
  v => -v.pods[0]!.priority,
  v => -v.pods.reduce((sum, p) => sum + p.priority + offset, 0),
  v => -v.pods.length,
  // Of the most important victims the one that has run for longest should be young.
  v => Math.min(...v.pods.filter(p => p.priority === v.pods[0]!.priority).map(startOf)),
]

/** `candidates` has at least one. */
export function pickBest(candidates: readonly Victims[]): Victims {
  let left = candidates
  for (const score of scores) {
    if (left.length === 1) break
    const best = Math.max(...left.map(score))
    left = left.filter(v => score(v) === best)
  }
  return left[0]!
}

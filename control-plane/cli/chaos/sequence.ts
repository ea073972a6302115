/** What happens is drawn from the seed alone, never from the clock: the same seed gives the same sequence. */
import type { ActionKind } from './history.ts'

/** In the order of their names on the command line. */
export const actionKinds = [
  'node',
  'agent',
  'apiserver',
  'nats',
  'controller-manager',
  'scheduler',
  'cloud-controller-manager',
  'pod',
  'link',
] as const satisfies readonly ActionKind[]

/** One draw: numbers from 0 to 1 choose among what there is when its turn comes. */
export interface Step {
  kind: ActionKind
  target: number
  detail: number
  /** Of what lasts: how long. */
  length: number
}

/** Mulberry32: 32 bits of state, good enough to choose victims. */
function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** The endless sequence of a seed. */
export function* sequence(seed: number, kinds: readonly ActionKind[]): Generator<Step, never> {
  const draw = random(seed)
  for (;;) yield { kind: choose(kinds, draw()), target: draw(), detail: draw(), length: draw() }
}

/** The element that a number from 0 to 1 points at. Throws when there is none. */
export function choose<T>(from: readonly T[], at: number): T {
  const chosen = from[Math.min(from.length - 1, Math.floor(at * from.length))]
  if (chosen === undefined) throw new Error('there is nothing to choose from')
  return chosen
}

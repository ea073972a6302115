/**
 * The end of a turn of the event loop: what gathers during a turn, to be sent together, leaves then. That is in the phase of immediates, or
 * before, when whoever divides the loop's time says that the turn's work is done.
 */

let waiting: (() => unknown)[] = []
let immediate: NodeJS.Immediate | undefined

/** Calls `run`, which must not throw, once, at the end of this turn. */
export function atEndOfTurn(run: () => unknown): void {
  waiting.push(run)
  immediate ??= setImmediate(endTurn)
}

/** The turn's work is done. */
export function endTurn(): void {
  clearImmediate(immediate)
  immediate = undefined
  if (waiting.length === 0) return
  const runs = waiting
  waiting = []
  for (const run of runs) run()
}

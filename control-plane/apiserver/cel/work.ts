/**
 * What an evaluation may spend on work whose cost upstream does not count: comparing values that hold one another many times over, for one,
 * is exponential in the length of the expression. One evaluation runs at a time, from beginning to end.
 */

/** Steps of such work in one evaluation; some ten a microsecond. */
const maxSteps = 2_000_000

/** Ends an evaluation at once: no operator passes over it. */
export class CostExceeded extends Error {
  constructor() {
    super('operation cancelled: actual cost limit exceeded')
  }
}

let left = maxSteps

export function spend(steps: number): void {
  left -= steps
  if (left < 0) {
    left = maxSteps
    throw new CostExceeded()
  }
}

/** Called when an evaluation begins. */
export function beginWork(): void {
  left = maxSteps
}

/** Ends an evaluation that must wait for something; when that is there it begins again. */
export class Pending extends Error {
  readonly until: Promise<void>
  constructor(until: Promise<void>) {
    super('evaluation is pending')
    this.until = until
  }
}

/** Why a webhook gave no verdict. */
import { internalError, StatusError } from '#shared/machinery/status.ts'
import { currentTurn } from '../../chain/turn.ts'

/** It could not be asked, or its answer is none: its failurePolicy says what becomes of the request. */
export class CallFailed extends Error {
  /** For metrics: the code of the answer, or 503. */
  readonly code: number
  /** The request that it was asked about was given up, so that nothing is said of the webhook. */
  readonly canceled: boolean

  constructor(webhook: string, reason: string, code: number, canceled = false) {
    super(`failed calling webhook ${JSON.stringify(webhook)}: ${reason}`)
    this.name = 'CallFailed'
    this.code = code
    this.canceled = canceled
  }

  /** As the client is told. */
  get status(): StatusError {
    return internalError(this.message)
  }
}

/** It denied the request. */
export class Rejected extends Error {
  readonly status: StatusError
  constructor(status: StatusError) {
    super(status.message)
    this.name = 'Rejected'
    this.status = status
  }
}

/** Throws upstream's answer to a request whose time ran out between two webhooks. */
export function checkTime(): void {
  const turn = currentTurn()
  if (turn && (turn.signal.aborted || turn.until <= performance.now()))
    throw new StatusError(504, 'Timeout', 'Timeout: request did not complete within requested timeout', {})
}

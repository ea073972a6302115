/** A request's turn at being worked on: how long it may take, and how others go on while it waits for somebody outside of the server. */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Admitted, FlowControl } from '../flowcontrol/flowcontrol.ts'

const turns = new AsyncLocalStorage<Turn>()

/** The turn of the request that is being worked on; undefined for streams and for what the server does by itself. */
export function currentTurn(): Turn | undefined {
  const turn = turns.getStore()
  return turn?.isOver === false ? turn : undefined
}

/** Undefined when what computes for long may go on at once; else it may when the promise resolves. */
export type Pause = () => Promise<void> | undefined

/** How the request that is being worked on lets others go on, now and while its answer is sent. */
export function pauses(): Pause {
  const turn = turns.getStore()
  return turn ? () => turn.pause() : () => new Promise(resolve => setImmediate(resolve))
}

export class Turn {
  /** performance.now() at which nobody waits for the answer any more. */
  readonly until: number
  readonly #request: { readonly signal: AbortSignal }
  readonly #flowControl: FlowControl
  readonly #admitted: Admitted
  #held = false
  #over = false
  #waiting: Promise<void> | undefined
  /** Parts of the work that wait outside. */
  #aside = 0

  constructor(flowControl: FlowControl, admitted: Admitted, until: number, request: { readonly signal: AbortSignal }) {
    this.#flowControl = flowControl
    this.#admitted = admitted
    this.until = until
    this.#request = request
  }

  /** Aborts when the client is gone. Few look: each request's own signal costs more than a get's other work. */
  get signal(): AbortSignal {
    return this.#request.signal
  }

  get isOver(): boolean {
    return this.#over
  }

  /** Does the work, which knows the turn as the current one. */
  run<T>(work: () => T): T {
    return turns.run(this, work)
  }

  /** Undefined when the work may begin; else it may when the promise resolves. */
  begin(): Promise<void> | undefined {
    const turn = this.#flowControl.begin(this.#admitted)
    if (!turn) {
      this.#held = true
      return undefined
    }
    return turn.then(() => {
      this.#held = true
      if (this.#over) this.#release()
    })
  }

  /** Undefined when the work may compute now; else it may when the promise resolves. */
  slice(): Promise<void> | undefined {
    return this.#flowControl.runs.begin(this.#admitted.flow.schema.level.line)
  }

  /** Lets others go on when this one has computed for long. As slice(). */
  pause(): Promise<void> | undefined {
    return this.#flowControl.runs.pause(this.#admitted.flow.schema.level.line)
  }

  /** Does something that takes time elsewhere: meanwhile another request is worked on, and afterwards this one stands in line again. */
  async aside<T>(work: () => Promise<T>): Promise<T> {
    if (this.#aside++ === 0) this.#release()
    try {
      return await work()
    } finally {
      if (--this.#aside === 0 && !this.#held && !this.#over) {
        this.#waiting ??= Promise.resolve(this.begin()).finally(() => (this.#waiting = undefined))
        await this.#waiting
      }
    }
  }

  /** The work is done, or given up. */
  over(): void {
    this.#over = true
    this.#release()
  }

  #release(): void {
    if (!this.#held) return
    this.#held = false
    this.#flowControl.end(this.#admitted)
  }
}

/**
 * Messages that leave together: those of one turn of the event loop in one write to the socket. nats.js makes a write of nearly each, which
 * costs more than all else about it.
 */
import type { NatsConnection, PublishOptions } from 'nats'
import { atEndOfTurn } from './endofturn.ts'
import { publishParts } from './tcp.ts'

/** What a message carries; of one in parts no part is copied when it is large, and it has no headers. */
export type Data = Uint8Array | string | readonly Uint8Array[]

interface Letter {
  readonly subject: string
  readonly data: Data
  readonly options: PublishOptions | undefined
  readonly refused: ((error: Error) => void) | undefined
}

export class Outbox {
  readonly #nats: NatsConnection
  #letters: Letter[] = []
  readonly #send = (): void => this.send()

  constructor(nats: NatsConnection) {
    this.#nats = nats
  }

  publish(subject: string, data: Data, options?: PublishOptions, refused?: (error: Error) => void): void {
    if (this.#letters.push({ subject, data, options, refused }) === 1) atEndOfTurn(this.#send)
  }

  send(): void {
    const letters = this.#letters
    this.#letters = []
    for (const { subject, data, options, refused } of letters) {
      try {
        if (typeof data === 'string' || data instanceof Uint8Array) this.#nats.publish(subject, data, options)
        else publishParts(this.#nats, subject, data, options?.reply)
      } catch (e) {
        refused?.(e as Error)
      }
    }
  }
}

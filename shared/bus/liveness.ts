/**
 * Whether the API servers live that work for a client: each is asked; when its process is gone, NATS itself answers that nobody listens.
 */

const heartbeatMs = 1_000
/**
 * A server that leaves questions unanswered for so many checks, four a second, is taken for dead. Checks, not time: what came while this
 * process was paused, or had no processor, is read before the second of them.
 */
const silentChecks = 24
/** A server that was heard of in this time may have got a request. */
const knownMs = 60_000

interface Server {
  /** When something came from it last. */
  heard: number
  /** When it is asked next. */
  due: number
  /** A question is not answered. */
  asked: boolean
  /** Checks since something came from it, or since it was asked. */
  silent: number
}

export class Servers {
  readonly #servers = new Map<string, Server>()
  readonly #ask: (id: string) => void
  readonly #lost: (id: string, why: string) => void

  /** `ask` sends a question, `lost` hears of each server that is gone. */
  constructor(ask: (id: string) => void, lost: (id: string, why: string) => void) {
    this.#ask = ask
    this.#lost = lost
  }

  get size(): number {
    return this.#servers.size
  }

  /** Something came from a server. */
  hear(id: string): void {
    const now = performance.now()
    const server = this.#servers.get(id)
    if (server) Object.assign(server, { heard: now, silent: 0 })
    else this.#servers.set(id, { heard: now, due: now + heartbeatMs, asked: false, silent: 0 })
  }

  /** A server answered, and wants the next question in `nextMs`. False when it is not known. */
  answered(id: string, nextMs: number): boolean {
    const server = this.#servers.get(id)
    if (!server) return false
    const now = performance.now()
    Object.assign(server, { heard: now, asked: false, due: now + Math.max(heartbeatMs, nextMs) })
    return true
  }

  lose(id: string, why: string): void {
    if (this.#servers.delete(id)) this.#lost(id, why)
  }

  clear(): void {
    this.#servers.clear()
  }

  /** Whether one is to be asked, or has not answered: else there is nothing to check. */
  get due(): boolean {
    const now = performance.now()
    for (const server of this.#servers.values()) if (server.asked || now >= server.due) return true
    return false
  }

  /** Asks those in use; `doubtful`: all, since any may have got a request that nobody speaks of. */
  check(used: ReadonlySet<string>, doubtful: boolean): void {
    const now = performance.now()
    for (const [id, server] of this.#servers) {
      if (!used.has(id) && !doubtful) {
        server.asked = false
        if (now - server.heard > knownMs) this.#servers.delete(id)
      } else if (server.asked && ++server.silent > silentChecks) this.lose(id, 'the API server is silent')
      else if (now >= server.due) {
        if (!server.asked) Object.assign(server, { asked: true, silent: 0 })
        server.due = now + heartbeatMs
        this.#ask(id)
      }
    }
  }
}

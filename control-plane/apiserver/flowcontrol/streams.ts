/** Counts what lasts (watches, logs, tunnels) by identity. */
import type { UserInfo } from '#shared/bus/transport.ts'

const isNode = (user: UserInfo): boolean => user.name.startsWith('system:node:')

export class Streams {
  readonly #counts = new Map<string, number>()
  readonly #ofNode: number
  readonly #ofOthers: number

  constructor(ofNode = 1_000, ofOthers = 10_000) {
    this.#ofNode = ofNode
    this.#ofOthers = ofOthers
  }

  /**
   * Throws what `refuse` makes when the identity has as many as it may have. Returns how to say, once or more often, that one has ended.
   */
  open(user: UserInfo, refuse: () => Error): () => void {
    const { name } = user
    const count = this.#counts.get(name) ?? 0
    if (count >= (isNode(user) ? this.#ofNode : this.#ofOthers)) throw refuse()
    this.#counts.set(name, count + 1)
    let open = true
    return () => {
      if (!open) return
      open = false
      const left = this.#counts.get(name)! - 1
      if (left === 0) this.#counts.delete(name)
      else this.#counts.set(name, left)
    }
  }
}

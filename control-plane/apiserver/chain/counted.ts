/** A body, with a call when it has ended, by either side. */
export class Counted implements AsyncIterableIterator<Uint8Array> {
  readonly #pieces: AsyncIterator<Uint8Array>
  readonly #ended: () => void

  constructor(body: AsyncIterable<Uint8Array>, ended: () => void) {
    this.#pieces = body[Symbol.asyncIterator]()
    this.#ended = ended
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    try {
      const piece = await this.#pieces.next()
      if (piece.done) this.#ended()
      return piece
    } catch (e) {
      this.#ended()
      throw e
    }
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    this.#ended()
    return (await this.#pieces.return?.()) ?? { done: true, value: undefined }
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}

/** Reads a stream of chunks by numbers of bytes. */
import { ImageError } from '../imageservice.ts'

export interface ByteReader {
  /** Exactly as many; undefined at the end. Rejects with ImageError when the end comes in their middle. */
  read(bytes: number): Promise<Buffer | undefined>
  /** As many, in pieces as they come. */
  pieces(bytes: number): AsyncGenerator<Buffer>
  skip(bytes: number): Promise<void>
  /** Reads to the end of the stream. */
  drain(): Promise<void>
}

export function byteReader(source: AsyncIterable<Uint8Array>): ByteReader {
  const chunks = source[Symbol.asyncIterator]()
  let chunk: Buffer = Buffer.alloc(0)
  let at = 0
  /** False at the end. */
  async function fill(): Promise<boolean> {
    while (at === chunk.length) {
      const next = await chunks.next()
      if (next.done === true) return false
      chunk = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength)
      at = 0
    }
    return true
  }
  const take = (bytes: number): Buffer => chunk.subarray(at, (at += Math.min(bytes, chunk.length - at)))
  const cutOff = (): ImageError => new ImageError('the archive is damaged: it is cut off')
  async function* pieces(bytes: number): AsyncGenerator<Buffer> {
    for (let left = bytes; left > 0;) {
      if (!(await fill())) throw cutOff()
      const piece = take(left)
      left -= piece.length
      yield piece
    }
  }
  return {
    pieces,
    async read(bytes) {
      if (!(await fill())) return undefined
      if (chunk.length - at >= bytes) return take(bytes)
      const parts: Buffer[] = []
      for await (const piece of pieces(bytes)) parts.push(piece)
      return Buffer.concat(parts)
    },
    async skip(bytes) {
      for await (const _ of pieces(bytes));
    },
    async drain() {
      for (at = chunk.length; await fill();) at = chunk.length
    },
  }
}

/**
 * Writing protobuf's wire format, from the last byte to the first: the length of a message is known when it is written in front of it, so
 * that nothing is measured twice.
 */

/** The types of the wire. */
export const wire = { varint: 0, eightBytes: 1, length: 2, fourBytes: 5 } as const

const keptBytes = 1 << 20

/** Fields are written in reverse, the last one of a message first; each is its value and then its key. */
export class WireWriter {
  #buffer = Buffer.allocUnsafe(4096)
  /** Bytes are written in front of this place. */
  #at = this.#buffer.length

  /** How much is written: to be passed to `message`. */
  get length(): number {
    return this.#buffer.length - this.#at
  }

  /** All that was written, the last write first. */
  finish(): Buffer {
    return this.#buffer.subarray(this.#at)
  }

  /** The same as a copy, and begins anew. */
  take(): Buffer {
    const taken = Buffer.from(this.finish())
    // One large message should not hold its memory for good.
    if (this.#buffer.length > keptBytes) this.#buffer = Buffer.allocUnsafe(4096)
    this.#at = this.#buffer.length
    return taken
  }

  #room(count: number): void {
    if (this.#at >= count) return
    const used = this.length
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, used + count))
    this.#buffer.copy(grown, grown.length - used, this.#at)
    this.#buffer = grown
    this.#at = grown.length - used
  }

  key(tag: number, type: number): void {
    this.#varint(tag * 8 + type)
  }

  /** A non-negative integer of at most 53 bits. */
  #varint(value: number): void {
    if (value < 0x80) {
      this.#room(1)
      this.#buffer[--this.#at] = value
      return
    }
    let count = 1
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 128)) count++
    this.#room(count)
    this.#at -= count
    let rest = value
    for (let i = 0; i < count - 1; i++, rest = Math.floor(rest / 128)) this.#buffer[this.#at + i] = (rest % 128) | 0x80
    this.#buffer[this.#at + count - 1] = rest
  }

  /** An integer; negative ones take ten bytes, as two's complement of 64 bits. */
  integer(tag: number, value: number): void {
    if (value >= 0) this.#varint(value)
    else {
      let rest = BigInt.asUintN(64, BigInt(value))
      this.#room(10)
      this.#at -= 10
      for (let i = 0; i < 9; i++, rest >>= 7n) this.#buffer[this.#at + i] = Number(rest & 0x7fn) | 0x80
      this.#buffer[this.#at + 9] = Number(rest)
    }
    this.key(tag, wire.varint)
  }

  boolean(tag: number, value: boolean): void {
    this.integer(tag, value ? 1 : 0)
  }

  double(tag: number, value: number): void {
    this.#room(8)
    this.#at -= 8
    this.#buffer.writeDoubleLE(value, this.#at)
    this.key(tag, wire.eightBytes)
  }

  string(tag: number, value: string): void {
    const count = Buffer.byteLength(value)
    this.#room(count)
    this.#at -= count
    this.#buffer.write(value, this.#at)
    this.#varint(count)
    this.key(tag, wire.length)
  }

  bytes(tag: number, value: Uint8Array): void {
    this.raw(value)
    this.#varint(value.length)
    this.key(tag, wire.length)
  }

  /** Bytes as they are, without a key. */
  raw(value: Uint8Array): void {
    this.#room(value.length)
    this.#at -= value.length
    this.#buffer.set(value, this.#at)
  }

  /** Ends a message whose fields were written since `length` was `start`. */
  message(tag: number, start: number): void {
    this.#varint(this.length - start)
    this.key(tag, wire.length)
  }
}

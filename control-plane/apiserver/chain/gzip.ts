/**
 * gzip for clients that accept it, as upstream: answers above 128 KiB, at the fastest level. What was compressed once is not compressed
 * again.
 */
import { promisify } from 'node:util'
import { constants, crc32, deflateRaw, deflateRawSync, gzip } from 'node:zlib'
import type { ApiRequest } from '#shared/bus/transport.ts'
import type { Answer } from './response.ts'

/** Smaller answers are sent as they are. */
export const gzipThreshold = 128 * 1024
const level = 1

export const acceptsGzip = (request: ApiRequest): boolean =>
  request.headers['accept-encoding']?.split(',').some(coding => coding.trim() === 'gzip') ?? false

const gzipAsync = promisify(gzip)
// Documents and stored objects are the same bytes for everybody.
const known = new WeakMap<Uint8Array, Promise<Buffer>>()

/** The answer, compressed when that pays. */
export async function compressed(answer: Answer): Promise<Answer> {
  const { body } = answer
  if (!(body instanceof Uint8Array) || body.length <= gzipThreshold || answer.headers['content-encoding'] !== undefined) return answer
  let work = known.get(body)
  if (!work) known.set(body, (work = gzipAsync(body, { level })))
  answer.body = await work
  return encoded(answer)
}

/** Says that the body is compressed. */
export function encoded(answer: Answer): Answer {
  answer.headers['content-encoding'] = 'gzip'
  answer.headers['vary'] = 'Accept-Encoding'
  return answer
}

/** A part of a gzip body: compressed by itself, so that it can be used again behind another beginning. */
export interface Deflated {
  readonly data: Buffer
  /** Of the text. */
  readonly crc: number
  readonly length: number
}

// Such a part ends with a flush at a byte's boundary and leaves nothing open.
const open = { level, finishFlush: constants.Z_SYNC_FLUSH }
const deflateAsync = promisify(deflateRaw)

export async function deflated(pieces: AsyncIterable<Uint8Array>): Promise<Deflated> {
  const parts: Buffer[] = []
  let crc = 0
  let length = 0
  for await (const piece of pieces) {
    crc = crc32(piece, crc)
    length += piece.length
    parts.push(await deflateAsync(piece, open))
  }
  return { data: Buffer.concat(parts), crc, length }
}

// RFC 1952: magic, deflate, no flags, no time, fastest, unknown system. RFC 1951: a last block with nothing in it.
const gzipHead = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255])
const lastBlock = Buffer.from([3, 0])

/** The gzip body of `head` and what follows it. */
export function gzipOf(head: Buffer, rest: Deflated): Buffer {
  const end = Buffer.alloc(8)
  end.writeUInt32LE(combined(crc32(head), rest.crc, rest.length))
  end.writeUInt32LE((head.length + rest.length) % 2 ** 32, 4)
  return Buffer.concat([gzipHead, deflateRawSync(head, open), rest.data, lastBlock, end])
}

/**
 * CRC-32 of two texts, one behind the other, from those of each: the first is multiplied by x^(8 * length of the second) modulo the
 * polynomial, bits reversed.
 */
function combined(first: number, second: number, length: number): number {
  let factor = 1 << 31
  // x^8, squared again and again.
  let power = 1 << 23
  for (let n = length; n > 0; n = Math.floor(n / 2)) {
    if (n % 2 === 1) factor = times(power, factor)
    power = times(power, power)
  }
  return (times(factor, first) ^ second) >>> 0
}

function times(a: number, b: number): number {
  let product = 0
  for (let bit = 31; bit >= 0; bit--) {
    if ((a >>> bit) & 1) product ^= b
    b = b & 1 ? (b >>> 1) ^ 0xedb88320 : b >>> 1
  }
  return product
}

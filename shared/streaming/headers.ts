/** The headers of SPDY frames: names and values with their lengths, in one zlib stream per connection and direction. */
import { constants, inflateRawSync } from 'node:zlib'
import { dictionary } from './dictionary.ts'

/** A client that sends more than this in one block means no good. */
const maxBytes = 64 * 1024
const windowBytes = 32 * 1024
/** Two bytes of zlib and, when the dictionary is named, four bytes of its checksum. */
const zlibHeader = (block: Buffer): number => ((block[1] ?? 0) & 0x20 ? 6 : 2)

/**
 * Reads the blocks of one connection in order. Every block ends on a byte, so each can be inflated by itself with what came before as its
 * dictionary. Throws for what is no block.
 */
export function headerReader(): (block: Buffer) => Map<string, string> {
  let window: Buffer | undefined
  return block => {
    const raw = window ? block : block.subarray(zlibHeader(block))
    window ??= dictionary
    const text = inflateRawSync(raw, { dictionary: window, finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: maxBytes })
    window = Buffer.concat([window, text]).subarray(-windowBytes)
    return pairs(text)
  }
}

function pairs(text: Buffer): Map<string, string> {
  let at = 4
  const next = (): string => {
    const length = text.readUInt32BE(at)
    at += 4 + length
    if (at > text.length) throw new RangeError('a header is cut off')
    return text.toString('utf8', at - length, at)
  }
  const headers = new Map<string, string>()
  for (let count = text.readUInt32BE(0); count > 0; count--) {
    const name = next().toLowerCase()
    headers.set(name, next())
  }
  return headers
}

/**
 * Blocks without headers, which are all that a server has to send: stored, not compressed, so that there is nothing to remember. An empty
 * block follows, as after every flush: Go's reader hands out only then what it has.
 */
export function emptyBlocks(): () => Buffer {
  let begun = false
  const stored = [0x00, 0x04, 0x00, 0xfb, 0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff]
  return () => {
    const block = Buffer.from(begun ? stored : [0x78, 0x01, ...stored])
    begun = true
    return block
  }
}

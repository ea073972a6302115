/** ASN.1 in its distinguished encoding, as far as certificates need it (X.690). */

const length = (n: number): number[] => {
  if (n < 0x80) return [n]
  const bytes = []
  for (let rest = n; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256)
  return [0x80 | bytes.length, ...bytes]
}
/** One value: its tag, its length, its content. */
export function tlv(tag: number, ...content: Uint8Array[]): Buffer {
  const bytes = Buffer.concat(content)
  return Buffer.concat([Buffer.from([tag, ...length(bytes.length)]), bytes])
}
export const sequence = (...items: Uint8Array[]): Buffer => tlv(0x30, ...items)
export const set = (...items: Uint8Array[]): Buffer => tlv(0x31, ...items)
/** The context-specific tag `[n]`, of one value or of several. */
export const context = (n: number, ...items: Uint8Array[]): Buffer => tlv(0xa0 | n, ...items)
export const contextPrimitive = (n: number, content: Uint8Array): Buffer => tlv(0x80 | n, content)
export const boolean = (value: boolean): Buffer => tlv(0x01, Buffer.from([value ? 0xff : 0]))
/** Of big-endian bytes, of which the first is below 0x80. */
export const integer = (bytes: Uint8Array): Buffer => tlv(0x02, bytes)
export const bitString = (bytes: Uint8Array, unused = 0): Buffer => tlv(0x03, Buffer.from([unused]), bytes)
export const octetString = (bytes: Uint8Array): Buffer => tlv(0x04, bytes)
export const utf8String = (text: string): Buffer => tlv(0x0c, Buffer.from(text))

export function objectIdentifier(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number)
  const base128 = (n: number): number[] => {
    const bytes = [n & 0x7f]
    for (let left = n >>> 7; left > 0; left >>>= 7) bytes.unshift((left & 0x7f) | 0x80)
    return bytes
  }
  return tlv(0x06, Buffer.from([first * 40 + second, ...rest].flatMap(base128)))
}

/** UTCTime before 2050, GeneralizedTime from then on, as RFC 5280 wants it. */
export function time(ms: number): Buffer {
  const text = `${new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '')}`
  return text < '2050' ? tlv(0x17, Buffer.from(text.slice(2))) : tlv(0x18, Buffer.from(text))
}

/** The values that stand one after the other in `bytes`, each whole and as content. Throws when they do not fill it. */
export function values(bytes: Buffer): { tag: number; whole: Buffer; content: Buffer }[] {
  const found = []
  for (let at = 0; at < bytes.length;) {
    const short = bytes[at + 1] ?? 0
    const count = short < 0x80 ? 0 : short & 0x7f
    const size = count === 0 ? short : bytes.readUIntBE(at + 2, count)
    const begin = at + 2 + count
    if (begin + size > bytes.length) throw new Error('DER: a value is longer than what holds it')
    found.push({ tag: bytes[at]!, whole: bytes.subarray(at, begin + size), content: bytes.subarray(begin, begin + size) })
    at = begin + size
  }
  return found
}

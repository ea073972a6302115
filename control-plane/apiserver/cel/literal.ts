/** What the text of a literal means. */

const simple: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  "'": "'",
  '"': '"',
  '`': '`',
  '?': '?',
}

/** The parts between quotes: `raw` is set where escapes mean nothing. */
function inside(token: string): { text: string; raw: boolean } {
  const raw = token[0] === 'r' || token[0] === 'R'
  const quoted = (raw ? token.slice(1) : token).replaceAll('\r\n', '\n').replaceAll('\r', '\n')
  const width = quoted.startsWith('"""') || quoted.startsWith("'''") ? 3 : 1
  return { text: quoted.slice(width, -width), raw }
}

const escapes = /\\(?:[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|([^]))/gu

/** Throws a message for an escape that is no code point. */
export function stringOf(token: string): string {
  const { text, raw } = inside(token)
  if (raw || !text.includes('\\')) return text
  return text.replace(escapes, (_, x?: string, u?: string, long?: string, octal?: string, char?: string) => {
    if (char !== undefined) return simple[char] ?? char
    const code = octal === undefined ? Number.parseInt((x ?? u ?? long)!, 16) : Number.parseInt(octal, 8)
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) throw new Error('invalid unicode code point')
    return String.fromCodePoint(code)
  })
}

/** In bytes, octal and hexadecimal escapes are bytes, and those of code points are not allowed. */
export function bytesOf(token: string): Uint8Array {
  const { text, raw } = inside(token.slice(1))
  if (raw || !text.includes('\\')) return Buffer.from(text)
  const parts: Buffer[] = []
  let last = 0
  for (const match of text.matchAll(escapes)) {
    const [whole, x, u, long, octal, char] = match
    if (u !== undefined || long !== undefined) throw new Error('unable to unescape string')
    parts.push(Buffer.from(text.slice(last, match.index)))
    if (char === undefined) parts.push(Buffer.of(octal === undefined ? Number.parseInt(x!, 16) : Number.parseInt(octal, 8)))
    else parts.push(Buffer.from(simple[char] ?? char))
    last = match.index + whole.length
  }
  parts.push(Buffer.from(text.slice(last)))
  return Uint8Array.from(Buffer.concat(parts))
}

const minInt = -(2n ** 63n)
const maxInt = 2n ** 63n - 1n
const maxUint = 2n ** 64n - 1n

/** Undefined when it does not fit. */
export function intOf(text: string, negative: boolean): bigint | undefined {
  const value = negative ? -BigInt(text) : BigInt(text)
  return value < minInt || value > maxInt ? undefined : value
}
export function uintOf(text: string): bigint | undefined {
  const value = BigInt(text.slice(0, -1))
  return value > maxUint ? undefined : value
}

/** IP addresses and ranges: parsing as Go does it, and upstream's checks of them (strict, as v1.35 has them for new values). */
import { invalid, type FieldError, type Path } from './field.ts'

export type IPFamily = 'IPv4' | 'IPv6'

const zero = 0x30
/** In a dotted address that is otherwise one. */
const leadingZero = /^(?=[0-9.]+$)(?:.*\.)?0[0-9]/

/** The 32 bits of a dotted address. Older API servers took leading zeros, which some resolvers read as octal. */
function parseV4(text: string): number | undefined {
  let parts = 0
  let bits = 0
  for (let i = 0; ; i++) {
    let part = 0
    const start = i
    for (let c = text.charCodeAt(i) - zero; c >= 0 && c <= 9; c = text.charCodeAt(++i) - zero) {
      part = part * 10 + c
      if (part > 255) return undefined
    }
    if (i === start) return undefined
    bits = bits * 256 + part
    if (++parts === 4) return i === text.length ? bits : undefined
    if (text[i] !== '.') return undefined
  }
}

/** The groups of a part of an IPv6 address without `::`, the end of which may be dotted; undefined when it is none. */
function v6Groups(text: string, isEnd: boolean): number[] | undefined {
  const out: number[] = []
  let group = 0
  let start = 0
  for (let i = 0; text !== ''; i++) {
    const digit = i < text.length ? hexDigit(text.charCodeAt(i)) : -1
    if (digit >= 0) {
      if (i - start === 4) return undefined
      group = group * 16 + digit
    } else if (isEnd && text[i] === '.') {
      const dotted = text.slice(start)
      const v4 = /(?:^|\.)0\d/.test(dotted) ? undefined : parseV4(dotted)
      return v4 === undefined ? undefined : [...out, v4 >>> 16, v4 & 0xffff]
    } else if (i === start || (i < text.length && text[i] !== ':')) return undefined
    else {
      out.push(group)
      if (i >= text.length) return out
      group = 0
      start = i + 1
    }
  }
  return out
}

function hexDigit(c: number): number {
  if (c >= zero && c <= 0x39) return c - zero
  const lower = c | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}

/** An address as its 16-bit groups: two of IPv4 (an IPv4-mapped one becomes that, as in Go), eight of IPv6; undefined when it is none. */
function groupsOf(text: string): readonly number[] | undefined {
  const v4 = parseV4(text)
  if (v4 !== undefined) return [v4 >>> 16, v4 & 0xffff]
  const gap = text.indexOf('::')
  const groups = v6Groups(gap < 0 ? text : text.slice(0, gap), gap < 0)
  const right = gap < 0 ? [] : v6Groups(text.slice(gap + 2), true)
  if (!groups || !right) return undefined
  if (gap < 0 ? groups.length !== 8 : groups.length + right.length > 7) return undefined
  while (groups.length + right.length < 8) groups.push(0)
  groups.push(...right)
  return groups[5] === 0xffff && groups.every((g, i) => i >= 5 || g === 0) ? groups.slice(6) : groups
}

/** The canonical text of an address (RFC 5952), undefined when it is none. */
export function canonicalIP(text: string): string | undefined {
  const groups = groupsOf(text)
  if (!groups) return undefined
  if (groups.length === 2) return `${groups[0]! >> 8}.${groups[0]! & 255}.${groups[1]! >> 8}.${groups[1]! & 255}`
  // The first of the longest runs of zeros is left out; one zero alone is not.
  let from = -1
  let length = 1
  for (let i = 0; i < 8; i++) {
    let n = 0
    while (groups[i + n] === 0) n++
    if (n > length) [from, length] = [i, n]
  }
  const hex = (part: readonly number[]): string => part.map(g => g.toString(16)).join(':')
  return from < 0 ? hex(groups) : `${hex(groups.slice(0, from))}::${hex(groups.slice(from + length))}`
}

const isMapped = (text: string): boolean => text.includes(':') && groupsOf(text)?.length === 2

/** The family of an address, undefined when it is none. */
export function ipFamily(text: string): IPFamily | undefined {
  const groups = groupsOf(text)
  return groups && (groups.length === 2 ? 'IPv4' : 'IPv6')
}

/** The bits of an address, and how many there are. */
export function ipBits(text: string): { value: bigint; width: 32 | 128 } | undefined {
  const groups = groupsOf(text)
  return groups && { value: groups.reduce((n, g) => (n << 16n) | BigInt(g), 0n), width: groups.length === 2 ? 32 : 128 }
}

/** The canonical text of an address's bits. */
export function ipText(value: bigint, width: 32 | 128): string {
  if (width === 32) return [24n, 16n, 8n, 0n].map(shift => String((value >> shift) & 255n)).join('.')
  const groups = Array.from({ length: 8 }, (_, i) => ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16)).join(':')
  return canonicalIP(groups)!
}

export interface CIDR {
  readonly family: IPFamily
  /** The first address of the range. */
  readonly base: bigint
  readonly width: 32 | 128
  readonly prefix: number
}
/** A range, undefined when it is none. */
export function parseCIDR(text: string): CIDR | undefined {
  const slash = text.indexOf('/')
  if (slash < 0 || !/^[0-9]{1,3}$/.test(text.slice(slash + 1))) return undefined
  const bits = ipBits(text.slice(0, slash))
  const prefix = Number(text.slice(slash + 1))
  if (!bits || prefix > bits.width) return undefined
  const host = BigInt(bits.width - prefix)
  return { family: bits.width === 32 ? 'IPv4' : 'IPv6', base: (bits.value >> host) << host, width: bits.width, prefix }
}
/** From an address of the range `from` to the one with the same number in the range `to`. Throws when one of the two is no range. */
export function counterpart(from: string, to: string): (ip: string) => string {
  const [own, other] = [from, to].map(text => {
    const cidr = parseCIDR(text)
    if (!cidr) throw new Error(`invalid CIDR address: ${text}`)
    return cidr
  }) as [CIDR, CIDR]
  return ip => ipText(other.base + (ipBits(ip)!.value - own.base), other.width)
}
/** Whether a range holds an address. */
export function cidrContains(range: CIDR, address: string): boolean {
  const bits = ipBits(address)
  const host = BigInt(range.width - range.prefix)
  return bits !== undefined && bits.width === range.width && bits.value >> host === range.base >> host
}

/** Checks a field that takes an address; values that the stored object already had (`old`) pass. */
export function validateIP(path: Path, value: string, old: readonly string[] = []): FieldError[] {
  if (old.includes(value)) return []
  if (canonicalIP(value) === undefined) return [invalid(path, value, 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)')]
  if (leadingZero.test(value)) return [invalid(path, value, 'must not have leading 0s')]
  return isMapped(value) ? [invalid(path, value, 'must not be an IPv4-mapped IPv6 address')] : []
}
/** The same for newer fields, which insist on the canonical text. */
export function validateCanonicalIP(path: Path, value: string): FieldError[] {
  const errors = validateIP(path, value)
  const plain = canonicalIP(value)
  return errors.length || plain === value ? errors : [invalid(path, value, `must be in canonical form (${JSON.stringify(plain)})`)]
}
/** Checks a field that takes a range; values that the stored object already had (`old`) pass. */
export function validateCIDR(path: Path, value: string, old: readonly string[] = []): FieldError[] {
  if (old.includes(value)) return []
  const range = parseCIDR(value)
  if (!range) return [invalid(path, value, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)')]
  const [address = '', prefix = ''] = value.split('/')
  if (leadingZero.test(address) || /^0./.test(prefix)) return [invalid(path, value, 'must not have leading 0s in IP or prefix length')]
  if (isMapped(address)) return [invalid(path, value, 'must not have an IPv4-mapped IPv6 address')]
  return ipBits(address)!.value === range.base ? [] : [invalid(path, value, 'must not have bits set beyond the prefix length')]
}

/** The same for newer fields, which insist on the canonical text. */
export function validateCanonicalCIDR(path: Path, value: string): FieldError[] {
  const errors = validateCIDR(path, value)
  const plain = `${canonicalIP(value.split('/')[0]!)}/${parseCIDR(value)?.prefix}`
  return errors.length || plain === value ? errors : [invalid(path, value, `must be in canonical form (${JSON.stringify(plain)})`)]
}

/** Addresses that nobody else may reach this host by, which therefore cannot be endpoints. */
export function validateNonSpecialIP(value: string, path: Path): FieldError[] {
  const groups = groupsOf(value)
  if (!groups) return [invalid(path, value, 'must be a valid IP address')]
  const v4 = groups.length === 2
  const [first, second] = groups as [number, number]
  const small = groups.every((g, i) => i === groups.length - 1 || g === 0) ? groups.at(-1)! : -1
  const errors: FieldError[] = []
  if (small === 0) errors.push(invalid(path, value, `may not be unspecified (${v4 ? '0.0.0.0' : '::'})`))
  if (v4 ? first >> 8 === 127 : small === 1) errors.push(invalid(path, value, 'may not be in the loopback range (127.0.0.0/8, ::1/128)'))
  if (v4 ? first === 0xa9fe : first >> 6 === 0xfe80 >> 6)
    errors.push(invalid(path, value, 'may not be in the link-local range (169.254.0.0/16, fe80::/10)'))
  if (v4 ? first === 0xe000 && second >> 8 === 0 : first === 0xff02)
    errors.push(invalid(path, value, 'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)'))
  return errors
}

/** IP addresses and ranges: parsing as Go does it, and upstream's checks of them (strict, as v1.35 has them for new values). */
import { isIP, isIPv4, isIPv6 } from 'node:net'
import { invalid, type FieldError, type Path } from './field.ts'

export type IPFamily = 'IPv4' | 'IPv6'

// Older API servers took leading zeros, which some resolvers read as octal.
const sloppyV4 = (text: string): string | undefined => {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every(p => /^[0-9]+$/.test(p) && p.replace(/^0+(?=.)/, '').length <= 3)) return undefined
  const plain = parts.map(Number).join('.')
  return isIPv4(plain) ? plain : undefined
}

/** The canonical text of an address (RFC 5952; an IPv4-mapped one becomes IPv4, as in Go), undefined when it is none. */
export function canonicalIP(text: string): string | undefined {
  const v4 = sloppyV4(text)
  if (v4) return v4
  if (!isIPv6(text) || text.includes('%')) return undefined
  const groups = ipv6Groups(text)
  if (groups.slice(0, 5).every(g => g === 0) && groups[5] === 0xffff) return mappedV4(groups)
  return new URL(`http://[${text}]/`).hostname.slice(1, -1)
}

const mappedV4 = (groups: number[]): string => [groups[6]! >> 8, groups[6]! & 255, groups[7]! >> 8, groups[7]! & 255].join('.')
const isMapped = (text: string): boolean =>
  isIPv6(text) &&
  ipv6Groups(text)
    .slice(0, 5)
    .every(g => g === 0) &&
  ipv6Groups(text)[5] === 0xffff

function ipv6Groups(text: string): number[] {
  // URL brings the text into the form with hexadecimal groups only, and one `::` at most.
  const plain = new URL(`http://[${text}]/`).hostname.slice(1, -1)
  const [head = '', tail] = plain.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? [] : new Array<string>(8 - left.length - right.length).fill('0')
  return [...left, ...zeros, ...right].map(g => parseInt(g, 16))
}

/** The family of an address, undefined when it is none. */
export function ipFamily(text: string): IPFamily | undefined {
  const plain = canonicalIP(text)
  return plain === undefined ? undefined : isIP(plain) === 4 ? 'IPv4' : 'IPv6'
}

/** The bits of an address, and how many there are. */
export function ipBits(text: string): { value: bigint; width: 32 | 128 } | undefined {
  const plain = canonicalIP(text)
  if (plain === undefined) return undefined
  if (isIPv4(plain)) return { value: plain.split('.').reduce((n, p) => (n << 8n) | BigInt(p), 0n), width: 32 }
  return { value: ipv6Groups(plain).reduce((n, g) => (n << 16n) | BigInt(g), 0n), width: 128 }
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
  if (isIP(value) === 0) return [invalid(path, value, 'must not have leading 0s')]
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
  if (isIP(address) === 0 || /^0./.test(prefix)) return [invalid(path, value, 'must not have leading 0s in IP or prefix length')]
  if (isMapped(address)) return [invalid(path, value, 'must not have an IPv4-mapped IPv6 address')]
  return ipBits(address)!.value === range.base ? [] : [invalid(path, value, 'must not have bits set beyond the prefix length')]
}

/** Addresses that nobody else may reach this host by, which therefore cannot be endpoints. */
export function validateNonSpecialIP(value: string, path: Path): FieldError[] {
  const bits = ipBits(value)
  if (!bits) return [invalid(path, value, 'must be a valid IP address')]
  const inRange = (text: string): boolean => cidrContains(parseCIDR(text)!, value)
  const errors: FieldError[] = []
  if (bits.value === 0n) errors.push(invalid(path, value, `may not be unspecified (${bits.width === 32 ? '0.0.0.0' : '::'})`))
  if (inRange('127.0.0.0/8') || inRange('::1/128'))
    errors.push(invalid(path, value, 'may not be in the loopback range (127.0.0.0/8, ::1/128)'))
  if (inRange('169.254.0.0/16') || inRange('fe80::/10'))
    errors.push(invalid(path, value, 'may not be in the link-local range (169.254.0.0/16, fe80::/10)'))
  if (inRange('224.0.0.0/24') || inRange('ff02::/16'))
    errors.push(invalid(path, value, 'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)'))
  return errors
}

/** IP addresses and ranges: k8s.io/apiserver/pkg/cel/library/ip.go, cidr.go. */
import { canonicalIP, ipBits } from '#shared/machinery/ip.ts'
import { sizeOrUnknown, traversed } from '../estimate.ts'
import { member, overload, traversal, type Library, type Overload } from '../functions.ts'
import { one, plus } from '../range.ts'
import { bool, int, opaque, string } from '../types.ts'
import { ErrorValue, Opaque, sizeOf, type Value } from '../values.ts'
import { fixed, parses } from './costs.ts'

const ipType = opaque('net.IP')
const cidrType = opaque('net.CIDR')

class IP extends Opaque {
  override readonly type = ipType
  override readonly size: number
  readonly text: string
  readonly bits: bigint
  readonly width: 32 | 128
  constructor(text: string, bits: bigint, width: 32 | 128) {
    super()
    this.text = text
    this.bits = bits
    this.width = width
    this.size = width / 8
  }
  override equals(other: IP): boolean {
    return this.bits === other.bits && this.width === other.width
  }
}

class CIDR extends Opaque {
  override readonly type = cidrType
  override readonly size: number
  readonly ip: IP
  readonly prefix: number
  constructor(ip: IP, prefix: number) {
    super()
    this.ip = ip
    this.prefix = prefix
    this.size = Math.ceil(prefix / 8)
  }
  override equals(other: CIDR): boolean {
    return this.prefix === other.prefix && this.ip.equals(other.ip)
  }
  contains(ip: IP): boolean {
    const rest = BigInt(this.ip.width - this.prefix)
    return ip.width === this.ip.width && ip.bits >> rest === this.ip.bits >> rest
  }
}

const quoted = (text: string): string => JSON.stringify(text)
const mapped = /^(?:0*:)*:?(?:0+:)*ffff:(?:\d+\.|[0-9a-f]{1,4}:[0-9a-f]{1,4}$)/i

/** What Go's netip says of a text that is no address, and where. */
function why(text: string): string {
  const kind = /[.:%]/.exec(text)?.[0]
  const wrong =
    kind === '.' ? whyV4(text) : kind === ':' ? whyV6(text) : kind === '%' ? ['missing IPv6 address', ''] : ['unable to parse IP', '']
  return `ParseAddr(${quoted(text)}): ${wrong[0]}${wrong[1] === '' ? '' : ` (at ${quoted(wrong[1]!)})`}`
}

function whyV4(text: string): [string, string] {
  let [value, digits, dots] = [0, 0, 0]
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!
    if (/\d/.test(c)) {
      if (digits === 1 && value === 0) return ['IPv4 field has octet with leading zero', '']
      value = value * 10 + Number(c)
      digits++
      if (value > 255) return ['IPv4 field has value >255', '']
    } else if (c === '.') {
      if (i === 0 || i === text.length - 1 || text[i - 1] === '.') return ['IPv4 field must have at least one digit', text.slice(i)]
      if (dots === 3) return ['IPv4 address too long', '']
      dots++
      ;[value, digits] = [0, 0]
    } else return ['unexpected character', text.slice(i)]
  }
  return ['IPv4 address too short', '']
}

function whyV6(text: string): [string, string] {
  const start = text.startsWith('::') ? 2 : 0
  let rest = text.slice(start).replace(/%.*$/, '')
  let gap = start === 2
  let fields = 0
  for (; fields < 8 && rest !== ''; fields++) {
    const digits = /^[0-9a-fA-F]*/.exec(rest)![0]
    if (digits.length > 4) return ['each group must have 4 or less digits', rest]
    if (digits === '') return ['each colon-separated field must have at least one digit', rest]
    if (rest[digits.length] === '.')
      return !gap && fields !== 6 ? ['embedded IPv4 address must replace the final 2 fields of the address', rest] : whyV4(rest)
    rest = rest.slice(digits.length)
    if (rest === '') continue
    if (rest[0] !== ':') return ['unexpected character, want colon', rest]
    if (rest.length === 1) return ['colon must be followed by more characters', rest]
    rest = rest.slice(1)
    if (rest[0] !== ':') continue
    if (gap) return ['multiple :: in address', rest]
    gap = true
    rest = rest.slice(1)
  }
  if (rest !== '') return ['trailing garbage after address', rest]
  return gap ? ['the :: must expand to at least one field of zeros', ''] : ['address string too short', '']
}

function parseIP(text: string): IP | ErrorValue {
  if (text.includes('%') && canonicalIP(text.slice(0, text.indexOf('%'))) !== undefined)
    return new ErrorValue(`IP address ${quoted(text)} with zone value is not allowed`)
  const bits = ipBits(text)
  const canonical = canonicalIP(text)
  if (!bits || canonical === undefined)
    return new ErrorValue(`IP Address ${quoted(text)} parse error during conversion from string: ${why(text)}`)
  if (text.includes(':') && (bits.width === 32 || mapped.test(text)))
    return new ErrorValue(`IPv4-mapped IPv6 address ${quoted(text)} is not allowed`)
  return new IP(canonical, bits.value, bits.width)
}

function parseCIDR(text: string): CIDR | ErrorValue {
  const failed = (reason: string): ErrorValue =>
    new ErrorValue(
      `network address parse error during conversion from string: network address parse error during conversion from string: netip.ParsePrefix(${quoted(text)}): ${reason}`,
    )
  const slash = text.lastIndexOf('/')
  if (slash < 0) return failed("no '/'")
  const [address, prefix] = [text.slice(0, slash), text.slice(slash + 1)]
  const ip = parseIP(address)
  if (ip instanceof ErrorValue) {
    if (ip.message.startsWith('IPv4-mapped'))
      return new ErrorValue(
        `network address parse error during conversion from string: IPv4-mapped IPv6 address ${quoted(text)} is not allowed`,
      )
    return failed(address.includes('%') ? 'IPv6 zones cannot be present in a prefix' : why(address))
  }
  if (!/^(?:0|[1-9]\d{0,2})$/.test(prefix)) return failed(`bad bits after slash: ${quoted(prefix)}`)
  return Number(prefix) > ip.width ? failed('prefix length out of range') : new CIDR(ip, Number(prefix))
}

function masked({ ip, prefix }: CIDR): CIDR {
  const rest = BigInt(ip.width - prefix)
  const bits = (ip.bits >> rest) << rest
  return new CIDR(new IP(textOf(bits, ip.width), bits, ip.width), prefix)
}
function textOf(bits: bigint, width: 32 | 128): string {
  if (width === 32) return [24n, 16n, 8n, 0n].map(shift => (bits >> shift) & 255n).join('.')
  const groups = Array.from({ length: 8 }, (_, i) => ((bits >> BigInt(112 - 16 * i)) & 0xffffn).toString(16))
  return canonicalIP(groups.join(':'))!
}

const containsIP = (cidr: CIDR, ip: IP): Value => cidr.contains(ip)
const containsCIDR = (cidr: CIDR, other: CIDR): Value => cidr.contains(other.ip) && cidr.prefix <= other.prefix
const withText =
  <T extends Value>(parse: (text: string) => T | ErrorValue, then: (cidr: CIDR, other: T) => Value) =>
  (cidr: CIDR, text: string): Value => {
    const other = parse(text)
    return other instanceof ErrorValue ? other : then(cidr, other as T)
  }

/** Two addresses are compared, of which a text must be read first. */
const comparing = (extra: number, text: boolean): Pick<Overload, 'cost' | 'estimate'> => ({
  cost: args => {
    const size = sizeOf(args[0]!)
    return traversal(2 * size) + (extra > 0 ? traversal(size) + extra : 0) + (text ? traversal(sizeOf(args[1]!)) : 0)
  },
  estimate: ([, other]) => {
    const both = { min: 8, max: 32 }
    const more = extra > 0 ? [traversed({ min: 4, max: 16 }), one] : []
    return { cost: plus(traversed(both), ...more, ...(text ? [traversed(sizeOrUnknown(other))] : [])) }
  },
})

const is =
  (low: string, high: string): ((ip: IP) => boolean) =>
  ({ text }) =>
    text === low || text === high
const inRange =
  (...ranges: string[]): ((ip: IP) => boolean) =>
  ip =>
    ranges.some(range => (parseCIDR(range) as CIDR).contains(ip))

const isUnspecified = is('0.0.0.0', '::')
const isLoopback = inRange('127.0.0.0/8', '::1/128')
const isLinkLocalMulticast = inRange('224.0.0.0/24', 'ff02::/16')
const isLinkLocalUnicast = inRange('169.254.0.0/16', 'fe80::/10')
const isMulticast = inRange('224.0.0.0/4', 'ff00::/8')
const isGlobalUnicast = (ip: IP): boolean =>
  ip.text !== '255.255.255.255' && !isUnspecified(ip) && !isLoopback(ip) && !isMulticast(ip) && !isLinkLocalUnicast(ip)

const test = (name: string, id: string, holds: (ip: IP) => boolean): [string, Overload[]] => [
  name,
  [member(id, [ipType], bool, holds, fixed(1))],
]
const isValue = (v: Value): boolean => !(v instanceof ErrorValue)

export const net: Library = {
  functions: new Map<string, readonly Overload[]>([
    [
      'ip',
      [overload('string_to_ip', [string], ipType, parseIP, parses()), member('cidr_ip', [cidrType], ipType, (c: CIDR) => c.ip, fixed(1))],
    ],
    ['family', [member('ip_family', [ipType], int, (ip: IP) => (ip.width === 32 ? 4n : 6n), fixed(1))]],
    [
      'ip.isCanonical',
      [
        overload(
          'ip_is_canonical',
          [string],
          bool,
          (text: string) => {
            const ip = parseIP(text)
            return ip instanceof ErrorValue ? ip : ip.text === text
          },
          parses(2),
        ),
      ],
    ],
    test('isUnspecified', 'ip_is_unspecified', isUnspecified),
    test('isLoopback', 'ip_is_loopback', isLoopback),
    test('isLinkLocalMulticast', 'ip_is_link_local_multicast', isLinkLocalMulticast),
    test('isLinkLocalUnicast', 'ip_is_link_local_unicast', isLinkLocalUnicast),
    test('isGlobalUnicast', 'ip_is_global_unicast', isGlobalUnicast),
    ['isIP', [overload('is_ip', [string], bool, (text: string) => isValue(parseIP(text)), parses())]],
    [
      'string',
      [
        overload('ip_to_string', [ipType], string, (ip: IP) => ip.text),
        overload('cidr_to_string', [cidrType], string, (c: CIDR) => `${c.ip.text}/${c.prefix}`),
      ],
    ],
    ['cidr', [overload('string_to_cidr', [string], cidrType, parseCIDR, parses())]],
    [
      'containsIP',
      [
        member('cidr_contains_ip_string', [cidrType, string], bool, withText(parseIP, containsIP), comparing(0, true)),
        member('cidr_contains_ip_ip', [cidrType, ipType], bool, containsIP, comparing(0, false)),
      ],
    ],
    [
      'containsCIDR',
      [
        member('cidr_contains_cidr_string', [cidrType, string], bool, withText(parseCIDR, containsCIDR), comparing(1, true)),
        member('cidr_contains_cidr', [cidrType, cidrType], bool, containsCIDR, comparing(1, false)),
      ],
    ],
    ['prefixLength', [member('cidr_prefix_length', [cidrType], int, (c: CIDR) => BigInt(c.prefix), fixed(1))]],
    ['masked', [member('cidr_masked', [cidrType], cidrType, masked, fixed(1))]],
    ['isCIDR', [overload('is_cidr', [string], bool, (text: string) => isValue(parseCIDR(text)), parses())]],
  ]),
  types: [ipType, cidrType],
}

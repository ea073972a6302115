/**
 * The ranges that addresses and ports of Services come from. The lower band is left to people who choose for themselves, as long as the
 * upper one has room.
 */
import { randomInt } from 'node:crypto'
import { rangeHolds } from '#shared/api/networking/serviceaddresses.ts'
import { ipText, parseCIDR, type IPFamily } from '#shared/machinery/ip.ts'

export interface Range {
  /** Names of claims. */
  readonly size: number
  readonly at: (index: number) => string
  /** Where the upper band begins. */
  readonly band: number
}

export interface AddressRange extends Range {
  readonly text: string
  readonly family: IPFamily
  readonly contains: (address: string) => boolean
}

/** Upstream looks at no more of a range than this. */
const maxSize = 1 << 16

/** Without the first and, of IPv4, the last address. Throws for a text that is no range. */
export function addressRange(text: string): AddressRange {
  const cidr = parseCIDR(text)
  if (!cidr) throw new Error(`invalid CIDR address: ${text}`)
  const bits = cidr.width - cidr.prefix
  const size = Math.min(2 ** Math.min(bits, 16), maxSize) - (cidr.width === 32 ? 2 : 1)
  if (size < 1) throw new Error(`the service cluster IP range ${text} is too small`)
  return {
    text,
    family: cidr.family,
    size,
    at: index => ipText(cidr.base + 1n + BigInt(index), cidr.width),
    band: Math.min(Math.max(16, Math.floor(size / 16)), 256) < size ? Math.min(Math.max(16, Math.floor(size / 16)), 256) : 0,
    contains: address => rangeHolds(text, address),
  }
}

/** `--service-cluster-ip-range`: one range, or two of different families with a comma between them. Throws for another text. */
export function serviceRanges(text: string): AddressRange[] {
  const ranges = text.split(',').map(addressRange)
  if (ranges.length > 2) throw new Error('--service-cluster-ip-range must not contain more than two entries')
  if (new Set(ranges.map(r => r.family)).size !== ranges.length)
    throw new Error('--service-cluster-ip-range[0] and --service-cluster-ip-range[1] must be of different IP family')
  return ranges
}

export interface PortRange extends Range {
  readonly first: number
  readonly last: number
}

/** `30000-32767`. */
export function portRange(text: string): PortRange {
  const [first = 0, last = 0] = text.split('-').map(Number)
  const size = last - first + 1
  if (!(first > 0 && size > 0 && last < 65536)) throw new Error(`invalid port range ${text}`)
  const band = Math.min(Math.max(16, Math.floor(size / 32)), 128)
  return { first, last, size, at: index => String(first + index), band: band < size ? band : 0 }
}

/** All names of a range: the upper band from a random place on, then the lower one. */
export function* candidates(range: Range): Generator<string> {
  const upper = range.size - range.band
  const start = randomInt(upper)
  for (let i = 0; i < upper; i++) yield range.at(range.band + ((start + i) % upper))
  for (let i = 0; i < range.band; i++) yield range.at(i)
}

/** IPv4 ranges: parsing, and handing out the addresses of a pod CIDR. */

export interface Cidr {
  /** The network address as a number. */
  base: number
  prefix: number
}

export const ipToNumber = (ip: string): number => ip.split('.').reduce((n, part) => n * 256 + Number(part), 0)
export const numberToIp = (n: number): string => [24, 16, 8, 0].map(shift => Math.floor(n / 2 ** shift) % 256).join('.')

/** Parses `10.1.2.0/24`; throws for anything else. */
export function parseCidr(text: string): Cidr {
  const match = /^(\d{1,3}(?:\.\d{1,3}){3})\/(\d{1,2})$/.exec(text)
  const prefix = Number(match?.[2])
  if (!match || prefix > 32 || match[1]!.split('.').some(part => Number(part) > 255)) throw new Error(`invalid CIDR address: ${text}`)
  const size = 2 ** (32 - prefix)
  return { base: Math.floor(ipToNumber(match[1]!) / size) * size, prefix }
}

/** The first usable address: the gateway of a pod CIDR. */
export const firstAddress = (cidr: Cidr): string => numberToIp(cidr.base + 1)

export interface AddressPool {
  /** The next free address; an address that was given back comes again only after all others. Throws when none is left. */
  take(): string
  /** Marks an address as used, one that the kernel tells of. */
  claim(ip: string): void
  release(ip: string): void
}

/** Hands out the addresses of a range but the network's, the gateway's (first) and the broadcast address. */
export function addressPool(cidr: Cidr): AddressPool {
  const size = 2 ** (32 - cidr.prefix)
  const used = new Set<number>()
  let cursor = 1
  return {
    take() {
      for (let tried = 0; tried < size; tried++) {
        cursor = cursor + 1 >= size - 1 ? 2 : cursor + 1
        if (cursor < size - 1 && !used.has(cursor)) {
          used.add(cursor)
          return numberToIp(cidr.base + cursor)
        }
      }
      throw new Error(`no IP addresses available in range set: ${numberToIp(cidr.base + 1)}-${numberToIp(cidr.base + size - 2)}`)
    },
    claim(ip) {
      const offset = ipToNumber(ip) - cidr.base
      used.add(offset)
      cursor = Math.max(cursor, offset)
    },
    release: ip => void used.delete(ipToNumber(ip) - cidr.base),
  }
}

/** Which Service has which address of the pool: pure functions over the Services, whose statuses are all that is remembered. */
import type { Service } from '#shared/api/core/service.ts'
import { keyOf } from '#shared/client/controller.ts'

/** The address that a Service wants; before `spec.loadBalancerIP`, which is deprecated. */
export const addressAnnotation = 'coxswain.io/load-balancer-ip'
/** Services of one namespace with the same value share an address, as long as their ports differ. */
export const sharingAnnotation = 'coxswain.io/load-balancer-sharing-key'

export interface Range {
  first: number
  size: number
}
const toNumber = (ip: string): number => ip.split('.').reduce((n, part) => n * 256 + Number(part), 0)
const toAddress = (n: number): string => [24, 16, 8, 0].map(shift => Math.floor(n / 2 ** shift) % 256).join('.')

/** Parses `10.1.192.0/20`; throws for anything else. */
export function parseRange(text: string): Range {
  const match = /^(\d+\.\d+\.\d+\.\d+)\/(\d+)$/.exec(text)
  if (!match || Number(match[2]) > 30) throw new Error(`the pool "${text}" is no IPv4 range of more than two addresses`)
  const size = 2 ** (32 - Number(match[2]))
  return { first: Math.floor(toNumber(match[1]!) / size) * size, size }
}
/** Neither the range's first nor its last address is given to anybody. */
const isIn = ({ first, size }: Range, ip: string): boolean => {
  const n = toNumber(ip) - first
  return /^\d+(\.\d+){3}$/.test(ip) && n > 0 && n < size - 1
}

export const statusAddress = ({ status }: Service): string | undefined => status?.loadBalancer?.ingress?.[0]?.ip
const wantedAddress = ({ metadata, spec }: Service): string | undefined =>
  metadata.annotations?.[addressAnnotation] || spec.loadBalancerIP || undefined
const sharingKey = ({ metadata }: Service): string | undefined => metadata.annotations?.[sharingAnnotation] || undefined
const portsOf = ({ spec }: Service): string[] => (spec.ports ?? []).map(p => `${p.port}/${p.protocol ?? 'TCP'}`)

/** The port that two Services both want at one address. */
export function clash(a: Service, b: Service): string | undefined {
  const taken = new Set(portsOf(b))
  return portsOf(a).find(p => taken.has(p))
}

/** Why a Service cannot have an address that others have; undefined when it can. */
function refusal(service: Service, holders: readonly Service[]): string | undefined {
  for (const other of holders) {
    const who = keyOf(other)
    const shared = sharingKey(service)
    if (shared === undefined || sharingKey(other) !== shared || other.metadata.namespace !== service.metadata.namespace)
      return `it belongs to Service ${who}`
    const port = clash(service, other)
    if (port !== undefined) return `Service ${who} has its port ${port}`
    if (other.spec.externalTrafficPolicy !== service.spec.externalTrafficPolicy) return `Service ${who} has another externalTrafficPolicy`
  }
  return undefined
}

/**
 * The address for a Service: the one that it names, else the one that it has, else that of those that it shares with, else the first that
 * is free from `cursor` on. `holders` are the other Services by the address that they have. Throws in words for the user.
 */
export function chooseAddress(
  service: Service,
  range: Range,
  holders: ReadonlyMap<string, readonly Service[]>,
  had: string | undefined,
  cursor = 1,
): string {
  const wanted = wantedAddress(service)
  if (wanted !== undefined) {
    if (!isIn(range, wanted))
      throw new Error(`address ${wanted} is not in the pool ${toAddress(range.first)}/${32 - Math.log2(range.size)}`)
    const why = refusal(service, holders.get(wanted) ?? [])
    if (why) throw new Error(`address ${wanted} cannot be had: ${why}`)
    return wanted
  }
  if (had !== undefined && isIn(range, had) && refusal(service, holders.get(had) ?? []) === undefined) return had
  if (sharingKey(service) !== undefined)
    for (const [ip, others] of holders) if (isIn(range, ip) && others.length > 0 && refusal(service, others) === undefined) return ip
  const usable = range.size - 2
  for (let i = 0; i < usable; i++) {
    const ip = toAddress(range.first + 1 + ((cursor - 1 + i) % usable))
    if (!holders.get(ip)?.length) return ip
  }
  throw new Error(`all ${usable} addresses of the pool are taken`)
}

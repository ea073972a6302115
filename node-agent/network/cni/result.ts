/** What a CNI plugin answers to ADD, of any version of the specification. */
import * as z from 'zod'

const dns = z.looseObject({}).optional()
const current = z.looseObject({
  cniVersion: z.string().optional(),
  interfaces: z.array(z.looseObject({ name: z.string(), mac: z.string().optional(), sandbox: z.string().optional() })).optional(),
  ips: z.array(z.looseObject({ address: z.string(), interface: z.number().int().optional(), gateway: z.string().optional() })).optional(),
  dns,
})
/** Up to 0.2.0. */
const old = z.looseObject({ ip4: z.looseObject({ ip: z.string() }).optional(), ip6: z.looseObject({ ip: z.string() }).optional(), dns })

export type CniResult = Record<string, unknown>

export interface Attached {
  /** Addresses in the pod, without prefixes; those of IPv4 first. */
  ips: string[]
  mac?: string
  dns: Record<string, unknown>
  /** The node's end of the pod's link, where the plugin names one. */
  hostLink?: string
}

const address = (cidr: string): string => cidr.slice(0, cidr.indexOf('/') < 0 ? undefined : cidr.indexOf('/'))

/** What of a result concerns a pod's interface. Throws when it is none. */
export function readResult(result: CniResult, ifname: string): Attached {
  const former = old.safeParse(result)
  if (former.success && (former.data.ip4 || former.data.ip6))
    return { ips: [former.data.ip4, former.data.ip6].flatMap(a => (a ? [address(a.ip)] : [])), dns: former.data.dns ?? {} }
  const read = current.safeParse(result)
  if (!read.success)
    throw new Error(`the result cannot be read: ${read.error.issues.map(i => `${i.path.join('.')}: ${i.message}`).join('; ')}`)
  const { interfaces = [], ips = [], dns = {} } = read.data
  const index = interfaces.findIndex(i => i.name === ifname && i.sandbox)
  const own = ips.filter(ip => ip.interface === undefined || index < 0 || ip.interface === index).map(ip => address(ip.address))
  const mac = interfaces[index]?.mac
  const hostLink = interfaces.find(i => !i.sandbox && i.name.startsWith('veth'))?.name
  return {
    ips: [...own.filter(ip => !ip.includes(':')), ...own.filter(ip => ip.includes(':'))],
    ...(mac ? { mac } : {}),
    dns,
    ...(hostLink ? { hostLink } : {}),
  }
}

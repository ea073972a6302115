/** The annotation by which a pod asks for more networks, in the form of the Network Plumbing Working Group's standard (Multus). */
import * as z from 'zod'

export const networksAnnotation = 'k8s.v1.cni.cncf.io/networks'

const dnsName = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/
/** What Linux takes for the name of a link. */
const linkName = /^[^\s/:]{1,15}$/
/** A pod with more is a mistake. */
const maxNetworks = 32

const elementSchema = z.strictObject({
  name: z.string().regex(dnsName, 'must be a DNS name in lower case'),
  namespace: z.string().regex(dnsName, 'must be a DNS name in lower case').optional(),
  interface: z.string().regex(linkName, 'must be the name of a link: 15 bytes at most, without "/"').optional(),
  /** Asked of the plugin; with a prefix or without, as it wants them. */
  ips: z.array(z.string()).optional(),
  mac: z.string().optional(),
  'cni-args': z.record(z.string(), z.unknown()).optional(),
  portMappings: z.array(z.looseObject({ hostPort: z.number(), containerPort: z.number(), protocol: z.string().optional() })).optional(),
  bandwidth: z.looseObject({}).optional(),
  'default-route': z.array(z.union([z.ipv4(), z.ipv6()])).optional(),
})

export interface Selection {
  namespace: string
  name: string
  /** Of the pod's link; the n-th is `netN` unless it has a name. */
  ifname: string
  capabilities: Record<string, unknown>
  cniArgs?: Record<string, unknown>
  /** Gateways of this network to which everything goes that has no better way, in place of the pod's own. */
  defaultRoute?: string[]
}

/** `NAMESPACE/NAME@INTERFACE`, of which the name alone is needed. */
function shortForm(text: string): unknown {
  const match = /^(?:([^/@]+)\/)?([^/@]+)(?:@([^/@]+))?$/.exec(text.trim())
  if (!match) throw new Error(`"${text.trim()}" is not of the form NAMESPACE/NAME@INTERFACE`)
  const [, namespace, name, ifname] = match
  return { name, ...(namespace ? { namespace } : {}), ...(ifname ? { interface: ifname } : {}) }
}

/** The networks that the annotation names, in its order; `namespace` is the pod's. Throws one line when it is wrong. */
export function parseNetworks(text: string | undefined, namespace: string): Selection[] {
  if (text === undefined || text.trim() === '') return []
  const elements = text.trim().startsWith('[') ? (JSON.parse(text) as unknown[]) : text.split(',').map(shortForm)
  if (elements.length > maxNetworks) throw new Error(`there are ${elements.length} networks; a pod can have ${maxNetworks}`)
  const selections = elements.map((element, i): Selection => {
    const read = elementSchema.safeParse(element)
    if (!read.success) throw new Error(read.error.issues.map(issue => `[${[i, ...issue.path].join('].')}: ${issue.message}`).join('; '))
    const { ips, mac, portMappings, bandwidth, 'cni-args': cniArgs, 'default-route': defaultRoute } = read.data
    const capabilities = Object.entries({ ips, mac, portMappings, bandwidth }).filter(([, value]) => value !== undefined)
    return {
      namespace: read.data.namespace ?? namespace,
      name: read.data.name,
      ifname: read.data.interface ?? `net${i + 1}`,
      capabilities: Object.fromEntries(capabilities),
      ...(cniArgs ? { cniArgs } : {}),
      ...(defaultRoute?.length ? { defaultRoute } : {}),
    }
  })
  const names = selections.map(s => s.ifname)
  const twice = names.find((name, i) => name === 'eth0' || name === 'lo' || names.indexOf(name) !== i)
  if (twice !== undefined) throw new Error(`the interface ${twice} would be there twice`)
  const gateways = selections.flatMap(s => s.defaultRoute ?? [])
  for (const of6 of [false, true])
    if (gateways.filter(g => g.includes(':') === of6).length > 1) throw new Error('there can be one default route of each family')
  return selections
}

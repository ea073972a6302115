/**
 * What nftables should hold for the cluster's services: a pure function of Services and EndpointSlices, and the script from one such state
 * to another.
 */
import { createHash } from 'node:crypto'
import { isIPv4 } from 'node:net'
import type { Service } from '#shared/api/core/service.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { portEndpoints, type ProxyEndpoint } from './endpoints.ts'

/** The part of the table that changes; the rest is `skeleton`. */
export interface Ruleset {
  /** Chain name to its rules. */
  chains: Map<string, string[]>
  /** Name of a map or set to its elements: key to value, or to '' in a set. */
  elements: Map<ElementsName, Map<string, string>>
  /** Sets that packets fill, the clients of an endpoint with session affinity: name to what the set is. */
  affinity: Map<string, string>
  /** `address:port` of a UDP service, or `*:port` of a node port, to the endpoints (`address:port`) that its packets may go to. */
  udp: Map<string, ReadonlySet<string>>
}
export interface ProxyOptions {
  nodeName: string
  /** Where node ports answer. */
  nodeIPs: readonly string[]
  /** All pods of the cluster: traffic from elsewhere is masqueraded, so that answers come back this way. */
  clusterCIDR: string
  serviceCIDR: string
}

const MAPS = {
  'service-ips': 'map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }',
  'service-nodeports': 'map service-nodeports { type inet_proto . inet_service : verdict; }',
  'no-endpoint-services': 'map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; }',
  'no-endpoint-nodeports': 'map no-endpoint-nodeports { type inet_proto . inet_service : verdict; }',
  'cluster-ips': 'set cluster-ips { type ipv4_addr; }',
  'hairpin-connections': 'set hairpin-connections { type ipv4_addr . ipv4_addr; }',
} as const
export type ElementsName = keyof typeof MAPS
const ELEMENTS = Object.keys(MAPS) as ElementsName[]
export const TABLE = 'ip kube-proxy'

export const emptyRuleset = (): Ruleset => ({
  chains: new Map(),
  elements: new Map(ELEMENTS.map(name => [name, new Map()])),
  affinity: new Map(),
  udp: new Map(),
})

/**
 * The table without any service, in place of what is there, in the same transaction as what follows it. Refusals are looked up in the
 * filter hooks: a packet that still has a service's address there found no endpoint.
 */
export const skeleton = ({ nodeIPs, serviceCIDR }: ProxyOptions): string => `table ${TABLE} {}
delete table ${TABLE}
table ${TABLE} {
  ${Object.values(MAPS).join('\n  ')}
  set nodeport-ips { type ipv4_addr; ${nodeIPs.length > 0 ? `elements = { ${nodeIPs.join(', ')} }; ` : ''}}
  chain mark-for-masquerade { meta mark set meta mark or 0x4000; }
  chain reject-chain { reject; }
  chain services {
    ip daddr . meta l4proto . th dport vmap @service-ips
    ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
  }
  chain refusals {
    ip daddr . meta l4proto . th dport vmap @no-endpoint-services
    ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports
    ip daddr @cluster-ips reject
    ip daddr ${serviceCIDR} drop
  }
  chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
  chain nat-output { type nat hook output priority -100; jump services; }
  chain nat-postrouting {
    type nat hook postrouting priority srcnat;
    meta mark and 0x4000 != 0 meta mark set meta mark and 0xffffbfff masquerade fully-random
    ip saddr . ip daddr @hairpin-connections ct status dnat masquerade fully-random
  }
  chain filter-input { type filter hook input priority 0; ct state new jump refusals; }
  chain filter-forward { type filter hook forward priority 0; ct state new jump refusals; }
  chain filter-output { type filter hook output priority 0; ct state new jump refusals; }
}
`

/** Whether kube-proxy has anything to do with a service. */
export const isProxied = ({ metadata, spec }: Service): boolean =>
  spec?.type !== 'ExternalName' &&
  !!spec?.clusterIP &&
  spec.clusterIP !== 'None' &&
  metadata.labels?.['service.kubernetes.io/service-proxy-name'] === undefined

/** The rules of one service; `slices` are its own. */
export function serviceRuleset(service: Service, slices: readonly EndpointSlice[], options: ProxyOptions): Ruleset {
  const rules = emptyRuleset()
  if (!isProxied(service)) return rules
  const { metadata, spec } = service
  const set = (name: ElementsName, key: string, value = ''): void => void rules.elements.get(name)!.set(key, value)
  const clusterIP = spec!.clusterIP!
  const externalIPs = [...(spec!.externalIPs ?? []), ...loadBalancerIPs(service)].filter(isIPv4)
  if (!isIPv4(clusterIP)) return rules
  set('cluster-ips', clusterIP)

  for (const { name = '', protocol = 'TCP', port, nodePort } of spec!.ports ?? []) {
    const proto = protocol.toLowerCase()
    const endpoints = portEndpoints(slices, name, protocol, options.nodeName)
    for (const e of endpoints.cluster) if (e.local) set('hairpin-connections', `${e.ip} . ${e.ip}`)
    const suffix = `${createHash('sha256').update(`${metadata.namespace}/${metadata.name}:${name}/${proto}`).digest('hex').slice(0, 8)}-${metadata.namespace}/${metadata.name}/${proto}${name === '' ? '' : `/${name}`}`
    const [anywhere, onNode, external] = [`service-${suffix}`, `local-${suffix}`, `external-${suffix}`]
    const seconds = spec!.sessionAffinity === 'ClientIP' ? (spec!.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800) : undefined
    const select = (from: readonly ProxyEndpoint[]): string[] =>
      seconds === undefined
        ? [`meta l4proto ${proto} dnat ip to ${selection(from)}`]
        : stickySelection(rules, from, { proto, seconds, owner: suffix })
    const internalLocal = spec!.internalTrafficPolicy === 'Local'
    const externalLocal = spec!.externalTrafficPolicy === 'Local'
    const fromOutside = `ip daddr ${clusterIP} ip saddr != ${options.clusterCIDR} jump mark-for-masquerade`

    if (endpoints.cluster.length > 0) rules.chains.set(anywhere, [fromOutside, ...select(endpoints.cluster)])
    const inside = internalLocal ? endpoints.local : endpoints.cluster
    const hasExternal = externalIPs.length > 0 || nodePort
    if ((internalLocal || (externalLocal && hasExternal)) && endpoints.local.length > 0)
      rules.chains.set(onNode, [fromOutside, ...select(endpoints.local)])

    const at = `${clusterIP} . ${proto} . ${port}`
    if (inside.length > 0) set('service-ips', at, `goto ${internalLocal ? onNode : anywhere}`)
    else set('no-endpoint-services', at, endpoints.cluster.length > 0 ? 'drop' : 'goto reject-chain')
    const udp = (frontend: string, to: readonly ProxyEndpoint[]): void => {
      if (proto === 'udp') rules.udp.set(frontend, new Set(to.map(e => `${e.ip}:${e.port}`)))
    }
    udp(`${clusterIP}:${port}`, inside)
    // Where the policy is Local, clients of the cluster reach every endpoint.
    for (const ip of externalIPs) udp(`${ip}:${port}`, endpoints.cluster)
    if (nodePort) udp(`*:${nodePort}`, endpoints.cluster)

    if (!hasExternal) continue
    if (endpoints.cluster.length > 0) {
      // With the policy Local, only what comes from outside must stay here: pods and the node itself reach every endpoint.
      const local = [
        `ip saddr ${options.clusterCIDR} goto ${anywhere}`,
        'fib saddr type local jump mark-for-masquerade',
        `fib saddr type local goto ${anywhere}`,
        ...(endpoints.local.length > 0 ? [`goto ${onNode}`] : []),
      ]
      rules.chains.set(external, externalLocal ? local : ['jump mark-for-masquerade', `goto ${anywhere}`])
    }
    const refused =
      endpoints.cluster.length === 0 ? 'goto reject-chain' : externalLocal && endpoints.local.length === 0 ? 'drop' : undefined
    for (const ip of externalIPs) {
      if (endpoints.cluster.length > 0) set('service-ips', `${ip} . ${proto} . ${port}`, `goto ${external}`)
      if (refused) set('no-endpoint-services', `${ip} . ${proto} . ${port}`, refused)
    }
    if (nodePort) {
      if (endpoints.cluster.length > 0) set('service-nodeports', `${proto} . ${nodePort}`, `goto ${external}`)
      if (refused) set('no-endpoint-nodeports', `${proto} . ${nodePort}`, refused)
    }
  }
  return rules
}

const loadBalancerIPs = ({ status }: Service): string[] =>
  (status?.loadBalancer?.ingress ?? []).filter(i => i.ip && (i.ipMode ?? 'VIP') === 'VIP').map(i => i.ip!)

/** Where a connection goes: one endpoint, by chance. */
function selection(endpoints: readonly ProxyEndpoint[]): string {
  const [first] = endpoints
  if (endpoints.length === 1) return `${first!.ip}:${first!.port}`
  return `numgen random mod ${endpoints.length} map { ${endpoints.map((e, n) => `${n} : ${e.ip} . ${e.port}`).join(', ')} }`
}

interface Stickiness {
  proto: string
  /** How long a client stays with its endpoint after its last connection. */
  seconds: number
  owner: string
}
/**
 * A client's connections go to the endpoint that its last one went to, as long as it is one; else by chance. Each endpoint has a chain that
 * remembers the client in a set of its own, so that other endpoints may come and go.
 */
function stickySelection(rules: Ruleset, endpoints: readonly ProxyEndpoint[], { proto, seconds, owner }: Stickiness): string[] {
  const chains = endpoints.map(({ ip, port }) => {
    const id = createHash('sha256').update(`${owner} ${seconds} ${ip}:${port}`).digest('hex').slice(0, 8)
    const [chain, set] = [`endpoint-${id}-${ip}/${port}`, `affinity-${id}-${ip}/${port}`]
    rules.affinity.set(set, `type ipv4_addr; flags dynamic,timeout; timeout ${seconds}s;`)
    rules.chains.set(chain, [`update @${set} { ip saddr }`, `meta l4proto ${proto} dnat ip to ${ip}:${port}`])
    return { chain, set }
  })
  return [
    ...chains.map(({ chain, set }) => `ip saddr @${set} goto ${chain}`),
    `numgen random mod ${chains.length} vmap { ${chains.map(({ chain }, n) => `${n} : goto ${chain}`).join(', ')} }`,
  ]
}

/** All services' rules as one; of two services that want the same element the first gets it. */
export function mergeRulesets(rulesets: Iterable<Ruleset>): Ruleset {
  const all = emptyRuleset()
  for (const { chains, elements, affinity, udp } of rulesets) {
    for (const [name, definition] of affinity) all.affinity.set(name, definition)
    for (const [frontend, endpoints] of udp) if (!all.udp.has(frontend)) all.udp.set(frontend, endpoints)
    for (const [name, rules] of chains) all.chains.set(name, rules)
    for (const [name, entries] of elements) {
      const into = all.elements.get(name)!
      for (const [key, value] of entries) if (!into.has(key)) into.set(key, value)
    }
  }
  return all
}

/** The script that turns `from` into `to`: only chains and elements that differ are named; empty when nothing does. */
export function diffScript(from: Ruleset, to: Ruleset): string {
  const lines: string[] = []
  const changed = [...to.chains].filter(([name, rules]) => from.chains.get(name)?.join('\n') !== rules.join('\n'))
  for (const [name, definition] of to.affinity) if (!from.affinity.has(name)) lines.push(`add set ${TABLE} ${name} { ${definition} }`)
  // Chains may name each other: all must exist before the first rule.
  for (const [name] of changed) lines.push(`add chain ${TABLE} ${name}`, ...(from.chains.has(name) ? [`flush chain ${TABLE} ${name}`] : []))
  for (const [name, rules] of changed) for (const rule of rules) lines.push(`add rule ${TABLE} ${name} ${rule}`)
  for (const name of ELEMENTS) {
    const [before, after] = [from.elements.get(name)!, to.elements.get(name)!]
    const gone = [...before].filter(([key, value]) => after.get(key) !== value).map(([key]) => key)
    const fresh = [...after].filter(([key, value]) => before.get(key) !== value)
    if (gone.length > 0) lines.push(`delete element ${TABLE} ${name} { ${gone.join(', ')} }`)
    if (fresh.length > 0)
      lines.push(`add element ${TABLE} ${name} { ${fresh.map(([key, value]) => (value === '' ? key : `${key} : ${value}`)).join(', ')} }`)
  }
  const dead = [...from.chains.keys()].filter(name => !to.chains.has(name))
  // As above: none may be named by another when it goes.
  for (const name of dead) lines.push(`flush chain ${TABLE} ${name}`)
  for (const name of dead) lines.push(`delete chain ${TABLE} ${name}`)
  for (const name of from.affinity.keys()) if (!to.affinity.has(name)) lines.push(`delete set ${TABLE} ${name}`)
  return lines.map(line => `${line}\n`).join('')
}

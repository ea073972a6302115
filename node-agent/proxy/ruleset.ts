/** What nftables should hold for a Service: a pure function of it and its EndpointSlices. */
import { createHash } from 'node:crypto'
import type { Service } from '#shared/api/core/service.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { familyWords } from '#shared/linux/nft.ts'
import { ipFamily, type IPFamily } from '#shared/machinery/ip.ts'
import { portEndpoints, type Place, type ProxyEndpoint } from './endpoints.ts'
import type { ElementsName, SelectionMap } from './table.ts'

/** The part of the table that changes. In rules and values `<NAME>` stands for the id of the selection NAME. */
export interface Ruleset {
  /** Chain name to its rules, a line each. */
  chains: Map<string, string>
  /** Name of a map or set to its elements: key to value, or to '' in a set. */
  elements: Map<ElementsName, Map<string, string>>
  /** Lists of which a connection gets one by chance: name to what they hold. */
  selections: Map<string, Selection>
  /** Sets that packets fill, the clients of an endpoint with session affinity: name to what the set is. */
  affinity: Map<string, string>
  /** `address:port` of a UDP service, or `*:port` of a node port, to the endpoints (`address:port`) that its packets may go to. */
  udp: Map<string, ReadonlySet<string>>
  /** Ports that have endpoints, but none on this node where the policy wants one, by policy. */
  withoutLocal: { internal: number; external: number }
}
export interface Selection {
  map: SelectionMap
  values: string[]
}
export interface ProxyOptions extends Place {
  clusterCIDR: string
}

export const emptyRuleset = (): Ruleset => ({
  chains: new Map(),
  elements: new Map(),
  selections: new Map(),
  affinity: new Map(),
  udp: new Map(),
  withoutLocal: { internal: 0, external: 0 },
})

const unproxiedLabels = ['service.kubernetes.io/service-proxy-name', 'service.kubernetes.io/headless']
/** Whether kube-proxy has anything to do with a service. */
export const isProxied = ({ metadata, spec }: Service): boolean =>
  spec?.type !== 'ExternalName' &&
  !!spec?.clusterIP &&
  spec.clusterIP !== 'None' &&
  unproxiedLabels.every(label => metadata.labels?.[label] === undefined)

/** The balancers' addresses that the proxy answers for itself: not those of `ipMode: Proxy`. */
export const loadBalancerIPs = ({ status }: Service): string[] =>
  (status?.loadBalancer?.ingress ?? []).filter(i => i.ip && (i.ipMode ?? 'VIP') === 'VIP').map(i => i.ip!)

/** How long a client stays with its endpoint after its last connection; undefined without session affinity. */
export const affinitySeconds = ({ spec }: Service): number | undefined =>
  spec.sessionAffinity === 'ClientIP' ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800) : undefined

/** The rules of one service for a family of addresses; `slices` are its own. */
export function serviceRuleset(service: Service, slices: readonly EndpointSlice[], options: ProxyOptions): Ruleset {
  const rules = emptyRuleset()
  const { metadata, spec } = service
  const family = options.family ?? 'IPv4'
  const { ip: word } = familyWords[family]
  const isOurs = (ip: string): boolean => ipFamily(ip) === family
  const clusterIP = isProxied(service) ? (spec.clusterIPs ?? [spec.clusterIP!]).find(isOurs) : undefined
  if (clusterIP === undefined) return rules
  const set = (name: ElementsName, key: string, value = ''): void => {
    const of = rules.elements.get(name)
    if (of) of.set(key, value)
    else rules.elements.set(name, new Map([[key, value]]))
  }
  const balancers = loadBalancerIPs(service).filter(isOurs)
  const externalIPs = [...(spec.externalIPs ?? []).filter(isOurs), ...balancers]
  const seconds = affinitySeconds(service)
  const internalLocal = spec.internalTrafficPolicy === 'Local'
  const externalLocal = spec.externalTrafficPolicy === 'Local'
  set('cluster-ips', clusterIP)

  for (const { name = '', protocol = 'TCP', port, nodePort } of spec.ports ?? []) {
    const proto = protocol.toLowerCase()
    const endpoints = portEndpoints(slices, name, protocol, options)
    for (const e of [...endpoints.cluster, ...endpoints.local]) if (e.local) set('hairpin-connections', `${e.ip} . ${e.ip}`)
    const id = `${metadata.namespace}/${metadata.name}/${proto}${name === '' ? '' : `/${name}`}`
    const suffix = `${createHash('sha256').update(id).digest('hex').slice(0, 8)}-${id}`
    const choice = (of: string, from: readonly ProxyEndpoint[]): Choice =>
      seconds === undefined
        ? byChance(rules, word, `${of}-${suffix}`, {
            map: `endpoints-${proto}` as SelectionMap,
            values: from.map(e => `${e.ip} . ${e.port}`),
          })
        : sticky(rules, `${of}-${suffix}`, from, { family, proto, seconds, owner: suffix })
    const hasExternal = externalIPs.length > 0 || nodePort
    const anywhere = endpoints.cluster.length > 0 && (!internalLocal || hasExternal) ? choice('service', endpoints.cluster) : undefined
    const onNode =
      endpoints.local.length > 0 && (internalLocal || (externalLocal && hasExternal)) ? choice('local', endpoints.local) : undefined

    if (endpoints.any && endpoints.local.length === 0) {
      if (internalLocal) rules.withoutLocal.internal++
      if (externalLocal && hasExternal) rules.withoutLocal.external++
    }
    const at = `${clusterIP} . ${proto} . ${port}`
    const inside = internalLocal ? onNode : anywhere
    if (inside) {
      set('service-ids', at, inside.id)
      set('service-ips', at, `goto ${inside.chain}`)
    } else set('no-endpoint-services', at, endpoints.any ? 'drop' : 'goto reject-chain')
    const udp = (frontend: string, to: readonly ProxyEndpoint[]): void => {
      if (proto === 'udp') rules.udp.set(frontend, new Set(to.map(e => `${e.ip}:${e.port}`)))
    }
    udp(`${clusterIP}:${port}`, internalLocal ? endpoints.local : endpoints.cluster)
    // Where the policy is Local, clients of the cluster reach every endpoint.
    for (const ip of externalIPs) udp(`${ip}:${port}`, [...endpoints.cluster, ...(externalLocal ? endpoints.local : [])])
    if (nodePort) udp(`*:${nodePort}`, [...endpoints.cluster, ...(externalLocal ? endpoints.local : [])])

    if (!hasExternal) continue
    const external = externalLocal ? `external-${suffix}` : `masquerade-${anywhere?.chain}`
    if (anywhere && externalLocal) {
      // Only what comes from outside must stay here: pods and the node itself reach every endpoint.
      rules.chains.set(
        external,
        [
          `${word} saddr ${options.clusterCIDR} goto ${anywhere.chain}`,
          'fib saddr type local jump mark-for-masquerade',
          `fib saddr type local goto ${anywhere.chain}`,
          ...(onNode ? [`meta mark set ${onNode.id} goto ${onNode.chain}`] : []),
        ].join('\n'),
      )
    } else if (anywhere) rules.chains.set(external, `jump mark-for-masquerade\ngoto ${anywhere.chain}`)
    const refused = !endpoints.any ? 'goto reject-chain' : externalLocal && !onNode ? 'drop' : undefined
    const firewall = `firewall-${suffix}`
    if (balancers.length > 0 && spec.loadBalancerSourceRanges?.length)
      rules.chains.set(firewall, sourceRules(family, spec.loadBalancerSourceRanges, balancers))
    for (const ip of externalIPs) {
      const frontend = `${ip} . ${proto} . ${port}`
      if (anywhere) {
        set('service-ids', frontend, anywhere.id)
        set('service-ips', frontend, `goto ${external}`)
      }
      if (refused) set('no-endpoint-services', frontend, refused)
      if (balancers.includes(ip) && rules.chains.has(firewall)) set('firewall-ips', frontend, `goto ${firewall}`)
    }
    if (nodePort) {
      const frontend = `${proto} . ${nodePort}`
      if (anywhere) {
        set('nodeport-ids', frontend, anywhere.id)
        set('service-nodeports', frontend, `goto ${external}`)
      }
      if (refused) set('no-endpoint-nodeports', frontend, refused)
    }
  }
  return rules
}

/** Who may use a balancer's address. A node's own packets to it may come from that address, as it may be one of the node's. */
function sourceRules(family: IPFamily, ranges: readonly string[], balancers: readonly string[]): string {
  const allowed = ranges.map(r => r.trim()).filter(r => ipFamily(r.split('/')[0]!) === family)
  return [...allowed, ...balancers]
    .map(range => `${familyWords[family].ip} saddr ${range} return`)
    .concat('drop')
    .join('\n')
}

/** Where a packet's endpoint is chosen: in `chain`, when its mark is `id`. */
interface Choice {
  chain: string
  id: string
}

/** One of a selection; all selections of a size share a chain. */
function byChance(rules: Ruleset, word: 'ip' | 'ip6', name: string, selection: Selection): Choice {
  const { map, values } = selection
  rules.selections.set(name, selection)
  const key = `meta mark . numgen random mod ${values.length}`
  const proto = map.slice('endpoints-'.length)
  const [chain, rule] =
    map === 'endpoint-chains'
      ? [`pick-chain-${values.length}`, `${key} vmap @${map}`]
      : [`pick-${proto}-${values.length}`, `meta l4proto ${proto} dnat ${word} to ${key} map @${map}`]
  rules.chains.set(chain, rule)
  return { chain, id: `<${name}>` }
}

interface Stickiness {
  family: IPFamily
  proto: string
  seconds: number
  owner: string
}
/**
 * A client's connections go to the endpoint that its last one went to, as long as it is one; else by chance. Each endpoint has a chain that
 * remembers the client in a set of its own, so that other endpoints may come and go.
 */
function sticky(rules: Ruleset, name: string, endpoints: readonly ProxyEndpoint[], { family, proto, seconds, owner }: Stickiness): Choice {
  const { ip, address } = familyWords[family]
  const chains = endpoints.map(({ ip: to, port }) => {
    const id = createHash('sha256').update(`${owner} ${seconds} ${to}:${port}`).digest('hex').slice(0, 8)
    // No name of nft's has a colon.
    const [chain, set] = ['endpoint', 'affinity'].map(what => `${what}-${id}-${to.replaceAll(':', '-')}/${port}`) as [string, string]
    rules.affinity.set(set, `type ${address}; flags dynamic,timeout; timeout ${seconds}s;`)
    rules.chains.set(chain, `update @${set} { ${ip} saddr }\nmeta l4proto ${proto} dnat ${ip} to ${ip === 'ip6' ? `[${to}]` : to}:${port}`)
    return { chain, set }
  })
  const pick = byChance(rules, ip, `sticky-${name}`, { map: 'endpoint-chains', values: chains.map(({ chain }) => `goto ${chain}`) })
  rules.chains.set(name, [...chains.map(({ chain, set }) => `${ip} saddr @${set} goto ${chain}`), `goto ${pick.chain}`].join('\n'))
  return { chain: name, id: pick.id }
}

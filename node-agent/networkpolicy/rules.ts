/**
 * What a NetworkPolicy allows, as rules over sets of addresses: a pure function of the policy alone. Which pods are in the sets is for
 * decisions.ts. https://kubernetes.io/docs/concepts/services-networking/network-policies/
 */
import { createHash } from 'node:crypto'
import type { NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort } from '#shared/api/networking/networkpolicy.ts'
import { ipText, parseCIDR, type IPFamily } from '#shared/machinery/ip.ts'
import { formatSelector, selectorOf, type Selector } from '#shared/machinery/labels.ts'

export const directions = ['ingress', 'egress'] as const
export type Direction = (typeof directions)[number]

/** Pods that a peer means: those of one namespace, or of all that are selected; an absent pod selector means all of them. */
export interface PodSelection {
  namespace?: string
  namespaces?: Selector
  pods?: Selector
}
/** A port by its name: at each pod the number that one of its containers gives it. */
export interface NamedPort {
  name: string
  protocol: string
}
/** Whom a rule lets in, or lets be reached; `set` names a set of addresses. */
export type Peer = { set: string } | { block: string; except: string[] } | 'anybody'
/** `ranges` are sorted and do not touch; `set` names a set of pods' addresses with a port each. */
export type Ports = { protocol: string; ranges: [first: number, last: number][] } | { protocol: string; set: string } | 'any'
export interface Rule {
  peer: Peer
  ports: Ports
}
export interface PolicyRules {
  namespace: string
  name: string
  /** The pods that it is for, in its namespace. */
  subjects: Selector
  /** A direction that it says nothing of is absent; one without rules allows nothing. */
  ingress?: Rule[]
  egress?: Rule[]
  /** What the rules' sets hold, by name. */
  selections: Map<string, PodSelection>
  namedPorts: Map<string, NamedPort>
}

/** A name for nftables that says the same for the same text. */
export const hashed = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 12)

/** A policy's rules for a family of addresses. Throws for a policy that validation would not have let in. */
export function policyRules({ metadata, spec }: NetworkPolicy, family: IPFamily = 'IPv4'): PolicyRules {
  const { namespace = '', name = '' } = metadata
  const rules: PolicyRules = {
    namespace,
    name,
    subjects: selectorOf(spec.podSelector) ?? [],
    selections: new Map(),
    namedPorts: new Map(),
  }
  const cross = (peers: readonly NetworkPolicyPeer[] | undefined, ports: readonly NetworkPolicyPort[] | undefined): Rule[] => {
    const reached = portsOf(ports, rules)
    return peersOf(peers, rules, family).flatMap(peer => reached.map(at => ({ peer, ports: at })))
  }
  const types = spec.policyTypes ?? ['Ingress', ...(spec.egress?.length ? (['Egress'] as const) : [])]
  if (types.includes('Ingress')) rules.ingress = (spec.ingress ?? []).flatMap(rule => cross(rule.from, rule.ports))
  if (types.includes('Egress')) rules.egress = (spec.egress ?? []).flatMap(rule => cross(rule.to, rule.ports))
  return rules
}

function peersOf(peers: readonly NetworkPolicyPeer[] | undefined, into: PolicyRules, family: IPFamily): Peer[] {
  if (!peers?.length) return ['anybody']
  return peers.flatMap(({ ipBlock, podSelector, namespaceSelector }): Peer[] => {
    if (ipBlock) {
      if (parseCIDR(ipBlock.cidr)?.family !== family) return []
      return [{ block: canonical(ipBlock.cidr), except: (ipBlock.except ?? []).map(canonical) }]
    }
    const selection: PodSelection = {
      ...(namespaceSelector ? { namespaces: selectorOf(namespaceSelector)! } : { namespace: into.namespace }),
      ...(podSelector ? { pods: selectorOf(podSelector)! } : {}),
    }
    const { namespace, namespaces, pods } = selection
    const text = [namespace ?? '', namespaces && formatSelector(namespaces), pods && formatSelector(pods)]
    const set = `pods-${hashed(JSON.stringify(text))}`
    into.selections.set(set, selection)
    return [{ set }]
  })
}

function canonical(text: string): string {
  const cidr = parseCIDR(text)
  if (!cidr) throw new Error(`invalid CIDR address: ${text}`)
  return `${ipText(cidr.base, cidr.width)}/${cidr.prefix}`
}

function portsOf(ports: readonly NetworkPolicyPort[] | undefined, into: PolicyRules): Ports[] {
  if (!ports?.length) return ['any']
  const ranges = new Map<string, [number, number][]>()
  const named = new Map<string, Ports>()
  for (const { protocol = 'TCP', port, endPort } of ports) {
    if (typeof port === 'string') {
      const set = `port-${hashed(`${protocol}/${port}`)}`
      into.namedPorts.set(set, { name: port, protocol })
      named.set(set, { protocol, set })
    } else ranges.set(protocol, [...(ranges.get(protocol) ?? []), port === undefined ? [0, 65_535] : [port, endPort ?? port]])
  }
  return [...[...ranges].map(([protocol, list]) => ({ protocol, ranges: merged(list) })), ...named.values()]
}

/** Sorted, and those that overlap or touch as one: nftables refuses others. */
function merged(ranges: [number, number][]): [number, number][] {
  const result: [number, number][] = []
  for (const [first, last] of ranges.sort(([a], [b]) => a - b)) {
    const before = result.at(-1)
    if (before && first <= before[1] + 1) before[1] = Math.max(before[1], last)
    else result.push([first, last])
  }
  return result
}

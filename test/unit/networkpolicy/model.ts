/** What the API says of network policies, in the shortest words: slow, and sure to be right. */
import type { NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort } from '#shared/api/networking/networkpolicy.ts'
import { selects, type Labels } from '#shared/machinery/labels.ts'
import { ipToNumber, parseCidr } from '#node-agent/network/addresses.ts'
import type { PodFacts } from '#node-agent/networkpolicy/decisions.ts'
import type { Packet } from './kernel.ts'

export interface World {
  policies: Map<string, NetworkPolicy>
  pods: Map<string, PodFacts>
  namespaces: Map<string, Labels>
}

const within = (ip: string, cidr: string): boolean => {
  const { base, prefix } = parseCidr(cidr)
  return ipToNumber(ip) >= base && ipToNumber(ip) < base + 2 ** (32 - prefix)
}

/** Whether a packet passes the node whose pods are `local`. */
export function allowed({ policies, pods, namespaces }: World, { saddr, daddr, protocol, port }: Packet): boolean {
  const podAt = (ip: string): PodFacts | undefined => [...pods.values()].find(p => p.ip === ip)
  const isPeer = (peer: NetworkPolicyPeer, ip: string, namespace: string): boolean => {
    if (peer.ipBlock) return within(ip, peer.ipBlock.cidr) && !(peer.ipBlock.except ?? []).some(range => within(ip, range))
    const pod = podAt(ip)
    if (!pod) return false
    const there = peer.namespaceSelector ? selects(peer.namespaceSelector, namespaces.get(pod.namespace)) : pod.namespace === namespace
    return there && (!peer.podSelector || selects(peer.podSelector, pod.labels))
  }
  const isPort = (p: NetworkPolicyPort): boolean => {
    if ((p.protocol ?? 'TCP') !== protocol) return false
    if (p.port === undefined) return true
    if (typeof p.port === 'number') return port >= p.port && port <= (p.endPort ?? p.port)
    return (podAt(daddr)?.ports ?? []).some(named => named.name === p.port && named.protocol === protocol && named.port === port)
  }
  const passes = (side: 'Ingress' | 'Egress'): boolean => {
    const pod = podAt(side === 'Ingress' ? daddr : saddr)
    if (!pod?.local || saddr === daddr) return true
    const mine = [...policies.values()].filter(
      p => p.metadata.namespace === pod.namespace && selects(p.spec.podSelector, pod.labels) && p.spec.policyTypes!.includes(side),
    )
    if (mine.length === 0) return true
    return mine.some(({ spec, metadata }) => {
      const rules =
        side === 'Ingress'
          ? (spec.ingress ?? []).map(rule => ({ ports: rule.ports, peers: rule.from, other: saddr }))
          : (spec.egress ?? []).map(rule => ({ ports: rule.ports, peers: rule.to, other: daddr }))
      return rules.some(
        ({ ports, peers, other }) =>
          (!ports?.length || ports.some(isPort)) && (!peers?.length || peers.some(peer => isPeer(peer, other, metadata.namespace!))),
      )
    })
  }
  return passes('Egress') && passes('Ingress')
}

/**
 * The records of the cluster's domain: Kubernetes DNS-based service discovery 1.1.0
 * (https://github.com/kubernetes/dns/blob/master/docs/specification.md).
 */
import { isIPv4, isIPv6 } from 'node:net'
import type { Answer } from 'dns-packet'
import type { Service } from '#shared/api/core/service.ts'
import { clusterIPs, isHeadless, type EndpointAddress, type EndpointGroup, type View } from './view.ts'

/** Seconds that an answer may be kept; of one that something is not there, too. */
export const ttl = 5
const schemaVersion = '1.1.0'

export interface Resolved {
  /** Whether the name is there; without records of the type asked for it may be. */
  readonly exists: boolean
  readonly answers: readonly Answer[]
  /** Addresses of names that the answers are about. */
  readonly additionals: readonly Answer[]
}
const absent: Resolved = { exists: false, answers: [], additionals: [] }
const empty: Resolved = { exists: true, answers: [], additionals: [] }

const addressRecord = (name: string, ip: string): Answer => ({ name, type: isIPv4(ip) ? 'A' : 'AAAA', ttl, data: ip })
const addressType = (ip: string): string => (isIPv4(ip) ? 'A' : 'AAAA')

export const soaOf = (domain: string): Answer => ({
  name: domain,
  type: 'SOA',
  ttl,
  data: { mname: `ns.dns.${domain}`, rname: `hostmaster.${domain}`, serial: 1, refresh: 7200, retry: 1800, expire: 86_400, minimum: ttl },
})

/** `name` is in lower case, without a dot at its end, and `domain` or below it. */
export function resolveInZone(view: View, domain: string, name: string, type: string): Resolved {
  const labels = name === domain ? [] : name.slice(0, -domain.length - 1).split('.')
  const records = (...answers: Answer[]): Resolved => ({ exists: true, answers: answers.filter(a => a.type === type), additionals: [] })
  if (labels.length === 0) return records(soaOf(domain), { name, type: 'NS', ttl, data: `ns.dns.${domain}` })
  if (name === `dns-version.${domain}`) return records({ name, type: 'TXT', ttl, data: schemaVersion })
  if (name === `dns.${domain}`) return empty
  if (name === `ns.dns.${domain}`) {
    const service = view.service('kube-system', 'kube-dns')
    return records(...(service ? clusterIPs(service) : []).map(ip => addressRecord(name, ip)))
  }
  const kind = labels.pop()
  if (kind === 'pod') return resolvePod(labels, name, records)
  if (kind !== 'svc') return absent
  if (labels.length === 0) return empty
  const namespace = labels.pop()!
  if (labels.length === 0) return view.hasNamespace(namespace) ? empty : absent
  const service = view.service(namespace, labels.pop()!)
  return service ? resolveService(view, domain, service, labels, name, type) : absent
}

/** `10-1-2-3.default.pod`: the address itself, whoever has it. */
function resolvePod(labels: readonly string[], name: string, records: (...answers: Answer[]) => Resolved): Resolved {
  if (labels.length < 2) return empty
  const [dashed = ''] = labels
  const ip = [dashed.replaceAll('-', '.'), dashed.replaceAll('-', ':')].find(text => isIPv4(text) || isIPv6(text))
  return labels.length === 2 && ip ? records(addressRecord(name, ip)) : absent
}

/** `labels` are what stands before the name of the Service. */
function resolveService(view: View, domain: string, service: Service, labels: readonly string[], name: string, type: string): Resolved {
  const { metadata, spec } = service
  if (spec?.type === 'ExternalName')
    return labels.length > 0
      ? absent
      : { ...empty, answers: spec.externalName ? [{ name, type: 'CNAME', ttl, data: spec.externalName.replace(/\.$/, '') }] : [] }
  const own = `${metadata.name}.${metadata.namespace}.svc.${domain}`
  const groups = (): readonly EndpointGroup[] => view.endpoints(metadata.namespace ?? '', metadata.name ?? '')
  const [first = '', second = ''] = labels
  if (labels.length === 0) {
    if (type === 'SRV') return srv(service, groups, own, name)
    const ips = isHeadless(service) ? groups().flatMap(g => g.addresses.map(a => a.ip)) : clusterIPs(service)
    // A headless Service without endpoints has no addresses, and its name is not there, as upstream.
    if (isHeadless(service) && ips.length === 0) return absent
    return { ...empty, answers: ofType(name, ips, type) }
  }
  if (labels.length === 1 && (first === '_tcp' || first === '_udp' || first === '_sctp')) {
    return srv(service, groups, own, name, first).exists ? empty : absent
  }
  if (labels.length === 1) {
    const ips = groups().flatMap(g => g.addresses.flatMap(a => (a.host === first ? [a.ip] : [])))
    return ips.length === 0 ? absent : { ...empty, answers: ofType(name, ips, type) }
  }
  if (labels.length !== 2 || !first.startsWith('_')) return absent
  const found = srv(service, groups, own, name, second, first)
  return type === 'SRV' ? found : { ...found, answers: [], additionals: [] }
}

const ofType = (name: string, ips: readonly string[], type: string): Answer[] =>
  [...new Set(ips)].filter(ip => addressType(ip) === type).map(ip => addressRecord(name, ip))

/** Ports with their hosts; all of a protocol (`_tcp`) and name (`_http`) where these are given. */
function srv(
  service: Service,
  groups: () => readonly EndpointGroup[],
  own: string,
  name: string,
  protocol?: string,
  port?: string,
): Resolved {
  const matches = (p: { name?: string | undefined; protocol?: string | undefined }): boolean =>
    (protocol === undefined || protocol === `_${(p.protocol ?? 'TCP').toLowerCase()}`) &&
    (port === undefined || port === `_${p.name?.toLowerCase()}`)
  const found: { target: string; port: number; ips: readonly string[] }[] = []
  if (isHeadless(service)) {
    const host = ({ host }: EndpointAddress): string => `${host}.${own}`
    for (const { addresses, ports } of groups())
      for (const p of ports.filter(matches)) for (const a of addresses) found.push({ target: host(a), port: p.port, ips: [a.ip] })
  } else for (const p of (service.spec?.ports ?? []).filter(matches)) found.push({ target: own, port: p.port, ips: clusterIPs(service) })
  if (found.length === 0) return absent
  const weight = Math.max(1, Math.floor(100 / found.length))
  const targets = new Map(found.map(f => [f.target, f.ips]))
  return {
    exists: true,
    answers: found.map(f => ({ name, type: 'SRV', ttl, data: { priority: 0, weight, port: f.port, target: f.target } })),
    additionals: [...targets].flatMap(([target, ips]) => ips.map(ip => addressRecord(target, ip))),
  }
}

/** The address in a name below in-addr.arpa or ip6.arpa; undefined for any other name. */
export function reverseAddress(name: string): string | undefined {
  const v4 = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\.in-addr\.arpa$/.exec(name)
  if (v4) return `${v4[4]}.${v4[3]}.${v4[2]}.${v4[1]}`
  const v6 = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name)
  if (!v6) return undefined
  const hex = v6[1]!.replaceAll('.', '').split('').reverse().join('')
  return new URL(`http://[${hex.match(/.{4}/g)!.join(':')}]`).hostname.slice(1, -1)
}

export function resolveReverse(view: View, domain: string, name: string, ip: string): Resolved {
  const names = view.namesOf(ip)
  if (names.length === 0) return absent
  return { exists: true, answers: names.map(n => ({ name, type: 'PTR', ttl, data: `${n}.svc.${domain}` })), additionals: [] }
}

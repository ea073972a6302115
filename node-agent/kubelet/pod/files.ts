/** The files that the kubelet writes for every pod: /etc/hosts, /etc/resolv.conf, /etc/hostname. */
import { Buffer } from 'node:buffer'
import { open, readFile, writeFile } from 'node:fs/promises'
import type { Pod } from '#shared/api/core/pod.ts'
import type { PodDirectory } from './directory.ts'

/** The host name inside the pod; a subdomain gives a domain as well. */
export function podHostname(pod: Pod, nodeName: string, clusterDomain = 'cluster.local'): { hostname: string; domain: string } {
  if (pod.spec.hostNetwork && !pod.spec.hostnameOverride) return { hostname: nodeName, domain: '' }
  if (pod.spec.hostnameOverride) return { hostname: pod.spec.hostnameOverride, domain: '' }
  const hostname = (pod.spec.hostname || pod.metadata.name || '').slice(0, 63).replace(/[-.]+$/, '')
  const domain = pod.spec.subdomain ? `${pod.spec.subdomain}.${pod.metadata.namespace}.svc.${clusterDomain}` : ''
  return { hostname: pod.spec.setHostnameAsFQDN && domain ? `${hostname}.${domain}` : hostname, domain }
}

/** The kernel's. */
const maxHostname = 64

/** Throws, in upstream's words, when the kernel does not take the pod's host name. */
export function checkHostname(hostname: string): void {
  if (hostname.length <= maxHostname) return
  throw new Error(
    `failed to construct FQDN from pod hostname and cluster domain, FQDN ${hostname} is too long (${maxHostname} characters is the max, ${hostname.length} characters requested)`,
  )
}

const aliases = (pod: Pod): string => {
  const list = pod.spec.hostAliases ?? []
  if (list.length === 0) return ''
  return `\n# Entries added by HostAliases.\n${list.map(a => `${a.ip}\t${(a.hostnames ?? []).join('\t')}\n`).join('')}`
}

export function hostsFile(pod: Pod, podIPs: readonly string[], nodeName: string, nodeHosts: string, clusterDomain?: string): string {
  if (pod.spec.hostNetwork) return `# Kubernetes-managed hosts file (host network).\n${nodeHosts}${aliases(pod)}`
  const { hostname, domain } = podHostname({ ...pod, spec: { ...pod.spec, setHostnameAsFQDN: false } }, nodeName, clusterDomain)
  const names = domain ? `${hostname}.${domain}\t${hostname}` : hostname
  return (
    '# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n' +
    `${podIPs.map(ip => `${ip}\t${names}\n`).join('')}${aliases(pod)}`
  )
}

/** Where the names of the cluster are answered. */
export interface ClusterNames {
  /** Addresses of resolvers; with none, all pods have the node's. */
  readonly servers: readonly string[]
  readonly domain: string
  /** The node's own resolv.conf. */
  readonly resolvConf: string
}
// What resolvers of the usual C libraries look at.
const maxServers = 3
const maxSearches = 32
const maxSearchChars = 2048

/** As upstream: a pod in the node's network has the node's resolver unless it asks for the cluster's by name of the policy. */
function usesCluster({ dnsPolicy = 'ClusterFirst', hostNetwork }: Pod['spec']): boolean {
  return dnsPolicy === 'ClusterFirstWithHostNet' || (dnsPolicy === 'ClusterFirst' && !hostNetwork)
}

/**
 * The cluster's resolver or the node's, by the policy, or none; what dnsConfig adds comes after, options of the same name replaced. The
 * node's search domains come after the cluster's. `omitted` tells, in upstream's words, what there was no room for.
 */
export function resolvFile(
  pod: Pod,
  nodeResolv: string,
  names: Pick<ClusterNames, 'servers' | 'domain'>,
): { text: string; omitted: string[] } {
  const values = (keyword: string): string[][] =>
    nodeResolv
      .split('\n')
      .map(line => line.trim().split(/\s+/))
      .filter(words => words[0] === keyword)
      .map(words => words.slice(1))
  const own = { nameservers: values('nameserver').flat(), searches: values('search').at(-1) ?? [], options: values('options').flat() }
  const { namespace } = pod.metadata
  const base =
    pod.spec.dnsPolicy === 'None'
      ? { nameservers: [], searches: [], options: [] }
      : names.servers.length > 0 && usesCluster(pod.spec)
        ? {
            nameservers: [...names.servers],
            searches: [`${namespace}.svc.${names.domain}`, `svc.${names.domain}`, names.domain, ...own.searches],
            options: ['ndots:5'],
          }
        : own
  const { nameservers = [], searches = [], options = [] } = pod.spec.dnsConfig ?? {}
  const merged = new Map(base.options.map(o => [o.split(':')[0]!, o]))
  for (const o of options) merged.set(o.name ?? '', o.value ? `${o.name}:${o.value}` : (o.name ?? ''))
  const unique = (list: string[]): string[] => [...new Set(list)]
  const [allServers, allDomains] = [unique([...base.nameservers, ...nameservers]), unique([...base.searches, ...searches])]
  const servers = allServers.slice(0, maxServers)
  const domains = allDomains.slice(0, maxSearches)
  while (domains.join(' ').length > maxSearchChars) domains.pop()
  const omitted: string[] = []
  if (domains.length < allDomains.length)
    omitted.push(`Search Line limits were exceeded, some search paths have been omitted, the applied search line is: ${domains.join(' ')}`)
  if (servers.length < allServers.length)
    omitted.push(
      `Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: ${servers.join(' ')}`,
    )
  const text =
    (domains.length > 0 ? `search ${domains.join(' ')}\n` : '') +
    servers.map(s => `nameserver ${s}\n`).join('') +
    (merged.size > 0 ? `options ${[...merged.values()].join(' ')}\n` : '')
  return { text, omitted }
}

/** Whether the file has this content. Reads no more than that: containers may write it, and make it any size. */
async function says(path: string, content: Buffer): Promise<boolean> {
  const file = await open(path).catch(() => undefined)
  if (!file) return false
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(content.length + 1), 0, content.length + 1, 0)
    return buffer.subarray(0, bytesRead).equals(content)
  } finally {
    await file.close()
  }
}

/**
 * In place, because it is bind-mounted by itself; a file that says so already is left alone: containers read it, and there may be no space
 * to write it again.
 */
async function writeInPlace(path: string, text: string): Promise<void> {
  const content = Buffer.from(text)
  if (!(await says(path, content))) await writeFile(path, content)
}

/** Writes all three. Resolves with what of the pod's names there was no room for. */
export async function writePodFiles(
  d: PodDirectory,
  pod: Pod,
  podIPs: readonly string[],
  nodeName: string,
  names: ClusterNames,
): Promise<string[]> {
  const [nodeHosts, nodeResolv] = await Promise.all(['/etc/hosts', names.resolvConf].map(f => readFile(f, 'utf8').catch(() => '')))
  const { text, omitted } = resolvFile(pod, nodeResolv ?? '', names)
  await Promise.all([
    writeInPlace(d.hosts, hostsFile(pod, podIPs, nodeName, nodeHosts ?? '', names.domain)),
    writeInPlace(d.resolv, text),
    writeInPlace(d.hostname, `${podHostname(pod, nodeName, names.domain).hostname}\n`),
  ])
  return omitted
}

/** What a pod is told of its networks: the annotation of the Network Plumbing Working Group's standard. */
import { basename } from 'node:path'
import { ipJson } from '#shared/linux/ip.ts'
import { readResult } from '../cni/result.ts'
import type { Attachment } from '../cni/records.ts'

export const statusAnnotation = 'k8s.v1.cni.cncf.io/network-status'

export interface NetworkStatus {
  /** Of the cluster's own network its name, of others `NAMESPACE/NAME` of the definition. */
  name: string
  interface: string
  ips: string[]
  mac?: string
  default?: boolean
  dns: Record<string, unknown>
}

interface Link {
  ifname: string
  address: string
  addr_info: { local: string; scope: string }[]
}

/** As the kernel has it: interface to its links. */
export async function networkStatus(primary: string, netns: string, attachments: readonly Attachment[]): Promise<string> {
  const links = await ipJson<Link>(['-n', basename(netns), 'addr', 'show'])
  const statusOf = (name: string, ifname: string, dns: Record<string, unknown>): NetworkStatus => {
    const link = links.find(l => l.ifname === ifname)
    const ips = (link?.addr_info ?? []).filter(a => a.scope === 'global').map(a => a.local)
    return { name, interface: ifname, ips, ...(link ? { mac: link.address } : {}), dns }
  }
  const all = [
    { ...statusOf(primary, 'eth0', {}), default: true },
    ...attachments.map(({ of, network, place, result }) =>
      statusOf(of ?? network.name, place.ifname, result ? readResult(result, place.ifname).dns : {}),
    ),
  ]
  // Indented as Multus does it, for those who read it.
  return JSON.stringify(all, null, 4)
}

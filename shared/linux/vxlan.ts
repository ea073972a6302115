/** A machine's end of the VXLAN that carries packets between pods of two machines: unicast alone, without learning. */
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { hardwareAddress, ipBatch, ipJson } from './ip.ts'

/** What the outer headers take: IPv4, UDP, VXLAN and the inner Ethernet header. */
const overhead = 50

export interface Vxlan {
  readonly link: string
  readonly id: number
  /** UDP. */
  readonly port: number
  /** The machine's address, which others send to. */
  readonly local: string
  /** What the machine has in the pods' network. */
  readonly address: string
}

/** The largest packet, bytes, that fits into one of the link that has an address. */
export async function fitting(address: string): Promise<number> {
  const links = await ipJson<{ mtu?: number }>(['-4', 'addr', 'show', 'to', address])
  return (links.find(l => l.mtu !== undefined)?.mtu ?? 1500) - overhead
}

/** Makes the link, or finds it as it is to be; one that is different is made anew. */
export async function raiseVxlan({ link, id, port, local, address }: Vxlan): Promise<void> {
  const mtu = await fitting(local)
  const [found] = existsSync(`/sys/class/net/${link}`)
    ? await ipJson<{ linkinfo?: { info_data?: { id?: number; port?: number; local?: string } } }>(['-d', 'link', 'show', 'dev', link])
    : []
  const is = found?.linkinfo?.info_data
  const fits = is?.id === id && is.port === port && is.local === local
  await ipBatch([
    ...(found && !fits ? [`link del ${link}`] : []),
    ...(fits ? [] : [`link add ${link} address ${hardwareAddress(local)} type vxlan id ${id} dstport ${port} local ${local} nolearning`]),
    `link set ${link} mtu ${mtu} up`,
    `addr replace ${address}/32 dev ${link}`,
  ])
  await Promise.all([
    writeFile(`/proc/sys/net/ipv4/conf/${link}/forwarding`, '1'),
    writeFile(`/proc/sys/net/ipv4/conf/${link}/rp_filter`, '0'),
    writeFile(`/proc/sys/net/ipv4/conf/${link}/send_redirects`, '0'),
  ])
}

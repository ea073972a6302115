/**
 * Ports of the node that lead to a pod, of one family of addresses: an nftables map whose elements carry the pod's UID, so that the kernel
 * is the only record.
 */
import { familyWords, nft, nftJson } from '#shared/linux/nft.ts'
import { ipFamily, type IPFamily } from '#shared/machinery/ip.ts'

export interface HostPort {
  hostIP: string
  hostPort: number
  containerPort: number
  protocol: string
}
export interface HostPorts {
  /** Makes exactly these ports lead to the pod. */
  set(uid: string, podIP: string, ports: readonly HostPort[]): Promise<void>
  remove(uid: string): Promise<void>
  /** UIDs of the pods that have any. */
  pods(): Promise<string[]>
}

const NAME = 'coxswain-hostports'
const skeleton = (family: IPFamily): string => {
  const { ip, address } = familyWords[family]
  return `table ${ip} ${NAME} {
  map any { type inet_proto . inet_service : ${address} . inet_service; }
  map one { type ${address} . inet_proto . inet_service : ${address} . inet_service; }
  chain hairpin { masquerade; }
  map self { type ${address} . ${address} : verdict; }
  chain dispatch {
    dnat ${ip} to ${ip} daddr . meta l4proto . th dport map @one
    dnat ${ip} to meta l4proto . th dport map @any
  }
  chain prerouting { type nat hook prerouting priority dstnat; fib daddr type local meta l4proto { tcp, udp, sctp } jump dispatch; }
  chain output { type nat hook output priority -100; fib daddr type local meta l4proto { tcp, udp, sctp } jump dispatch; }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ct status dnat ${ip} saddr . ${ip} daddr vmap @self
${family === 'IPv4' ? '    ct status dnat ip saddr 127.0.0.0/8 masquerade\n' : ''}  }
}
`
}

export async function openHostPorts(family: IPFamily = 'IPv4'): Promise<HostPorts> {
  const table = `${familyWords[family].ip} ${NAME}`
  // The map of a former process is kept: nothing tells yet which pods are still there.
  const there = await nftJson(['list', 'tables', familyWords[family].ip]).then(all =>
    all.some(o => (o['table'] as { name?: string } | undefined)?.name === NAME),
  )
  if (!there) await nft(skeleton(family))
  /** Pod UID to what is in the kernel for it: [map, key, value]. */
  const elements = new Map<string, [map: string, key: string, value: string][]>()
  if (there) for (const map of ['any', 'one', 'self']) await load(table, map, elements)

  const deletion = (uid: string): string =>
    (elements.get(uid) ?? []).map(([map, key]) => `delete element ${table} ${map} { ${key} }\n`).join('')

  return {
    async set(uid, podIP, ports) {
      const wanted = ports.flatMap(({ hostIP, hostPort, containerPort, protocol }): [string, string, string][] => {
        const proto = protocol.toLowerCase()
        const every = hostIP === '' || hostIP === (family === 'IPv4' ? '0.0.0.0' : '::')
        if (!every && ipFamily(hostIP) !== family) return []
        return [
          every
            ? ['any', `${proto} . ${hostPort}`, `${podIP} . ${containerPort}`]
            : ['one', `${hostIP} . ${proto} . ${hostPort}`, `${podIP} . ${containerPort}`],
        ]
      })
      if (wanted.length > 0) wanted.push(['self', `${podIP} . ${podIP}`, 'jump hairpin'])
      if (JSON.stringify(wanted) === JSON.stringify(elements.get(uid) ?? [])) return
      await nft(
        deletion(uid) + wanted.map(([map, key, value]) => `add element ${table} ${map} { ${key} comment "${uid}" : ${value} }\n`).join(''),
      )
      if (wanted.length > 0) elements.set(uid, wanted)
      else elements.delete(uid)
    },
    async remove(uid) {
      if (!elements.has(uid)) return
      await nft(deletion(uid))
      elements.delete(uid)
    },
    pods: () => Promise.resolve([...elements.keys()]),
  }
}

/** Reads a map back; its elements look like [{elem: {val: {concat: [...]}, comment}}, value]. */
async function load(table: string, map: string, into: Map<string, [string, string, string][]>): Promise<void> {
  const text = (value: unknown): string => {
    const concat = (value as { concat?: unknown[] })?.concat
    if (concat) return concat.map(String).join(' . ')
    return typeof value === 'object' && value !== null && 'jump' in value
      ? `jump ${(value as { jump: { target: string } }).jump.target}`
      : String(value)
  }
  const listed = (await nftJson(['list', 'map', ...table.split(' '), map])).find(o => 'map' in o)?.['map'] as
    { elem?: [{ elem: { val: unknown; comment: string } }, unknown][] } | undefined
  for (const [key, value] of listed?.elem ?? []) {
    const { val, comment } = key.elem
    into.set(comment, [...(into.get(comment) ?? []), [map, text(val), text(value)]])
  }
}

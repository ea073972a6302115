/**
 * What pods of namespaces with an egress address send to the outside, on a node of another machine: it goes by the first machine, as what
 * it is, and has its address from there.
 */
import type { Namespace } from '#shared/api/core/namespace.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { backoff, sleep } from '#shared/client/backoff.ts'
import type { Informer } from '#shared/client/informer.ts'
import type { Logger } from '#shared/component/log.ts'
import { ipBatch, ipJson } from '#shared/linux/ip.ts'
import { nft } from '#shared/linux/nft.ts'
import type { Hop } from '#shared/linux/routes.ts'
import { egressAddress, ownAddress } from '#shared/network/egress.ts'

/** Of our rules, and the kernel's table of routes that they name: numbers that no routing daemon uses. `cox node leave` removes them. */
const [priority, table] = [12_200, 12_200]

/** The way to the first machine for these pods alone, all but what stays in the cluster. Changes only what differs. */
async function setWay(ips: ReadonlySet<string>, { via, vxlan }: Hop, cluster: readonly string[]): Promise<void> {
  const rules = await ipJson<{ priority: number; src: string }>(['-4', 'rule', 'show'])
  const present = new Set(rules.flatMap(r => (r.priority === priority ? [r.src] : [])))
  const routes = [
    ...cluster.map(range => `route replace throw ${range} table ${table}`),
    `route replace default via ${via}${vxlan === undefined ? '' : ` dev ${vxlan} onlink`} table ${table}`,
  ]
  await ipBatch(ips.size > 0 ? routes : [])
  await ipBatch([
    ...[...ips].filter(ip => !present.has(ip)).map(ip => `rule add from ${ip} lookup ${table} priority ${priority}`),
    ...[...present].filter(ip => !ips.has(ip)).map(ip => `rule del from ${ip} lookup ${table} priority ${priority}`),
  ])
  // An address that is given to what has it already is one that no other rule changes.
  const kept = `table ip coxswain-egress {
  map pods { type ipv4_addr : ipv4_addr; elements = { ${[...ips].map(ip => `${ip} : ${ip}`).join(', ')} } }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip daddr != { ${cluster.join(', ')} } snat to ip saddr map @pods
  }
}
`
  await nft(`table ip coxswain-egress {}\ndelete table ip coxswain-egress\n${ips.size > 0 ? kept : ''}`)
}

export interface EgressOptions {
  namespaces: Informer<Namespace>
  /** Begins to follow the pods of this node, until the signal. */
  followPods: (signal: AbortSignal) => Informer<Pod>
  /** The way to the first machine. */
  gateway: Hop
  /** What is reached without it: disjoint ranges. */
  cluster: readonly string[]
  log: Logger
}

/** Keeps that so until `signal` aborts. Pods are followed only while a namespace has an address. */
export async function keepEgress({ namespaces, followPods, gateway, cluster, log }: EgressOptions, signal: AbortSignal): Promise<void> {
  await namespaces.synced
  const pause = backoff(200, 10_000)
  let set: string | undefined
  let wake = (): void => {}
  let dirty = true
  const changed = (): void => {
    dirty = true
    wake()
  }
  namespaces.subscribe(({ object, previous }) => {
    if (egressAddress(object) !== '' || (previous && egressAddress(previous) !== '')) changed()
  })
  signal.addEventListener('abort', () => wake(), { once: true })
  let followed: { pods: Informer<Pod>; stop: AbortController } | undefined
  const follow = (): typeof followed => {
    const stop = new AbortController()
    const pods = followPods(AbortSignal.any([signal, stop.signal]))
    pods.subscribe(changed)
    return { pods, stop }
  }
  while (!signal.aborted) {
    if (!dirty) await new Promise<void>(resolve => (wake = resolve))
    dirty = false
    if (signal.aborted) return
    const asking = new Set(namespaces.list().flatMap(n => (egressAddress(n) === '' ? [] : [n.metadata.name])))
    if (asking.size === 0) followed = void followed?.stop.abort()
    else followed ??= follow()
    await followed?.pods.synced
    const ips = new Set((followed?.pods.list() ?? []).flatMap(p => (asking.has(p.metadata.namespace) ? (ownAddress(p) ?? []) : [])))
    const text = [...ips].sort().join()
    if (text === set) continue
    try {
      await setWay(ips, gateway, cluster)
      set = text
      pause.reset()
    } catch (e) {
      log.warn({ err: (e as Error).message }, 'the way of pods with an egress address is not set')
      dirty = true
      await sleep(pause.next(), signal)
    }
  }
}

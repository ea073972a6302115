/** kube-proxy's `nftables` backend: follows Services and EndpointSlices and keeps the node's rules in step, changing only what differs. */
import type { Service } from '#shared/api/core/service.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import type { Informer } from '#shared/client/informer.ts'
import type { Logger } from '#shared/component/log.ts'
import { nft } from '#shared/linux/nft.ts'
import { keptAffinity } from './affinity.ts'
import { deleteStaleFlows, mergeUdp, udpChanged } from './conntrack.ts'
import { newKernelTable } from './kernel.ts'
import { newNodeZone, type ZoneOptions } from './nodezone.ts'
import { isProxied, serviceRuleset, type Ruleset } from './ruleset.ts'
import type { ProxyStatus } from './status.ts'
import { tableOf, type TableOptions } from './table.ts'

export interface StartProxyOptions extends TableOptions, ZoneOptions {
  services: Informer<Service>
  endpointSlices: Informer<EndpointSlice>
  status: ProxyStatus
  log: Logger
}
export interface Proxy {
  /** Resolves when the rules have been written for the first time. */
  readonly synced: Promise<void>
}

/** Changes that come together are written together. */
const BATCH_MS = 10
const MAX_BACKOFF_MS = 10_000
/** A table of ten thousand Services takes seconds on a busy machine. */
const SCRIPT_TIMEOUT_MS = 60_000
const SERVICE_NAME = 'kubernetes.io/service-name'

/** Starts; ends at `signal`, when the rules stay as they are: connections and services outlive the node-agent. */
export function startProxy(options: StartProxyOptions, signal: AbortSignal): Proxy {
  const { services, endpointSlices, status, log } = options
  const table = newKernelTable(options)
  const dirty = new Set<string>()
  /** Whether the kernel's table is the one that we know. */
  let known = false
  let udpStale = true
  let timer: NodeJS.Timeout | undefined
  let writing = false
  let backoff = 0
  const { promise: synced, resolve: firstWritten } = Promise.withResolvers<void>()

  const keyOf = (o: { metadata: { namespace?: string; name?: string } }): string => `${o.metadata.namespace}/${o.metadata.name}`
  const sliceOwner = (slice: EndpointSlice): string | undefined => {
    const { namespace, labels } = slice.metadata
    return labels?.[SERVICE_NAME] && `${namespace}/${labels[SERVICE_NAME]}`
  }
  endpointSlices.addIndex('proxy-service', slice => [sliceOwner(slice) ?? []].flat())

  const mark = (key: string | undefined): void => {
    if (key === undefined || key === '') return
    dirty.add(key)
    schedule(BATCH_MS)
  }
  let started = false
  function schedule(ms: number): void {
    if (!started || signal.aborted || writing || timer) return
    timer = setTimeout(() => {
      timer = undefined
      void sync()
    }, ms)
  }

  /** Services are looked at again only when something of theirs changed. */
  function look(): void {
    for (const key of dirty) {
      const [namespace, name] = key.split('/') as [string, string]
      const service = services.get(namespace, name)
      const rules =
        service && isProxied(service)
          ? serviceRuleset(service, endpointSlices.byIndex('proxy-service', key), {
              family: options.family,
              nodeName: options.nodeName,
              zone: zone.now(),
              clusterCIDR: options.clusterCIDR,
            })
          : undefined
      if (udpChanged(table.of(key)?.udp, rules?.udp)) udpStale = true
      table.set(key, rules)
    }
    dirty.clear()
  }

  async function sync(): Promise<void> {
    writing = true
    try {
      status.syncing()
      look()
      const script = table.script()
      await nft(known ? script : script + (await keptAffinity(tableOf(options.family), affinitySets())), SCRIPT_TIMEOUT_MS)
      table.written()
      status.written()
      status.noLocalEndpoints(noLocal(table.all()))
      if (!known) log.info({ services: [...table.all()].length }, 'proxy rules written')
      known = true
      if (udpStale) {
        udpStale = false
        const start = performance.now()
        await deleteStaleFlows(mergeUdp(table.all()), options).then(
          count => status.flowsDeleted(count, (performance.now() - start) / 1000),
          (e: Error) => log.warn({ err: e.message }, 'connections of UDP clients to former endpoints stay'),
        )
      }
      backoff = 0
      firstWritten()
    } catch (error) {
      // The kernel changed nothing; perhaps it does not hold what we think, so everything is written next time.
      table.lost()
      status.failed()
      known = false
      udpStale = true
      backoff = Math.min(MAX_BACKOFF_MS, Math.max(200, backoff * 2))
      log.error({ err: (error as Error).message.slice(0, 2000), retryMs: backoff }, 'proxy rules could not be written')
    }
    writing = false
    if (backoff > 0) schedule(backoff)
    else if (dirty.size > 0) schedule(BATCH_MS)
  }

  const affinitySets = (): Set<string> => new Set([...table.all()].flatMap(rules => [...rules.affinity.keys()]))

  const zone = newNodeZone(options, () => services.list().forEach(service => mark(keyOf(service))))
  const stops = [
    zone.stop,
    services.subscribe(({ object }) => {
      status.serviceChanged()
      mark(keyOf(object))
    }),
    endpointSlices.subscribe(({ object, previous }) => {
      status.endpointsChanged(object)
      mark(sliceOwner(object))
      if (previous) mark(sliceOwner(previous))
    }),
  ]
  signal.addEventListener('abort', () => {
    clearTimeout(timer)
    for (const stop of stops) stop()
  })
  // Rules of a part of the services would cut off the rest.
  void Promise.all([services.synced, endpointSlices.synced, zone.synced]).then(() => {
    started = true
    schedule(0)
  })
  return { synced }
}

/** Service ports with a policy Local that drop what comes to this node. */
function noLocal(all: Iterable<Ruleset>): { internal: number; external: number } {
  const counts = { internal: 0, external: 0 }
  for (const { withoutLocal } of all) {
    counts.internal += withoutLocal.internal
    counts.external += withoutLocal.external
  }
  return counts
}

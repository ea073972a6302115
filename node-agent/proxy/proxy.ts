/** kube-proxy's `nftables` backend: follows Services and EndpointSlices and keeps the node's rules in step, changing only what differs. */
import type { Service } from '#shared/api/core/service.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import type { Informer } from '#shared/client/informer.ts'
import type { Logger } from '#shared/component/log.ts'
import { nft } from '#shared/linux/nft.ts'
import { keptAffinity } from './affinity.ts'
import { deleteStaleFlows, udpChanged } from './conntrack.ts'
import { diffScript, emptyRuleset, mergeRulesets, serviceRuleset, skeleton, type ProxyOptions, type Ruleset } from './ruleset.ts'

export interface StartProxyOptions extends ProxyOptions {
  services: Informer<Service>
  endpointSlices: Informer<EndpointSlice>
  log: Logger
}
export interface Proxy {
  /** Resolves when the rules have been written for the first time. */
  readonly synced: Promise<void>
}

/** Changes that come together are written together. */
const BATCH_MS = 10
const MAX_BACKOFF_MS = 10_000
const SERVICE_NAME = 'kubernetes.io/service-name'

/** Starts; ends at `signal`, when the rules stay as they are: connections and services outlive the node-agent. */
export function startProxy(options: StartProxyOptions, signal: AbortSignal): Proxy {
  const { services, endpointSlices, log } = options
  const models = new Map<string, Ruleset>()
  const dirty = new Set<string>()
  /** What the kernel holds; undefined before the first write and after one that failed. */
  let applied: Ruleset | undefined
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

  /** The rules for what the informers hold now; services are looked at again only when something of theirs changed. */
  function desired(): Ruleset {
    for (const key of dirty) {
      const [namespace, name] = key.split('/') as [string, string]
      const service = services.get(namespace, name)
      if (service) models.set(key, serviceRuleset(service, endpointSlices.byIndex('proxy-service', key), options))
      else models.delete(key)
    }
    dirty.clear()
    return mergeRulesets([...models].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, model]) => model))
  }

  async function sync(): Promise<void> {
    writing = true
    try {
      const wanted = desired()
      const script = applied
        ? diffScript(applied, wanted)
        : skeleton(options) + diffScript(emptyRuleset(), wanted) + (await keptAffinity(wanted))
      await nft(script)
      if (!applied || udpChanged(applied.udp, wanted.udp))
        await deleteStaleFlows(wanted.udp, options.nodeIPs, options.serviceCIDR).catch((e: Error) =>
          log.warn({ err: e.message }, 'connections of UDP clients to former endpoints stay'),
        )
      if (!applied) log.info({ services: models.size, chains: wanted.chains.size }, 'proxy rules written')
      applied = wanted
      backoff = 0
      firstWritten()
    } catch (error) {
      // The kernel changed nothing; perhaps it does not hold what we think, so everything is written next time.
      applied = undefined
      backoff = Math.min(MAX_BACKOFF_MS, Math.max(200, backoff * 2))
      log.error({ err: (error as Error).message.slice(0, 2000), retryMs: backoff }, 'proxy rules could not be written')
    }
    writing = false
    if (backoff > 0) schedule(backoff)
    else if (dirty.size > 0) schedule(BATCH_MS)
  }

  const stops = [
    services.subscribe(({ object }) => mark(keyOf(object))),
    endpointSlices.subscribe(({ object, previous }) => {
      mark(sliceOwner(object))
      if (previous) mark(sliceOwner(previous))
    }),
  ]
  signal.addEventListener('abort', () => {
    clearTimeout(timer)
    for (const stop of stops) stop()
  })
  // Rules of a part of the services would cut off the rest.
  void Promise.all([services.synced, endpointSlices.synced]).then(() => {
    started = true
    schedule(0)
  })
  return { synced }
}

/** Watches every kind that can be collected, as discovery lists them: k8s.io/kubernetes/pkg/controller/garbagecollector's monitors. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import { sleep } from '#shared/client/backoff.ts'
import { discover, type Discovered } from '#shared/client/discovery.ts'
import type { Informer } from '#shared/client/informer.ts'
import { startInformer } from '#shared/client/reflector.ts'
import type { ControllerContext } from '../context.ts'
import { groupOf } from './graph.ts'

/** Upstream's resync of discovery: what nothing announces is found this late. */
const resyncMs = 30_000
/** A change of the API is looked for this long after it was announced: several come together, and serving it takes a moment. */
const settleMs = 200
/** A kind that nobody serves may be named by thousands of objects: for them discovery is asked this often at most. */
const unknownMs = 5_000
/** Objects that announce kinds which come and go. */
const announcing = new Set(['apiextensions.k8s.io/customresourcedefinitions', 'apiregistration.k8s.io/apiservices'])

export interface Monitors {
  /** The kind that an owner reference names; undefined when the API does not serve it. */
  kindOf(apiVersion: string, kind: string): Discovered | undefined
  /** Discovers until it succeeds once and what was found is watched; rejects never. */
  synced(): Promise<void>
  /** Keeps up with discovery until the signal aborts. */
  follow(): Promise<void>
  /** Discovery lacks a kind that somebody names: it is asked again soon, unless it was asked just now. */
  unknownKind(): void
}

const id = (k: { group: string; plural: string }): string => `${k.group}/${k.plural}`

/** Informers of other controllers are used where there are any; of all other kinds only metadata is kept. */
export function monitor(ctx: ControllerContext, onEvent: (kind: Kind, type: string, object: KubeObject) => void): Monitors {
  const running = new Map<string, AbortController>()
  let known: Discovered[] = []
  let wake = (): void => {}
  let isStale = false
  let refreshed = -Infinity
  const stale = (): void => {
    isStale = true
    wake()
  }

  function start(kind: Discovered): Promise<void> {
    const stop = new AbortController()
    running.set(id(kind), stop)
    const informer: Informer<KubeObject> =
      ctx.running(kind) ??
      startInformer(ctx.client, kind as Kind, { metadataOnly: true, log: ctx.log }, AbortSignal.any([ctx.signal, stop.signal]))
    const announces = announcing.has(id(kind))
    const unsubscribe = informer.subscribe(e => {
      onEvent(kind, e.type, e.object)
      if (announces) stale()
    })
    stop.signal.addEventListener('abort', () => {
      unsubscribe()
      // Its objects are gone with it.
      for (const object of informer.list()) onEvent(kind, 'DELETED', object)
    })
    return informer.synced
  }
  async function refresh(): Promise<void> {
    const { resources, failed } = await discover(ctx.client)
    for (const { groupVersion, error } of failed) ctx.log.warn({ groupVersion, err: error.message }, 'discovery failed')
    const found = resources.filter(r => ['list', 'watch', 'delete'].every(v => r.verbs.includes(v)) && r.plural !== 'events')
    // A group that did not answer keeps its watches.
    const kept = known.filter(k => failed.some(f => f.groupVersion === (k.group ? `${k.group}/${k.version}` : k.version)))
    known = [...found, ...kept]
    const synced = known.filter(k => !running.has(id(k))).map(start)
    for (const [key, stop] of running) {
      if (known.some(k => id(k) === key)) continue
      running.delete(key)
      stop.abort()
    }
    // One kind that cannot be listed must not keep all others from being collected.
    await Promise.race([Promise.all(synced), sleep(resyncMs, ctx.signal)])
    refreshed = performance.now()
  }
  return {
    kindOf: (apiVersion, kind) => known.find(k => k.kind === kind && k.group === groupOf(apiVersion)),
    async synced() {
      for (let wait = 500; !ctx.signal.aborted; wait = Math.min(wait * 2, 10_000)) {
        try {
          return await refresh()
        } catch (e) {
          ctx.log.warn({ err: (e as Error).message }, 'discovery failed')
          await sleep(wait, ctx.signal)
        }
      }
    },
    async follow() {
      while (!ctx.signal.aborted) {
        const woken = new AbortController()
        wake = () => woken.abort()
        if (!isStale) await sleep(resyncMs, AbortSignal.any([ctx.signal, woken.signal]))
        if (isStale) await sleep(settleMs, ctx.signal)
        if (ctx.signal.aborted) return
        isStale = false
        await refresh().catch((e: unknown) => ctx.log.warn({ err: (e as Error).message }, 'discovery failed'))
      }
    },
    unknownKind() {
      if (performance.now() - refreshed > unknownMs) stale()
    },
  }
}

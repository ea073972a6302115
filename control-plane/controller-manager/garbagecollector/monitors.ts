/** Watches every kind that can be collected: found through discovery, looked for again now and then. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import { sleep } from '#shared/client/backoff.ts'
import { discover, type Discovered } from '#shared/client/discovery.ts'
import type { Informer } from '#shared/client/informer.ts'
import { startInformer } from '#shared/client/reflector.ts'
import type { ControllerContext } from '../context.ts'
import { groupOf } from './graph.ts'

/** Kinds come and go with extensions of the API, which announce themselves in no single place. */
const rediscoverMs = 30_000

export interface Monitors {
  /** The kind that an owner reference names; undefined when the API does not serve it. */
  kindOf(apiVersion: string, kind: string): Discovered | undefined
  /** Discovers anew and waits until what was found is watched. */
  refresh(): Promise<void>
}

/** `shared` are kinds that other controllers watch anyway; of all others only metadata is kept. */
export function monitor(
  ctx: ControllerContext,
  shared: readonly Kind<any>[], // any: kinds of all types
  onEvent: (kind: Kind, type: string, object: KubeObject) => void,
): Monitors {
  const running = new Map<string, AbortController>()
  let known: Discovered[] = []
  const id = (k: { group: string; plural: string }) => `${k.group}/${k.plural}`

  function start(kind: Discovered): Promise<void> {
    const stop = new AbortController()
    running.set(id(kind), stop)
    const own = shared.find(s => id(s) === id(kind)) as Kind | undefined
    const informer: Informer<KubeObject> = own
      ? ctx.informer(own)
      : startInformer(ctx.client, kind as Kind, { metadataOnly: true, log: ctx.log }, AbortSignal.any([ctx.signal, stop.signal]))
    const unsubscribe = informer.subscribe(e => onEvent(kind, e.type, e.object))
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
    await Promise.race([Promise.all(synced), sleep(rediscoverMs, ctx.signal)])
  }
  return {
    kindOf: (apiVersion, kind) => known.find(k => k.kind === kind && k.group === groupOf(apiVersion)),
    refresh,
  }
}

/** Refreshes until the signal aborts. */
export async function keepFresh(ctx: ControllerContext, monitors: Monitors): Promise<void> {
  while (!ctx.signal.aborted) {
    await sleep(rediscoverMs, ctx.signal)
    if (ctx.signal.aborted) return
    await monitors.refresh().catch((e: unknown) => ctx.log.warn({ err: (e as Error).message }, 'discovery failed'))
  }
}

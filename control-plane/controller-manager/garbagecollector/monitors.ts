/** Watches every kind that can be collected, as discovery lists them: k8s.io/kubernetes/pkg/controller/garbagecollector's monitors. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import { sleep } from '#shared/client/backoff.ts'
import type { Discovered } from '#shared/client/discovery.ts'
import type { Informer } from '#shared/client/informer.ts'
import { startInformer } from '#shared/client/reflector.ts'
import type { ControllerContext } from '../context.ts'
import { kindKey, ownersOnly } from '../servedkinds.ts'

/** Upstream's initial sync timeout: then collecting begins whatever is still missing. */
const syncMs = 30_000
/** For kinds that cannot be listed the others wait no longer than this. */
const failingMs = 5_000
/** How often at most a kind that cannot be listed is tried. */
const maxPauseMs = 10_000
const verbs = ['list', 'watch', 'delete']
/** Events own nothing, and nothing owns them. */
const ignored = new Set(['/events', 'events.k8s.io/events'])

interface Monitor {
  readonly stop: () => void
  /** All objects of the kind were seen, or it cannot be listed. */
  readonly settled: Promise<void>
}

export interface Monitors {
  /** Watches what is served now, and from then on what comes; resolves when (nearly) all that is there has been seen. Rejects never. */
  start(): Promise<void>
}

/** Informers of other controllers are used where there are any; of all other kinds only what tells of owners is kept. */
export function monitor(ctx: ControllerContext, onEvent: (kind: Kind, type: string, object: KubeObject) => void): Monitors {
  const served = ctx.served()
  const running = new Map<string, Monitor>()
  const failures = ctx.metrics.counter(
    'garbagecollector_controller_resources_sync_error_total',
    '[ALPHA] Number of garbage collector resources sync errors',
  )

  function follow(kind: Discovered): Monitor {
    const stop = new AbortController()
    let failed = (): void => {}
    const hopeless = new Promise<void>(resolve => (failed = resolve))
    let failing: NodeJS.Timeout | undefined
    const options = {
      metadataOnly: true,
      strip: ownersOnly,
      maxPauseMs,
      onFailure() {
        failures.add({})
        failing ??= setTimeout(failed, failingMs).unref()
      },
      log: ctx.log,
    }
    const informer: Informer<KubeObject> =
      ctx.running(kind) ?? startInformer<KubeObject>(ctx.client, kind as Kind, options, AbortSignal.any([ctx.signal, stop.signal]))
    const unsubscribe = informer.subscribe(e => onEvent(kind, e.type, e.object))
    return {
      stop() {
        stop.abort()
        unsubscribe()
        // Its objects are gone with it.
        for (const object of informer.list()) onEvent(kind, 'DELETED', object)
      },
      settled: Promise.race([informer.synced, hopeless]),
    }
  }
  function sync(): void {
    const wanted = new Map(
      served.current
        .filter(k => verbs.every(v => k.verbs.includes(v)) && !ignored.has(`${k.group}/${k.plural}`))
        .map(k => [kindKey(k), k] as const),
    )
    for (const [key, { stop }] of running) {
      if (wanted.has(key)) continue
      running.delete(key)
      stop()
    }
    for (const [key, kind] of wanted) if (!running.has(key)) running.set(key, follow(kind))
  }
  return {
    async start() {
      await served.known
      sync()
      served.onChange(sync)
      await Promise.race([Promise.all([...running.values()].map(m => m.settled)), sleep(syncMs, ctx.signal)])
    },
  }
}

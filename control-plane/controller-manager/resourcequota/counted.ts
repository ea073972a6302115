/** The objects that quotas count, kind by kind: a kind is watched from when a quota first names it, until it is served no more. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import { sleep } from '#shared/client/backoff.ts'
import type { Discovered } from '#shared/client/discovery.ts'
import type { Informer, InformerEvent } from '#shared/client/informer.ts'
import { startInformer } from '#shared/client/reflector.ts'
import type { Evaluator } from '#shared/quota/evaluator.ts'
import type { ControllerContext } from '../context.ts'
import { kindKey } from '../servedkinds.ts'

const verbs = ['create', 'list', 'watch', 'delete']
/** A kind that cannot be listed holds a worker up no longer than this. */
const syncMs = 5_000
/** How often at most a kind that cannot be listed is tried. */
const maxPauseMs = 10_000

export interface Counted {
  /** The objects that an evaluator measures, when they are all there; undefined when the API serves no such kind, or does not list it. */
  of(evaluator: Evaluator): Promise<Informer<KubeObject> | undefined>
}

const id = (k: { group: string; plural: string }): string => `${k.group}/${k.plural}`

/**
 * `given` are informers that are there anyway. Of kinds of which more counts than their number whole objects are kept. `onServed` is called
 * when other kinds are served than before.
 */
export function counted(
  ctx: ControllerContext,
  given: ReadonlyMap<string, Informer<any>>, // any: of several kinds
  onEvent: (evaluator: Evaluator, event: InformerEvent<KubeObject>) => void,
  onServed: () => void,
): Counted {
  const served = ctx.served()
  /** By `group/plural`. */
  const running = new Map<string, { key: string; informer: Informer<KubeObject>; stop: () => void }>()
  const kindOf = ({ kind: { group, plural } }: Evaluator): Discovered | undefined =>
    served.current.find(k => k.group === group && k.plural === plural && k.namespaced && verbs.every(v => k.verbs.includes(v)))

  served.onChange(() => {
    const keys = new Set(served.current.map(kindKey))
    for (const [name, { key, stop }] of running) {
      if (keys.has(key)) continue
      running.delete(name)
      stop()
    }
    onServed()
  })
  function follow(kind: Discovered, evaluator: Evaluator): Informer<KubeObject> {
    const stop = new AbortController()
    const options = { metadataOnly: evaluator.releases === undefined, maxPauseMs, log: ctx.log }
    const informer =
      ctx.running(kind) ?? startInformer<KubeObject>(ctx.client, kind as Kind, options, AbortSignal.any([ctx.signal, stop.signal]))
    const unsubscribe = informer.subscribe(e => onEvent(evaluator, e))
    running.set(id(kind), {
      key: kindKey(kind),
      informer,
      stop() {
        unsubscribe()
        stop.abort()
      },
    })
    return informer
  }
  return {
    async of(evaluator) {
      const there = given.get(id(evaluator.kind))
      if (there) return there
      await served.known
      const kind = kindOf(evaluator)
      if (!kind) return undefined
      const informer = running.get(id(kind))?.informer ?? follow(kind, evaluator)
      const late = new AbortController()
      const isSynced = await Promise.race([informer.synced.then(() => true), sleep(syncMs, AbortSignal.any([ctx.signal, late.signal]))])
      late.abort()
      return isSynced ? informer : undefined
    },
  }
}

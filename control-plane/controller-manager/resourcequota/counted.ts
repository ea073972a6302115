/** The objects that quotas count, kind by kind: a kind is watched from when a quota first names it. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import { discover, type Discovered } from '#shared/client/discovery.ts'
import type { Informer, InformerEvent } from '#shared/client/informer.ts'
import { startInformer } from '#shared/client/reflector.ts'
import type { Evaluator } from '#shared/quota/evaluator.ts'
import type { ControllerContext } from '../context.ts'

/** Upstream's resync of discovery. */
const discoverMs = 30_000

export interface Counted {
  /** The objects that an evaluator measures, when they are all there; undefined when the API serves no such kind. */
  of(evaluator: Evaluator): Promise<Informer<KubeObject> | undefined>
}

const id = (k: { group: string; plural: string }): string => `${k.group}/${k.plural}`

/** `given` are informers that are there anyway. Of kinds of which more counts than their number whole objects are kept. */
export function counted(
  ctx: ControllerContext,
  given: ReadonlyMap<string, Informer<any>>, // any: of several kinds
  onEvent: (evaluator: Evaluator, event: InformerEvent<KubeObject>) => void,
): Counted {
  const running = new Map<string, { informer: Informer<KubeObject>; stop: () => void }>()
  let served: Promise<ReadonlyMap<string, Discovered>> | undefined
  let asked = -Infinity

  async function ask(): Promise<ReadonlyMap<string, Discovered>> {
    const { resources, failed } = await discover(ctx.client)
    const found = new Map(
      resources.filter(r => r.namespaced && ['create', 'list', 'watch', 'delete'].every(v => r.verbs.includes(v))).map(r => [id(r), r]),
    )
    // A group that does not answer keeps its watches.
    if (failed.length === 0)
      for (const [key, { stop }] of running)
        if (!found.has(key)) {
          running.delete(key)
          stop()
        }
    return found
  }
  function servedNow(): Promise<ReadonlyMap<string, Discovered>> {
    if (!served || performance.now() - asked > discoverMs) {
      asked = performance.now()
      served = ask()
      served.catch(() => (served = undefined))
    }
    return served
  }
  function follow(kind: Discovered, evaluator: Evaluator): Informer<KubeObject> {
    const stop = new AbortController()
    const options = { metadataOnly: evaluator.releases === undefined, log: ctx.log }
    const informer =
      ctx.running(kind) ?? startInformer<KubeObject>(ctx.client, kind as Kind, options, AbortSignal.any([ctx.signal, stop.signal]))
    const unsubscribe = informer.subscribe(e => onEvent(evaluator, e))
    running.set(id(kind), {
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
      const key = id(evaluator.kind)
      const there = given.get(key)
      if (there) return there
      const kind = (await servedNow()).get(key)
      if (!kind) return undefined
      const informer = running.get(key)?.informer ?? follow(kind, evaluator)
      await informer.synced
      return informer
    },
  }
}

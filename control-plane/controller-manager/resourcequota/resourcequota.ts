/** Measures what quotas are used: at first, when they change, and when something that they count is gone. pkg/controller/resourcequota */
import type { ResourceQuota } from '#shared/api/core/resourcequota.ts'
import { pods, resourceQuotas, services } from '#shared/api/kinds.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import type { InformerEvent } from '#shared/client/informer.ts'
import type { WorkQueue } from '#shared/client/workqueue.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { add, masked, sameAmounts, type ResourceList } from '#shared/quota/amounts.ts'
import { evaluatorOf, evaluatorsFor, inScopes, type Evaluator } from '#shared/quota/evaluator.ts'
import { scopesOf } from '#shared/quota/scopes.ts'
import type { NewController } from '../context.ts'
import { counted } from './counted.ts'

/** What admission has charged may not be stored yet: a quota is measured when nobody has charged it for so long ... */
const settleMs = 200
/** ... or when somebody has charged it again and again for this long. */
const patienceMs = 2_000
/** Upstream's resync. */
const resyncMs = 5 * 60_000
/** A kind that could not be listed is looked for again so late. */
const unlistedMs = 30_000

export const resourceQuotaController: NewController = ctx => {
  const quotas = ctx.informer(resourceQuotas)
  const informers = [ctx.informer(pods), ctx.informer(services)] as const
  let queue: WorkQueue | undefined
  const charges = new Map<string, Charges>()

  /** Quotas are measured again when something that they count is new (an informer may be late) or may use less. */
  function changed(evaluator: Evaluator, { type, object, previous }: InformerEvent<KubeObject>): string[] {
    const those = quotas.list(object.metadata.namespace ?? '')
    if (those.length === 0) return []
    if (type === 'MODIFIED' && !(previous && evaluator.releases?.(object, previous))) return []
    return those.filter(q => evaluator.matching(Object.keys(q.spec.hard ?? {})).length > 0).map(keyOf)
  }
  /** Quotas that count kinds which are not served, or not listed. */
  const incomplete = new Set<string>()
  const objects = counted(
    ctx,
    new Map(informers.map(i => [`${i.kind.group}/${i.kind.plural}`, i])),
    (evaluator, event) => {
      for (const key of changed(evaluator, event)) queue?.add(key)
    },
    () => {
      for (const key of incomplete) queue?.add(key)
    },
  )

  /** What a quota's namespace uses of it now, as far as the API serves what it counts. */
  async function measure(quota: ResourceQuota): Promise<{ used: ResourceList; complete: boolean }> {
    const names = Object.keys(quota.spec.hard ?? {})
    const scopes = scopesOf(quota)
    const { namespace = '' } = quota.metadata
    let used: ResourceList = {}
    let complete = true
    for (const evaluator of evaluatorsFor(names)) {
      const informer = await objects.of(evaluator)
      if (!informer) {
        complete = false
        continue
      }
      used = add(used, Object.fromEntries(evaluator.matching(names).map(name => [name, '0'])))
      for (const object of informer.list(namespace))
        if (inScopes(evaluator, scopes, object)) used = add(used, masked(evaluator.usage(object) as ResourceList, names))
    }
    return { used, complete }
  }

  return {
    name: 'resource-quota-controller',
    client: ctx.as('resourcequota-controller'),
    workers: 5,
    sources: [
      source(quotas, e => [keyOf(e.object)]),
      ...informers.map(i => source<KubeObject>(i as never, e => changed(evaluatorOf(i.kind)!, e))),
    ],
    start: q => (queue = q),
    async reconcile(key, client) {
      const [namespace, name] = splitKey(key)
      const quota = quotas.get(namespace, name)
      if (!quota) {
        charges.delete(key)
        incomplete.delete(key)
        return
      }
      const { hard, used: before } = quota.status ?? {}
      const wait = before ? waitFor(charges, key, quota.metadata.resourceVersion ?? '') : 0
      if (wait > 0) return { requeueAfterMs: wait }
      const limits = quota.spec.hard ?? {}
      const { used: measured, complete } = await measure(quota)
      if (complete) incomplete.delete(key)
      else incomplete.add(key)
      const used = masked({ ...before, ...measured }, Object.keys(limits))
      if (!hard || !before || !sameAmounts(hard, limits) || !sameAmounts(before, used)) {
        try {
          const written = await client.update(resourceQuotas, { ...quota, status: { hard: limits, used } }, 'status')
          charges.set(key, { version: written.metadata.resourceVersion ?? '', at: -Infinity, since: undefined })
        } catch (e) {
          if (!isNotFound(e)) throw e
        }
      }
      return { requeueAfterMs: complete ? resyncMs : unlistedMs }
    },
    log: ctx.log,
  }
}

/** What this controller has seen of a quota: the version, since when, and since when it has been waiting for quiet. */
interface Charges {
  readonly version: string
  readonly at: number
  readonly since: number | undefined
}

/** For how many ms a quota is still left alone. */
function waitFor(charges: Map<string, Charges>, key: string, version: string): number {
  const now = performance.now()
  const last = charges.get(key)
  const seen = last?.version === version ? last : { version, at: now, since: last?.since ?? now }
  const left = seen.at + settleMs - now
  const waits = left > 0 && (seen.since === undefined || now - seen.since < patienceMs)
  charges.set(key, waits ? seen : { ...seen, since: undefined })
  return waits ? left : 0
}

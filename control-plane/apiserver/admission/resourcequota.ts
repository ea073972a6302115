/**
 * ResourceQuota: what is made keeps within the quotas of its namespace, and is charged to them before it is stored. Requests that wait
 * for the same namespace are charged with one write of each quota; a compare-and-swap keeps what other API servers charge.
 */
import type { ResourceQuota } from '#shared/api/core/resourcequota.ts'
import { internalError } from '#shared/machinery/status.ts'
import { sameAmounts } from '#shared/quota/amounts.ts'
import { evaluatorOf, type Evaluator } from '#shared/quota/evaluator.ts'
import { WriteConflict, type Registry, type Stored } from '../registry/registry.ts'
import type { AdmissionPlugin, Attributes } from './admission.ts'
import { checkRequest, type LimitedResource, type Running } from './quotacheck.ts'

const table = { group: '', plural: 'resourcequotas' }
const timeoutMs = 10_000
/** Rounds in which somebody else was always faster. Upstream gives up after three. */
const maxRounds = 30

interface Waiter {
  readonly a: Attributes
  readonly evaluator: Evaluator
  readonly done: (failure?: unknown) => void
}
interface StoredQuota extends Running {
  readonly stored: Stored
}

export function resourceQuota(registry: Registry, limited: readonly LimitedResource[] = []): AdmissionPlugin {
  const waiting = new Map<string, Waiter[]>()

  /** Works off what waits for a namespace; what comes meanwhile is the next batch. */
  async function work(namespace: string, first: Waiter[]): Promise<void> {
    for (let batch = first; batch.length > 0; batch = waiting.get(namespace)!) {
      waiting.set(namespace, [])
      try {
        await charge(registry, namespace, batch, limited)
      } catch (e) {
        for (const { done } of batch) done(e)
      }
    }
    waiting.delete(namespace)
  }

  return {
    name: 'ResourceQuota',
    validate(a) {
      if (a.namespace === '' || !a.object || a.operation === 'DELETE' || a.operation === 'CONNECT') return undefined
      if (limited.length === 0 && registry.list(table, a.namespace).length === 0) return undefined
      const evaluator = evaluatorOf({ group: a.resource.group, plural: a.resource.resource })
      if (!evaluator?.handles(a)) return undefined
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(internalError('resource quota evaluation timed out')), timeoutMs)
        const done = (failure?: unknown): void => {
          clearTimeout(timer)
          if (failure === undefined) resolve()
          else reject(failure as Error)
        }
        const waiter = { a, evaluator, done }
        const others = waiting.get(a.namespace)
        if (others) others.push(waiter)
        else void work(a.namespace, [waiter])
      })
    },
  }
}

const quotasOf = (registry: Registry, namespace: string): StoredQuota[] =>
  registry.list(table, namespace).map(stored => {
    const quota = stored.object as ResourceQuota
    return { stored, quota, used: quota.status?.used ?? {} }
  })

/** Ends every waiter of a batch: refused, or charged. */
async function charge(registry: Registry, namespace: string, batch: readonly Waiter[], limited: readonly LimitedResource[]): Promise<void> {
  let quotas: readonly StoredQuota[] = quotasOf(registry, namespace)
  let waiters = batch
  let fresh = false
  for (let round = 1; ; round++) {
    const before = quotas
    const refusals = new Map<Waiter, unknown>()
    const charged: Waiter[] = []
    for (const waiter of waiters) {
      try {
        const after = checkRequest(quotas, waiter.a, waiter.evaluator, limited)
        if (after === quotas || waiter.a.dryRun) waiter.done()
        else {
          quotas = after
          charged.push(waiter)
        }
      } catch (e) {
        refusals.set(waiter, e)
      }
    }
    if (refusals.size > 0 && !fresh) {
      // What was given back through another server may not have come here yet.
      await registry.fresh()
      fresh = true
      const now = quotasOf(registry, namespace)
      if (now.some((q, i) => q.stored !== before[i]?.stored) || now.length !== before.length) {
        quotas = round === 1 ? now : now.filter(q => before.some(b => b.stored.name === q.stored.name))
        waiters = [...charged, ...refusals.keys()]
        continue
      }
    }
    for (const [waiter, failure] of refusals) waiter.done(failure)
    const conflicts = await write(registry, before, quotas)
    if (conflicts.length === 0) return charged.forEach(w => w.done())
    if (round >= maxRounds) throw conflicts[0]!.failure
    await registry.fresh()
    fresh = true
    // The others are charged already; what is gone limits nothing.
    quotas = quotasOf(registry, namespace).filter(q => conflicts.some(c => c.name === q.stored.name))
    waiters = charged
  }
}

/** Writes the quotas of which more is used now; those that somebody else has changed. */
async function write(
  registry: Registry,
  before: readonly StoredQuota[],
  after: readonly StoredQuota[],
): Promise<{ name: string; failure: WriteConflict }[]> {
  const conflicts: { name: string; failure: WriteConflict }[] = []
  await Promise.all(
    after.map(async ({ stored, quota, used }, i) => {
      if (sameAmounts(used, before[i]!.used)) return
      const { resourceVersion: _version, ...metadata } = quota.metadata
      try {
        await registry.put(table, stored.namespace, stored.name, { ...quota, metadata, status: { ...quota.status, used } }, stored.version)
      } catch (failure) {
        if (!(failure instanceof WriteConflict)) throw failure
        conflicts.push({ name: stored.name, failure })
      }
    }),
  )
  return conflicts
}

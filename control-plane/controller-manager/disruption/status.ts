/** The status of a PodDisruptionBudget, from its pods and what is expected of them. */
import { conditionsFor } from '#shared/api/policy/disruptionallowed.ts'
import type { PodDisruptionBudget, PodDisruptionBudgetStatus } from '#shared/api/policy/poddisruptionbudget.ts'
import { semanticEqual } from '#shared/api/meta/validation.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { isReady, isTerminating } from '../podcontrol/pods.ts'
import type { Expected } from './expected.ts'

/** An eviction that was allowed deletes its pod this soon, or not at all. */
const deletionMs = 2 * 60_000

export interface Disrupted {
  /** Pods that are about to go, with when that was allowed. */
  readonly disrupted: { [pod: string]: string }
  /** Pods that were to go and did not. */
  readonly late: readonly LeanPod[]
  /** When to look again. */
  readonly recheckMs: number | undefined
}

/** What is left of the list in which evictions note their pods: those that still are there. `now` in ms. */
export function disruptedPods({ status }: PodDisruptionBudget, guarded: readonly LeanPod[], now: number): Disrupted {
  const noted = status?.disruptedPods ?? {}
  const disrupted: { [pod: string]: string } = {}
  const late: LeanPod[] = []
  let recheckMs: number | undefined
  for (const pod of guarded) {
    const { name = '' } = pod.metadata
    const since = noted[name]
    if (since === undefined || isTerminating(pod)) continue
    const left = Date.parse(since) + deletionMs - now
    if (left < 0) late.push(pod)
    else {
      disrupted[name] = since
      recheckMs = Math.min(recheckMs ?? Infinity, left + 1)
    }
  }
  return { disrupted, late, recheckMs }
}

export function budgetStatus(
  budget: PodDisruptionBudget,
  guarded: readonly LeanPod[],
  { count, healthy }: Expected,
  disrupted: { readonly [pod: string]: string },
): PodDisruptionBudgetStatus {
  const current = guarded.filter(pod => !isTerminating(pod) && disrupted[pod.metadata.name ?? ''] === undefined && isReady(pod)).length
  const status: PodDisruptionBudgetStatus = {
    observedGeneration: budget.metadata.generation,
    disruptedPods: { ...disrupted },
    // One that guards nothing yet allows nothing: pods may come before this is told.
    disruptionsAllowed: count > 0 ? Math.max(0, current - healthy) : 0,
    currentHealthy: current,
    desiredHealthy: healthy,
    expectedPods: count,
    conditions: budget.status?.conditions,
  }
  return { ...status, conditions: conditionsFor(status) }
}

export const sameStatus = (a: PodDisruptionBudgetStatus | undefined, b: PodDisruptionBudgetStatus): boolean => semanticEqual(a, b)

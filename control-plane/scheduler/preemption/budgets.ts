/** PodDisruptionBudgets in preemption: they are kept where that is possible, and broken where it is not. */
import type { PodDisruptionBudget } from '#shared/api/policy/poddisruptionbudget.ts'
import { matchesLabels, selectorOf } from '#shared/machinery/labels.ts'
import type { PodInfo } from '../podinfo.ts'

/**
 * Splits pods, in their order, into those whose eviction would break a budget and the others. Each pod uses up what its budgets allow; one
 * whose eviction is under way is counted there already.
 */
export function splitByBudgets(
  pods: readonly PodInfo[],
  budgets: readonly PodDisruptionBudget[],
): { violating: PodInfo[]; others: PodInfo[] } {
  const left = budgets.map(b => ({
    budget: b,
    selector: selectorOf(b.spec.selector),
    allowed: b.status?.disruptionsAllowed ?? 0,
  }))
  const [violating, others]: PodInfo[][] = [[], []]
  for (const info of pods) {
    const { namespace, name = '', labels } = info.pod.metadata
    let breaks = false
    for (const entry of left) {
      const { budget, selector } = entry
      if (budget.metadata.namespace !== namespace || !selector || selector.length === 0 || !labels) continue
      if (!matchesLabels(selector, labels) || Object.hasOwn(budget.status?.disruptedPods ?? {}, name)) continue
      if (--entry.allowed < 0) breaks = true
    }
    ;(breaks ? violating : others)!.push(info)
  }
  return { violating: violating!, others: others! }
}

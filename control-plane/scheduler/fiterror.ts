/** The message of a pod that fits nowhere, as upstream's FitError and default preemption word it. */
import type { Rejection } from './framework.ts'

const histogram = (reasons: readonly string[]): string => {
  const counts = new Map<string, number>()
  for (const r of reasons) counts.set(r, (counts.get(r) ?? 0) + 1)
  return [...counts]
    .map(([reason, n]) => `${n} ${reason}`)
    .sort()
    .join(', ')
}

/** `rejections` has one entry for every node of the cluster. */
export function fitErrorMessage(rejections: readonly Rejection[]): string {
  if (rejections.length === 0) return 'no nodes available to schedule pods'
  const none = `0/${rejections.length} nodes are available:`
  const preemption = histogram(
    rejections.map(r => (r.resolvable ? 'No preemption victims found for incoming pod' : 'Preemption is not helpful for scheduling')),
  )
  return `${none} ${histogram(rejections.flatMap(r => r.reasons))}. preemption: ${none} ${preemption}.`
}

/** The status of a daemon set. */
import type { DaemonSet, DaemonSetStatus } from '#shared/api/apps/daemonset.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { isAvailable, isReady } from '../podcontrol/pods.ts'
import { byAge, type Fit } from './nodes.ts'
import { isUpdated } from './template.ts'

export function daemonSetStatus(
  ds: DaemonSet,
  nodes: readonly Node[],
  fits: (node: Node) => Fit,
  pods: ReadonlyMap<string, readonly LeanPod[]>,
  hash: string,
  collisionCount: number | undefined,
  now: number,
): DaemonSetStatus {
  let [desired, current, ready, available, updated, misscheduled] = [0, 0, 0, 0, 0, 0]
  for (const node of nodes) {
    const [first] = [...(pods.get(node.metadata.name ?? '') ?? [])].sort(byAge)
    if (!fits(node).run) {
      if (first) misscheduled++
      continue
    }
    desired++
    if (!first) continue
    current++
    if (isReady(first)) ready++
    if (isAvailable(first, ds.spec.minReadySeconds ?? 0, now)) available++
    if (isUpdated(first, ds, hash)) updated++
  }
  return {
    ...ds.status,
    desiredNumberScheduled: desired,
    currentNumberScheduled: current,
    numberMisscheduled: misscheduled,
    numberReady: ready,
    updatedNumberScheduled: updated,
    numberAvailable: available,
    numberUnavailable: desired - available,
    observedGeneration: ds.metadata.generation,
    ...(collisionCount === undefined ? {} : { collisionCount }),
  }
}

/** Equal as far as the API keeps them. */
export function sameStatus(a: DaemonSetStatus | undefined, b: DaemonSetStatus): boolean {
  const numbers = [
    'desiredNumberScheduled',
    'currentNumberScheduled',
    'numberMisscheduled',
    'numberReady',
    'updatedNumberScheduled',
    'numberAvailable',
    'numberUnavailable',
    'observedGeneration',
    'collisionCount',
  ] as const
  return a !== undefined && numbers.every(k => (a[k] ?? 0) === (b[k] ?? 0))
}

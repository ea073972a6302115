/** What the controller tells of its sets, by upstream's names: pkg/controller/statefulset/metrics */
import type { StatefulSet } from '#shared/api/apps/statefulset.ts'
import type { ComponentMetrics } from '#shared/component/counts.ts'
import { isParallel, maxUnavailable } from './decide.ts'
import { replicasOf } from './identity.ts'

const prefix = 'statefulset_controller_statefulset_'

/** `sets` are those that are rolled out by this controller. */
export function statefulSetMetrics(metrics: ComponentMetrics, sets: () => readonly StatefulSet[]): void {
  const ofSets = (name: string, help: string, value: (set: StatefulSet) => number): void =>
    metrics.gauge(prefix + name, `[ALPHA] ${help}`, () =>
      sets()
        .filter(set => set.spec.updateStrategy?.type !== 'OnDelete')
        .map(set => ({
          labels: {
            statefulset_namespace: set.metadata.namespace ?? '',
            statefulset_name: set.metadata.name ?? '',
            pod_management_policy: isParallel(set) ? 'Parallel' : 'OrderedReady',
          },
          value: value(set),
        })),
    )
  ofSets('max_unavailable', 'Maximum number of unavailable pods allowed during StatefulSet rolling updates', maxUnavailable)
  ofSets('unavailable_replicas', 'Current number of unavailable pods in StatefulSet', set =>
    Math.max(0, replicasOf(set) - (set.status?.availableReplicas ?? 0)),
  )
}

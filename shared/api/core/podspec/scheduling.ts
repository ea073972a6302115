/** What else decides on scheduling and readiness: tolerations, spreading, gates, claims. */
import { int32, int64, list, obj, opt, req, str, type Infer } from '../../../machinery/schema.ts'
import { labelSelector } from '../../meta/labelselector.ts'

export const toleration = obj('io.k8s.api.core.v1.Toleration', 'Lets the pod run in spite of taints.', () => ({
  key: opt(1, str(), { doc: 'Key of the taint; all when empty.' }),
  operator: opt(2, str(['Exists', 'Equal', 'Lt', 'Gt']), { doc: 'Exists, or Equal when empty.' }),
  value: opt(3, str(), { doc: 'Value of the taint, for Equal.' }),
  effect: opt(4, str(['NoSchedule', 'PreferNoSchedule', 'NoExecute']), { doc: 'Effect of the taint; all when empty.' }),
  tolerationSeconds: opt(5, int64(), { doc: 'For how long a NoExecute taint is tolerated; for ever when absent.' }),
}))
export type Toleration = Infer<typeof toleration>

export const topologySpreadConstraint = obj('io.k8s.api.core.v1.TopologySpreadConstraint', 'How evenly pods are spread.', () => ({
  maxSkew: req(1, int32(), { doc: 'Largest difference in the number of pods between two domains.' }),
  topologyKey: req(2, str(), { doc: 'Node label whose values are the domains.' }),
  whenUnsatisfiable: req(3, str(['DoNotSchedule', 'ScheduleAnyway']), { doc: 'DoNotSchedule or ScheduleAnyway.' }),
  labelSelector: opt(4, labelSelector, { doc: 'Which pods are counted.' }),
  minDomains: opt(5, int32(), { doc: 'With fewer domains the least number counts as zero.' }),
  nodeAffinityPolicy: opt(6, str(['Ignore', 'Honor']), {
    doc: 'Whether nodes that the pod cannot use are left out: Honor or Ignore.',
    pointer: true,
  }),
  nodeTaintsPolicy: opt(7, str(['Ignore', 'Honor']), {
    doc: 'Whether nodes with untolerated taints are left out: Honor or Ignore.',
    pointer: true,
  }),
  matchLabelKeys: opt(8, list(str()), { doc: "Labels in which counted pods must be equal to this pod's." }),
}))
export type TopologySpreadConstraint = Infer<typeof topologySpreadConstraint>

export const podSchedulingGate = obj(
  'io.k8s.api.core.v1.PodSchedulingGate',
  'Keeps the pod from being scheduled until it is removed.',
  () => ({
    name: req(1, str(), { doc: 'Name of the gate.' }),
  }),
)
export type PodSchedulingGate = Infer<typeof podSchedulingGate>

export const podReadinessGate = obj(
  'io.k8s.api.core.v1.PodReadinessGate',
  'A condition that must be true for the pod to be ready.',
  () => ({
    conditionType: req(1, str(), { doc: 'Type of the condition.' }),
  }),
)
export type PodReadinessGate = Infer<typeof podReadinessGate>

export const podResourceClaim = obj('io.k8s.api.core.v1.PodResourceClaim', 'A claim that containers may use.', () => ({
  name: req(1, str(), { doc: 'Name within the pod.' }),
  resourceClaimName: opt(3, str(), { doc: 'An existing claim.', pointer: true }),
  resourceClaimTemplateName: opt(4, str(), { doc: 'A template from which a claim is made for this pod.', pointer: true }),
}))
export type PodResourceClaim = Infer<typeof podResourceClaim>

export const workloadReference = obj('io.k8s.api.core.v1.WorkloadReference', 'The workload that the pod is part of.', () => ({
  name: req(1, str(), { doc: 'Name of the workload.' }),
  podGroup: req(2, str(), { doc: 'Name of the pod group.' }),
  podGroupReplicaKey: opt(3, str(), { doc: 'Which replica of the group.' }),
}))
export type WorkloadReference = Infer<typeof workloadReference>

export const podOS = obj('io.k8s.api.core.v1.PodOS', 'Operating system of the pod.', () => ({
  name: req(1, str(), { doc: 'linux or windows.' }),
}))
export type PodOS = Infer<typeof podOS>

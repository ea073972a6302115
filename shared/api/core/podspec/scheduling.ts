/** What else decides on scheduling and readiness: tolerations, spreading, gates, claims. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { int32, int64, list, obj, opt, req, str, type Infer } from '../../../machinery/schema.ts'
import { labelSelector } from '../../meta/labelselector.ts'

export const toleration = obj('io.k8s.api.core.v1.Toleration', '', () => ({
  key: opt(1, str()),
  operator: opt(2, str(['Exists', 'Equal', 'Lt', 'Gt'])),
  value: opt(3, str()),
  effect: opt(4, str(['NoSchedule', 'PreferNoSchedule', 'NoExecute'])),
  tolerationSeconds: opt(5, int64()),
}))
export type Toleration = Infer<typeof toleration>

export const topologySpreadConstraint = obj('io.k8s.api.core.v1.TopologySpreadConstraint', '', () => ({
  maxSkew: req(1, int32()),
  topologyKey: req(2, str()),
  whenUnsatisfiable: req(3, str(['DoNotSchedule', 'ScheduleAnyway'])),
  labelSelector: opt(4, labelSelector),
  minDomains: opt(5, int32()),
  nodeAffinityPolicy: opt(6, str(['Ignore', 'Honor']), { pointer: true }),
  nodeTaintsPolicy: opt(7, str(['Ignore', 'Honor']), { pointer: true }),
  matchLabelKeys: opt(8, list(str())),
}))
export type TopologySpreadConstraint = Infer<typeof topologySpreadConstraint>

export const podSchedulingGate = obj('io.k8s.api.core.v1.PodSchedulingGate', '', () => ({
  name: req(1, str()),
}))
export type PodSchedulingGate = Infer<typeof podSchedulingGate>

export const podReadinessGate = obj('io.k8s.api.core.v1.PodReadinessGate', '', () => ({
  conditionType: req(1, str()),
}))
export type PodReadinessGate = Infer<typeof podReadinessGate>

export const podResourceClaim = obj('io.k8s.api.core.v1.PodResourceClaim', '', () => ({
  name: req(1, str()),
  resourceClaimName: opt(3, str(), { pointer: true }),
  resourceClaimTemplateName: opt(4, str(), { pointer: true }),
}))
export type PodResourceClaim = Infer<typeof podResourceClaim>

export const workloadReference = obj('io.k8s.api.core.v1.WorkloadReference', '', () => ({
  name: req(1, str()),
  podGroup: req(2, str()),
  podGroupReplicaKey: opt(3, str()),
}))
export type WorkloadReference = Infer<typeof workloadReference>

export const podOS = obj('io.k8s.api.core.v1.PodOS', '', () => ({
  name: req(1, str()),
}))
export type PodOS = Infer<typeof podOS>

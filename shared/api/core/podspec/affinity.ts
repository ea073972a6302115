/** Where a pod likes to run: node and pod affinity. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { int32, list, obj, opt, req, str, type Infer } from '../../../machinery/schema.ts'
import { labelSelector } from '../../meta/labelselector.ts'

export const affinity = obj('io.k8s.api.core.v1.Affinity', '', () => ({
  nodeAffinity: opt(1, nodeAffinity),
  podAffinity: opt(2, podAffinity),
  podAntiAffinity: opt(3, podAntiAffinity),
}))
export type Affinity = Infer<typeof affinity>

export const nodeAffinity = obj('io.k8s.api.core.v1.NodeAffinity', '', () => ({
  requiredDuringSchedulingIgnoredDuringExecution: opt(1, nodeSelector),
  preferredDuringSchedulingIgnoredDuringExecution: opt(2, list(preferredSchedulingTerm)),
}))
export type NodeAffinity = Infer<typeof nodeAffinity>

export const podAffinity = obj('io.k8s.api.core.v1.PodAffinity', '', () => ({
  requiredDuringSchedulingIgnoredDuringExecution: opt(1, list(podAffinityTerm)),
  preferredDuringSchedulingIgnoredDuringExecution: opt(2, list(weightedPodAffinityTerm)),
}))
export type PodAffinity = Infer<typeof podAffinity>

export const podAntiAffinity = obj('io.k8s.api.core.v1.PodAntiAffinity', '', () => ({
  requiredDuringSchedulingIgnoredDuringExecution: opt(1, list(podAffinityTerm)),
  preferredDuringSchedulingIgnoredDuringExecution: opt(2, list(weightedPodAffinityTerm)),
}))
export type PodAntiAffinity = Infer<typeof podAntiAffinity>

export const podAffinityTerm = obj('io.k8s.api.core.v1.PodAffinityTerm', '', () => ({
  labelSelector: opt(1, labelSelector),
  namespaces: opt(2, list(str())),
  topologyKey: req(3, str()),
  namespaceSelector: opt(4, labelSelector),
  matchLabelKeys: opt(5, list(str())),
  mismatchLabelKeys: opt(6, list(str())),
}))
export type PodAffinityTerm = Infer<typeof podAffinityTerm>

export const weightedPodAffinityTerm = obj('io.k8s.api.core.v1.WeightedPodAffinityTerm', '', () => ({
  weight: req(1, int32()),
  podAffinityTerm: req(2, podAffinityTerm),
}))
export type WeightedPodAffinityTerm = Infer<typeof weightedPodAffinityTerm>

export const nodeSelector = obj(
  'io.k8s.api.core.v1.NodeSelector',
  '',
  () => ({
    nodeSelectorTerms: req(1, list(nodeSelectorTerm)),
  }),
  { atomic: true },
)
export type NodeSelector = Infer<typeof nodeSelector>

export const nodeSelectorTerm = obj(
  'io.k8s.api.core.v1.NodeSelectorTerm',
  '',
  () => ({
    matchExpressions: opt(1, list(nodeSelectorRequirement)),
    matchFields: opt(2, list(nodeSelectorRequirement)),
  }),
  { atomic: true },
)
export type NodeSelectorTerm = Infer<typeof nodeSelectorTerm>

export const nodeSelectorRequirement = obj('io.k8s.api.core.v1.NodeSelectorRequirement', '', () => ({
  key: req(1, str()),
  operator: req(2, str(['In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt'])),
  values: opt(3, list(str())),
}))
export type NodeSelectorRequirement = Infer<typeof nodeSelectorRequirement>

export const preferredSchedulingTerm = obj('io.k8s.api.core.v1.PreferredSchedulingTerm', '', () => ({
  weight: req(1, int32()),
  preference: req(2, nodeSelectorTerm),
}))
export type PreferredSchedulingTerm = Infer<typeof preferredSchedulingTerm>

/** Where a pod likes to run: node and pod affinity. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { int32, list, obj, opt, req, str, type Infer } from '../../../machinery/schema.ts'
import { labelSelector } from '../../meta/labelselector.ts'

export const affinity = obj('io.k8s.api.core.v1.Affinity', 'Where a pod likes to run.', () => ({
  nodeAffinity: opt(1, nodeAffinity, { doc: 'By properties of nodes.' }),
  podAffinity: opt(2, podAffinity, { doc: 'Near certain pods.' }),
  podAntiAffinity: opt(3, podAntiAffinity, { doc: 'Away from certain pods.' }),
}))
export type Affinity = Infer<typeof affinity>

export const nodeAffinity = obj('io.k8s.api.core.v1.NodeAffinity', 'Which nodes suit the pod.', () => ({
  requiredDuringSchedulingIgnoredDuringExecution: opt(1, nodeSelector, { doc: 'What must hold when the pod is scheduled.' }),
  preferredDuringSchedulingIgnoredDuringExecution: opt(2, list(preferredSchedulingTerm), {
    doc: 'What counts in favour of a node, by weight.',
  }),
}))
export type NodeAffinity = Infer<typeof nodeAffinity>

export const podAffinity = obj('io.k8s.api.core.v1.PodAffinity', 'Pods to be near to.', () => ({
  requiredDuringSchedulingIgnoredDuringExecution: opt(1, list(podAffinityTerm), { doc: 'What must hold when the pod is scheduled.' }),
  preferredDuringSchedulingIgnoredDuringExecution: opt(2, list(weightedPodAffinityTerm), {
    doc: 'What counts in favour of a node, by weight.',
  }),
}))
export type PodAffinity = Infer<typeof podAffinity>

export const podAntiAffinity = obj('io.k8s.api.core.v1.PodAntiAffinity', 'Pods to keep away from.', () => ({
  requiredDuringSchedulingIgnoredDuringExecution: opt(1, list(podAffinityTerm), { doc: 'What must hold when the pod is scheduled.' }),
  preferredDuringSchedulingIgnoredDuringExecution: opt(2, list(weightedPodAffinityTerm), {
    doc: 'What counts in favour of a node, by weight.',
  }),
}))
export type PodAntiAffinity = Infer<typeof podAntiAffinity>

export const podAffinityTerm = obj('io.k8s.api.core.v1.PodAffinityTerm', 'A set of pods, and what near means.', () => ({
  labelSelector: opt(1, labelSelector, { doc: 'Which pods; none when absent.' }),
  namespaces: opt(2, list(str()), { doc: 'In which namespaces; the own one when neither list nor selector is set.' }),
  topologyKey: req(3, str(), { doc: 'Node label whose equal values mean near.' }),
  namespaceSelector: opt(4, labelSelector, { doc: 'Namespaces by label; all when empty.' }),
  matchLabelKeys: opt(5, list(str()), { doc: "Labels in which the pods must be equal to this pod's." }),
  mismatchLabelKeys: opt(6, list(str()), { doc: "Labels in which the pods must differ from this pod's." }),
}))
export type PodAffinityTerm = Infer<typeof podAffinityTerm>

export const weightedPodAffinityTerm = obj('io.k8s.api.core.v1.WeightedPodAffinityTerm', 'A preference for pods.', () => ({
  weight: req(1, int32(), { doc: 'How much it counts, 1 to 100.' }),
  podAffinityTerm: req(2, podAffinityTerm, { doc: 'The pods.' }),
}))
export type WeightedPodAffinityTerm = Infer<typeof weightedPodAffinityTerm>

export const nodeSelector = obj(
  'io.k8s.api.core.v1.NodeSelector',
  'Alternatives; one of them must match the node.',
  () => ({
    nodeSelectorTerms: req(1, list(nodeSelectorTerm), { doc: 'The alternatives.' }),
  }),
  { atomic: true },
)
export type NodeSelector = Infer<typeof nodeSelector>

export const nodeSelectorTerm = obj(
  'io.k8s.api.core.v1.NodeSelectorTerm',
  'Conditions that must all hold; an empty term matches nothing.',
  () => ({
    matchExpressions: opt(1, list(nodeSelectorRequirement), { doc: 'On labels of the node.' }),
    matchFields: opt(2, list(nodeSelectorRequirement), { doc: 'On fields of the node.' }),
  }),
  { atomic: true },
)
export type NodeSelectorTerm = Infer<typeof nodeSelectorTerm>

export const nodeSelectorRequirement = obj('io.k8s.api.core.v1.NodeSelectorRequirement', 'A condition on a label or field.', () => ({
  key: req(1, str(), { doc: 'Label key, or field.' }),
  operator: req(2, str(['In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt']), { doc: 'In, NotIn, Exists, DoesNotExist, Gt or Lt.' }),
  values: opt(3, list(str()), { doc: 'Values that the operator compares with.' }),
}))
export type NodeSelectorRequirement = Infer<typeof nodeSelectorRequirement>

export const preferredSchedulingTerm = obj('io.k8s.api.core.v1.PreferredSchedulingTerm', 'A preference for nodes.', () => ({
  weight: req(1, int32(), { doc: 'How much it counts, 1 to 100.' }),
  preference: req(2, nodeSelectorTerm, { doc: 'The nodes.' }),
}))
export type PreferredSchedulingTerm = Infer<typeof preferredSchedulingTerm>

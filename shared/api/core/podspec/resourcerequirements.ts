/** What a container or pod asks of compute resources. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { list, map, obj, opt, quantity, req, str, type Infer } from '../../../machinery/schema.ts'

export const resourceRequirements = obj(
  'io.k8s.api.core.v1.ResourceRequirements',
  'Compute resources that are needed and allowed.',
  () => ({
    limits: opt(1, map(quantity()), { doc: 'The most that may be used, by resource.' }),
    requests: opt(2, map(quantity()), { doc: 'The least that is needed, by resource.' }),
    claims: opt(3, list(resourceClaim), { doc: 'Which of the claims of the pod are used.', listType: 'map', listMapKeys: ['name'] }),
  }),
)
export type ResourceRequirements = Infer<typeof resourceRequirements>

export const resourceClaim = obj('io.k8s.api.core.v1.ResourceClaim', 'Use of a claim of the pod.', () => ({
  name: req(1, str(), { doc: 'Name in spec.resourceClaims.' }),
  request: opt(2, str(), { doc: 'One request of the claim; all of them when empty.' }),
}))
export type ResourceClaim = Infer<typeof resourceClaim>

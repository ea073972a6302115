/** What a container or pod asks of compute resources. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { list, map, obj, opt, quantity, req, str, type Infer } from '../../../machinery/schema.ts'

export const resourceRequirements = obj('io.k8s.api.core.v1.ResourceRequirements', '', () => ({
  limits: opt(1, map(quantity())),
  requests: opt(2, map(quantity())),
  claims: opt(3, list(resourceClaim), { listType: 'map', listMapKeys: ['name'] }),
}))
export type ResourceRequirements = Infer<typeof resourceRequirements>

export const resourceClaim = obj('io.k8s.api.core.v1.ResourceClaim', '', () => ({
  name: req(1, str()),
  request: opt(2, str()),
}))
export type ResourceClaim = Infer<typeof resourceClaim>

/** Name resolution inside a pod. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { list, obj, opt, req, str, type Infer } from '../../../machinery/schema.ts'

export const podDNSConfig = obj('io.k8s.api.core.v1.PodDNSConfig', '', () => ({
  nameservers: opt(1, list(str())),
  searches: opt(2, list(str())),
  options: opt(3, list(podDNSConfigOption)),
}))
export type PodDNSConfig = Infer<typeof podDNSConfig>

export const podDNSConfigOption = obj('io.k8s.api.core.v1.PodDNSConfigOption', '', () => ({
  name: opt(1, str()),
  value: opt(2, str(), { pointer: true }),
}))
export type PodDNSConfigOption = Infer<typeof podDNSConfigOption>

export const hostAlias = obj('io.k8s.api.core.v1.HostAlias', '', () => ({
  ip: req(1, str()),
  hostnames: opt(2, list(str())),
}))
export type HostAlias = Infer<typeof hostAlias>

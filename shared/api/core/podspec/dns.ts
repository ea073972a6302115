/** Name resolution inside a pod. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { list, obj, opt, req, str, type Infer } from '../../../machinery/schema.ts'

export const podDNSConfig = obj('io.k8s.api.core.v1.PodDNSConfig', 'Settings of the resolver.', () => ({
  nameservers: opt(1, list(str()), { doc: 'Addresses of name servers.' }),
  searches: opt(2, list(str()), { doc: 'Domains to search.' }),
  options: opt(3, list(podDNSConfigOption), { doc: 'Options of the resolver.' }),
}))
export type PodDNSConfig = Infer<typeof podDNSConfig>

export const podDNSConfigOption = obj('io.k8s.api.core.v1.PodDNSConfigOption', 'An option of the resolver.', () => ({
  name: opt(1, str(), { doc: 'Name of the option.' }),
  value: opt(2, str(), { doc: 'Its value.', pointer: true }),
}))
export type PodDNSConfigOption = Infer<typeof podDNSConfigOption>

export const hostAlias = obj('io.k8s.api.core.v1.HostAlias', 'A line of /etc/hosts.', () => ({
  ip: req(1, str(), { doc: 'The IP address.' }),
  hostnames: opt(2, list(str()), { doc: 'Names of that address.' }),
}))
export type HostAlias = Infer<typeof hostAlias>

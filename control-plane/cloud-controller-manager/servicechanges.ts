/** What is told of a Service that asks for a load balancer and changes (k8s.io/cloud-provider, controllers/service needsUpdate). */
import type { Service } from '#shared/api/core/service.ts'

export interface Change {
  readonly reason: string
  readonly message: string
}

/** A list as Go prints it. */
const listed = (list: readonly string[] | undefined): string => `[${(list ?? []).join(' ')}]`

/** The first change that is worth a word; undefined when there is none. `wants` says whether a Service asks for a load balancer. */
export function changeOf(old: Service, now: Service, wants: (service: Service) => boolean): Change | undefined {
  const [before, after] = [old.spec, now.spec]
  const from = (reason: string, was: unknown, is: unknown): Change => ({ reason, message: `${String(was ?? '')} -> ${String(is ?? '')}` })
  if (wants(old) !== wants(now)) return from('Type', before.type, after.type)
  if (!wants(now)) return undefined
  const counted = (reason: string, was: readonly string[] = [], is: readonly string[] = []): Change | undefined =>
    was.length === is.length ? undefined : { reason, message: `Count: ${was.length} -> ${is.length}` }
  const [ranges, newRanges] = [listed(before.loadBalancerSourceRanges), listed(after.loadBalancerSourceRanges)]
  if (ranges !== newRanges) return from('LoadBalancerSourceRanges', ranges, newRanges)
  if (before.loadBalancerIP !== after.loadBalancerIP) return from('LoadbalancerIP', before.loadBalancerIP, after.loadBalancerIP)
  const external = counted('ExternalIP', before.externalIPs, after.externalIPs)
  if (external) return external
  const added = after.externalIPs?.find((ip, i) => ip !== before.externalIPs?.[i])
  if (added !== undefined) return { reason: 'ExternalIP', message: `Added: ${added}` }
  if (before.externalTrafficPolicy !== after.externalTrafficPolicy)
    return from('ExternalTrafficPolicy', before.externalTrafficPolicy, after.externalTrafficPolicy)
  const [port = 0, newPort = 0] = [before.healthCheckNodePort, after.healthCheckNodePort]
  if (port !== newPort) return from('HealthCheckNodePort', port, newPort)
  return counted('IPFamilies', before.ipFamilies, after.ipFamilies) ?? counted('ClusterIPs', before.clusterIPs, after.clusterIPs)
}

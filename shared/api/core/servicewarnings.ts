/** What is said of Services that are valid but surely not meant so (pkg/api/service/warnings.go). */
import { Path } from '../../machinery/field.ts'
import { warningsForCIDR, warningsForIP } from '../../machinery/ipwarnings.ts'
import type { Service } from './service.ts'

const hints = 'service.kubernetes.io/topology-aware-hints'
const mode = 'service.kubernetes.io/topology-mode'

export function warningsForService({ metadata, spec }: Service): string[] {
  const at = new Path('spec')
  const each = (list: readonly string[] | undefined, field: string, warn: (value: string, at: Path) => string[]): string[] =>
    (list ?? []).flatMap((value, i) => warn(value, at.child(field).index(i)))
  const headless = spec.type === 'ClusterIP' && spec.clusterIP === 'None'
  const external = spec.type === 'ExternalName'
  return [
    ...(metadata.annotations?.[hints] === undefined ? [] : [`annotation ${hints} is deprecated, please use ${mode} instead`]),
    ...(headless ? [] : each(spec.clusterIPs, 'clusterIPs', warningsForIP)),
    ...(headless && spec.loadBalancerIP ? ['spec.loadBalancerIP is ignored for headless services'] : []),
    ...(headless && spec.externalIPs?.length ? ['spec.externalIPs is ignored for headless services'] : []),
    ...(headless && spec.sessionAffinity !== 'None' ? ['spec.SessionAffinity is ignored for headless services'] : []),
    ...each(spec.externalIPs, 'externalIPs', warningsForIP),
    ...(spec.loadBalancerIP ? warningsForIP(spec.loadBalancerIP, at.child('loadBalancerIP')) : []),
    ...each(spec.loadBalancerSourceRanges, 'loadBalancerSourceRanges', warningsForCIDR),
    ...(external && spec.externalIPs?.length ? ['spec.externalIPs is ignored when spec.type is "ExternalName"'] : []),
    ...(!external && spec.externalName ? ['spec.externalName is ignored when spec.type is not "ExternalName"'] : []),
    ...(spec.trafficDistribution === 'PreferClose' ? ['spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'] : []),
  ]
}

/**
 * Defaults of core/v1 Service and what a change of its type clears, all but allocation (pkg/apis/core/v1/defaults.go,
 * pkg/registry/core/service/strategy.go).
 */
import { semanticEqual } from '../meta/validation.ts'
import type { Service, ServicePort, ServiceSpec } from './service.ts'

export const isHeadless = (spec: ServiceSpec): boolean => spec.clusterIPs?.length === 1 && spec.clusterIPs[0] === 'None'
/** Reachable from outside the cluster. */
export const isExternallyAccessible = (spec: ServiceSpec): boolean =>
  spec.type === 'LoadBalancer' || spec.type === 'NodePort' || (spec.type === 'ClusterIP' && (spec.externalIPs?.length ?? 0) > 0)
export const needsHealthCheck = (spec: ServiceSpec): boolean => spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local'
export const needsClusterIP = (spec: ServiceSpec): boolean => spec.type !== 'ExternalName'
export const needsNodePort = (spec: ServiceSpec): boolean =>
  spec.type === 'NodePort' || (spec.type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts !== false)

export function defaultService({ spec, status }: Service): void {
  spec.sessionAffinity ||= 'None'
  if (spec.sessionAffinity === 'None') delete spec.sessionAffinityConfig
  if (spec.sessionAffinity === 'ClientIP' && spec.sessionAffinityConfig?.clientIP?.timeoutSeconds === undefined)
    spec.sessionAffinityConfig = { clientIP: { timeoutSeconds: 10800 } }
  spec.type ||= 'ClusterIP'
  for (const port of spec.ports ?? []) {
    port.protocol ||= 'TCP'
    if (!port.targetPort || port.targetPort === '0') port.targetPort = port.port
  }
  if (isExternallyAccessible(spec)) spec.externalTrafficPolicy ||= 'Cluster'
  if (needsClusterIP(spec)) spec.internalTrafficPolicy ??= 'Cluster'
  if (spec.type === 'LoadBalancer') {
    spec.allocateLoadBalancerNodePorts ??= true
    for (const ingress of status?.loadBalancer?.ingress ?? []) if (ingress.ip) ingress.ipMode ??= 'VIP'
  }
}

/** Keeps clusterIP and clusterIPs in step for clients that know only the first of them. */
export function normalizeClusterIPs(spec: ServiceSpec, old: ServiceSpec | undefined): void {
  if (!old) {
    if (spec.clusterIP && !spec.clusterIPs?.length) spec.clusterIPs = [spec.clusterIP]
    return
  }
  if ((spec.clusterIP ?? '') === (old.clusterIP ?? '') || !semanticEqual(spec.clusterIPs, old.clusterIPs)) return
  if (spec.clusterIP) spec.clusterIPs = [spec.clusterIP]
  else delete spec.clusterIPs
}

const portKey = (p: ServicePort): string => `${p.protocol}/${p.port}`

/** What the server once allocated and the client left out is taken from the stored object. */
export function patchAllocated(spec: ServiceSpec, old: ServiceSpec): void {
  if (needsClusterIP(spec) && needsClusterIP(old)) {
    spec.clusterIP ||= old.clusterIP
    if (!spec.clusterIPs?.length && spec.clusterIP === old.clusterIP) spec.clusterIPs = old.clusterIPs && [...old.clusterIPs]
  }
  if (needsNodePort(spec) && needsNodePort(old)) {
    const used = new Set((spec.ports ?? []).filter(p => p.nodePort).map(p => p.nodePort))
    const known = new Map((old.ports ?? []).map(p => [portKey(p), p.nodePort]))
    for (const port of spec.ports ?? []) {
      const nodePort = port.nodePort ? undefined : known.get(portKey(port))
      if (!nodePort || used.has(nodePort)) continue
      port.nodePort = nodePort
      used.add(nodePort)
    }
  }
  if (needsHealthCheck(spec) && needsHealthCheck(old)) spec.healthCheckNodePort ||= old.healthCheckNodePort
}

/** Fields that the former type needed and the new one must not have are cleared, unless the client changed them as well. */
export function dropTypeDependent(spec: ServiceSpec, old: ServiceSpec): void {
  const same = (...fields: (keyof ServiceSpec)[]): boolean => fields.every(f => semanticEqual(spec[f], old[f]))
  if (needsClusterIP(old) && !needsClusterIP(spec)) {
    if (same('clusterIPs', 'clusterIP')) {
      delete spec.clusterIP
      delete spec.clusterIPs
    }
    if (same('ipFamilies', 'ipFamilyPolicy')) {
      delete spec.ipFamilies
      delete spec.ipFamilyPolicy
    }
  }
  if (
    needsNodePort(old) &&
    !needsNodePort(spec) &&
    semanticEqual(
      spec.ports?.map(p => p.nodePort ?? 0),
      old.ports?.map(p => p.nodePort ?? 0),
    )
  ) {
    for (const port of spec.ports ?? []) delete port.nodePort
  }
  if (needsHealthCheck(old) && !needsHealthCheck(spec) && same('healthCheckNodePort')) delete spec.healthCheckNodePort
  if (old.type === 'LoadBalancer' && spec.type !== 'LoadBalancer') {
    if (same('allocateLoadBalancerNodePorts')) delete spec.allocateLoadBalancerNodePorts
    if (same('loadBalancerClass')) delete spec.loadBalancerClass
  }
  if (isExternallyAccessible(old) && !isExternallyAccessible(spec) && same('externalTrafficPolicy')) delete spec.externalTrafficPolicy
}

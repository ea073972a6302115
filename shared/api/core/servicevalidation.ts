/** Rules of core/v1 Service (pkg/apis/core/validation ValidateService). Addresses and ports are allocated by then. */
import { duplicate, forbidden, invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import { canonicalIP, validateCIDR, validateIP, validateNonSpecialIP } from '../../machinery/ip.ts'
import { isDNS1123Label, isDNS1123Subdomain, isPortName, isPortNumber, isQualifiedName } from '../../machinery/names.ts'
import { validateConditions, validateLabels } from '../meta/validation.ts'
import type { Service, ServicePort, ServiceSpec } from './service.ts'
import { validateClusterIPs } from './serviceipvalidation.ts'
import { isExternallyAccessible, isHeadless, needsClusterIP, needsHealthCheck } from './servicedefaults.ts'

export const protocols = ['SCTP', 'TCP', 'UDP']
const supported = (value: string | undefined, values: readonly string[], at: Path): FieldError[] =>
  values.includes(value ?? '') ? [] : [notSupported(at, value ?? '', values)]
const all = (errors: string[], at: Path, value: unknown): FieldError[] => errors.map(e => invalid(at, value, e))

/** `old` is the stored service on an update: what it already had is not checked by newer rules. */
export function validateService(service: Service, at: Path, old?: Service): FieldError[] {
  const { spec } = service
  const path = at.child('spec')
  const errors = validateTopologyAnnotations(service, at)
  if (!spec.ports?.length && !isHeadless(spec) && spec.type !== 'ExternalName') errors.push(required(path.child('ports')))
  errors.push(...validateType(spec, path), ...validatePorts(spec, path.child('ports')))
  errors.push(
    ...validateLabels(spec.selector, path.child('selector')),
    ...validateAffinity(spec, path),
    ...validateClusterIPs(spec, old?.spec, path),
  )
  spec.externalIPs?.forEach((ip, i) => {
    const here = path.child('externalIPs').index(i)
    const bad = validateIP(here, ip, old?.spec.externalIPs)
    errors.push(...(bad.length ? bad : validateNonSpecialIP(ip, here)))
  })
  errors.push(
    ...(spec.type
      ? supported(spec.type, ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'], path.child('type'))
      : [required(path.child('type'))]),
  )
  return [
    ...errors,
    ...validateNodePorts(spec, path.child('ports')),
    ...validateSourceRanges(service, at, old),
    ...validateLoadBalancer(spec, path),
    ...validateTrafficPolicies(spec, path),
  ]
}

const hints = 'service.kubernetes.io/topology-aware-hints'
const mode = 'service.kubernetes.io/topology-mode'
function validateTopologyAnnotations(service: Service, at: Path): FieldError[] {
  const annotations = service.metadata.annotations ?? {}
  if (annotations[hints] === undefined || annotations[mode] === undefined || annotations[hints] === annotations[mode]) return []
  return [
    invalid(at.child('metadata', 'annotations').key(mode), annotations[mode], `must match annotations[${hints}] when both are specified`),
  ]
}

function validateType(spec: ServiceSpec, at: Path): FieldError[] {
  const errors: FieldError[] = []
  if (spec.type === 'LoadBalancer') {
    spec.ports?.forEach((p, i) => {
      if (p.port === 10250)
        errors.push(
          invalid(at.child('ports').index(i).child('port'), p.port, 'may not expose port 10250 externally since it is used by kubelet'),
        )
    })
  }
  if ((spec.type === 'LoadBalancer' || spec.type === 'NodePort') && isHeadless(spec)) {
    errors.push(invalid(at.child('clusterIPs').index(0), 'None', `may not be set to 'None' for ${spec.type} services`))
  }
  if (spec.type !== 'ExternalName') return errors
  for (const field of ['clusterIPs', 'ipFamilies', 'ipFamilyPolicy'] as const) {
    if (spec[field]?.length) errors.push(forbidden(at.child(field), 'may not be set for ExternalName services'))
  }
  const name = (spec.externalName ?? '').replace(/\.$/, '')
  errors.push(...(name ? all(isDNS1123Subdomain(name), at.child('externalName'), name) : [required(at.child('externalName'))]))
  return errors
}

function validatePorts(spec: ServiceSpec, at: Path): FieldError[] {
  const names = new Set<string>()
  return (spec.ports ?? []).flatMap((port, i) => validatePort(port, (spec.ports?.length ?? 0) > 1, names, at.index(i)))
}

function validatePort(port: ServicePort, needsName: boolean, names: Set<string>, at: Path): FieldError[] {
  const errors: FieldError[] = []
  if (port.name) {
    errors.push(...all(isDNS1123Label(port.name), at.child('name'), port.name))
    if (names.has(port.name)) errors.push(duplicate(at.child('name'), port.name))
    names.add(port.name)
  } else if (needsName) errors.push(required(at.child('name')))
  errors.push(...all(isPortNumber(port.port ?? 0), at.child('port'), port.port ?? 0))
  errors.push(...(port.protocol ? supported(port.protocol, protocols, at.child('protocol')) : [required(at.child('protocol'))]))
  const target = port.targetPort ?? 0
  errors.push(...all(typeof target === 'number' ? isPortNumber(target) : isPortName(target), at.child('targetPort'), target))
  if (port.appProtocol !== undefined) errors.push(...all(isQualifiedName(port.appProtocol), at.child('appProtocol'), port.appProtocol))
  return errors
}

function validateNodePorts(spec: ServiceSpec, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const [nodePorts, ports] = [new Set<string>(), new Set<string>()]
  spec.ports?.forEach((p, i) => {
    if (!p.nodePort) return
    if (spec.type === 'ClusterIP') errors.push(forbidden(at.index(i).child('nodePort'), "may not be used when `type` is 'ClusterIP'"))
    if (nodePorts.has(`${p.protocol}/${p.nodePort}`)) errors.push(duplicate(at.index(i).child('nodePort'), p.nodePort))
    nodePorts.add(`${p.protocol}/${p.nodePort}`)
  })
  spec.ports?.forEach((p, i) => {
    if (ports.has(`${p.protocol}/${p.port}`)) errors.push(duplicate(at.index(i), { protocol: p.protocol, port: p.port }))
    ports.add(`${p.protocol}/${p.port}`)
  })
  return errors
}

function validateAffinity(spec: ServiceSpec, at: Path): FieldError[] {
  if (!spec.sessionAffinity) return [required(at.child('sessionAffinity'))]
  const config = at.child('sessionAffinityConfig')
  if (spec.sessionAffinity === 'None')
    return spec.sessionAffinityConfig ? [forbidden(config, 'must not be set when session affinity is None')] : []
  if (spec.sessionAffinity !== 'ClientIP') return [notSupported(at.child('sessionAffinity'), spec.sessionAffinity, ['ClientIP', 'None'])]
  const needed = 'when session affinity type is ClientIP'
  if (!spec.sessionAffinityConfig) return [required(config, needed)]
  if (!spec.sessionAffinityConfig.clientIP) return [required(config.child('clientIP'), needed)]
  const timeout = spec.sessionAffinityConfig.clientIP.timeoutSeconds
  if (timeout === undefined) return [required(config.child('clientIP', 'timeoutSeconds'), needed)]
  return timeout > 0 && timeout <= 86400
    ? []
    : [invalid(config.child('clientIP', 'timeoutSeconds'), timeout, 'must be greater than 0 and less than 86400')]
}

const rangesAnnotation = 'service.beta.kubernetes.io/load-balancer-source-ranges'
const onlyLoadBalancer = "may only be used when `type` is 'LoadBalancer'"
function validateSourceRanges(service: Service, at: Path, old?: Service): FieldError[] {
  const { spec } = service
  const errors: FieldError[] = []
  if (spec.loadBalancerSourceRanges?.length) {
    const path = at.child('spec', 'LoadBalancerSourceRanges')
    if (spec.type !== 'LoadBalancer') errors.push(forbidden(path, onlyLoadBalancer))
    spec.loadBalancerSourceRanges.forEach((r, i) =>
      errors.push(...validateCIDR(path.index(i), r.trim(), old?.spec.loadBalancerSourceRanges)),
    )
    return errors
  }
  const text = service.metadata.annotations?.[rangesAnnotation]
  if (text === undefined) return []
  const path = at.child('metadata', 'annotations').key(rangesAnnotation)
  if (spec.type !== 'LoadBalancer') errors.push(forbidden(path, onlyLoadBalancer))
  const known = (old?.metadata.annotations?.[rangesAnnotation] ?? '').split(',').map(r => r.trim())
  if (text.trim()) for (const r of text.split(',')) errors.push(...validateCIDR(path, r.trim(), known))
  return errors
}

function validateLoadBalancer(spec: ServiceSpec, at: Path): FieldError[] {
  if (spec.type === 'LoadBalancer') {
    return [
      ...(spec.allocateLoadBalancerNodePorts === undefined ? [required(at.child('allocateLoadBalancerNodePorts'))] : []),
      ...(spec.loadBalancerClass === undefined
        ? []
        : all(isQualifiedName(spec.loadBalancerClass), at.child('loadBalancerClass'), spec.loadBalancerClass)),
    ]
  }
  return (['allocateLoadBalancerNodePorts', 'loadBalancerClass'] as const)
    .filter(f => spec[f] !== undefined)
    .map(f => forbidden(at.child(f), onlyLoadBalancer))
}

function validateTrafficPolicies(spec: ServiceSpec, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const [external, health] = [at.child('externalTrafficPolicy'), at.child('healthCheckNodePort')]
  if (isExternallyAccessible(spec))
    errors.push(
      ...(spec.externalTrafficPolicy ? supported(spec.externalTrafficPolicy, ['Cluster', 'Local'], external) : [required(external)]),
    )
  else if (spec.externalTrafficPolicy)
    errors.push(invalid(external, spec.externalTrafficPolicy, 'may only be set for externally-accessible services'))
  const port = spec.healthCheckNodePort ?? 0
  if (needsHealthCheck(spec)) errors.push(...(port === 0 ? [required(health)] : all(isPortNumber(port), health, port)))
  else if (port !== 0)
    errors.push(invalid(health, port, "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"))
  const internal = at.child('internalTrafficPolicy')
  if (spec.internalTrafficPolicy !== undefined) errors.push(...supported(spec.internalTrafficPolicy, ['Cluster', 'Local'], internal))
  else if (needsClusterIP(spec)) errors.push(required(internal))
  if (spec.trafficDistribution !== undefined)
    errors.push(
      ...supported(spec.trafficDistribution, ['PreferClose', 'PreferSameNode', 'PreferSameZone'], at.child('trafficDistribution')),
    )
  return errors
}

/** What the status subresource takes. */
export function validateServiceStatus(service: Service, at: Path, old: Service): FieldError[] {
  const ingresses = service.status?.loadBalancer?.ingress ?? []
  const path = at.child('status', 'loadBalancer', 'ingress')
  const errors = validateConditions(service.status?.conditions, at.child('status', 'conditions'))
  if (ingresses.length && service.spec.type !== 'LoadBalancer')
    return [...errors, forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")]
  const known = (old.status?.loadBalancer?.ingress ?? []).map(i => i.ip ?? '')
  ingresses.forEach((ingress, i) => {
    const here = path.index(i)
    if (ingress.ip) {
      errors.push(...validateIP(here.child('ip'), ingress.ip, known))
      if (ingress.ipMode === undefined) errors.push(required(here.child('ipMode'), 'must be specified when `ip` is set'))
      else errors.push(...supported(ingress.ipMode, ['Proxy', 'VIP'], here.child('ipMode')))
    } else if (ingress.ipMode !== undefined) errors.push(forbidden(here.child('ipMode'), 'may not be specified when `ip` is not set'))
    if (!ingress.hostname) return
    errors.push(...all(isDNS1123Subdomain(ingress.hostname), here.child('hostname'), ingress.hostname))
    if (canonicalIP(ingress.hostname))
      errors.push(invalid(here.child('hostname'), ingress.hostname, 'must be a DNS name, not an IP address'))
  })
  return errors
}

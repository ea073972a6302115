/** Rules of networking.k8s.io/v1 Ingress (pkg/apis/networking/validation). */
import { invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import { ipFamily, validateIP } from '../../machinery/ip.ts'
import {
  isDNS1035Label,
  isDNS1123Subdomain,
  isPortName,
  isPortNumber,
  isWildcardDNS1123Subdomain,
  nameIsPathSegment,
} from '../../machinery/names.ts'
import type { TypedLocalObjectReference } from '../core/typedobjectreference.ts'
import type { HTTPIngressPath, Ingress, IngressBackend, IngressSpec, IngressStatus } from './ingress.ts'

export const ingressClassAnnotation = 'kubernetes.io/ingress.class'
const all = (messages: string[], at: Path, value: unknown): FieldError[] => messages.map(m => invalid(at, value, m))

export function validateIngress(spec: IngressSpec, at: Path): FieldError[] {
  const errors: FieldError[] = []
  const rules = spec.rules ?? []
  if (rules.length === 0 && !spec.defaultBackend)
    errors.push(invalid(at, spec.rules ?? null, 'either `defaultBackend` or `rules` must be specified'))
  if (spec.defaultBackend) errors.push(...validateBackend(spec.defaultBackend, at.child('defaultBackend')))
  rules.forEach(({ host, http }, i) => {
    const here = at.child('rules').index(i)
    if (host) {
      if (ipFamily(host)) errors.push(invalid(here.child('host'), host, 'must be a DNS name, not an IP address'))
      errors.push(...validateHost(host, here.child('host')))
    }
    if (!http) return
    const paths = here.child('http', 'paths')
    if (!http.paths?.length) errors.push(required(paths))
    http.paths?.forEach((path, j) => errors.push(...validatePath(path, paths.index(j))))
  })
  spec.tls?.forEach((tls, i) => {
    const here = at.child('tls').index(i)
    tls.hosts?.forEach((host, j) => errors.push(...validateHost(host, here.child('hosts').index(j))))
    if (tls.secretName) errors.push(...all(isDNS1123Subdomain(tls.secretName), here.child('secretName'), tls.secretName))
  })
  if (spec.ingressClassName !== undefined)
    errors.push(...all(isDNS1123Subdomain(spec.ingressClassName), at.child('ingressClassName'), spec.ingressClassName))
  return errors
}

const validateHost = (host: string, at: Path): FieldError[] =>
  all(host.includes('*') ? isWildcardDNS1123Subdomain(host) : isDNS1123Subdomain(host), at, host)

/** A new Ingress that names its class twice names the same. */
export function validateIngressClassAnnotation({ metadata, spec }: Ingress, at: Path): FieldError[] {
  const value = metadata.annotations?.[ingressClassAnnotation]
  if (value === undefined || spec.ingressClassName === undefined || value === spec.ingressClassName) return []
  const path = at.child('annotations', ingressClassAnnotation)
  return [invalid(path, value, 'must match `ingressClassName` when both are specified')]
}

const pathTypes = ['Exact', 'ImplementationSpecific', 'Prefix']
const badSequences = ['//', '/./', '/../', '%2f', '%2F']
const badSuffixes = ['/..', '/.']

function validatePath({ path = '', pathType, backend }: HTTPIngressPath, at: Path): FieldError[] {
  if (pathType === undefined) return [required(at.child('pathType'), 'pathType must be specified')]
  const errors: FieldError[] = []
  const pathAt = at.child('path')
  if (!pathTypes.includes(pathType)) errors.push(notSupported(at.child('pathType'), pathType, pathTypes))
  else if (pathType === 'ImplementationSpecific') {
    if (path !== '' && !path.startsWith('/')) errors.push(invalid(pathAt, path, 'must be an absolute path'))
  } else {
    if (!path.startsWith('/')) errors.push(invalid(pathAt, path, 'must be an absolute path'))
    for (const bad of badSequences) if (path.includes(bad)) errors.push(invalid(pathAt, path, `must not contain '${bad}'`))
    for (const bad of badSuffixes) if (path.endsWith(bad)) errors.push(invalid(pathAt, path, `cannot end with '${bad}'`))
  }
  return [...errors, ...validateBackend(backend, at.child('backend'))]
}

function validateBackend({ service, resource }: IngressBackend, at: Path): FieldError[] {
  if (service && resource) return [invalid(at, '', 'cannot set both resource and service backends')]
  if (resource) return validateReference(resource, at.child('resource'))
  if (!service) return [invalid(at, '', 'resource or service backend is required')]
  const nameAt = at.child('service', 'name')
  const errors = service.name ? all(isDNS1035Label(service.name), nameAt, service.name) : [required(nameAt)]
  const { name, number } = service.port ?? {}
  const portAt = at.child('service', 'port')
  if (name && number) errors.push(invalid(at, '', 'cannot set both port name & port number'))
  else if (name) errors.push(...all(isPortName(name), portAt.child('name'), name))
  else if (number) errors.push(...all(isPortNumber(number), portAt.child('number'), number))
  else errors.push(required(at, 'port name or number is required'))
  return errors
}

/** Names an object whose kind and name may be part of a path. */
export function validateReference(ref: TypedLocalObjectReference, at: Path): FieldError[] {
  const errors = ref.apiGroup === undefined ? [] : all(isDNS1123Subdomain(ref.apiGroup), at.child('apiGroup'), ref.apiGroup)
  for (const field of ['kind', 'name'] as const)
    errors.push(...(ref[field] ? all(nameIsPathSegment(ref[field], false), at.child(field), ref[field]) : [required(at.child(field))]))
  return errors
}

/** `at` is the load balancer of the status. */
export function validateIngressStatus(status: IngressStatus, old: IngressStatus, at: Path): FieldError[] {
  const known = (old.loadBalancer?.ingress ?? []).map(i => i.ip ?? '')
  return (status.loadBalancer?.ingress ?? []).flatMap(({ ip, hostname }, i) => {
    const here = at.child('ingress').index(i)
    const errors = ip ? validateIP(here.child('ip'), ip, known) : []
    if (!hostname) return errors
    errors.push(...all(isDNS1123Subdomain(hostname), here.child('hostname'), hostname))
    if (ipFamily(hostname)) errors.push(invalid(here.child('hostname'), hostname, 'must be a DNS name, not an IP address'))
    return errors
  })
}

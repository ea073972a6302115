/** networking.k8s.io/v1 Ingress: HTTP from outside. https://kubernetes.io/docs/concepts/services-networking/ingress/ */
import { inline, int32, list, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { typedLocalObjectReference } from '../core/typedobjectreference.ts'
import { ingresses } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { ingressClassAnnotation, validateIngress, validateIngressClassAnnotation, validateIngressStatus } from './ingressvalidation.ts'

const ingressSchema = obj('io.k8s.api.networking.v1.Ingress', 'How HTTP from outside is routed to services.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: opt(2, ingressSpec, { doc: 'What is wanted.', default: {} }),
  status: opt(3, ingressStatus, { doc: 'Where it is reached.', default: {} }),
}))
export type Ingress = Stored<Infer<typeof ingressSchema>>
const ingressSpec = obj('io.k8s.api.networking.v1.IngressSpec', 'Rules that map hosts and paths to backends.', () => ({
  ingressClassName: opt(4, str(), { doc: 'The IngressClass, and so the controller, that it is for.', pointer: true }),
  defaultBackend: opt(1, ingressBackend, { doc: 'Takes what no rule matches.' }),
  tls: opt(2, list(ingressTLS), { doc: 'Certificates, by host.', listType: 'atomic' }),
  rules: opt(3, list(ingressRule), { doc: 'Hosts, each with paths and their backends.', listType: 'atomic' }),
}))
export type IngressSpec = Infer<typeof ingressSpec>
const ingressBackend = obj('io.k8s.api.networking.v1.IngressBackend', 'Where requests go: a service, or some other object.', () => ({
  service: opt(4, ingressServiceBackend, { doc: 'A port of a service.' }),
  resource: opt(3, typedLocalObjectReference, { doc: 'An object of another kind in the same namespace; excludes service.' }),
}))
export type IngressBackend = Infer<typeof ingressBackend>
const ingressServiceBackend = obj('io.k8s.api.networking.v1.IngressServiceBackend', 'A port of a service in the same namespace.', () => ({
  name: req(1, str(), { doc: 'Name of the service.', default: '' }),
  port: opt(2, serviceBackendPort, { doc: 'Which of its ports.', default: {} }),
}))
const serviceBackendPort = obj(
  'io.k8s.api.networking.v1.ServiceBackendPort',
  'A port by name or by number.',
  () => ({
    name: opt(1, str(), { doc: 'Name of the port; excludes number.' }),
    number: opt(2, int32(), { doc: 'Number of the port; excludes name.', pointer: false }),
  }),
  { atomic: true },
)
const ingressTLS = obj('io.k8s.api.networking.v1.IngressTLS', 'A certificate for some hosts.', () => ({
  hosts: opt(1, list(str()), { doc: 'Host names that it is for; those of the controller when empty.', listType: 'atomic' }),
  secretName: opt(2, str(), { doc: 'Secret with the certificate and its key.' }),
}))
const ingressRule = obj('io.k8s.api.networking.v1.IngressRule', 'Paths of one host.', () => ({
  host: opt(1, str(), { doc: 'The host name, or *. and a domain; every host when empty.' }),
  ...inline(2, ingressRuleValue),
}))
const ingressRuleValue = obj('io.k8s.api.networking.v1.IngressRuleValue', 'What a rule says of a protocol.', () => ({
  http: opt(1, httpIngressRuleValue, { doc: 'Routes of HTTP.' }),
}))
const httpIngressRuleValue = obj('io.k8s.api.networking.v1.HTTPIngressRuleValue', 'Paths with their backends.', () => ({
  paths: req(1, list(httpIngressPath), { doc: 'The paths.', listType: 'atomic' }),
}))
const httpIngressPath = obj('io.k8s.api.networking.v1.HTTPIngressPath', 'A path and its backend.', () => ({
  path: opt(1, str(), { doc: 'The path; begins with a slash.' }),
  pathType: req(3, str(['Exact', 'ImplementationSpecific', 'Prefix']), {
    doc: 'How it is compared: Exact, Prefix or as the controller likes.',
    pointer: true,
  }),
  backend: req(2, ingressBackend, { doc: 'Where its requests go.', default: {} }),
}))
export type HTTPIngressPath = Infer<typeof httpIngressPath>
const ingressStatus = obj('io.k8s.api.networking.v1.IngressStatus', 'Where an ingress is reached.', () => ({
  loadBalancer: opt(1, ingressLoadBalancerStatus, { doc: 'Its load balancer.', default: {} }),
}))
export type IngressStatus = Infer<typeof ingressStatus>
const ingressLoadBalancerStatus = obj(
  'io.k8s.api.networking.v1.IngressLoadBalancerStatus',
  'A load balancer as far as it is known.',
  () => ({
    ingress: opt(1, list(ingressLoadBalancerIngress), { doc: 'Its points of entry.', listType: 'atomic' }),
  }),
)
const ingressLoadBalancerIngress = obj(
  'io.k8s.api.networking.v1.IngressLoadBalancerIngress',
  'A point of entry of a load balancer.',
  () => ({
    ip: opt(1, str(), { doc: 'Its address.' }),
    hostname: opt(2, str(), { doc: 'Its host name.' }),
    ports: opt(4, list(ingressPortStatus), { doc: 'Its ports.', listType: 'atomic' }),
  }),
)
const ingressPortStatus = obj('io.k8s.api.networking.v1.IngressPortStatus', 'A port of a load balancer and whether it works.', () => ({
  port: req(1, int32(), { doc: 'Number of the port.' }),
  protocol: req(2, str(), { doc: 'TCP, UDP or SCTP.', default: '' }),
  error: opt(3, str(), { doc: 'A word for what is wrong with it.', pointer: true }),
}))

export const ingress = resource<Ingress>({
  ...ingresses,
  schema: ingressSchema,
  singular: 'ingress',
  shortNames: ['ing'],
  hasStatus: true,
  hasGeneration: true,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  columns: [
    nameColumn,
    { name: 'Class', type: 'string', doc: 'The class that it is of', cell: i => i.spec.ingressClassName ?? '<none>' },
    { name: 'Hosts', type: 'string', doc: 'Hosts of its rules', cell: hosts },
    { name: 'Address', type: 'string', doc: 'Where it is reached', cell: addresses },
    { name: 'Ports', type: 'string', doc: 'Ports that it is reached at', cell: i => (i.spec.tls?.length ? '80, 443' : '80') },
    ageColumn,
  ],
  prepareForCreate: i => {
    i.status = { loadBalancer: {} }
  },
  validate: (i, at) => validateIngress(i.spec, at.child('spec')),
  validateCreate: validateIngressClassAnnotation,
  validateUpdate: (i, old, at, ctx) =>
    ctx.subresource === 'status' ? validateIngressStatus(i.status ?? {}, old.status ?? {}, at.child('status', 'loadBalancer')) : [],
  warnings: (i, old) =>
    !old && i.metadata.annotations?.[ingressClassAnnotation] !== undefined && i.spec.ingressClassName === undefined
      ? [`annotation ${JSON.stringify(ingressClassAnnotation)} is deprecated, please use 'spec.ingressClassName' instead`]
      : [],
})

/** The first three; a rule beyond them counts, with a host or without. */
function hosts({ spec }: Ingress): string {
  const rules = spec.rules ?? []
  const named = rules.filter(r => r.host)
  if (named.length === 0) return '*'
  const shown = named.slice(0, 3).map(r => r.host)
  const third = rules.indexOf(named[2]!)
  return shown.length === 3 && third < rules.length - 1 ? `${shown.join(',')} + ${rules.length - 3} more...` : shown.join(',')
}
function addresses({ status }: Ingress): string {
  const own = (status?.loadBalancer?.ingress ?? []).map(i => i.ip || i.hostname || '')
  return [...new Set(own.filter(Boolean))].sort().join(',')
}

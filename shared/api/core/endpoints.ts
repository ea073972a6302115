/** core/v1 Endpoints: the addresses behind a service, in the form before EndpointSlice. */
import { invalid, notSupported, required, type FieldError, type Path } from '../../machinery/field.ts'
import { validateIP, validateNonSpecialIP } from '../../machinery/ip.ts'
import { isDNS1123Label, isDNS1123Subdomain, isPortNumber, isQualifiedName } from '../../machinery/names.ts'
import { int32, list, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, firstThree, nameColumn } from '../columns.ts'
import { endpoints as kind } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { objectReference } from './objectreference.ts'

const endpointAddress = obj(
  'io.k8s.api.core.v1.EndpointAddress',
  'One address behind a service.',
  () => ({
    ip: req(1, str(), { doc: 'The address; not loopback, link-local or multicast.', default: '' }),
    hostname: opt(3, str(), { doc: 'Its host name.' }),
    nodeName: opt(4, str(), { doc: 'The node it is on.', pointer: true }),
    targetRef: opt(2, objectReference, { doc: 'The object, mostly a pod, that it belongs to.' }),
  }),
  { atomic: true },
)
const endpointPort = obj(
  'io.k8s.api.core.v1.EndpointPort',
  'One port of the addresses behind a service.',
  () => ({
    name: opt(1, str(), { doc: 'The name of the service port; needed when there are several.' }),
    port: req(2, int32(), { doc: 'The port.', default: 0 }),
    protocol: opt(3, str(['SCTP', 'TCP', 'UDP']), { doc: 'TCP, UDP or SCTP.', default: 'TCP' }),
    appProtocol: opt(4, str(), { doc: 'A hint at the protocol that is spoken.', pointer: true }),
  }),
  { atomic: true },
)
const endpointSubset = obj('io.k8s.api.core.v1.EndpointSubset', 'Addresses that share their ports; every address has every port.', () => ({
  addresses: opt(1, list(endpointAddress), { doc: 'Ready addresses.', listType: 'atomic' }),
  notReadyAddresses: opt(2, list(endpointAddress), { doc: 'Addresses that are not ready.', listType: 'atomic' }),
  ports: opt(3, list(endpointPort), { doc: 'Their ports.', listType: 'atomic' }),
}))

const endpointsSchema = obj(
  'io.k8s.api.core.v1.Endpoints',
  'The addresses behind the service of the same name; deprecated in favour of EndpointSlice.',
  () => ({
    ...typeMeta(),
    metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
    subsets: opt(2, list(endpointSubset), { doc: 'The addresses, grouped by their ports.', listType: 'atomic' }),
  }),
)
export type Endpoints = Stored<Infer<typeof endpointsSchema>>
export type EndpointSubset = Infer<typeof endpointSubset>
export type EndpointAddress = Infer<typeof endpointAddress>
export type CoreEndpointPort = Infer<typeof endpointPort>

export const endpoints = resource<Endpoints>({
  ...kind,
  schema: endpointsSchema,
  singular: 'endpoints',
  shortNames: ['ep'],
  allowCreateOnUpdate: true,
  deprecated: 'v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice',
  columns: [
    nameColumn,
    {
      name: 'Endpoints',
      type: 'string',
      doc: 'Addresses with their ports',
      cell: e => firstThree((e.subsets ?? []).flatMap(pairs), '<none>'),
    },
    ageColumn,
  ],
  validate: (e, at) => (e.subsets ?? []).flatMap((s, i) => validateSubset(s, at.child('subsets').index(i))),
})

function pairs(subset: EndpointSubset): string[] {
  const ips = (subset.addresses ?? []).map(a => a.ip)
  if (!subset.ports?.length) return ips
  return subset.ports.flatMap(p => ips.map(ip => (ip.includes(':') ? `[${ip}]:${p.port}` : `${ip}:${p.port}`)))
}

function validateSubset(subset: EndpointSubset, at: Path): FieldError[] {
  const empty = !subset.addresses?.length && !subset.notReadyAddresses?.length
  const ports = subset.ports ?? []
  return [
    ...(empty ? [required(at, 'must specify `addresses` or `notReadyAddresses`')] : []),
    ...(subset.addresses ?? []).flatMap((a, i) => validateAddress(a, at.child('addresses').index(i))),
    ...(subset.notReadyAddresses ?? []).flatMap((a, i) => validateAddress(a, at.child('notReadyAddresses').index(i))),
    ...ports.flatMap((p, i) => validatePort(p, ports.length > 1, at.child('ports').index(i))),
  ]
}

function validateAddress(a: EndpointAddress, at: Path): FieldError[] {
  const errors = validateIP(at.child('ip'), a.ip ?? '')
  if (a.hostname) errors.push(...isDNS1123Label(a.hostname).map(e => invalid(at.child('hostname'), a.hostname, e)))
  if (a.nodeName !== undefined) errors.push(...isDNS1123Subdomain(a.nodeName).map(e => invalid(at.child('nodeName'), a.nodeName, e)))
  return [...errors, ...validateNonSpecialIP(a.ip ?? '', at.child('ip'))]
}

function validatePort(p: CoreEndpointPort, needsName: boolean, at: Path): FieldError[] {
  const errors: FieldError[] = []
  if (p.name) errors.push(...isDNS1123Label(p.name).map(e => invalid(at.child('name'), p.name, e)))
  else if (needsName) errors.push(required(at.child('name')))
  errors.push(...isPortNumber(p.port ?? 0).map(e => invalid(at.child('port'), p.port ?? 0, e)))
  if (!p.protocol) errors.push(required(at.child('protocol')))
  else if (!['SCTP', 'TCP', 'UDP'].includes(p.protocol)) errors.push(notSupported(at.child('protocol'), p.protocol, ['SCTP', 'TCP', 'UDP']))
  if (p.appProtocol !== undefined)
    errors.push(...isQualifiedName(p.appProtocol).map(e => invalid(at.child('appProtocol'), p.appProtocol, e)))
  return errors
}

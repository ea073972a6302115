/**
 * discovery.k8s.io/v1 EndpointSlice: a part of the endpoints of a service.
 * https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
 */
import { Path } from '../../machinery/field.ts'
import { canonicalIP } from '../../machinery/ip.ts'
import { warningsForIP } from '../../machinery/ipwarnings.ts'
import { bool, int32, list, map, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { objectReference } from '../core/objectreference.ts'
import { maxWarnings } from '../core/podspec/warnings.ts'
import { ageColumn, firstThree, nameColumn } from '../columns.ts'
import { endpointSlices } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { validateEndpointSlice, validateEndpointSliceUpdate } from './endpointslicevalidation.ts'

const endpointConditions = obj(
  'io.k8s.api.discovery.v1.EndpointConditions',
  'How an endpoint is; absent values count as upstream says for each.',
  () => ({
    ready: opt(1, bool(), { doc: 'Takes new traffic; absent counts as true.' }),
    serving: opt(2, bool(), { doc: 'As ready, but also said of terminating endpoints; absent counts as ready.' }),
    terminating: opt(3, bool(), { doc: 'Is about to go; absent counts as false.' }),
  }),
)
const forZone = obj('io.k8s.api.discovery.v1.ForZone', 'A zone that should use the endpoint.', () => ({
  name: req(1, str(), { doc: 'The zone.', default: '' }),
}))
const forNode = obj('io.k8s.api.discovery.v1.ForNode', 'A node that should use the endpoint.', () => ({
  name: req(1, str(), { doc: 'The node.', default: '' }),
}))
const endpointHints = obj('io.k8s.api.discovery.v1.EndpointHints', 'Who should use an endpoint.', () => ({
  forZones: opt(1, list(forZone), { doc: 'Zones; at most 8.', listType: 'atomic' }),
  forNodes: opt(2, list(forNode), { doc: 'Nodes; at most 8.', listType: 'atomic' }),
}))
const endpoint = obj('io.k8s.api.discovery.v1.Endpoint', 'One backend of a service.', () => ({
  addresses: req(1, list(str()), { doc: 'Its addresses, all of the type of the slice; clients use the first.', listType: 'set' }),
  conditions: opt(2, endpointConditions, { doc: 'How it is.', default: {} }),
  hostname: opt(3, str(), { doc: 'Its host name.', pointer: true }),
  targetRef: opt(4, objectReference, { doc: 'The object, mostly a pod, that it belongs to.' }),
  deprecatedTopology: opt(5, map(str()), { doc: 'From v1beta1; read-only.' }),
  nodeName: opt(6, str(), { doc: 'The node it is on.', pointer: true }),
  zone: opt(7, str(), { doc: 'The zone it is in.', pointer: true }),
  hints: opt(8, endpointHints, { doc: 'Who should use it.' }),
}))
const endpointPort = obj(
  'io.k8s.api.discovery.v1.EndpointPort',
  'One port of the endpoints in a slice.',
  () => ({
    name: opt(1, str(), { doc: 'The name of the service port; unique within the slice.', pointer: true }),
    protocol: opt(2, str(), { doc: 'TCP, UDP or SCTP.', pointer: true }),
    port: opt(3, int32(), { doc: 'The port; absent means all.' }),
    appProtocol: opt(4, str(), { doc: 'A hint at the protocol that is spoken.', pointer: true }),
  }),
  { atomic: true },
)

const endpointSliceSchema = obj('io.k8s.api.discovery.v1.EndpointSlice', 'A part of the endpoints of a service.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  addressType: req(4, str(['FQDN', 'IPv4', 'IPv6']), { doc: 'IPv4, IPv6 or FQDN; cannot change.', default: '' }),
  endpoints: req(2, list(endpoint), { doc: 'At most 1000 endpoints.', listType: 'atomic' }),
  ports: opt(3, list(endpointPort), { doc: 'The ports that all of them have; at most 100.', listType: 'atomic' }),
}))
export type EndpointSlice = Stored<Infer<typeof endpointSliceSchema>>
export type Endpoint = Infer<typeof endpoint>
export type EndpointPort = Infer<typeof endpointPort>

export const endpointSlice = resource<EndpointSlice>({
  ...endpointSlices,
  schema: endpointSliceSchema,
  singular: 'endpointslice',
  hasGeneration: true,
  columns: [
    nameColumn,
    { name: 'AddressType', type: 'string', doc: 'IPv4, IPv6 or FQDN', cell: s => s.addressType ?? '' },
    {
      name: 'Ports',
      type: 'string',
      doc: 'The ports',
      cell: s =>
        firstThree(
          (s.ports ?? []).map(p => (p.port === undefined ? (p.name ?? '*') : String(p.port))),
          '<unset>',
        ),
    },
    {
      name: 'Endpoints',
      type: 'string',
      doc: 'The addresses',
      cell: s =>
        firstThree(
          (s.endpoints ?? []).flatMap(e => e.addresses ?? []),
          '<unset>',
        ),
    },
    ageColumn,
  ],
  defaults: s => {
    for (const port of s.ports ?? []) {
      port.name ??= ''
      port.protocol ??= 'TCP'
    }
  },
  prepareForCreate: dropTopology,
  prepareForUpdate: dropTopology,
  warnings: s => (s.addressType === 'FQDN' ? ['spec.addressType: FQDN endpoints are deprecated'] : warningsForAddresses(s)),
  validate: validateEndpointSlice,
  validateUpdate: validateEndpointSliceUpdate,
})

/** Only v1beta1 had it for clients to write. */
function dropTopology(slice: EndpointSlice): void {
  for (const e of slice.endpoints ?? []) delete e.deprecatedTopology
}

/** Of the first that there is something to say about, so that a slice of thousands costs little. */
function warningsForAddresses(slice: EndpointSlice): string[] {
  const warnings: string[] = []
  for (const [i, e] of (slice.endpoints ?? []).entries())
    for (const [j, address] of (e.addresses ?? []).entries()) {
      if (warnings.length >= maxWarnings) return warnings
      const bad = slice.addressType === 'IPv6' || canonicalIP(address) !== address
      if (bad) warnings.push(...warningsForIP(address, new Path('endpoints').index(i).child('addresses').index(j)))
    }
  return warnings
}

/** core/v1 Endpoints: the addresses behind a service, in the form before EndpointSlice. */
import { int32, list, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
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

const endpointsSchema = obj('io.k8s.api.core.v1.Endpoints', 'The addresses behind the service of the same name; deprecated in favour of EndpointSlice.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  subsets: opt(2, list(endpointSubset), { doc: 'The addresses, grouped by their ports.', listType: 'atomic' }),
}))
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
})

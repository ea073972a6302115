/**
 * resource.k8s.io/v1 ResourceClaim: a claim to devices.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
 */
import { any, bool, inline, list, map, obj, opt, quantity, req, str, time, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { nodeSelector } from '../core/podspec/affinity.ts'
import { resourceClaims } from '../kinds.ts'
import { condition } from '../meta/condition.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { validateImmutable } from '../meta/validation.ts'
import { resource } from '../resource.ts'
import { defaultClaim } from './claimdefaults.ts'
import { validateClaim } from './claimvalidation.ts'
import { validateClaimStatus } from './claimstatusvalidation.ts'
import { deviceConfiguration, deviceToleration, resourceClaimSpec } from './devicerequest.ts'

const resourceClaimSchema = obj('io.k8s.api.resource.v1.ResourceClaim', 'A claim to devices.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: req(2, resourceClaimSpec, { doc: 'What is asked for.', default: {} }),
  status: opt(3, resourceClaimStatus, { doc: 'What was allocated, and who may use it.', default: {} }),
}))
export type ResourceClaim = Stored<Infer<typeof resourceClaimSchema>>
const resourceClaimStatus = obj('io.k8s.api.resource.v1.ResourceClaimStatus', 'What was allocated, and who may use it.', () => ({
  allocation: opt(1, allocationResult, { doc: 'What was allocated.' }),
  reservedFor: opt(2, list(resourceClaimConsumerReference), {
    doc: 'Who may use it; at most 256.',
    listType: 'map',
    listMapKeys: ['uid'],
    mergeKey: 'uid',
    patchStrategy: 'merge',
  }),
  devices: opt(4, list(allocatedDeviceStatus), {
    doc: 'What drivers say of the devices.',
    listType: 'map',
    listMapKeys: ['driver', 'device', 'pool', 'shareID'],
  }),
}))
const allocationResult = obj('io.k8s.api.resource.v1.AllocationResult', 'What was allocated.', () => ({
  devices: opt(1, deviceAllocationResult, { doc: 'The devices.', default: {} }),
  nodeSelector: opt(3, nodeSelector, { doc: 'Nodes from which they can be used.' }),
  allocationTimestamp: opt(5, time(), { doc: 'When they were allocated.', pointer: true }),
}))
export type AllocationResult = Infer<typeof allocationResult>
const deviceAllocationResult = obj('io.k8s.api.resource.v1.DeviceAllocationResult', 'Devices that were allocated.', () => ({
  results: opt(1, list(deviceRequestAllocationResult), { doc: 'The devices.', listType: 'atomic' }),
  config: opt(2, list(deviceAllocationConfiguration), { doc: 'Settings for them.', listType: 'atomic' }),
}))
const deviceRequestAllocationResult = obj(
  'io.k8s.api.resource.v1.DeviceRequestAllocationResult',
  'A device that was allocated for a request.',
  () => ({
    request: req(1, str(), { doc: 'The request.', default: '' }),
    driver: req(2, str(), { doc: 'Name of the driver.', default: '' }),
    pool: req(3, str(), { doc: 'Name of the pool.', default: '' }),
    device: req(4, str(), { doc: 'Name of the device.', default: '' }),
    adminAccess: opt(5, bool(), { doc: 'Whether it is only looked at.' }),
    tolerations: opt(6, list(deviceToleration), { doc: 'Taints that were tolerated.', listType: 'atomic' }),
    bindingConditions: opt(7, list(str()), { doc: 'Conditions that must hold before a pod is bound.', listType: 'atomic' }),
    bindingFailureConditions: opt(8, list(str()), { doc: 'Conditions that say that binding failed.', listType: 'atomic' }),
    shareID: opt(9, str(), { doc: 'Tells shares of one device apart.', pointer: true }),
    consumedCapacity: opt(10, map(quantity()), { doc: 'How much of the device is used.' }),
  }),
)
const deviceAllocationConfiguration = obj(
  'io.k8s.api.resource.v1.DeviceAllocationConfiguration',
  'Settings for allocated devices, and where they come from.',
  () => ({
    source: req(1, str(['FromClaim', 'FromClass']), { doc: 'FromClass or FromClaim.', default: '' }),
    requests: opt(2, list(str()), { doc: 'The requests that are meant; all when empty.', listType: 'atomic' }),
    ...inline(3, deviceConfiguration),
  }),
)
const resourceClaimConsumerReference = obj('io.k8s.api.resource.v1.ResourceClaimConsumerReference', 'Who may use a claim.', () => ({
  apiGroup: opt(1, str(), { doc: 'API group of the object; the core group when empty.' }),
  resource: req(3, str(), { doc: 'Resource of the object.', default: '' }),
  name: req(4, str(), { doc: 'Name of the object.', default: '' }),
  uid: req(5, str(), { doc: 'UID of the object.', default: '' }),
}))
const allocatedDeviceStatus = obj('io.k8s.api.resource.v1.AllocatedDeviceStatus', 'What a driver says of an allocated device.', () => ({
  driver: req(1, str(), { doc: 'Name of the driver.', default: '' }),
  pool: req(2, str(), { doc: 'Name of the pool.', default: '' }),
  device: req(3, str(), { doc: 'Name of the device.', default: '' }),
  shareID: opt(7, str(), { doc: 'Tells shares of one device apart.', pointer: true }),
  conditions: opt(4, list(condition), { doc: 'Observed aspects.', listType: 'map', listMapKeys: ['type'] }),
  data: opt(5, any(), { doc: 'Anything else.' }),
  networkData: opt(6, networkDeviceData, { doc: 'What is known of a network device.' }),
}))
export type AllocatedDeviceStatus = Infer<typeof allocatedDeviceStatus>
const networkDeviceData = obj('io.k8s.api.resource.v1.NetworkDeviceData', 'What is known of a network device.', () => ({
  interfaceName: opt(1, str(), { doc: 'Name of the interface.' }),
  ips: opt(2, list(str()), { doc: 'Addresses with prefixes.', listType: 'atomic' }),
  hardwareAddress: opt(3, str(), { doc: 'Hardware address.' }),
}))

export const resourceClaim = resource<ResourceClaim>({
  ...resourceClaims,
  schema: resourceClaimSchema,
  singular: 'resourceclaim',
  hasStatus: true,
  statusKeeps: 'metadata',
  statusResetFields: [['f:metadata'], ['f:spec']],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  columns: [nameColumn, { name: 'State', type: 'string', doc: 'Whether it is allocated, and in use', cell: state }, ageColumn],
  defaults: c => defaultClaim(c.spec),
  validate: (c, at) => validateClaim(c.spec, at.child('spec')),
  validateUpdate: (c, old, at, ctx) =>
    ctx.subresource === 'status' ? validateClaimStatus(c, old, at.child('status')) : validateImmutable(c.spec, old.spec, at.child('spec')),
})

function state({ metadata, status }: ResourceClaim): string {
  const states = metadata.deletionTimestamp ? ['deleted'] : []
  if (status?.allocation) states.push('allocated', ...(status.reservedFor?.length ? ['reserved'] : []))
  else if (!metadata.deletionTimestamp) states.push('pending')
  return states.join(',')
}

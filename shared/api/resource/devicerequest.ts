/** What claims ask of devices, and what classes say of them: the parts that kinds of resource.k8s.io/v1 share. */
import { any, bool, inline, int64, list, map, obj, opt, quantity, req, str, type Infer } from '../../machinery/schema.ts'

export const deviceSelector = obj('io.k8s.api.resource.v1.DeviceSelector', 'What a device must be; one of them.', () => ({
  cel: opt(1, celDeviceSelector, { doc: 'A CEL expression.' }),
}))
export type DeviceSelector = Infer<typeof deviceSelector>
const celDeviceSelector = obj('io.k8s.api.resource.v1.CELDeviceSelector', 'A CEL expression about a device.', () => ({
  expression: req(1, str(), { doc: 'The expression.', default: '' }),
}))
export const deviceConfiguration = obj('io.k8s.api.resource.v1.DeviceConfiguration', 'Settings for devices; one of them.', () => ({
  opaque: opt(1, opaqueDeviceConfiguration, { doc: 'Settings for a driver.' }),
}))
export type DeviceConfiguration = Infer<typeof deviceConfiguration>
const opaqueDeviceConfiguration = obj(
  'io.k8s.api.resource.v1.OpaqueDeviceConfiguration',
  'Settings that only a driver understands.',
  () => ({
    driver: req(1, str(), { doc: 'Name of the driver.', default: '' }),
    parameters: req(2, any(), { doc: 'The settings.' }),
  }),
)
export const deviceToleration = obj('io.k8s.api.resource.v1.DeviceToleration', 'Lets a claim use devices in spite of taints.', () => ({
  key: opt(1, str(), { doc: 'Key of the taint; all when empty.' }),
  operator: opt(2, str(['Equal', 'Exists']), { doc: 'Exists or Equal.', default: 'Equal' }),
  value: opt(3, str(), { doc: 'Value of the taint.' }),
  effect: opt(4, str(['NoExecute', 'NoSchedule', 'None']), { doc: 'Effect of the taint; all when empty.' }),
  tolerationSeconds: opt(5, int64(), { doc: 'How long a NoExecute taint is tolerated.' }),
}))
export type DeviceToleration = Infer<typeof deviceToleration>
const capacityRequirements = obj('io.k8s.api.resource.v1.CapacityRequirements', 'How much of a device is needed.', () => ({
  requests: opt(1, map(quantity()), { doc: 'Amounts, by capacity.' }),
}))
export const resourceClaimSpec = obj('io.k8s.api.resource.v1.ResourceClaimSpec', 'What a claim asks for.', () => ({
  devices: opt(1, deviceClaim, { doc: 'The devices.', default: {} }),
}))
export type ResourceClaimSpec = Infer<typeof resourceClaimSpec>
const deviceClaim = obj('io.k8s.api.resource.v1.DeviceClaim', 'Devices that are asked for.', () => ({
  requests: opt(1, list(deviceRequest), { doc: 'The requests; all must be met.', listType: 'atomic' }),
  constraints: opt(2, list(deviceConstraint), { doc: 'What the devices must have in common.', listType: 'atomic' }),
  config: opt(3, list(deviceClaimConfiguration), { doc: 'Settings for the devices.', listType: 'atomic' }),
}))
const deviceRequest = obj('io.k8s.api.resource.v1.DeviceRequest', 'A request for devices; one of exactly and firstAvailable.', () => ({
  name: req(1, str(), { doc: 'Name of the request.', default: '' }),
  exactly: opt(2, exactDeviceRequest, { doc: 'What is asked for.' }),
  firstAvailable: opt(3, list(deviceSubRequest), { doc: 'Requests of which the first that can be met counts.', listType: 'atomic' }),
}))
export type DeviceRequest = Infer<typeof deviceRequest>
const exactDeviceRequest = obj('io.k8s.api.resource.v1.ExactDeviceRequest', 'A request for devices of a class.', () => ({
  deviceClassName: req(1, str(), { doc: 'Name of the class.', default: '' }),
  selectors: opt(2, list(deviceSelector), { doc: 'What a device must be.', listType: 'atomic' }),
  allocationMode: opt(3, str(['All', 'ExactCount']), { doc: 'ExactCount or All.' }),
  count: opt(4, int64(), { doc: 'How many devices.', pointer: false }),
  adminAccess: opt(5, bool(), { doc: 'Whether devices that others use may be looked at.' }),
  tolerations: opt(6, list(deviceToleration), { doc: 'Taints of devices that are tolerated.', listType: 'atomic' }),
  capacity: opt(7, capacityRequirements, { doc: 'How much of a device is needed.' }),
}))
const deviceSubRequest = obj('io.k8s.api.resource.v1.DeviceSubRequest', 'One of several requests.', () => ({
  name: req(1, str(), { doc: 'Name of the request.', default: '' }),
  deviceClassName: req(2, str(), { doc: 'Name of the class.', default: '' }),
  selectors: opt(3, list(deviceSelector), { doc: 'What a device must be.', listType: 'atomic' }),
  allocationMode: opt(4, str(['All', 'ExactCount']), { doc: 'ExactCount or All.' }),
  count: opt(5, int64(), { doc: 'How many devices.', pointer: false }),
  tolerations: opt(6, list(deviceToleration), { doc: 'Taints of devices that are tolerated.', listType: 'atomic' }),
  capacity: opt(7, capacityRequirements, { doc: 'How much of a device is needed.' }),
}))
export type DeviceSubRequest = Infer<typeof deviceSubRequest>
const deviceConstraint = obj('io.k8s.api.resource.v1.DeviceConstraint', 'What devices must have in common, or not.', () => ({
  requests: opt(1, list(str()), { doc: 'The requests that are meant; all when empty.', listType: 'atomic' }),
  matchAttribute: opt(2, str(), { doc: 'Attribute that must be the same.', pointer: true }),
  distinctAttribute: opt(3, str(), { doc: 'Attribute that must differ.', pointer: true }),
}))
export type DeviceConstraint = Infer<typeof deviceConstraint>
const deviceClaimConfiguration = obj('io.k8s.api.resource.v1.DeviceClaimConfiguration', 'Settings for devices of some requests.', () => ({
  requests: opt(1, list(str()), { doc: 'The requests that are meant; all when empty.', listType: 'atomic' }),
  ...inline(2, deviceConfiguration),
}))

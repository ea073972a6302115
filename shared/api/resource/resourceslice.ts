/**
 * resource.k8s.io/v1 ResourceSlice: a part of the devices of a pool.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
 */
import { bool, int64, list, map, obj, opt, quantity, req, str, time, type Infer } from '../../machinery/schema.ts'
import { formatTime } from '../../machinery/time.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { nodeSelector } from '../core/podspec/affinity.ts'
import { resourceSlices } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { validateImmutable } from '../meta/validation.ts'
import { resource } from '../resource.ts'
import { validateSlice } from './slicevalidation.ts'

const resourceSliceSchema = obj('io.k8s.api.resource.v1.ResourceSlice', 'A part of the devices of a pool.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: req(2, resourceSliceSpec, { doc: 'The devices.', default: {} }),
}))
export type ResourceSlice = Stored<Infer<typeof resourceSliceSchema>>
const resourceSliceSpec = obj('io.k8s.api.resource.v1.ResourceSliceSpec', 'Devices of a pool, and who can use them.', () => ({
  driver: req(1, str(), { doc: 'Name of the driver.', default: '' }),
  pool: req(2, resourcePool, { doc: 'The pool.', default: {} }),
  nodeName: opt(3, str(), { doc: 'The node that has the devices.', pointer: true }),
  nodeSelector: opt(4, nodeSelector, { doc: 'Nodes that can use the devices.' }),
  allNodes: opt(5, bool(), { doc: 'That all nodes can use the devices.' }),
  devices: opt(6, list(device), { doc: 'The devices; at most 128.', listType: 'atomic' }),
  perDeviceNodeSelection: opt(7, bool(), { doc: 'That each device says which nodes can use it.' }),
  sharedCounters: opt(8, list(counterSet), { doc: 'What devices share.', listType: 'atomic' }),
}))
export type ResourceSliceSpec = Infer<typeof resourceSliceSpec>
const resourcePool = obj('io.k8s.api.resource.v1.ResourcePool', 'The pool of a slice.', () => ({
  name: req(1, str(), { doc: 'Name of the pool.', default: '' }),
  generation: req(2, int64(), { doc: 'Counts changes of the pool; only slices of the newest count.' }),
  resourceSliceCount: req(3, int64(), { doc: 'How many slices the pool has.' }),
}))
const device = obj('io.k8s.api.resource.v1.Device', 'A device.', () => ({
  name: req(1, str(), { doc: 'Name of the device; a DNS label.', default: '' }),
  attributes: opt(2, map(deviceAttribute), { doc: 'What the device is, by name.' }),
  capacity: opt(3, map(deviceCapacity), { doc: 'How much the device has, by name.' }),
  consumesCounters: opt(4, list(deviceCounterConsumption), { doc: 'What it takes of what devices share.', listType: 'atomic' }),
  nodeName: opt(5, str(), { doc: 'The node that has it.', pointer: true }),
  nodeSelector: opt(6, nodeSelector, { doc: 'Nodes that can use it.' }),
  allNodes: opt(7, bool(), { doc: 'That all nodes can use it.' }),
  taints: opt(8, list(deviceTaint), { doc: 'What keeps claims from using it.', listType: 'atomic' }),
  bindsToNode: opt(9, bool(), { doc: 'Whether its use binds a claim to the node.' }),
  bindingConditions: opt(10, list(str()), { doc: 'Conditions that must hold before a pod is bound.', listType: 'atomic' }),
  bindingFailureConditions: opt(11, list(str()), { doc: 'Conditions that say that binding failed.', listType: 'atomic' }),
  allowMultipleAllocations: opt(12, bool(), { doc: 'Whether several claims may share it.' }),
}))
export type Device = Infer<typeof device>
const deviceAttribute = obj('io.k8s.api.resource.v1.DeviceAttribute', 'A value; one of them.', () => ({
  int: opt(2, int64(), { doc: 'A number.' }),
  bool: opt(3, bool(), { doc: 'Whether it is so.' }),
  string: opt(4, str(), { doc: 'A text.', pointer: true }),
  version: opt(5, str(), { doc: 'A semantic version.', pointer: true }),
}))
export type DeviceAttribute = Infer<typeof deviceAttribute>
const deviceCapacity = obj('io.k8s.api.resource.v1.DeviceCapacity', 'How much a device has of something.', () => ({
  value: req(1, quantity(), { doc: 'The amount.' }),
  requestPolicy: opt(2, capacityRequestPolicy, { doc: 'How it may be parted.' }),
}))
const capacityRequestPolicy = obj('io.k8s.api.resource.v1.CapacityRequestPolicy', 'How a capacity may be parted.', () => ({
  default: opt(1, quantity(), { doc: 'What a request without an amount takes.' }),
  validValues: opt(3, list(quantity()), { doc: 'Amounts that may be taken.', listType: 'atomic' }),
  validRange: opt(4, capacityRequestPolicyRange, { doc: 'The range of amounts that may be taken.' }),
}))
const capacityRequestPolicyRange = obj('io.k8s.api.resource.v1.CapacityRequestPolicyRange', 'A range of amounts.', () => ({
  min: req(1, quantity(), { doc: 'The least.' }),
  max: opt(2, quantity(), { doc: 'The most.' }),
  step: opt(3, quantity(), { doc: 'What amounts are multiples of, beyond the least.' }),
}))
const deviceCounterConsumption = obj('io.k8s.api.resource.v1.DeviceCounterConsumption', 'What a device takes of a counter set.', () => ({
  counterSet: req(1, str(), { doc: 'Name of the set.', default: '' }),
  counters: req(2, map(counter), { doc: 'Amounts, by counter.' }),
}))
const counter = obj('io.k8s.api.resource.v1.Counter', 'An amount.', () => ({
  value: req(1, quantity(), { doc: 'The amount.' }),
}))
export type Counter = Infer<typeof counter>
const deviceTaint = obj('io.k8s.api.resource.v1.DeviceTaint', 'Keeps claims from using a device.', () => ({
  key: req(1, str(), { doc: 'Key of the taint.', default: '' }),
  value: opt(2, str(), { doc: 'Value of the taint.' }),
  effect: req(3, str(['NoExecute', 'NoSchedule', 'None']), { doc: 'None, NoSchedule or NoExecute.', default: '' }),
  timeAdded: opt(4, time(), { doc: 'When it was added.', pointer: true }),
}))
export type DeviceTaint = Infer<typeof deviceTaint>
const counterSet = obj('io.k8s.api.resource.v1.CounterSet', 'Counters that devices share.', () => ({
  name: req(1, str(), { doc: 'Name of the set.', default: '' }),
  counters: req(2, map(counter), { doc: 'Amounts, by counter.' }),
}))

export const resourceSlice = resource<ResourceSlice>({
  ...resourceSlices,
  schema: resourceSliceSchema,
  singular: 'resourceslice',
  hasGeneration: true,
  columns: [
    nameColumn,
    { name: 'Node', type: 'string', doc: 'The node that has the devices', cell: s => s.spec.nodeName ?? '' },
    { name: 'Driver', type: 'string', doc: 'Name of the driver', cell: s => s.spec.driver },
    { name: 'Pool', type: 'string', doc: 'Name of the pool', cell: s => s.spec.pool?.name ?? '' },
    ageColumn,
  ],
  fields: { 'spec.nodeName': s => s.spec.nodeName ?? '', 'spec.driver': s => s.spec.driver },
  defaults: ({ spec }) => {
    for (const device of spec.devices ?? []) for (const taint of device.taints ?? []) taint.timeAdded ??= formatTime()
  },
  validate: (s, at) => validateSlice(s.spec, at.child('spec')),
  validateUpdate: ({ spec }, { spec: old }, at) => [
    ...validateImmutable(spec.driver, old.driver, at.child('spec', 'driver')),
    ...validateImmutable(spec.pool?.name, old.pool?.name, at.child('spec', 'pool', 'name')),
    ...validateImmutable(spec.nodeName, old.nodeName, at.child('spec', 'nodeName')),
  ],
})

/** The messages of the Container Storage Interface, csi.v1 (v1.12). https://github.com/container-storage-interface/spec */
import { bool, int32, int64, list, map, obj, opt, str, time, type Infer } from '../machinery/schema.ts'

/** PluginCapability.Service.Type */
export const PluginService = { controller: 1, accessibilityConstraints: 2, groupController: 3 } as const
/** PluginCapability.VolumeExpansion.Type */
export const Expansion = { online: 1, offline: 2 } as const
/** ControllerServiceCapability.RPC.Type */
export const ControllerRpc = {
  createDeleteVolume: 1,
  publishUnpublishVolume: 2,
  listVolumes: 3,
  getCapacity: 4,
  createDeleteSnapshot: 5,
  listSnapshots: 6,
  cloneVolume: 7,
  publishReadonly: 8,
  expandVolume: 9,
  listVolumesPublishedNodes: 10,
  volumeCondition: 11,
  getVolume: 12,
  singleNodeMultiWriter: 13,
  modifyVolume: 14,
} as const
/** NodeServiceCapability.RPC.Type */
export const NodeRpc = {
  stageUnstageVolume: 1,
  getVolumeStats: 2,
  expandVolume: 3,
  volumeCondition: 4,
  singleNodeMultiWriter: 5,
  volumeMountGroup: 6,
} as const
/** VolumeCapability.AccessMode.Mode */
export const AccessMode = {
  singleNodeWriter: 1,
  singleNodeReaderOnly: 2,
  multiNodeReaderOnly: 3,
  multiNodeSingleWriter: 4,
  multiNodeMultiWriter: 5,
  singleNodeSingleWriter: 6,
  singleNodeMultiWriter: 7,
} as const
/** VolumeUsage.Unit */
export const UsageUnit = { bytes: 1, inodes: 2 } as const

const strings = map(str())
const typed = (name: string) => obj(name, '', () => ({ type: opt(1, int32()) }))

export const empty = obj('Empty', '', () => ({}))

export const pluginInfo = obj('GetPluginInfoResponse', '', () => ({
  name: opt(1, str()),
  vendorVersion: opt(2, str()),
  manifest: opt(3, strings),
}))
const pluginCapability = obj('PluginCapability', '', () => ({
  service: opt(1, typed('Service')),
  volumeExpansion: opt(2, typed('VolumeExpansion')),
}))
export const pluginCapabilities = obj('GetPluginCapabilitiesResponse', '', () => ({ capabilities: opt(1, list(pluginCapability)) }))
const boolValue = obj('BoolValue', '', () => ({ value: opt(1, bool()) }))
const int64Value = obj('Int64Value', '', () => ({ value: opt(1, int64()) }))
export const probeResponse = obj('ProbeResponse', '', () => ({ ready: opt(1, boolValue) }))

const rpcCapability = obj('ServiceCapability', '', () => ({ rpc: opt(1, typed('RPC')) }))
/** ControllerGetCapabilitiesResponse, NodeGetCapabilitiesResponse and GroupControllerGetCapabilitiesResponse. */
export const rpcCapabilities = obj('GetCapabilitiesResponse', '', () => ({ capabilities: opt(1, list(rpcCapability)) }))
/** The types of the calls that a service has. */
export const rpcTypes = ({ capabilities = [] }: Infer<typeof rpcCapabilities>): Set<number> =>
  new Set(capabilities.map(c => c.rpc?.type ?? 0))

const mountVolume = obj('MountVolume', '', () => ({
  fsType: opt(1, str()),
  mountFlags: opt(2, list(str())),
  volumeMountGroup: opt(3, str()),
}))
const accessMode = obj('AccessMode', '', () => ({ mode: opt(1, int32()) }))
export const volumeCapability = obj('VolumeCapability', '', () => ({
  block: opt(1, empty),
  mount: opt(2, mountVolume),
  accessMode: opt(3, accessMode),
}))
export type VolumeCapability = Infer<typeof volumeCapability>
const capacityRange = obj('CapacityRange', '', () => ({ requiredBytes: opt(1, int64()), limitBytes: opt(2, int64()) }))
const snapshotSource = obj('SnapshotSource', '', () => ({ snapshotId: opt(1, str()) }))
const volumeSource = obj('VolumeSource', '', () => ({ volumeId: opt(1, str()) }))
const contentSource = obj('VolumeContentSource', '', () => ({ snapshot: opt(1, snapshotSource), volume: opt(2, volumeSource) }))
export const topology = obj('Topology', '', () => ({ segments: opt(1, strings) }))
export type Topology = Infer<typeof topology>
const topologyRequirement = obj('TopologyRequirement', '', () => ({ requisite: opt(1, list(topology)), preferred: opt(2, list(topology)) }))
export type TopologyRequirement = Infer<typeof topologyRequirement>
const volume = obj('Volume', '', () => ({
  capacityBytes: opt(1, int64()),
  volumeId: opt(2, str()),
  volumeContext: opt(3, strings),
  contentSource: opt(4, contentSource),
  accessibleTopology: opt(5, list(topology)),
}))
export type CsiVolume = Infer<typeof volume>
const volumeCondition = obj('VolumeCondition', '', () => ({ abnormal: opt(1, bool()), message: opt(2, str()) }))

export const createVolumeRequest = obj('CreateVolumeRequest', '', () => ({
  name: opt(1, str()),
  capacityRange: opt(2, capacityRange),
  volumeCapabilities: opt(3, list(volumeCapability)),
  parameters: opt(4, strings),
  secrets: opt(5, strings),
  volumeContentSource: opt(6, contentSource),
  accessibilityRequirements: opt(7, topologyRequirement),
  mutableParameters: opt(8, strings),
}))
export const createVolumeResponse = obj('CreateVolumeResponse', '', () => ({ volume: opt(1, volume) }))
export const deleteVolumeRequest = obj('DeleteVolumeRequest', '', () => ({ volumeId: opt(1, str()), secrets: opt(2, strings) }))
export const controllerPublishRequest = obj('ControllerPublishVolumeRequest', '', () => ({
  volumeId: opt(1, str()),
  nodeId: opt(2, str()),
  volumeCapability: opt(3, volumeCapability),
  readonly: opt(4, bool()),
  secrets: opt(5, strings),
  volumeContext: opt(6, strings),
}))
export const controllerPublishResponse = obj('ControllerPublishVolumeResponse', '', () => ({ publishContext: opt(1, strings) }))
export const controllerUnpublishRequest = obj('ControllerUnpublishVolumeRequest', '', () => ({
  volumeId: opt(1, str()),
  nodeId: opt(2, str()),
  secrets: opt(3, strings),
}))
export const validateRequest = obj('ValidateVolumeCapabilitiesRequest', '', () => ({
  volumeId: opt(1, str()),
  volumeContext: opt(2, strings),
  volumeCapabilities: opt(3, list(volumeCapability)),
  parameters: opt(4, strings),
  secrets: opt(5, strings),
  mutableParameters: opt(6, strings),
}))
const confirmed = obj('Confirmed', '', () => ({
  volumeContext: opt(1, strings),
  volumeCapabilities: opt(2, list(volumeCapability)),
  parameters: opt(3, strings),
  mutableParameters: opt(4, strings),
}))
export const validateResponse = obj('ValidateVolumeCapabilitiesResponse', '', () => ({
  confirmed: opt(1, confirmed),
  message: opt(2, str()),
}))
export const pageRequest = obj('ListVolumesRequest', '', () => ({ maxEntries: opt(1, int32()), startingToken: opt(2, str()) }))
const volumeStatus = obj('VolumeStatus', '', () => ({ publishedNodeIds: opt(1, list(str())), volumeCondition: opt(2, volumeCondition) }))
const volumeEntry = obj('Entry', '', () => ({ volume: opt(1, volume), status: opt(2, volumeStatus) }))
export const listVolumesResponse = obj('ListVolumesResponse', '', () => ({ entries: opt(1, list(volumeEntry)), nextToken: opt(2, str()) }))
export const modifyVolumeRequest = obj('ControllerModifyVolumeRequest', '', () => ({
  volumeId: opt(1, str()),
  secrets: opt(2, strings),
  mutableParameters: opt(3, strings),
}))
export const getCapacityRequest = obj('GetCapacityRequest', '', () => ({
  volumeCapabilities: opt(1, list(volumeCapability)),
  parameters: opt(2, strings),
  accessibleTopology: opt(3, topology),
}))
export const getCapacityResponse = obj('GetCapacityResponse', '', () => ({
  availableCapacity: opt(1, int64()),
  maximumVolumeSize: opt(2, int64Value),
  minimumVolumeSize: opt(3, int64Value),
}))
export const createSnapshotRequest = obj('CreateSnapshotRequest', '', () => ({
  sourceVolumeId: opt(1, str()),
  name: opt(2, str()),
  secrets: opt(3, strings),
  parameters: opt(4, strings),
}))
const snapshot = obj('Snapshot', '', () => ({
  sizeBytes: opt(1, int64()),
  snapshotId: opt(2, str()),
  sourceVolumeId: opt(3, str()),
  creationTime: opt(4, time()),
  readyToUse: opt(5, bool()),
  groupSnapshotId: opt(6, str()),
}))
export type CsiSnapshot = Infer<typeof snapshot>
export const createSnapshotResponse = obj('CreateSnapshotResponse', '', () => ({ snapshot: opt(1, snapshot) }))
export const deleteSnapshotRequest = obj('DeleteSnapshotRequest', '', () => ({ snapshotId: opt(1, str()), secrets: opt(2, strings) }))
export const listSnapshotsRequest = obj('ListSnapshotsRequest', '', () => ({
  maxEntries: opt(1, int32()),
  startingToken: opt(2, str()),
  sourceVolumeId: opt(3, str()),
  snapshotId: opt(4, str()),
  secrets: opt(5, strings),
}))
const snapshotEntry = obj('Entry', '', () => ({ snapshot: opt(1, snapshot) }))
export const listSnapshotsResponse = obj('ListSnapshotsResponse', '', () => ({
  entries: opt(1, list(snapshotEntry)),
  nextToken: opt(2, str()),
}))
export const controllerExpandRequest = obj('ControllerExpandVolumeRequest', '', () => ({
  volumeId: opt(1, str()),
  capacityRange: opt(2, capacityRange),
  secrets: opt(3, strings),
  volumeCapability: opt(4, volumeCapability),
}))
export const controllerExpandResponse = obj('ControllerExpandVolumeResponse', '', () => ({
  capacityBytes: opt(1, int64()),
  nodeExpansionRequired: opt(2, bool()),
}))

export const nodeStageRequest = obj('NodeStageVolumeRequest', '', () => ({
  volumeId: opt(1, str()),
  publishContext: opt(2, strings),
  stagingTargetPath: opt(3, str()),
  volumeCapability: opt(4, volumeCapability),
  secrets: opt(5, strings),
  volumeContext: opt(6, strings),
}))
export const nodeUnstageRequest = obj('NodeUnstageVolumeRequest', '', () => ({ volumeId: opt(1, str()), stagingTargetPath: opt(2, str()) }))
export const nodePublishRequest = obj('NodePublishVolumeRequest', '', () => ({
  volumeId: opt(1, str()),
  publishContext: opt(2, strings),
  stagingTargetPath: opt(3, str()),
  targetPath: opt(4, str()),
  volumeCapability: opt(5, volumeCapability),
  readonly: opt(6, bool()),
  secrets: opt(7, strings),
  volumeContext: opt(8, strings),
}))
export const nodeUnpublishRequest = obj('NodeUnpublishVolumeRequest', '', () => ({ volumeId: opt(1, str()), targetPath: opt(2, str()) }))
export const nodeStatsRequest = obj('NodeGetVolumeStatsRequest', '', () => ({
  volumeId: opt(1, str()),
  volumePath: opt(2, str()),
  stagingTargetPath: opt(3, str()),
}))
const volumeUsage = obj('VolumeUsage', '', () => ({
  available: opt(1, int64()),
  total: opt(2, int64()),
  used: opt(3, int64()),
  unit: opt(4, int32()),
}))
export const nodeStatsResponse = obj('NodeGetVolumeStatsResponse', '', () => ({
  usage: opt(1, list(volumeUsage)),
  volumeCondition: opt(2, volumeCondition),
}))
export const nodeInfo = obj('NodeGetInfoResponse', '', () => ({
  nodeId: opt(1, str()),
  maxVolumesPerNode: opt(2, int64()),
  accessibleTopology: opt(3, topology),
}))
export type NodeInfo = Infer<typeof nodeInfo>
export const nodeExpandRequest = obj('NodeExpandVolumeRequest', '', () => ({
  volumeId: opt(1, str()),
  volumePath: opt(2, str()),
  capacityRange: opt(3, capacityRange),
  stagingTargetPath: opt(4, str()),
  volumeCapability: opt(5, volumeCapability),
  secrets: opt(6, strings),
}))
export const nodeExpandResponse = obj('NodeExpandVolumeResponse', '', () => ({ capacityBytes: opt(1, int64()) }))

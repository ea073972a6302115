/** The calls of csi.v1's services, by name. */
import type { Rpc } from '../grpc/rpc.ts'
import type { ObjectSchema } from '../machinery/schema.ts'
import * as m from './messages.ts'

const rpc =
  (service: string) =>
  <Q extends ObjectSchema, A extends ObjectSchema>(name: string, question: Q, answer: A): Rpc<Q, A> => ({
    path: `/csi.v1.${service}/${name}`,
    question,
    answer,
  })
const [identityRpc, controllerRpc, nodeRpc] = [rpc('Identity'), rpc('Controller'), rpc('Node')]

export const identity = {
  getPluginInfo: identityRpc('GetPluginInfo', m.empty, m.pluginInfo),
  getPluginCapabilities: identityRpc('GetPluginCapabilities', m.empty, m.pluginCapabilities),
  probe: identityRpc('Probe', m.empty, m.probeResponse),
}
export const controller = {
  createVolume: controllerRpc('CreateVolume', m.createVolumeRequest, m.createVolumeResponse),
  deleteVolume: controllerRpc('DeleteVolume', m.deleteVolumeRequest, m.empty),
  controllerPublishVolume: controllerRpc('ControllerPublishVolume', m.controllerPublishRequest, m.controllerPublishResponse),
  controllerUnpublishVolume: controllerRpc('ControllerUnpublishVolume', m.controllerUnpublishRequest, m.empty),
  validateVolumeCapabilities: controllerRpc('ValidateVolumeCapabilities', m.validateRequest, m.validateResponse),
  listVolumes: controllerRpc('ListVolumes', m.pageRequest, m.listVolumesResponse),
  getCapacity: controllerRpc('GetCapacity', m.getCapacityRequest, m.getCapacityResponse),
  controllerGetCapabilities: controllerRpc('ControllerGetCapabilities', m.empty, m.rpcCapabilities),
  createSnapshot: controllerRpc('CreateSnapshot', m.createSnapshotRequest, m.createSnapshotResponse),
  deleteSnapshot: controllerRpc('DeleteSnapshot', m.deleteSnapshotRequest, m.empty),
  listSnapshots: controllerRpc('ListSnapshots', m.listSnapshotsRequest, m.listSnapshotsResponse),
  controllerExpandVolume: controllerRpc('ControllerExpandVolume', m.controllerExpandRequest, m.controllerExpandResponse),
  controllerModifyVolume: controllerRpc('ControllerModifyVolume', m.modifyVolumeRequest, m.empty),
}
export const node = {
  nodeStageVolume: nodeRpc('NodeStageVolume', m.nodeStageRequest, m.empty),
  nodeUnstageVolume: nodeRpc('NodeUnstageVolume', m.nodeUnstageRequest, m.empty),
  nodePublishVolume: nodeRpc('NodePublishVolume', m.nodePublishRequest, m.empty),
  nodeUnpublishVolume: nodeRpc('NodeUnpublishVolume', m.nodeUnpublishRequest, m.empty),
  nodeGetVolumeStats: nodeRpc('NodeGetVolumeStats', m.nodeStatsRequest, m.nodeStatsResponse),
  nodeExpandVolume: nodeRpc('NodeExpandVolume', m.nodeExpandRequest, m.nodeExpandResponse),
  nodeGetCapabilities: nodeRpc('NodeGetCapabilities', m.empty, m.rpcCapabilities),
  nodeGetInfo: nodeRpc('NodeGetInfo', m.empty, m.nodeInfo),
}

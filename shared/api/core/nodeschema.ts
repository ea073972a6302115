/** The schema of core/v1 Node. */
import { bool, int32, int64, list, map, obj, opt, quantity, req, str, time } from '../../machinery/schema.ts'
import { conditionSchema } from '../meta/condition.ts'
import { objectMeta, typeMeta } from '../meta/objectmeta.ts'

export const taint = obj('io.k8s.api.core.v1.Taint', 'Keeps pods that do not tolerate it away from the node.', () => ({
  key: req(1, str(), { doc: 'The taint key.', default: '' }),
  value: opt(2, str(), { doc: 'The taint value.' }),
  effect: req(3, str(['NoExecute', 'NoSchedule', 'PreferNoSchedule']), { doc: 'NoSchedule, PreferNoSchedule or NoExecute.', default: '' }),
  timeAdded: opt(4, time(), { doc: 'When the taint was added.', pointer: true }),
}))

const configMapNodeConfigSource = obj(
  'io.k8s.api.core.v1.ConfigMapNodeConfigSource',
  'A kubelet configuration in a ConfigMap; no longer used.',
  () => ({
    namespace: req(1, str(), { doc: 'Namespace of the ConfigMap.', default: '' }),
    name: req(2, str(), { doc: 'Name of the ConfigMap.', default: '' }),
    uid: opt(3, str(), { doc: 'UID of the ConfigMap.' }),
    resourceVersion: opt(4, str(), { doc: 'Version of the ConfigMap.' }),
    kubeletConfigKey: req(5, str(), { doc: 'The key that holds the configuration.', default: '' }),
  }),
)
const nodeConfigSource = obj('io.k8s.api.core.v1.NodeConfigSource', 'Where a node got its configuration from; no longer used.', () => ({
  configMap: opt(2, configMapNodeConfigSource, { doc: 'A ConfigMap.' }),
}))
const nodeConfigStatus = obj('io.k8s.api.core.v1.NodeConfigStatus', 'Which configurations a node uses; no longer used.', () => ({
  assigned: opt(1, nodeConfigSource, { doc: 'What the node will try to use.' }),
  active: opt(2, nodeConfigSource, { doc: 'What the node uses.' }),
  lastKnownGood: opt(3, nodeConfigSource, { doc: 'What the node falls back to.' }),
  error: opt(4, str(), { doc: 'What went wrong with the assigned configuration.' }),
}))

const nodeSpec = obj('io.k8s.api.core.v1.NodeSpec', 'How a node is used.', () => ({
  podCIDR: opt(1, str(), { doc: 'Range of the addresses of its pods.' }),
  podCIDRs: opt(7, list(str()), { doc: 'The same for each IP family; the first is podCIDR.', listType: 'set', patchStrategy: 'merge' }),
  providerID: opt(3, str(), { doc: 'Its name at the cloud provider, provider://instance.' }),
  unschedulable: opt(4, bool(), { doc: 'Keeps new pods away.', pointer: false }),
  taints: opt(5, list(taint), { doc: 'What pods must tolerate to run here.', listType: 'atomic' }),
  configSource: opt(6, nodeConfigSource, { doc: 'No longer used.' }),
  externalID: opt(2, str(), { doc: 'No longer used.' }),
}))

const nodeCondition = conditionSchema('io.k8s.api.core.v1.NodeCondition', 'One aspect of the state of a node.', {
  tags: { lastTransitionTime: 4, reason: 5, message: 6 },
  types: 'Ready, MemoryPressure, DiskPressure, PIDPressure, NetworkUnavailable or another.',
  more: () => ({ lastHeartbeatTime: opt(3, time(), { doc: 'When the condition was last reported.' }) }),
})
const nodeAddress = obj('io.k8s.api.core.v1.NodeAddress', 'One address of a node.', () => ({
  type: req(1, str(), { doc: 'Hostname, InternalIP, ExternalIP, InternalDNS or ExternalDNS.', default: '' }),
  address: req(2, str(), { doc: 'The address.', default: '' }),
}))
const daemonEndpoint = obj('io.k8s.api.core.v1.DaemonEndpoint', 'Where one daemon of the node listens.', () => ({
  Port: req(1, int32(), { doc: 'The port.', default: 0 }),
}))
const nodeDaemonEndpoints = obj('io.k8s.api.core.v1.NodeDaemonEndpoints', 'Where the daemons of the node listen.', () => ({
  kubeletEndpoint: opt(1, daemonEndpoint, { doc: 'The kubelet.', default: {} }),
}))
const nodeSwapStatus = obj('io.k8s.api.core.v1.NodeSwapStatus', 'The swap memory of a node.', () => ({
  capacity: opt(1, int64(), { doc: 'Bytes in all.' }),
}))
const nodeSystemInfo = obj('io.k8s.api.core.v1.NodeSystemInfo', 'What a node consists of.', () => ({
  machineID: req(1, str(), { doc: 'As /etc/machine-id has it.', default: '' }),
  systemUUID: req(2, str(), { doc: 'As the firmware has it.', default: '' }),
  bootID: req(3, str(), { doc: 'Changes at every boot.', default: '' }),
  kernelVersion: req(4, str(), { doc: 'As uname -r shows it.', default: '' }),
  osImage: req(5, str(), { doc: 'As /etc/os-release has it.', default: '' }),
  containerRuntimeVersion: req(6, str(), { doc: 'Runtime and version, runtime://version.', default: '' }),
  kubeletVersion: req(7, str(), { doc: 'Version of the kubelet.', default: '' }),
  kubeProxyVersion: req(8, str(), { doc: 'No longer used.', default: '' }),
  operatingSystem: req(9, str(), { doc: 'linux or windows.', default: '' }),
  architecture: req(10, str(), { doc: 'amd64, arm64, ...', default: '' }),
  swap: opt(11, nodeSwapStatus, { doc: 'Its swap memory.' }),
}))
const containerImage = obj('io.k8s.api.core.v1.ContainerImage', 'An image that a node has.', () => ({
  names: opt(1, list(str()), { doc: 'All its names.', listType: 'atomic' }),
  sizeBytes: opt(2, int64(), { doc: 'Its size.', pointer: false }),
}))
const attachedVolume = obj('io.k8s.api.core.v1.AttachedVolume', 'A volume that is attached to a node.', () => ({
  name: req(1, str(), { doc: 'Unique name of the volume.', default: '' }),
  devicePath: req(2, str(), { doc: 'Where the device is.', default: '' }),
}))
const nodeRuntimeHandlerFeatures = obj('io.k8s.api.core.v1.NodeRuntimeHandlerFeatures', 'What a runtime handler can do.', () => ({
  recursiveReadOnlyMounts: opt(1, bool(), { doc: 'Mounts that are read-only all the way down.' }),
  userNamespaces: opt(2, bool(), { doc: 'User namespaces, also for volumes.' }),
}))
const nodeRuntimeHandler = obj('io.k8s.api.core.v1.NodeRuntimeHandler', 'One way in which a node can run containers.', () => ({
  name: opt(1, str(), { doc: 'Its name, empty for the default.', default: '' }),
  features: opt(2, nodeRuntimeHandlerFeatures, { doc: 'What it can do.' }),
}))
const nodeFeatures = obj('io.k8s.api.core.v1.NodeFeatures', 'What the runtime of a node can do.', () => ({
  supplementalGroupsPolicy: opt(1, bool(), { doc: 'Honours supplementalGroupsPolicy and container user.' }),
}))

const nodeStatus = obj('io.k8s.api.core.v1.NodeStatus', 'What a node reports about itself.', () => ({
  capacity: opt(1, map(quantity()), { doc: 'All that the node has.' }),
  allocatable: opt(2, map(quantity()), { doc: 'What of it pods may use.' }),
  phase: opt(3, str(['Pending', 'Running', 'Terminated']), { doc: 'No longer used.' }),
  conditions: opt(4, list(nodeCondition), {
    doc: 'How it is.',
    listType: 'map',
    listMapKeys: ['type'],
    mergeKey: 'type',
    patchStrategy: 'merge',
  }),
  addresses: opt(5, list(nodeAddress), {
    doc: 'Where it is.',
    listType: 'map',
    listMapKeys: ['type'],
    mergeKey: 'type',
    patchStrategy: 'merge',
  }),
  daemonEndpoints: opt(6, nodeDaemonEndpoints, { doc: 'Where its daemons listen.', default: {} }),
  nodeInfo: opt(7, nodeSystemInfo, { doc: 'What it consists of.', default: {} }),
  images: opt(8, list(containerImage), { doc: 'Images it has.', listType: 'atomic' }),
  volumesInUse: opt(9, list(str()), { doc: 'Attachable volumes that are mounted.', listType: 'atomic' }),
  volumesAttached: opt(10, list(attachedVolume), { doc: 'Volumes that are attached.', listType: 'atomic' }),
  config: opt(11, nodeConfigStatus, { doc: 'No longer used.' }),
  runtimeHandlers: opt(12, list(nodeRuntimeHandler), { doc: 'Its ways to run containers.', listType: 'atomic' }),
  features: opt(13, nodeFeatures, { doc: 'What its runtime can do.' }),
  declaredFeatures: opt(14, list(str()), { doc: 'Features that pods may depend on.', listType: 'atomic' }),
}))

export const nodeSchema = obj('io.k8s.api.core.v1.Node', 'A machine, real or virtual, that runs pods.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: opt(2, nodeSpec, { doc: 'How it is used.', default: {} }),
  status: opt(3, nodeStatus, { doc: 'What it reports about itself.', default: {} }),
}))

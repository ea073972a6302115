/** The messages of device plugins: k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1/api.proto. */
import { bool, int32, int64, list, map, obj, opt, str, type Infer } from '#shared/machinery/schema.ts'

export const version = 'v1beta1'
export const healthy = 'Healthy'

export const empty = obj('Empty', '', () => ({}))
export const options = obj('DevicePluginOptions', '', () => ({
  preStartRequired: opt(1, bool()),
  getPreferredAllocationAvailable: opt(2, bool()),
}))
export type PluginOptions = Infer<typeof options>
export const registerRequest = obj('RegisterRequest', '', () => ({
  version: opt(1, str()),
  endpoint: opt(2, str()),
  resourceName: opt(3, str()),
  options: opt(4, options),
}))
export type RegisterRequest = Infer<typeof registerRequest>

const numaNode = obj('NUMANode', '', () => ({ ID: opt(1, int64()) }))
const topology = obj('TopologyInfo', '', () => ({ nodes: opt(1, list(numaNode)) }))
const device = obj('Device', '', () => ({ ID: opt(1, str()), health: opt(2, str()), topology: opt(3, topology) }))
export const listAndWatchResponse = obj('ListAndWatchResponse', '', () => ({ devices: opt(1, list(device)) }))
export type Device = NonNullable<Infer<typeof listAndWatchResponse>['devices']>[number]

const containerPreferred = obj('ContainerPreferredAllocationRequest', '', () => ({
  availableDeviceIDs: opt(1, list(str())),
  mustIncludeDeviceIDs: opt(2, list(str())),
  allocationSize: opt(3, int32()),
}))
export const preferredRequest = obj('PreferredAllocationRequest', '', () => ({ containerRequests: opt(1, list(containerPreferred)) }))
const preferredIds = obj('ContainerPreferredAllocationResponse', '', () => ({ deviceIDs: opt(1, list(str())) }))
export const preferredResponse = obj('PreferredAllocationResponse', '', () => ({ containerResponses: opt(1, list(preferredIds)) }))

const deviceIds = obj('ContainerAllocateRequest', '', () => ({ devicesIDs: opt(1, list(str())) }))
export const allocateRequest = obj('AllocateRequest', '', () => ({ containerRequests: opt(1, list(deviceIds)) }))
const mount = obj('Mount', '', () => ({ containerPath: opt(1, str()), hostPath: opt(2, str()), readOnly: opt(3, bool()) }))
const deviceSpec = obj('DeviceSpec', '', () => ({ containerPath: opt(1, str()), hostPath: opt(2, str()), permissions: opt(3, str()) }))
const cdiDevice = obj('CDIDevice', '', () => ({ name: opt(1, str()) }))
const containerAllocated = obj('ContainerAllocateResponse', '', () => ({
  envs: opt(1, map(str())),
  mounts: opt(2, list(mount)),
  devices: opt(3, list(deviceSpec)),
  annotations: opt(4, map(str())),
  cdiDevices: opt(5, list(cdiDevice)),
}))
export const allocateResponse = obj('AllocateResponse', '', () => ({ containerResponses: opt(1, list(containerAllocated)) }))
/** What a container gets with its devices. */
export type Allocated = Infer<typeof containerAllocated>

export const preStartRequest = obj('PreStartContainerRequest', '', () => ({ devicesIDs: opt(1, list(str())) }))

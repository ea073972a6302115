/**
 * Which containers have which devices, for monitoring: k8s.io/kubelet/pkg/apis/podresources/v1 on `pod-resources/kubelet.sock` in the state
 * directory. https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/#monitoring-device-plugin-resources
 */
import { join } from 'node:path'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Logger } from '#shared/component/log.ts'
import { int64, list, obj, opt, str, type Infer } from '#shared/machinery/schema.ts'
import type { Device } from './cm/devices/api.ts'
import type { Container } from '#shared/api/core/podspec/container.ts'
import type { DynamicResources } from './cm/dra/manager.ts'
import type { DeviceManager } from './cm/devices/manager.ts'
import { method, serveGrpc } from '#shared/grpc/server.ts'
import { isSidecar, uidOf } from './pod/containers.ts'

const numaNode = obj('NUMANode', '', () => ({ ID: opt(1, int64()) }))
const topology = obj('NUMATopology', '', () => ({ nodes: opt(1, list(numaNode)) }))
const containerDevices = obj('ContainerDevices', '', () => ({
  resourceName: opt(1, str()),
  deviceIds: opt(2, list(str())),
  topology: opt(3, topology),
}))
const cdiDevice = obj('CDIDevice', '', () => ({ name: opt(1, str()) }))
const claimResource = obj('ClaimResource', '', () => ({
  cdiDevices: opt(1, list(cdiDevice)),
  driverName: opt(2, str()),
  poolName: opt(3, str()),
  deviceName: opt(4, str()),
}))
const dynamicResource = obj('DynamicResource', '', () => ({
  claimName: opt(2, str()),
  claimNamespace: opt(3, str()),
  claimResources: opt(4, list(claimResource)),
}))
// Of CPUs and memory, nobody has any to himself here.
const containerResources = obj('ContainerResources', '', () => ({
  name: opt(1, str()),
  devices: opt(2, list(containerDevices)),
  dynamicResources: opt(5, list(dynamicResource)),
}))
const podResources = obj('PodResources', '', () => ({
  name: opt(1, str()),
  namespace: opt(2, str()),
  containers: opt(3, list(containerResources)),
}))
const nothing = obj('ListPodResourcesRequest', '', () => ({}))
const listed = obj('ListPodResourcesResponse', '', () => ({ podResources: opt(1, list(podResources)) }))
const allocatable = obj('AllocatableResourcesResponse', '', () => ({ devices: opt(1, list(containerDevices)) }))
const asked = obj('GetPodResourcesRequest', '', () => ({ podName: opt(1, str()), podNamespace: opt(2, str()) }))
const got = obj('GetPodResourcesResponse', '', () => ({ podResources: opt(1, podResources) }))

type ContainerDevices = Infer<typeof containerDevices>

/** Devices with the same place are told together. */
function devicesOf(resource: string, devices: readonly Device[]): ContainerDevices[] {
  const places = new Map<string, Device[]>()
  for (const device of devices) {
    const place = JSON.stringify(device.topology ?? null)
    places.set(place, [...(places.get(place) ?? []), device])
  }
  return [...places.values()].map(together => ({
    resourceName: resource,
    deviceIds: together.map(d => d.ID ?? ''),
    ...(together[0]!.topology ? { topology: together[0]!.topology } : {}),
  }))
}

/** Serves until `signal` aborts. Rejects when the socket cannot be made. */
export async function servePodResources(
  rootDir: string,
  devices: DeviceManager,
  dynamicResources: DynamicResources | undefined,
  activePods: () => Pod[],
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  function claimed(pod: Pod, container: Container): Infer<typeof dynamicResource>[] {
    // Of a pod that is only beginning nothing is prepared.
    const claims = dynamicResources?.claimsOf(pod, container).filter(c => c.prepared) ?? []
    return claims.map(({ name, namespace, devices: byDriver }) => ({
      claimName: name,
      claimNamespace: namespace,
      claimResources: Object.entries(byDriver).flatMap(([driverName, all]) =>
        all.map(({ poolName, deviceName, cdiDeviceIds = [] }) => ({
          cdiDevices: cdiDeviceIds.map(id => ({ name: id })),
          driverName,
          poolName,
          deviceName,
        })),
      ),
    }))
  }
  function resourcesOf(pod: Pod): Infer<typeof podResources> {
    const containers = [...(pod.spec.initContainers ?? []).filter(isSidecar), ...pod.spec.containers].map(container => ({
      name: container.name,
      dynamicResources: claimed(pod, container),
      devices: devices
        .allocations()
        .filter(a => a.pod === uidOf(pod) && a.container === container.name)
        .flatMap(a =>
          devicesOf(
            a.resource,
            a.ids.map(id => devices.device(a.resource, id) ?? { ID: id }),
          ),
        ),
    }))
    return { name: pod.metadata.name, namespace: pod.metadata.namespace, containers }
  }
  const methods = {
    List: method(nothing, listed, () => ({ podResources: activePods().map(resourcesOf) })),
    GetAllocatableResources: method(nothing, allocatable, () => ({
      devices: [...devices.healthyDevices()].flatMap(([resource, healthy]) => devicesOf(resource, healthy)),
    })),
    Get: method(asked, got, ({ podName = '', podNamespace = '' }) => {
      const pod = activePods().find(p => p.metadata.name === podName && p.metadata.namespace === podNamespace)
      if (!pod) throw new Error(`pod ${podName} in namespace ${podNamespace} not found`)
      return { podResources: resourcesOf(pod) }
    }),
  }
  await serveGrpc(join(rootDir, 'pod-resources/kubelet.sock'), { 'v1.PodResourcesLister': methods }, log, signal)
}

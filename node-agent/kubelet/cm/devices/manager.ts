/**
 * Extended resources of device plugins: who registers is listened to, its devices are told as the node's capacity, and containers that ask
 * for some get them. The rules and words are those of upstream's device manager (pkg/kubelet/cm/devicemanager).
 * https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/
 */
import { lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Pod } from '#shared/api/core/pod.ts'
import { isExtendedResource } from '#shared/api/core/resourcenames.ts'
import type { Logger } from '#shared/component/log.ts'
import { quantityValue } from '#shared/machinery/quantity.ts'
import { isSidecar, uidOf } from '../../pod/containers.ts'
import { method, serveGrpc } from '#shared/grpc/server.ts'
import { empty, healthy, registerRequest, version, type Allocated, type Device, type PluginOptions, type RegisterRequest } from './api.ts'
import { devicePlugin, type DevicePlugin } from './plugin.ts'
import { openStore, type Allocation } from './store.ts'

/** How long a resource stays the node's after its plugin has gone. */
const graceMs = 300_000
const socketName = 'kubelet.sock'

interface Plugin {
  client: DevicePlugin
  options: PluginOptions
}

export interface DeviceManager {
  /** For the node's status: of each resource how many devices there are, and how many of them are healthy. `0` of what is no more. */
  resources(): { capacity: { [resource: string]: string }; allocatable: { [resource: string]: string } }
  onChange(changed: () => void): void
  /** Sets devices aside for a pod. `holds` tells which pods still have theirs. Throws in upstream's words when there are not enough. */
  allocate(pod: Pod, holds: (uid: string) => boolean): Promise<void>
  /** What a container that starts gets with its devices; prepares them. Undefined when it has none. */
  prepare(pod: string, container: string): Promise<Allocated | undefined>
  allocations(): readonly Allocation[]
  device(resource: string, id: string): Device | undefined
  /** Healthy devices by resource. */
  healthyDevices(): Map<string, Device[]>
}

/** Listens for plugins in `device-plugins` of the state directory. Rejects when the socket cannot be made. */
export async function openDeviceManager(rootDir: string, log: Logger, signal: AbortSignal): Promise<DeviceManager> {
  const directory = join(rootDir, 'device-plugins')
  const store = openStore(join(directory, 'kubelet_internal_checkpoint'))
  mkdirSync(directory, { recursive: true, mode: 0o750 })
  // Plugins see by the loss of their sockets that they must register again.
  for (const entry of readdirSync(directory))
    if (lstatSync(join(directory, entry)).isSocket()) rmSync(join(directory, entry), { force: true })
  const plugins = new Map<string, Plugin>()
  const leaving = new Map<string, NodeJS.Timeout>()
  const gone = new Set<string>()
  const listeners = new Set<() => void>()
  const changed = (): void => listeners.forEach(listener => listener())
  let turn: Promise<unknown> = Promise.resolve()

  function save(): void {
    try {
      store.save()
    } catch (e) {
      log.warn({ err: (e as Error).message }, 'devices of containers not written')
    }
  }

  /** Its plugin has gone: nothing new can have its devices, and if no plugin comes, there are none any more. */
  function stopped(resource: string): void {
    for (const device of store.devices.get(resource)?.values() ?? []) device.health = 'Unhealthy'
    clearTimeout(leaving.get(resource))
    const timer = setTimeout(() => {
      leaving.delete(resource)
      store.devices.delete(resource)
      gone.add(resource)
      log.info({ resource }, 'device plugin did not come back')
      save()
      changed()
    }, graceMs)
    leaving.set(resource, timer.unref())
    changed()
  }

  async function follow(resource: string, plugin: Plugin): Promise<void> {
    await plugin.client.listAndWatch(devices => {
      if (plugins.get(resource) !== plugin) return
      const known = store.devices.get(resource)
      const ids = (all: Iterable<string>): string => [...all].sort().join()
      const same = known !== undefined && ids(known.keys()) === ids(devices.map(d => d.ID ?? ''))
      store.devices.set(resource, new Map(devices.map(d => [d.ID ?? '', d])))
      log.info({ resource, devices: devices.length, healthy: devices.filter(d => d.health === healthy).length }, 'devices')
      if (!same) save()
      changed()
    })
    plugin.client.close()
    if (plugins.get(resource) !== plugin) return
    plugins.delete(resource)
    if (signal.aborted) return
    log.info({ resource }, 'device plugin has gone')
    stopped(resource)
  }

  async function register({ version: asked = '', endpoint = '', resourceName = '', options = {} }: RegisterRequest): Promise<object> {
    if (asked !== version)
      throw new Error(
        `requested API version ${JSON.stringify(asked)} is not supported by kubelet. Supported version is ${JSON.stringify(version)}`,
      )
    if (!isExtendedResource(resourceName)) throw new Error(`the ResourceName ${JSON.stringify(resourceName)} is invalid`)
    if (!/^[^/]+$/.test(endpoint) || ['.', '..', socketName].includes(endpoint))
      throw new Error(`the endpoint ${JSON.stringify(endpoint)} must be the name of a socket in ${directory}`)
    const plugin = { client: await devicePlugin(join(directory, endpoint)), options }
    plugins.get(resourceName)?.client.close()
    plugins.set(resourceName, plugin)
    clearTimeout(leaving.get(resourceName))
    leaving.delete(resourceName)
    gone.delete(resourceName)
    log.info({ resource: resourceName, endpoint }, 'device plugin registered')
    follow(resourceName, plugin).catch((e: Error) => log.warn({ resource: resourceName, err: e.message }, 'devices are not followed'))
    return {}
  }
  for (const resource of store.devices.keys()) stopped(resource)
  await serveGrpc(
    join(directory, socketName),
    { 'v1beta1.Registration': { Register: method(registerRequest, empty, register) } },
    log,
    signal,
  )
  signal.addEventListener('abort', () => {
    for (const { client } of plugins.values()) client.close()
    for (const timer of leaving.values()) clearTimeout(timer)
  })

  const find = (pod: string, container: string, resource?: string): Allocation[] =>
    store.allocations.filter(a => a.pod === pod && a.container === container && (resource === undefined || a.resource === resource))

  /** Chooses devices: those that the pod has and does not need at this time first. */
  async function choose(resource: string, needed: number, reusable: ReadonlySet<string>): Promise<string[]> {
    const devices = store.devices.get(resource)
    if (!devices) throw new Error(`cannot allocate unregistered device ${resource}`)
    const well = [...devices.values()].filter(d => d.health === healthy).map(d => d.ID ?? '')
    if (well.length === 0) throw new Error(`no healthy devices present; cannot allocate unhealthy devices ${resource}`)
    const again = well.filter(id => reusable.has(id)).slice(0, needed)
    if (again.length === needed) return again
    const used = new Set(store.allocations.filter(a => a.resource === resource).flatMap(a => a.ids))
    const available = well.filter(id => !used.has(id)).sort()
    const missing = needed - again.length
    if (available.length < missing)
      throw new Error(`requested number of devices unavailable for ${resource}. Requested: ${missing}, Available: ${available.length}`)
    const plugin = plugins.get(resource)
    if (!plugin?.options.getPreferredAllocationAvailable) return [...again, ...available.slice(0, missing)]
    const preferred = await plugin.client.preferred([...again, ...available], again, needed).catch((e: Error) => {
      throw new Error(`device plugin GetPreferredAllocation rpc failed with err: ${e.message}`)
    })
    const liked = preferred.filter(id => available.includes(id) && !again.includes(id)).slice(0, missing)
    return [...again, ...liked, ...available.filter(id => !liked.includes(id)).slice(0, missing - liked.length)]
  }

  async function allocate(pod: Pod, holds: (uid: string) => boolean): Promise<void> {
    const uid = uidOf(pod)
    store.allocations = store.allocations.filter(a => a.pod === uid || holds(a.pod))
    const reusable = new Map<string, Set<string>>()
    const init = pod.spec.initContainers ?? []
    for (const container of [...init, ...pod.spec.containers]) {
      for (const [resource, quantity] of Object.entries(container.resources?.limits ?? {})) {
        if (!store.devices.has(resource)) continue
        const needed = quantityValue(quantity)
        const [has] = find(uid, container.name, resource)
        if (has && has.ids.length !== needed)
          throw new Error(
            `pod ${JSON.stringify(uid)} container ${JSON.stringify(container.name)} changed request for resource ${JSON.stringify(resource)} from ${has.ids.length} to ${needed}`,
          )
        const mine = reusable.get(resource) ?? new Set<string>()
        reusable.set(resource, mine)
        let ids = has?.ids
        if (!ids && needed > 0) {
          ids = await choose(resource, needed, mine)
          const plugin = plugins.get(resource)
          if (!plugin) throw new Error(`unknown Device Plugin ${resource}`)
          const gives = await plugin.client.allocate(ids)
          store.allocations.push({ pod: uid, container: container.name, resource, ids, gives })
        }
        // A plain init container has ended when the next one runs.
        const passes = init.includes(container as never) && !isSidecar(container)
        for (const id of ids ?? [])
          if (passes) mine.add(id)
          else mine.delete(id)
      }
    }
    save()
  }

  return {
    resources() {
      const count = (devices: Iterable<Device>): string => String([...devices].length)
      const all = [...store.devices]
      const none = [...gone].map(resource => [resource, '0'] as const)
      return {
        capacity: Object.fromEntries([...none, ...all.map(([resource, d]) => [resource, count(d.values())] as const)]),
        allocatable: Object.fromEntries([
          ...none,
          ...all.map(([resource, d]) => [resource, count([...d.values()].filter(x => x.health === healthy))] as const),
        ]),
      }
    },
    onChange: listener => void listeners.add(listener),
    allocate(pod, holds) {
      const asks = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].some(c =>
        Object.keys(c.resources?.limits ?? {}).some(resource => store.devices.has(resource)),
      )
      if (!asks) return Promise.resolve()
      // One after the other: two pods must not be given the same device.
      const done = turn.then(() => allocate(pod, holds))
      turn = done.catch(() => {})
      return done
    },
    async prepare(pod, container) {
      const mine = find(pod, container)
      if (mine.length === 0) return undefined
      for (const { resource, ids } of mine) {
        const plugin = plugins.get(resource)
        if (!plugin?.options.preStartRequired) continue
        await plugin.client.preStart(ids).catch((e: Error) => {
          throw new Error(`device plugin PreStartContainer rpc failed with err: ${e.message}`)
        })
      }
      const all = mine.map(a => a.gives)
      return {
        envs: Object.assign({}, ...all.map(a => a.envs)) as { [name: string]: string },
        annotations: Object.assign({}, ...all.map(a => a.annotations)) as { [name: string]: string },
        mounts: all.flatMap(a => a.mounts ?? []),
        devices: all.flatMap(a => a.devices ?? []),
        cdiDevices: all.flatMap(a => a.cdiDevices ?? []),
      }
    },
    allocations: () => store.allocations,
    device: (resource, id) => store.devices.get(resource)?.get(id),
    healthyDevices: () => new Map([...store.devices].map(([resource, d]) => [resource, [...d.values()].filter(x => x.health === healthy)])),
  }
}

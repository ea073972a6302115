/**
 * The drivers of dynamic resources of this node: registered by their sockets, of one driver several while it is being replaced. What a
 * driver that has gone said of the node's devices goes after a while. pkg/kubelet/cm/dra/plugin/dra_plugin_manager.go
 */
import { resourceSlices } from '#shared/api/kinds.ts'
import { backoff, sleep } from '#shared/client/backoff.ts'
import type { Client } from '#shared/client/client.ts'
import type { Logger } from '#shared/component/log.ts'
import { grpcClient, type GrpcClient } from '#shared/grpc/client.ts'
import { isStatus } from '#shared/machinery/status.ts'
import type { PluginHandler } from '../../pluginmanager/pluginmanager.ts'
import { services, type DraService } from '#shared/dra/services.ts'

export const type = 'DRAPlugin'

/** How long a driver may be away before its ResourceSlices go: upstream's, enough for its pod to be replaced. */
const wipingDelayMs = 30_000

export interface DraDriver {
  readonly name: string
  readonly call: GrpcClient['call']
  readonly service: DraService
}
export interface DraDrivers extends PluginHandler {
  /** The newest one that answers. Throws in upstream's words when no driver of that name is registered. */
  get(name: string): DraDriver
  /** Calls `changed` whenever a driver has come. */
  onRegistered(changed: () => void): void
}

interface Plugin extends DraDriver {
  readonly endpoint: string
  connected: boolean
  close(): void
}

function serviceOf(name: string, endpoint: string, supported: readonly string[]): DraService {
  const known = supported.find(s => Object.hasOwn(services, s))
  if (known !== undefined) return services[known]!
  const list = (names: readonly string[]): string => `[${names.map(n => JSON.stringify(n)).join(' ')}]`
  const why =
    supported.length === 0
      ? 'empty list of supported gRPC services (aka supported versions)'
      : `none of services supported by the plugin (${list(supported)}) are supported by the kubelet (${list(Object.keys(services))})`
  throw new Error(`invalid supported gRPC versions of DRA driver plugin ${name} at endpoint ${endpoint}: ${why}`)
}

/** `wiping` is how long a driver may be away, milliseconds. Ends with `signal`. */
export function draDrivers(client: Client, nodeName: string, log: Logger, signal: AbortSignal, wiping: number = wipingDelayMs): DraDrivers {
  const drivers = new Map<string, Plugin[]>()
  const wipes = new Map<string, NodeJS.Timeout>()
  const listeners = new Set<() => void>()

  /** Deletes what a driver, or all of them, said of the devices of this node. */
  async function wipe(driver?: string): Promise<void> {
    const fieldSelector = `spec.nodeName=${nodeName}${driver === undefined ? '' : `,spec.driver=${driver}`}`
    const pause = backoff(1_000, 300_000)
    while (!signal.aborted) {
      try {
        return await client.deleteCollection(resourceSlices, '', { fieldSelector })
      } catch (e) {
        if (isStatus(e, 'NotFound')) return
        log.warn({ err: (e as Error).message, fieldSelector }, 'resource slices not deleted; will try again')
        await sleep(pause.next(), signal)
      }
    }
  }
  function judge(name: string): void {
    const usable = drivers.get(name)?.some(p => p.connected)
    if (usable) {
      clearTimeout(wipes.get(name))
      wipes.delete(name)
    } else if (!wipes.has(name) && !signal.aborted) {
      const timer = setTimeout(() => {
        wipes.delete(name)
        log.info({ driver: name }, 'driver of dynamic resources did not come back')
        void wipe(name)
      }, wiping)
      wipes.set(name, timer.unref())
    }
  }
  signal.addEventListener('abort', () => {
    for (const timer of wipes.values()) clearTimeout(timer)
    for (const plugins of drivers.values()) for (const plugin of plugins) plugin.close()
  })
  // No driver has registered yet, and some may never come: nobody shall wait here for their devices.
  void wipe()

  return {
    get(name) {
      const plugins = drivers.get(name)
      const plugin = plugins?.findLast(p => p.connected) ?? plugins?.at(-1)
      if (!plugin) throw new Error(`DRA driver ${name} is not registered`)
      return plugin
    },
    onRegistered: changed => void listeners.add(changed),
    async register({ name, supportedVersions = [] }, endpoint) {
      const service = serviceOf(name, endpoint, supportedVersions)
      const plugins = drivers.get(name) ?? []
      // It came again by another registration socket, as it does after its pod was replaced by one with the same endpoint.
      const again = plugins.findIndex(p => p.endpoint === endpoint)
      if (again >= 0) plugins.splice(again, 1)[0]!.close()
      const { call, close, onConnection } = await grpcClient(endpoint)
      const plugin: Plugin = { name, endpoint, service, call, close, connected: false }
      plugins.push(plugin)
      drivers.set(name, plugins)
      onConnection(connected => {
        if (plugin.connected === connected || signal.aborted) return
        plugin.connected = connected
        log.info({ driver: name, endpoint, connected }, 'connection to a driver of dynamic resources')
        judge(name)
      })
      judge(name)
      for (const changed of listeners) changed()
    },
    async deregister(name, endpoint) {
      const plugins = drivers.get(name) ?? []
      const at = plugins.findIndex(p => p.endpoint === endpoint)
      if (at < 0) return
      plugins.splice(at, 1)[0]!.close()
      if (plugins.length === 0) drivers.delete(name)
      judge(name)
    },
  }
}

/**
 * The CSI drivers of this node: registered by their sockets, told in CSINode and the Node's labels, asked by volumes.
 * pkg/volume/csi/csi_plugin.go
 */
import { grpcClient, type GrpcClient } from '#shared/grpc/client.ts'
import { rpcTypes } from '#shared/csi/messages.ts'
import { RpcError, codeName } from '#shared/grpc/rpc.ts'
import { node as nodeService } from '#shared/csi/services.ts'
import type { Logger } from '#shared/component/log.ts'
import { csiOperations } from '../metrics.ts'
import type { PluginHandler } from '../pluginmanager/pluginmanager.ts'
import type { CsiNodeRecord } from './csinode.ts'

export interface CsiDriver extends GrpcClient {
  readonly name: string
  /** NodeServiceCapability.RPC.Type of the calls that it has. Asked once. */
  capabilities(): Promise<Set<number>>
}
export interface CsiDrivers extends PluginHandler {
  /** Throws in upstream's words when no driver of that name is registered. */
  get(name: string): CsiDriver
  /** Those that are registered. */
  names(): string[]
  /** Asks a driver anew what it is on this node, and writes that down. */
  refresh(name: string): Promise<void>
  /** Calls `changed` whenever a driver has come. */
  onRegistered(changed: () => void): void
}

export const type = 'CSIPlugin'
const timeoutMs = 15_000

/** Highest version that a driver supports must be 1.x. */
function checkVersions(name: string, versions: readonly string[]): void {
  const numbers = versions.map(v => /^v?(\d+)(\.\d+){0,2}$/.exec(v)?.[1])
  if (versions.length === 0)
    throw new Error(
      `failed to get highest supported version for CSI driver: ${name}: CSI driver reporting empty array for supported versions`,
    )
  if (!numbers.includes('1'))
    throw new Error(
      `failed to get highest supported version for CSI driver: ${name}: None of the CSI versions reported by this driver are supported: ${versions.join(', ')}`,
    )
}

async function timed<T>(driver: string, method: string, work: Promise<T>): Promise<T> {
  const began = performance.now()
  const observe = (status: string): void =>
    csiOperations.observe((performance.now() - began) / 1000, {
      driver_name: driver,
      method_name: method,
      grpc_status_code: status,
      migrated: 'false',
    })
  try {
    const result = await work
    observe('OK')
    return result
  } catch (e) {
    observe(e instanceof RpcError ? codeName(e.code) : 'unknown-non-grpc')
    throw e
  }
}

export function csiDrivers(record: CsiNodeRecord, log: Logger): CsiDrivers {
  const drivers = new Map<string, CsiDriver>()
  const listeners = new Set<() => void>()

  async function connect(name: string, endpoint: string): Promise<CsiDriver> {
    const client = await grpcClient(endpoint)
    let asked: Promise<Set<number>> | undefined
    const call: CsiDriver['call'] = (rpc, question, ms) => timed(name, rpc.path, client.call(rpc, question, ms))
    return {
      ...client,
      name,
      call,
      capabilities() {
        asked ??= call(nodeService.nodeGetCapabilities, {}, timeoutMs).then(rpcTypes)
        // A failure is not remembered.
        asked.catch(() => (asked = undefined))
        return asked
      },
    }
  }
  const get = (name: string): CsiDriver => {
    const driver = drivers.get(name)
    if (!driver) throw new Error(`driver name ${name} not found in the list of registered CSI drivers`)
    return driver
  }
  async function tell(driver: CsiDriver): Promise<void> {
    const info = await driver.call(nodeService.nodeGetInfo, {}, timeoutMs)
    if (!info.nodeId) throw new Error(`error updating CSINode object with CSI driver node info: nodeID ${driver.name} must not be empty`)
    await record.add(driver.name, info)
  }
  return {
    get,
    names: () => [...drivers.keys()],
    refresh: async name => tell(get(name)),
    onRegistered: changed => void listeners.add(changed),
    async register({ name, supportedVersions = [] }, endpoint) {
      checkVersions(name, supportedVersions)
      const driver = await connect(name, endpoint)
      try {
        await tell(driver)
      } catch (e) {
        driver.close()
        throw e
      }
      drivers.get(name)?.close()
      drivers.set(name, driver)
      for (const changed of listeners) changed()
    },
    async deregister(name, _, last) {
      if (!last) return
      drivers.get(name)?.close()
      drivers.delete(name)
      await record.remove(name).catch((e: Error) => {
        log.warn({ driver: name, err: e.message }, 'a driver that has gone is still in CSINode')
        throw e
      })
    },
  }
}

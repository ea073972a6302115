/**
 * What the API knows of a node's CSI drivers: CSINode, the Node's annotation `csi.volume.kubernetes.io/nodeid`, and its topology labels.
 * pkg/volume/csi/nodeinfomanager
 */
import { csiNodes, nodes } from '#shared/api/kinds.ts'
import type { CSINode, CSINodeDriver } from '#shared/api/storage/csinode.ts'
import type { Node } from '#shared/api/core/node.ts'
import { backoff, sleep } from '#shared/client/backoff.ts'
import type { Client } from '#shared/client/client.ts'
import type { Logger } from '#shared/component/log.ts'
import type { NodeInfo } from '#shared/csi/messages.ts'
import { isStatus } from '#shared/machinery/status.ts'

export interface CsiNodeRecord {
  /** Writes down a driver. Rejects when the API does not take it, or its topology is not what the node has already. */
  add(driver: string, info: NodeInfo): Promise<void>
  remove(driver: string): Promise<void>
}

const nodeIdAnnotation = 'csi.volume.kubernetes.io/nodeid'
const maxInt32 = 2 ** 31 - 1

/** `node` is our own Node as the API has it. */
export function csiNodeRecord(
  client: Client,
  node: () => Node | undefined,
  log: Logger,
): CsiNodeRecord & { keep(signal: AbortSignal): void } {
  const name = (): string => node()?.metadata.name ?? ''
  /** As the driver said it last: the cache of our Node may be behind. */
  let nodeIds: Record<string, string> | undefined

  async function change(edit: (drivers: CSINodeDriver[]) => CSINodeDriver[]): Promise<void> {
    for (let attempts = 0; ; attempts++) {
      const found = await client.get(csiNodes, '', name()).catch((e: unknown) => (isStatus(e, 'NotFound') ? undefined : Promise.reject(e)))
      const drivers = edit(found?.spec.drivers ?? [])
      if (found && JSON.stringify(drivers) === JSON.stringify(found.spec.drivers ?? [])) return
      try {
        if (found) await client.update(csiNodes, { ...found, spec: { ...found.spec, drivers } })
        else await client.create(csiNodes, '', { ...emptyCsiNode(), spec: { drivers } } as CSINode)
        return
      } catch (e) {
        if (attempts > 4 || !(isStatus(e, 'Conflict') || isStatus(e, 'AlreadyExists') || isStatus(e, 'NotFound'))) throw e
      }
    }
  }
  function emptyCsiNode(): CSINode {
    const { uid = '' } = node()?.metadata ?? {}
    return {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'CSINode',
      metadata: { name: name(), ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: name(), uid }] },
      spec: { drivers: [] },
    }
  }
  async function annotate(edit: (ids: Record<string, string>) => void, labels: Record<string, string>): Promise<void> {
    const { annotations = {}, labels: has = {} } = node()?.metadata ?? {}
    const wrong = Object.entries(labels).find(([key, value]) => has[key] !== undefined && has[key] !== value)
    if (wrong)
      throw new Error(
        `detected topology value collision: driver reported ${JSON.stringify(`${wrong[0]}:${wrong[1]}`)} but existing label is ${JSON.stringify(`${wrong[0]}:${has[wrong[0]]}`)}`,
      )
    nodeIds ??= parseIds(annotations[nodeIdAnnotation])
    edit(nodeIds)
    const value = Object.keys(nodeIds).length > 0 ? JSON.stringify(nodeIds) : null
    if ((annotations[nodeIdAnnotation] ?? null) === value && Object.keys(labels).every(key => has[key] !== undefined)) return
    await client.patch(nodes, '', name(), 'strategic', { metadata: { annotations: { [nodeIdAnnotation]: value }, labels } })
  }
  return {
    async add(driver, { nodeId = '', maxVolumesPerNode = 0, accessibleTopology }) {
      const segments = accessibleTopology?.segments ?? {}
      await annotate(ids => (ids[driver] = nodeId), segments)
      const count = Math.min(maxVolumesPerNode, maxInt32)
      const entry: CSINodeDriver = {
        name: driver,
        nodeID: nodeId,
        ...(Object.keys(segments).length > 0 ? { topologyKeys: Object.keys(segments).sort() } : {}),
        ...(count > 0 ? { allocatable: { count } } : {}),
      }
      const differs = (old: CSINodeDriver): boolean =>
        old.nodeID !== entry.nodeID || JSON.stringify(old.topologyKeys) !== JSON.stringify(entry.topologyKeys)
      // An entry cannot change: it goes first.
      await change(drivers => (drivers.some(d => d.name === driver && differs(d)) ? drivers.filter(d => d.name !== driver) : drivers))
      await change(drivers => {
        const at = drivers.findIndex(d => d.name === driver)
        return at < 0 ? [...drivers, entry] : drivers.with(at, entry)
      })
    },
    async remove(driver) {
      await change(drivers => drivers.filter(d => d.name !== driver))
      await annotate(ids => delete ids[driver], {})
    },
    /** Makes the node's CSINode when it is not there, as long as it takes. */
    keep(signal) {
      const pause = backoff(500, 30_000)
      void (async () => {
        while (!signal.aborted) {
          try {
            return await change(drivers => drivers)
          } catch (e) {
            log.warn({ err: (e as Error).message }, 'CSINode not made; will try again')
            await sleep(pause.next(), signal)
          }
        }
      })()
    },
  }
}

function parseIds(text: string | undefined): Record<string, string> {
  try {
    return (JSON.parse(text ?? '{}') ?? {}) as Record<string, string>
  } catch {
    return {}
  }
}

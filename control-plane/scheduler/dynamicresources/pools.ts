/** Devices that a node can use, by what resource slices say: k8s.io/dynamic-resource-allocation/structured, pools. */
import type { Node } from '#shared/api/core/node.ts'
import type { NodeSelectorTerm } from '#shared/api/core/podspec/affinity.ts'
import type { Device, ResourceSlice } from '#shared/api/resource/resourceslice.ts'
import { matchesTerm } from '#shared/scheduling/nodeaffinity.ts'

/** A device of a pool; who can use it when that is not everybody. */
export interface Candidate {
  readonly id: string
  readonly driver: string
  readonly pool: string
  readonly device: Device
  readonly terms: readonly NodeSelectorTerm[] | undefined
}
export interface Pool {
  readonly name: string
  /** Whether all slices of its newest generation are there. */
  readonly complete: boolean
  /** Two of its devices have the same name. */
  readonly invalid: boolean
  readonly devices: readonly Candidate[]
}

/** Names a device in the whole cluster. */
export const deviceId = (d: { driver: string; pool: string; device: string }): string => `${d.driver}/${d.pool}/${d.device}`

const onlyNode = (name: string): NodeSelectorTerm[] => [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [name] }] }]

interface Reach {
  readonly nodeName?: string | undefined
  readonly nodeSelector?: { readonly nodeSelectorTerms?: readonly NodeSelectorTerm[] } | undefined
  readonly allNodes?: boolean | undefined
}
/** From which nodes something can be used: undefined for all; from none when nothing is said. */
function termsOf({ nodeName, nodeSelector, allNodes }: Reach): readonly NodeSelectorTerm[] | undefined {
  if (nodeName) return onlyNode(nodeName)
  return allNodes ? undefined : (nodeSelector?.nodeSelectorTerms ?? [])
}

/** The pools with what `node` can use of them, in the order of their names. Of a pool only slices of the newest generation count. */
export function poolsFor(node: Node, slices: readonly ResourceSlice[]): Pool[] {
  const byPool = new Map<string, ResourceSlice[]>()
  for (const slice of slices) {
    const { driver, pool } = slice.spec
    const name = `${driver}/${pool?.name ?? ''}`
    const others = byPool.get(name)
    const newest = others?.[0]?.spec.pool?.generation ?? -1
    const generation = pool?.generation ?? 0
    if (!others || generation > newest) byPool.set(name, [slice])
    else if (generation === newest) others.push(slice)
  }
  const out: Pool[] = []
  for (const name of [...byPool.keys()].sort()) {
    const all = byPool.get(name)!
    const devices = all.flatMap(({ spec }) => {
      const common = spec.perDeviceNodeSelection ? undefined : { terms: termsOf(spec) }
      return (spec.devices ?? []).flatMap((device): Candidate[] => {
        const { terms } = common ?? { terms: termsOf(device) }
        // What draws on counters that others share (partitions) is not given yet.
        if (device.consumesCounters?.length || (terms && !terms.some(t => matchesTerm(t, node)))) return []
        const at = { driver: spec.driver, pool: spec.pool?.name ?? '' }
        return [{ id: deviceId({ ...at, device: device.name }), ...at, device, terms }]
      })
    })
    if (devices.length === 0) continue
    const complete = all.length === all[0]!.spec.pool?.resourceSliceCount
    out.push({ name, complete, invalid: new Set(devices.map(d => d.id)).size < devices.length, devices })
  }
  return out
}

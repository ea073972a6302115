/**
 * Where a volume is to be reachable from: what of the cluster's topology a driver is asked for. external-provisioner
 * pkg/controller/topology.go
 */
import type { CSINode } from '#shared/api/storage/csinode.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'
import type { Topology, TopologyRequirement } from '#shared/csi/messages.ts'
import type { Segments } from './driver.ts'

/** Where a node is in the driver's terms; undefined while the driver is not on it, or the node lacks a label. */
export function segmentsOf(driver: string, csiNode: CSINode | undefined, node: Node | undefined): Segments | undefined {
  const keys = csiNode?.spec.drivers?.find(d => d.name === driver)?.topologyKeys
  if (!keys?.length) return undefined
  const labels = node?.metadata.labels ?? {}
  return keys.every(key => labels[key] !== undefined) ? Object.fromEntries(keys.toSorted().map(key => [key, labels[key]!])) : undefined
}

/** Whether a class may have volumes there. */
export const allows = ({ allowedTopologies }: StorageClass, segments: Segments): boolean =>
  !allowedTopologies?.length ||
  allowedTopologies.some(term => (term.matchLabelExpressions ?? []).every(({ key, values }) => values?.includes(segments[key] ?? '')))

/** Each once, in an order that does not depend on that of the nodes. */
export const distinctSegments = (all: readonly Segments[]): Segments[] =>
  [...new Map(all.map(s => [JSON.stringify(s), s])).entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, s]) => s)

/** `all` are those of the driver's nodes. `selected` is the pod's. `seed` spreads volumes that wait for no pod. */
export function requirementOf(
  all: readonly Segments[],
  storageClass: StorageClass,
  selected: Segments | undefined,
  seed: number,
): TopologyRequirement | undefined {
  const allowed = distinctSegments(all).filter(s => allows(storageClass, s))
  if (allowed.length === 0) return undefined
  const at = selected ? allowed.findIndex(s => JSON.stringify(s) === JSON.stringify(selected)) : seed % allowed.length
  const preferred = at < 0 ? allowed : [...allowed.slice(at), ...allowed.slice(0, at)]
  const terms = (list: readonly Segments[]): Topology[] => list.map(segments => ({ segments: { ...segments } }))
  return { requisite: terms(allowed), preferred: terms(preferred) }
}

/** The node affinity of a volume that can be reached from these places. */
export function affinityOf(accessible: readonly Topology[] = []) {
  const nodeSelectorTerms = accessible
    .filter(t => Object.keys(t.segments ?? {}).length > 0)
    .map(({ segments = {} }) => ({
      matchExpressions: Object.entries(segments)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, value]) => ({ key, operator: 'In' as const, values: [value] })),
    }))
  return nodeSelectorTerms.length > 0 ? { required: { nodeSelectorTerms } } : undefined
}

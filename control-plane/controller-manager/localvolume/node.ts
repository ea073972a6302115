/** Where a volume is made that waits for no pod. */
import type { Node } from '#shared/api/core/node.ts'
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'
import { matchesTopology } from '#shared/storage/topology.ts'
import { hostnameLabel, hostOf, isOurs } from './volume.ts'

/** Of the nodes that the class allows the one with the fewest volumes, then the first by name. */
export function pickNode(
  nodes: readonly Node[],
  { allowedTopologies }: StorageClass,
  volumes: readonly PersistentVolume[],
): Node | undefined {
  const count = new Map<string, number>()
  for (const volume of volumes) if (isOurs(volume)) count.set(hostOf(volume), (count.get(hostOf(volume)) ?? 0) + 1)
  const has = ({ metadata }: Node): number => count.get(metadata.labels?.[hostnameLabel] ?? metadata.name ?? '') ?? 0
  const isBefore = (a: Node, b: Node): boolean => (has(a) === has(b) ? (a.metadata.name ?? '') < (b.metadata.name ?? '') : has(a) < has(b))
  const fit = nodes.filter(n => !n.spec?.unschedulable && matchesTopology(allowedTopologies, n))
  return fit.reduce<Node | undefined>((best, n) => (best && !isBefore(n, best) ? best : n), undefined)
}

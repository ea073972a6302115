/** Whether a driver that tells how much room it has, has enough for a claim. */
import type { Node } from '#shared/api/core/node.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { CSIDriver } from '#shared/api/storage/csidriver.ts'
import type { CSIStorageCapacity } from '#shared/api/storage/csistoragecapacity.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'
import { selects } from '#shared/machinery/labels.ts'
import { compareQuantity } from '#shared/machinery/quantity.ts'

/** How large a volume may be. */
export const volumeLimit = ({ maximumVolumeSize, capacity }: CSIStorageCapacity): string | undefined => maximumVolumeSize ?? capacity

export function hasEnoughCapacity(
  claim: PersistentVolumeClaim,
  storageClass: StorageClass,
  node: Node,
  driver: CSIDriver | undefined,
  capacities: readonly CSIStorageCapacity[],
): boolean {
  const size = claim.spec.resources?.requests?.['storage']
  if (size === undefined || !driver?.spec.storageCapacity) return true
  return capacities.some(c => {
    const limit = volumeLimit(c)
    return (
      c.storageClassName === storageClass.metadata.name &&
      limit !== undefined &&
      compareQuantity(limit, size) >= 0 &&
      c.nodeTopology !== undefined &&
      selects(c.nodeTopology, node.metadata.labels)
    )
  })
}

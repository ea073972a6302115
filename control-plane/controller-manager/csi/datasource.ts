/** What a claim's volume is to begin with: another claim's volume, or a snapshot. external-provisioner pkg/controller/controller.go */
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'
import type { Client } from '#shared/client/client.ts'
import type { Informer } from '#shared/client/informer.ts'
import { quantityValue } from '#shared/machinery/quantity.ts'
import { snapshotGroup, volumeSnapshotContents, volumeSnapshots } from './snapshots.ts'

export interface DataSource {
  readonly content: { snapshot: { snapshotId: string } } | { volume: { volumeId: string } }
}
interface World {
  readonly client: Client
  readonly claims: Informer<PersistentVolumeClaim>
  readonly volumes: Informer<PersistentVolume>
}

export const populated = 'Assuming an external populator will provision the volume'
/**
 * Whether somebody else makes its volume, with what the claim's data source says: one of a kind that no provisioner knows. A populator binds
 * a volume that it has filled to the claim. https://kubernetes.io/docs/concepts/storage/persistent-volumes/#volume-populators-and-data-sources
 */
export function isForPopulator({ spec: { dataSource, dataSourceRef } }: PersistentVolumeClaim): boolean {
  const source = dataSourceRef ?? dataSource
  if (!source) return false
  const { apiGroup = '', kind } = source
  return !((apiGroup === '' && kind === 'PersistentVolumeClaim') || (apiGroup === snapshotGroup && kind === 'VolumeSnapshot'))
}

/** Undefined for one that begins empty. Throws, in the words of upstream's, what is not as it must be. */
export async function dataSourceOf(
  claim: PersistentVolumeClaim,
  storageClass: StorageClass,
  world: World,
): Promise<DataSource | undefined> {
  const source = claim.spec.dataSource
  if (!source) return undefined
  if (source.kind === 'PersistentVolumeClaim' && !source.apiGroup) return cloneOf(claim, storageClass, source.name, world)
  if (source.kind === 'VolumeSnapshot' && source.apiGroup === snapshotGroup) return snapshotOf(claim, storageClass, source.name, world)
  throw new Error(`the claim's data source ${source.apiGroup ?? ''}/${source.kind} is none that this provisioner knows`)
}

function cloneOf(claim: PersistentVolumeClaim, { provisioner }: StorageClass, name: string, { claims, volumes }: World): DataSource {
  const namespace = claim.metadata.namespace ?? ''
  const from = claims.get(namespace, name)
  if (!from) throw new Error(`error getting PVC ${name} (namespace ${JSON.stringify(namespace)}) from api server: not found`)
  if (from.metadata.deletionTimestamp) throw new Error(`the source PVC ${name} is being deleted`)
  if (from.status?.phase !== 'Bound')
    throw new Error(`the PVC DataSource ${name} must have a status of Bound. Got ${from.status?.phase ?? ''}`)
  const volume = volumes.get('', from.spec.volumeName ?? '')
  if (volume?.spec.csi?.driver !== provisioner) throw new Error(`the source volume of PVC ${name} is not of driver ${provisioner}`)
  const size = quantityValue(volume.spec.capacity?.['storage'] ?? '0')
  const wanted = quantityValue(claim.spec.resources?.requests?.['storage'] ?? '0')
  if (wanted < size)
    throw new Error(
      `error, new PVC request must be greater than or equal in size to the specified PVC data source, requested ${wanted} but source is ${size}`,
    )
  if ((from.spec.volumeMode ?? 'Filesystem') !== (claim.spec.volumeMode ?? 'Filesystem'))
    throw new Error('the source PVC and destination PVCs do not have the same volume mode for cloning')
  return { content: { volume: { volumeId: volume.spec.csi.volumeHandle } } }
}

async function snapshotOf(
  claim: PersistentVolumeClaim,
  { provisioner }: StorageClass,
  name: string,
  { client }: World,
): Promise<DataSource> {
  const namespace = claim.metadata.namespace ?? ''
  const snapshot = await client.get(volumeSnapshots, namespace, name).catch((e: Error) => {
    throw new Error(`error getting snapshot ${name} from api server: ${e.message}`)
  })
  const contentName = snapshot.status?.boundVolumeSnapshotContentName
  if (snapshot.metadata.deletionTimestamp) throw new Error(`snapshot ${name} is currently being deleted`)
  if (!contentName || !snapshot.status?.readyToUse) throw new Error(`snapshot ${name} is not Ready`)
  const content = await client.get(volumeSnapshotContents, '', contentName)
  const { volumeSnapshotRef: ref, driver } = content.spec
  if (ref.uid !== snapshot.metadata.uid) throw new Error(`snapshotContent ${contentName} is not bound to snapshot ${name}`)
  if (driver !== provisioner) throw new Error(`snapshot ${name} is of driver ${driver}, not ${provisioner}`)
  if (!content.status?.snapshotHandle) throw new Error(`snapshot handle of ${contentName} is not known`)
  const wanted = quantityValue(claim.spec.resources?.requests?.['storage'] ?? '0')
  const size = content.status.restoreSize ?? 0
  if (wanted < size) throw new Error(`requested volume size ${wanted} is less than the size ${size} for the source snapshot ${name}`)
  return { content: { snapshot: { snapshotId: content.status.snapshotHandle } } }
}

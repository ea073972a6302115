/** What a claim's volume is to begin with: another claim's volume, or a snapshot. external-provisioner pkg/controller/controller.go */
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'
import type { Client } from '#shared/client/client.ts'
import type { Informer } from '#shared/client/informer.ts'
import { quantityValue } from '#shared/machinery/quantity.ts'
import { cloneFinalizer } from './cloneprotection.ts'
import { hasFinalizer } from './driver.ts'
import { claimFinalizer } from './request.ts'
import { snapshotGroup, volumeSnapshotContents, volumeSnapshots, type VolumeSnapshotContent } from './snapshots.ts'

export interface DataSource {
  readonly content: { snapshot: { snapshotId: string } } | { volume: { volumeId: string } }
}
interface World {
  readonly client: Client
  readonly claims: Informer<PersistentVolumeClaim>
  readonly volumes: Informer<PersistentVolume>
}

const allowModeChange = 'snapshot.storage.kubernetes.io/allow-volume-mode-change'
export const populated = 'Assuming an external populator will provision the volume'
/**
 * Whether somebody else makes its volume, with what the claim's data source says: one of a kind that no provisioner knows. A populator
 * binds a volume that it has filled to the claim.
 * https://kubernetes.io/docs/concepts/storage/persistent-volumes/#volume-populators-and-data-sources
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
  if (from.status?.phase !== 'Bound')
    throw new Error(`the PVC DataSource ${name} must have a status of Bound.  Got ${from.status?.phase ?? ''}`)
  // It waits for what was begun.
  if (from.metadata.deletionTimestamp && !hasFinalizer(from, cloneFinalizer))
    throw new Error(`the PVC DataSource ${name} is currently being deleted`)
  if (from.spec.storageClassName === undefined) throw new Error(`the source PVC (${name}) storageclass cannot be empty`)
  const volume = volumes.get('', from.spec.volumeName ?? '')
  if (volume?.spec.csi?.driver !== provisioner || volume.spec.claimRef?.uid !== from.metadata.uid)
    throw new Error('claim in dataSource not bound or invalid')
  // Upstream compares with what the source asked for; it may have got more, which must fit as well.
  const size = quantityValue(volume.spec.capacity?.['storage'] ?? '0')
  const wanted = quantityValue(claim.spec.resources?.requests?.['storage'] ?? '0')
  if (wanted < size)
    throw new Error(
      `error, new PVC request must be greater than or equal in size to the specified PVC data source, requested ${wanted} but source is ${size}`,
    )
  const modes = [volume, claim].map(of => of.spec.volumeMode ?? 'Filesystem')
  if (modes[0] !== modes[1])
    throw new Error(
      `the source PVC and destination PVCs must have the same volume mode for cloning.  Source is ${modes[0]}, but new PVC requested ${modes[1]}`,
    )
  return { content: { volume: { volumeId: volume.spec.csi.volumeHandle } } }
}

async function snapshotOf(
  claim: PersistentVolumeClaim,
  { provisioner, metadata }: StorageClass,
  name: string,
  { client }: World,
): Promise<DataSource> {
  const namespace = claim.metadata.namespace ?? ''
  const snapshot = await client.get(volumeSnapshots, namespace, name).catch((e: Error) => {
    throw new Error(`error getting snapshot ${name} from api server: ${e.message}`)
  })
  // It waits for what was begun.
  if (snapshot.metadata.deletionTimestamp && !hasFinalizer(claim, claimFinalizer))
    throw new Error(`snapshot ${name} is currently being deleted`)
  const contentName = snapshot.status?.boundVolumeSnapshotContentName
  if (!contentName) throw new Error(`snapshot ${name} not bound`)
  const content = await client.get(volumeSnapshotContents, '', contentName).catch(() => {
    throw new Error(`error getting snapshotcontent ${contentName} for snapshot ${name}`)
  })
  const { volumeSnapshotRef: ref, driver } = content.spec
  if (ref.uid !== snapshot.metadata.uid)
    throw new Error(`snapshotcontent ${contentName} for snapshot ${name} is bound to a different snapshot`)
  if (driver !== provisioner)
    throw new Error(`snapshotcontent ${contentName} for snapshot ${name} is not handled by CSI driver of StorageClass ${metadata.name}`)
  if (!snapshot.status?.readyToUse) throw new Error(`snapshot ${name} is not Ready`)
  if (!content.status?.snapshotHandle) throw new Error(`snapshot handle ${name} is not available`)
  const wanted = quantityValue(claim.spec.resources?.requests?.['storage'] ?? '0')
  const size = content.status.restoreSize ?? 0
  if (wanted < size) throw new Error(`requested volume size ${wanted} is less than the size ${size} for the source snapshot ${name}`)
  mayChangeMode(claim, content)
  return { content: { snapshot: { snapshotId: content.status.snapshotHandle } } }
}

/**
 * A raw device may hold what harms the kernel that mounts it: who may write VolumeSnapshotContents says whether that is believed of a
 * snapshot.
 */
function mayChangeMode(claim: PersistentVolumeClaim, { spec, metadata }: VolumeSnapshotContent): void {
  if (spec.sourceVolumeMode === undefined || spec.sourceVolumeMode === (claim.spec.volumeMode ?? 'Filesystem')) return
  const allowed = metadata.annotations?.[allowModeChange]
  const refuse = (why: string): never => {
    const named = `${claim.metadata.namespace}/${claim.metadata.name}`
    throw new Error(`requested volume ${named} modifies the mode of the source volume but does not have permission to do so. ${why}`)
  }
  if (allowed === undefined) refuse(`${allowModeChange} annotation is not present on snapshotcontent ${metadata.name}`)
  else if (allowed === 'false') refuse(`${allowModeChange} is set to false on snapshotcontent ${metadata.name}`)
  else if (allowed !== 'true') refuse(`failed to convert ${allowModeChange} annotation value to boolean`)
}

/** What a volume of a pod is to its CSI driver. */
import type { CSIPersistentVolumeSource } from '#shared/api/core/persistentvolumesource.ts'
import type { SecretReference } from '#shared/api/core/secretreference.ts'
import { accessModeOf } from '#shared/csi/capability.ts'
import { ephemeralHandle } from '#shared/csi/names.ts'
import type { ResolvedVolume } from '../plugin.ts'

export interface CsiSource {
  driver: string
  handle: string
  /** A volume of the pod's own, as its spec has it. */
  ephemeral: boolean
  block: boolean
  readOnly: boolean
  fsType: string
  accessModes: readonly string[]
  mountFlags: readonly string[]
  attributes: { [name: string]: string }
  secrets: Partial<Record<'stage' | 'publish' | 'expand', { namespace?: string | undefined; name?: string | undefined }>>
}

/** Undefined for volumes of other types. */
export function csiSource(volume: ResolvedVolume, podUid: string, namespace = ''): CsiSource | undefined {
  const spec = volume.persistentVolume?.spec
  if (spec?.csi) return ofPersistentVolume(volume, spec.csi)
  if (!volume.csi) return undefined
  const { driver, fsType, readOnly, volumeAttributes, nodePublishSecretRef } = volume.csi
  return {
    driver,
    handle: ephemeralHandle(podUid, volume.name),
    ephemeral: true,
    block: false,
    readOnly: readOnly ?? false,
    fsType: fsType ?? '',
    accessModes: ['ReadWriteOnce'],
    mountFlags: [],
    attributes: volumeAttributes ?? {},
    secrets: nodePublishSecretRef ? { publish: { namespace, name: nodePublishSecretRef.name } } : {},
  }
}

function ofPersistentVolume({ persistentVolume, persistentVolumeClaim }: ResolvedVolume, csi: CSIPersistentVolumeSource): CsiSource {
  const { accessModes, mountOptions, volumeMode } = persistentVolume!.spec
  const secrets: CsiSource['secrets'] = {}
  const note = (use: keyof typeof secrets, ref: SecretReference | undefined): void => void (ref && (secrets[use] = ref))
  note('stage', csi.nodeStageSecretRef)
  note('publish', csi.nodePublishSecretRef)
  note('expand', csi.nodeExpandSecretRef)
  return {
    driver: csi.driver,
    handle: csi.volumeHandle,
    ephemeral: false,
    block: volumeMode === 'Block',
    readOnly: Boolean(csi.readOnly || persistentVolumeClaim?.readOnly),
    fsType: csi.fsType ?? '',
    accessModes: accessModes ?? [],
    mountFlags: mountOptions ?? [],
    attributes: csi.volumeAttributes ?? {},
    secrets,
  }
}

/** The kubelet asks for the first of the volume's modes. */
export const modeOf = ({ accessModes }: CsiSource, singleNodeMultiWriter: boolean): number =>
  accessModeOf(accessModes[0] ?? 'ReadWriteOnce', singleNodeMultiWriter)

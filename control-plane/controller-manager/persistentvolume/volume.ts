/** What is to be done about a volume: a pure function of what was read. pkg/controller/volume/persistentvolume syncVolume */
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import { boundByController, hasAnnotation, provisionedBy } from '#shared/storage/annotations.ts'
import { volumeModesMatch } from '#shared/storage/match.ts'
import type { Told } from './claim.ts'

export type VolumeDecision =
  | { readonly step: 'phase'; readonly phase: 'Available' | 'Bound' }
  /** Its claim is gone, or has another volume. */
  | { readonly step: 'release' }
  /** It is not to be for its claim any more. */
  | { readonly step: 'unbind' }
  /** The claim's turn: it finds the volume when it is looked at. `tell` is about both. */
  | { readonly step: 'claim'; readonly tell?: { readonly volume: Told; readonly claim: Told } }

/** `claim` is the one of the name that the volume is for, if there is one. */
export function decideVolume(volume: PersistentVolume, claim: PersistentVolumeClaim | undefined): VolumeDecision {
  const { claimRef, persistentVolumeReclaimPolicy: policy } = volume.spec
  if (!claimRef?.uid) return { step: 'phase', phase: 'Available' }
  if (!claim || claim.metadata.uid !== claimRef.uid) return { step: 'release' }
  const { volumeName } = claim.spec
  if (!volumeName) return volumeModesMatch(claim, volume) ? { step: 'claim' } : { step: 'claim', tell: mismatch(volume, claim) }
  if (volumeName === volume.metadata.name) return { step: 'phase', phase: 'Bound' }
  return hasAnnotation(volume, provisionedBy) && policy === 'Delete' ? { step: 'release' } : { step: 'unbind' }
}

const mismatch = (volume: PersistentVolume, claim: PersistentVolumeClaim): { volume: Told; claim: Told } => {
  const told = (what: string): Told => ({ type: 'Warning', reason: 'VolumeMismatch', message: what })
  const [v, c] = [volume, claim].map(o => JSON.stringify(o.metadata.name))
  return {
    volume: told(`Cannot bind PersistentVolume to requested PersistentVolumeClaim ${c} due to incompatible volumeMode.`),
    claim: told(`Cannot bind PersistentVolume ${v} to requested PersistentVolumeClaim due to incompatible volumeMode.`),
  }
}

/** As it was before it was bound: free when the binder had bound it, else still for the claim that its maker named. */
export function unbound(volume: PersistentVolume): PersistentVolume {
  const { [boundByController]: ours, ...annotations } = volume.metadata.annotations ?? {}
  if (ours === undefined) return { ...volume, spec: { ...volume.spec, claimRef: { ...volume.spec.claimRef, uid: undefined } } }
  return { ...volume, metadata: { ...volume.metadata, annotations }, spec: { ...volume.spec, claimRef: undefined } }
}

/** Why a released volume has failed; undefined when nothing is to be done about it here. */
export function reclaimFailure({ metadata, spec }: PersistentVolume): Told | undefined {
  const warning = (reason: string, message: string): Told => ({ type: 'Warning', reason, message })
  switch (spec.persistentVolumeReclaimPolicy) {
    case 'Retain':
      return undefined
    case 'Recycle':
      return warning('VolumeFailedRecycle', 'No recycler plugin found for the volume!')
    case 'Delete': {
      const provisioner = metadata.annotations?.[provisionedBy]
      // Whoever made it deletes it.
      if (provisioner && !provisioner.startsWith('kubernetes.io/')) return undefined
      if (provisioner) return warning('VolumeFailedDelete', `no volume plugin matched name: ${provisioner}`)
      const volume = JSON.stringify(metadata.name)
      return warning('VolumeFailedDelete', `error getting deleter volume plugin for volume ${volume}: no deletable volume plugin matched`)
    }
    default:
      return warning('VolumeUnknownReclaimPolicy', 'Volume has unrecognized PersistentVolumeReclaimPolicy')
  }
}

/** The writes of the binder, each of which is left out when there is nothing to change. */
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import { persistentVolumeClaims, persistentVolumes } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { compareQuantity } from '#shared/machinery/quantity.ts'
import { betaStorageProvisioner, storageProvisioner } from '#shared/storage/annotations.ts'
import { claimBoundTo, volumeBoundTo } from '#shared/storage/volume.ts'

/**
 * Makes volume and claim know each other, the volume first. Whoever is killed in between leaves a volume that is for this claim: the next
 * one finds it and goes on. That the volume is Bound, which nobody waits for, is said beside what the claim is told.
 */
export async function bind(client: Client, volume: PersistentVolume, claim: PersistentVolumeClaim): Promise<void> {
  const next = volumeBoundTo(volume, claim)
  const bound = next ? await client.update(persistentVolumes, next) : volume
  const owner = claimBoundTo(claim, bound)
  const tellClaim = async (): Promise<unknown> =>
    setClaimPhase(client, owner ? await client.update(persistentVolumeClaims, owner) : claim, 'Bound', bound)
  const told = await Promise.allSettled([setVolumePhase(client, bound, 'Bound'), tellClaim()])
  for (const one of told) if (one.status === 'rejected') throw one.reason as Error
}

export async function setVolumePhase(
  client: Client,
  volume: PersistentVolume,
  phase: NonNullable<NonNullable<PersistentVolume['status']>['phase']>,
  message?: string,
): Promise<PersistentVolume> {
  if (volume.status?.phase === phase) return volume
  const { message: _, ...status } = volume.status ?? {}
  return client.update(persistentVolumes, { ...volume, status: { ...status, phase, ...(message ? { message } : {}) } }, 'status')
}

/** Whether anything was written. `volume` is what it is bound to. Throws when that has no size. */
export async function setClaimPhase(
  client: Client,
  claim: PersistentVolumeClaim,
  phase: 'Pending' | 'Bound' | 'Lost',
  volume?: PersistentVolume,
): Promise<boolean> {
  const { accessModes, capacity, ...rest } = claim.status ?? {}
  const size = volume?.spec.capacity?.['storage']
  if (volume && size === undefined) throw new Error(`PersistentVolume "${volume.metadata.name}" is without a storage capacity`)
  const had = capacity?.['storage']
  // A volume that has grown, which its claim is told by who made it grow, is left as it is told.
  const sameSize =
    size === undefined ? capacity === undefined : had !== undefined && (rest.phase === 'Bound' || compareQuantity(had, size) === 0)
  const sameModes = String(accessModes ?? '') === String(volume?.spec.accessModes ?? '')
  if (rest.phase === phase && sameSize && sameModes) return false
  const status = {
    ...rest,
    phase,
    ...(volume?.spec.accessModes ? { accessModes: volume.spec.accessModes } : {}),
    ...(volume ? { capacity: sameSize ? capacity : volume.spec.capacity } : {}),
    ...(volume && phase === 'Bound' && rest.phase !== 'Bound' && volume.spec.volumeAttributesClassName
      ? { currentVolumeAttributesClassName: volume.spec.volumeAttributesClassName }
      : {}),
  }
  await client.update(persistentVolumeClaims, { ...claim, status }, 'status')
  return true
}

export async function setClass(client: Client, claim: PersistentVolumeClaim, name: string): Promise<void> {
  await client.update(persistentVolumeClaims, { ...claim, spec: { ...claim.spec, storageClassName: name } })
}

/** Tells the provisioner that a volume is wanted. */
export async function setProvisioner(client: Client, claim: PersistentVolumeClaim, provisioner: string): Promise<void> {
  const { annotations = {} } = claim.metadata
  if (annotations[storageProvisioner] === provisioner && annotations[betaStorageProvisioner] === provisioner) return
  const told = { ...annotations, [betaStorageProvisioner]: provisioner, [storageProvisioner]: provisioner }
  await client.update(persistentVolumeClaims, { ...claim, metadata: { ...claim.metadata, annotations: told } })
}

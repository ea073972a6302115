/**
 * Deletion of hostPath volumes that nobody provisioned, which upstream has for tests on one machine: directories below /tmp of the machine
 * that the controller manager runs on. pkg/volume/hostpath
 */
import { rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import { hasAnnotation, provisionedBy } from '#shared/storage/annotations.ts'

/** Whether it is to be deleted and is the controller's. */
export const hostPathDeletion = (volume: PersistentVolume): boolean =>
  volume.spec.hostPath !== undefined && volume.spec.persistentVolumeReclaimPolicy === 'Delete' && !hasAnnotation(volume, provisionedBy)

/** Throws upstream's words for what it does not delete. */
export async function removeHostPath({ spec }: PersistentVolume): Promise<void> {
  const { path } = spec.hostPath!
  if (!/^\/tmp\/.+/.test(path) || resolve(path) !== path.replace(/\/+$/, ''))
    throw new Error(`host_path deleter only supports /tmp/.+ but received provided ${path}`)
  await rm(path, { recursive: true, force: true })
}

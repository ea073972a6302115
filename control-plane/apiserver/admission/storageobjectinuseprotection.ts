/**
 * StorageObjectInUseProtection: claims, volumes and classes of volumes' attributes get a finalizer, which a controller takes away when
 * nothing uses them.
 */
import { pvProtection, pvcProtection, vacProtection } from '#shared/api/storage/finalizers.ts'
import { isAbout, type AdmissionPlugin } from './admission.ts'

const protections = [
  ['', 'persistentvolumeclaims', pvcProtection],
  ['', 'persistentvolumes', pvProtection],
  ['storage.k8s.io', 'volumeattributesclasses', vacProtection],
] as const

export const storageObjectInUseProtection = (): AdmissionPlugin => ({
  name: 'StorageObjectInUseProtection',
  mutate(a) {
    if (a.operation !== 'CREATE') return
    const finalizer = protections.find(([group, plural]) => isAbout(a, group, plural))?.[2]
    const { metadata } = a.object!
    if (finalizer && !metadata.finalizers?.includes(finalizer)) metadata.finalizers = [...(metadata.finalizers ?? []), finalizer]
  },
})

/** StorageObjectInUseProtection: claims and volumes get a finalizer, which a controller takes away when nothing uses them. */
import { pvProtection, pvcProtection } from '#shared/api/storage/finalizers.ts'
import { isAbout, type AdmissionPlugin } from './admission.ts'

export const storageObjectInUseProtection = (): AdmissionPlugin => ({
  name: 'StorageObjectInUseProtection',
  mutate(a) {
    if (a.operation !== 'CREATE') return
    const finalizer = isAbout(a, '', 'persistentvolumeclaims')
      ? pvcProtection
      : isAbout(a, '', 'persistentvolumes')
        ? pvProtection
        : undefined
    const { metadata } = a.object!
    if (finalizer && !metadata.finalizers?.includes(finalizer)) metadata.finalizers = [...(metadata.finalizers ?? []), finalizer]
  },
})

/** DefaultStorageClass: a claim that names no storage class gets the one that is marked as the default; of several the newest. */
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import { storageClassAnnotation } from '#shared/api/core/accessmodes.ts'
import { isDefaultClass } from '#shared/api/storage/defaultclass.ts'
import type { Registry } from '../registry/registry.ts'
import { isAbout, type AdmissionPlugin } from './admission.ts'
import { newestOf } from './newestclass.ts'

export const defaultStorageClass = (registry: Registry): AdmissionPlugin => ({
  name: 'DefaultStorageClass',
  mutate(a) {
    if (a.operation !== 'CREATE' || !isAbout(a, '', 'persistentvolumeclaims')) return
    const { metadata, spec } = a.object as PersistentVolumeClaim
    if (spec.storageClassName !== undefined || metadata.annotations?.[storageClassAnnotation] !== undefined) return
    const name = newestOf(registry, { group: 'storage.k8s.io', plural: 'storageclasses' }, isDefaultClass)
    if (name !== undefined) spec.storageClassName = name
  },
})

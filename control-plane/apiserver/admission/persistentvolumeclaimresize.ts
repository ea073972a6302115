/** PersistentVolumeClaimResize: a claim grows when it is bound and its storage class lets volumes grow. */
import { storageClassAnnotation } from '#shared/api/core/accessmodes.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'
import { compareQuantity } from '#shared/machinery/quantity.ts'
import type { Registry } from '../registry/registry.ts'
import { isAbout, refused, type AdmissionPlugin } from './admission.ts'

const table = { group: 'storage.k8s.io', plural: 'storageclasses' }
const sizeOf = (c: PersistentVolumeClaim): string => c.spec.resources?.requests?.['storage'] ?? '0'
const classOf = (c: PersistentVolumeClaim): string => c.metadata.annotations?.[storageClassAnnotation] ?? c.spec.storageClassName ?? ''

export const persistentVolumeClaimResize = (registry: Registry): AdmissionPlugin => ({
  name: 'PersistentVolumeClaimResize',
  validate(a) {
    if (a.operation !== 'UPDATE' || !isAbout(a, '', 'persistentvolumeclaims')) return
    const [claim, old] = [a.object as PersistentVolumeClaim, a.old as PersistentVolumeClaim]
    if (compareQuantity(sizeOf(claim), sizeOf(old)) <= 0) return
    if (old.status?.phase !== 'Bound') throw refused(a, 'Only bound persistent volume claims can be expanded')
    const name = classOf(claim)
    const storageClass = name === '' ? undefined : (registry.get(table, '', name)?.object as StorageClass | undefined)
    if (name !== classOf(old) || !storageClass?.allowVolumeExpansion)
      throw refused(a, 'only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize')
  },
})

/** What a claim asks for; ephemeral volumes of pods embed it as a template. */
import { list, map, obj, opt, quantity, req, str, type Infer } from '../../machinery/schema.ts'
import { labelSelector } from '../meta/labelselector.ts'
import { objectMeta } from '../meta/objectmeta.ts'
import { typedLocalObjectReference, typedObjectReference } from './typedobjectreference.ts'

export const persistentVolumeClaimSpec = obj('io.k8s.api.core.v1.PersistentVolumeClaimSpec', '', () => ({
  accessModes: opt(1, list(str(['ReadWriteOnce', 'ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOncePod']))),
  selector: opt(4, labelSelector),
  resources: opt(2, volumeResourceRequirements, { default: {} }),
  volumeName: opt(3, str()),
  storageClassName: opt(5, str(), { pointer: true }),
  volumeMode: opt(6, str(['Block', 'Filesystem']), { default: 'Filesystem', pointer: true }),
  dataSource: opt(7, typedLocalObjectReference),
  dataSourceRef: opt(8, typedObjectReference),
  volumeAttributesClassName: opt(9, str(), { pointer: true }),
}))
export type PersistentVolumeClaimSpec = Infer<typeof persistentVolumeClaimSpec>

export const volumeResourceRequirements = obj('io.k8s.api.core.v1.VolumeResourceRequirements', '', () => ({
  limits: opt(1, map(quantity())),
  requests: opt(2, map(quantity())),
}))
export type VolumeResourceRequirements = Infer<typeof volumeResourceRequirements>

export const persistentVolumeClaimTemplate = obj('io.k8s.api.core.v1.PersistentVolumeClaimTemplate', '', () => ({
  metadata: opt(1, objectMeta, { default: {} }),
  spec: req(2, persistentVolumeClaimSpec),
}))
export type PersistentVolumeClaimTemplate = Infer<typeof persistentVolumeClaimTemplate>

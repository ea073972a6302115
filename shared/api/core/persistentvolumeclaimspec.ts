/** What a claim asks for; ephemeral volumes of pods embed it as a template. */
import { list, map, obj, opt, quantity, req, str, type Infer } from '../../machinery/schema.ts'
import { labelSelector } from '../meta/labelselector.ts'
import { objectMeta } from '../meta/objectmeta.ts'
import { typedLocalObjectReference, typedObjectReference } from './typedobjectreference.ts'

export const persistentVolumeClaimSpec = obj('io.k8s.api.core.v1.PersistentVolumeClaimSpec', 'What a claim asks of storage.', () => ({
  accessModes: opt(1, list(str(['ReadWriteOnce', 'ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOncePod'])), {
    doc: 'From how many nodes, and how, the volume is used.',
  }),
  selector: opt(4, labelSelector, { doc: 'Which volumes may be bound.' }),
  resources: opt(2, volumeResourceRequirements, { doc: 'How much storage is needed.', default: {} }),
  volumeName: opt(3, str(), { doc: 'The bound volume.' }),
  storageClassName: opt(5, str(), { doc: 'Storage class; empty for none, absent for the default one.', pointer: true }),
  volumeMode: opt(6, str(['Block', 'Filesystem']), { doc: 'Filesystem or Block.', default: 'Filesystem', pointer: true }),
  dataSource: opt(7, typedLocalObjectReference, { doc: 'Snapshot or claim to copy the contents from.' }),
  dataSourceRef: opt(8, typedObjectReference, { doc: 'Object of any kind to fill the volume from.' }),
  volumeAttributesClassName: opt(9, str(), { doc: 'Class of changeable attributes of the volume.', pointer: true }),
}))
export type PersistentVolumeClaimSpec = Infer<typeof persistentVolumeClaimSpec>

export const volumeResourceRequirements = obj('io.k8s.api.core.v1.VolumeResourceRequirements', 'Amounts of storage.', () => ({
  limits: opt(1, map(quantity()), { doc: 'The most that may be used, by resource.' }),
  requests: opt(2, map(quantity()), { doc: 'The least that is needed, by resource.' }),
}))
export type VolumeResourceRequirements = Infer<typeof volumeResourceRequirements>

export const persistentVolumeClaimTemplate = obj(
  'io.k8s.api.core.v1.PersistentVolumeClaimTemplate',
  'From which the claim of an ephemeral volume is made.',
  () => ({
    metadata: opt(1, objectMeta, { doc: 'Labels and annotations of the claim.', default: {} }),
    spec: req(2, persistentVolumeClaimSpec, { doc: 'What the claim asks for.' }),
  }),
)
export type PersistentVolumeClaimTemplate = Infer<typeof persistentVolumeClaimTemplate>

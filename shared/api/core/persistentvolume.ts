/** core/v1 PersistentVolume: a piece of storage. https://kubernetes.io/docs/concepts/storage/persistent-volumes/ */
import { Path } from '../../machinery/field.ts'
import { inline, list, map, obj, opt, quantity, str, time, type Infer } from '../../machinery/schema.ts'
import { formatTime } from '../../machinery/time.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { persistentVolumes } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { accessModesText, mountOptionsAnnotation, storageClassAnnotation, warningsForStorageClassAnnotation } from './accessmodes.ts'
import { warningsForTerm } from './nodelabels.ts'
import { objectReference } from './objectreference.ts'
import { persistentVolumeSource } from './persistentvolumesource.ts'
import { validatePersistentVolume, validatePersistentVolumeUpdate } from './persistentvolumevalidation.ts'
import { nodeSelector } from './podspec/affinity.ts'

const persistentVolumeSchema = obj('io.k8s.api.core.v1.PersistentVolume', 'A piece of storage of the cluster.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: opt(2, persistentVolumeSpec, { doc: 'What the storage is.', default: {} }),
  status: opt(3, persistentVolumeStatus, { doc: 'Where it is in its life.', default: {} }),
}))
export type PersistentVolume = Stored<Infer<typeof persistentVolumeSchema>>
export const persistentVolumeSpec = obj(
  'io.k8s.api.core.v1.PersistentVolumeSpec',
  'A piece of storage: where it is, how large, who may use it.',
  () => ({
    capacity: opt(1, map(quantity()), { doc: 'Its size, by resource; only storage counts.' }),
    ...inline(2, persistentVolumeSource),
    accessModes: opt(3, list(str(['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod'])), {
      doc: 'From how many nodes, and how, it may be used.',
      listType: 'atomic',
    }),
    claimRef: opt(4, objectReference, { mapType: 'granular', doc: 'The claim that it is bound to.' }),
    persistentVolumeReclaimPolicy: opt(5, str(['Delete', 'Recycle', 'Retain']), {
      doc: 'What becomes of it when its claim is gone: Retain, Delete or Recycle (deprecated).',
    }),
    storageClassName: opt(6, str(), { doc: 'Its storage class; empty for none.' }),
    mountOptions: opt(7, list(str()), { doc: 'Options for mounting it, such as ro; they are not checked.', listType: 'atomic' }),
    volumeMode: opt(8, str(['Block', 'Filesystem']), { doc: 'Filesystem or Block.', pointer: true }),
    nodeAffinity: opt(9, volumeNodeAffinity, { doc: 'Which nodes can reach it.' }),
    volumeAttributesClassName: opt(10, str(), { doc: 'Class of changeable attributes; set by the driver.', pointer: true }),
  }),
)
export type PersistentVolumeSpec = Infer<typeof persistentVolumeSpec>
const volumeNodeAffinity = obj('io.k8s.api.core.v1.VolumeNodeAffinity', 'Which nodes can reach a volume.', () => ({
  required: opt(1, nodeSelector, { doc: 'Terms of which a node must match one.' }),
}))
export type VolumeNodeAffinity = Infer<typeof volumeNodeAffinity>
const persistentVolumeStatus = obj('io.k8s.api.core.v1.PersistentVolumeStatus', 'Where a volume is in its life.', () => ({
  phase: opt(1, str(['Available', 'Bound', 'Failed', 'Pending', 'Released']), { doc: 'Pending, Available, Bound, Released or Failed.' }),
  message: opt(2, str(), { doc: 'Details for people.' }),
  reason: opt(3, str(), { doc: 'CamelCase word for a failure.' }),
  lastPhaseTransitionTime: opt(4, time(), { doc: 'When phase last changed.', pointer: true }),
}))
export type PersistentVolumeStatus = Infer<typeof persistentVolumeStatus>

const className = (v: PersistentVolume): string => v.metadata.annotations?.[storageClassAnnotation] ?? v.spec.storageClassName ?? ''

export const persistentVolume = resource<PersistentVolume>({
  ...persistentVolumes,
  schema: persistentVolumeSchema,
  singular: 'persistentvolume',
  shortNames: ['pv'],
  hasStatus: true,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  deletion: { answersWithObject: true },
  columns: [
    nameColumn,
    { name: 'Capacity', type: 'string', doc: 'Its size', cell: v => v.spec.capacity?.['storage'] ?? '0' },
    { name: 'Access Modes', type: 'string', doc: 'How it may be used', cell: v => accessModesText(v.spec.accessModes) },
    { name: 'Reclaim Policy', type: 'string', doc: 'What becomes of it', cell: v => v.spec.persistentVolumeReclaimPolicy ?? '' },
    {
      name: 'Status',
      type: 'string',
      doc: 'Where it is in its life',
      cell: v => (v.metadata.deletionTimestamp ? 'Terminating' : (v.status?.phase ?? '')),
    },
    {
      name: 'Claim',
      type: 'string',
      doc: 'The claim that it is bound to',
      cell: ({ spec: { claimRef: c } }) => (c ? `${c.namespace ?? ''}/${c.name ?? ''}` : ''),
    },
    { name: 'StorageClass', type: 'string', doc: 'StorageClass of the pv', cell: className },
    {
      name: 'VolumeAttributesClass',
      type: 'string',
      doc: 'VolumeAttributesClass of the pv',
      cell: v => v.spec.volumeAttributesClassName ?? '<unset>',
    },
    { name: 'Reason', type: 'string', doc: 'Why it failed', cell: v => v.status?.reason ?? '' },
    ageColumn,
    { name: 'VolumeMode', type: 'string', wide: true, doc: 'Filesystem or Block', cell: v => v.spec.volumeMode ?? '<unset>' },
  ],
  defaults: v => {
    v.status ??= {}
    v.status.phase ||= 'Pending'
    v.spec.persistentVolumeReclaimPolicy ||= 'Retain'
    v.spec.volumeMode ??= 'Filesystem'
  },
  prepareForCreate: v => {
    v.status = { phase: 'Pending', lastPhaseTransitionTime: formatTime() }
  },
  prepareForUpdate: (v, old, ctx) => {
    if (ctx.subresource !== 'status' || !v.status) return
    v.status.phase ||= 'Pending'
    const untold = v.status.lastPhaseTransitionTime ?? old.status?.lastPhaseTransitionTime
    if (v.status.phase !== old.status?.phase && untold === old.status?.lastPhaseTransitionTime)
      v.status.lastPhaseTransitionTime = formatTime()
  },
  validate: (v, at) => validatePersistentVolume(v, at),
  validateUpdate: (v, old, at, ctx) => (ctx.subresource === 'status' ? [] : validatePersistentVolumeUpdate(v.spec, old.spec, at)),
  warnings: warningsForVolume,
})

/** Sources that no longer work. */
const goneSources: readonly [keyof PersistentVolumeSpec, string][] = [
  ['cephfs', 'spec.cephfs: deprecated in v1.28, non-functional in v1.31+'],
  ['photonPersistentDisk', 'spec.photonPersistentDisk: deprecated in v1.11, non-functional in v1.16+'],
  ['scaleIO', 'spec.scaleIO: deprecated in v1.16, non-functional in v1.22+'],
  ['storageos', 'spec.storageOS: deprecated in v1.22, non-functional in v1.25+'],
  ['glusterfs', 'spec.glusterfs: deprecated in v1.25, non-functional in v1.26+'],
  ['rbd', 'spec.rbd: deprecated in v1.28, non-functional in v1.31+'],
]

function warningsForVolume({ metadata, spec }: PersistentVolume): string[] {
  const warnings = warningsForStorageClassAnnotation(metadata)
  if (metadata.annotations?.[mountOptionsAnnotation] !== undefined)
    warnings.push(`metadata.annotations[${mountOptionsAnnotation}]: deprecated since v1.31; use "mountOptions" attribute instead`)
  if (spec.persistentVolumeReclaimPolicy === 'Recycle')
    warnings.push(
      'spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. ' +
        'Instead, the recommended approach is to use dynamic provisioning.',
    )
  const terms = new Path('spec').child('nodeAffinity', 'required', 'nodeSelectorTerms')
  spec.nodeAffinity?.required?.nodeSelectorTerms?.forEach((term, i) => warnings.push(...warningsForTerm(term, false, terms.index(i))))
  const gone = goneSources.find(([name]) => spec[name] !== undefined)
  return gone ? [...warnings, gone[1]] : warnings
}

/** core/v1 PersistentVolumeClaim: a user's claim to storage. https://kubernetes.io/docs/concepts/storage/persistent-volumes/ */
import { Path } from '../../machinery/field.ts'
import { list, map, obj, opt, quantity, req, str, time, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { persistentVolumeClaims } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { accessModesText, storageClassAnnotation, warningsForStorageClassAnnotation } from './accessmodes.ts'
import { persistentVolumeClaimSpec, type PersistentVolumeClaimSpec } from './persistentvolumeclaimspec.ts'
import { validatePersistentVolumeClaimSpec, warningsForPersistentVolumeClaimSpec } from './persistentvolumeclaimspecvalidation.ts'
import { validatePersistentVolumeClaimStatus, validatePersistentVolumeClaimUpdate } from './persistentvolumeclaimvalidation.ts'

export const persistentVolumeClaimSchema = obj('io.k8s.api.core.v1.PersistentVolumeClaim', "A user's claim to storage.", () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: opt(2, persistentVolumeClaimSpec, { doc: 'What is asked of storage.', default: {} }),
  status: opt(3, persistentVolumeClaimStatus, { doc: 'What was found.', default: {} }),
}))
export type PersistentVolumeClaim = Stored<Infer<typeof persistentVolumeClaimSchema>>
const persistentVolumeClaimStatus = obj('io.k8s.api.core.v1.PersistentVolumeClaimStatus', 'The volume of a claim as it is.', () => ({
  phase: opt(1, str(['Bound', 'Lost', 'Pending']), { doc: 'Pending, Bound or Lost.' }),
  accessModes: opt(2, list(str(['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod'])), {
    doc: 'How the bound volume may be used.',
    listType: 'atomic',
  }),
  capacity: opt(3, map(quantity()), { doc: 'Size of the bound volume.' }),
  conditions: opt(4, list(persistentVolumeClaimCondition), {
    doc: 'Observed aspects, such as a resize that goes on.',
    listType: 'map',
    listMapKeys: ['type'],
    mergeKey: 'type',
    patchStrategy: 'merge',
  }),
  allocatedResources: opt(5, map(quantity()), {
    doc: 'Size that was allocated, which may be more than the capacity while the volume grows.',
  }),
  allocatedResourceStatuses: opt(
    7,
    map(
      str([
        'ControllerResizeInProgress',
        'ControllerResizeInfeasible',
        'NodeResizeInProgress',
        'NodeResizeInfeasible',
        'NodeResizePending',
      ]),
    ),
    { doc: 'How far a resize is, by resource.' },
  ),
  currentVolumeAttributesClassName: opt(8, str(), { doc: 'The class of attributes that is in effect.', pointer: true }),
  modifyVolumeStatus: opt(9, modifyVolumeStatus, { doc: 'How far a change of the class of attributes is.' }),
}))
export type PersistentVolumeClaimStatus = Infer<typeof persistentVolumeClaimStatus>
const modifyVolumeStatus = obj('io.k8s.api.core.v1.ModifyVolumeStatus', "A change of a volume's attributes that goes on.", () => ({
  targetVolumeAttributesClassName: opt(1, str(), { doc: 'The class that is wanted.' }),
  status: req(2, str(['InProgress', 'Infeasible', 'Pending']), { doc: 'Pending, InProgress or Infeasible.', default: '' }),
}))
export type ModifyVolumeStatus = Infer<typeof modifyVolumeStatus>
const persistentVolumeClaimCondition = obj(
  'io.k8s.api.core.v1.PersistentVolumeClaimCondition',
  'One aspect of the state of a claim.',
  () => ({
    type: req(1, str(), { doc: 'Name of the aspect.', default: '' }),
    status: req(2, str(), { doc: 'True, False or Unknown.', default: '' }),
    lastProbeTime: opt(3, time(), { doc: 'When it was last looked at.' }),
    lastTransitionTime: opt(4, time(), { doc: 'When status last changed.' }),
    reason: opt(5, str(), { doc: 'One word for why.' }),
    message: opt(6, str(), { doc: 'Why, for people.' }),
  }),
)
export type PersistentVolumeClaimCondition = Infer<typeof persistentVolumeClaimCondition>

const className = (c: PersistentVolumeClaim): string => c.metadata.annotations?.[storageClassAnnotation] ?? c.spec.storageClassName ?? ''

export const persistentVolumeClaim = resource<PersistentVolumeClaim>({
  ...persistentVolumeClaims,
  schema: persistentVolumeClaimSchema,
  singular: 'persistentvolumeclaim',
  shortNames: ['pvc'],
  hasStatus: true,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  deletion: { answersWithObject: true },
  columns: [
    nameColumn,
    {
      name: 'Status',
      type: 'string',
      doc: 'Where it is in its life',
      cell: c => (c.metadata.deletionTimestamp ? 'Terminating' : (c.status?.phase ?? '')),
    },
    { name: 'Volume', type: 'string', doc: 'The bound volume', cell: c => c.spec.volumeName ?? '' },
    {
      name: 'Capacity',
      type: 'string',
      doc: 'Size of the bound volume',
      cell: c => (c.spec.volumeName ? (c.status?.capacity?.['storage'] ?? '0') : ''),
    },
    {
      name: 'Access Modes',
      type: 'string',
      doc: 'How the bound volume may be used',
      cell: c => (c.spec.volumeName ? accessModesText(c.status?.accessModes) : ''),
    },
    { name: 'StorageClass', type: 'string', doc: 'StorageClass of the pvc', cell: className },
    {
      name: 'VolumeAttributesClass',
      type: 'string',
      doc: 'VolumeAttributesClass of the pvc',
      cell: c => c.spec.volumeAttributesClassName ?? '<unset>',
    },
    ageColumn,
    { name: 'VolumeMode', type: 'string', wide: true, doc: 'Filesystem or Block', cell: c => c.spec.volumeMode ?? '<unset>' },
  ],
  defaults: c => {
    c.status ??= {}
    c.status.phase ||= 'Pending'
  },
  prepareForCreate: c => {
    c.status = { phase: 'Pending' }
    normalizeSources(c.spec, undefined)
  },
  prepareForUpdate: (c, old, ctx) => {
    if (ctx.subresource === '') normalizeSources(c.spec, old.spec)
    else if (c.status) c.status.phase ||= 'Pending'
  },
  validate: (c, at) => validatePersistentVolumeClaimSpec(c.spec, at.child('spec')),
  validateUpdate: (c, old, at, ctx) =>
    ctx.subresource === 'status' ? validatePersistentVolumeClaimStatus(c, at) : validatePersistentVolumeClaimUpdate(c, old, at),
  warnings: c => [...warningsForStorageClassAnnotation(c.metadata), ...warningsForPersistentVolumeClaimSpec(c.spec, new Path('spec'))],
})

/**
 * The older of the two fields for what a volume is filled with only knows snapshots and claims, and what one of them says the other says
 * too. A source in another namespace needs a feature that is off.
 */
function normalizeSources(spec: PersistentVolumeClaimSpec, old: PersistentVolumeClaimSpec | undefined): void {
  if (spec.dataSourceRef?.namespace && !old?.dataSourceRef?.namespace) delete spec.dataSourceRef
  const { apiGroup = '', kind } = spec.dataSource ?? {}
  const known = apiGroup === '' ? kind === 'PersistentVolumeClaim' : apiGroup === 'snapshot.storage.k8s.io' && kind === 'VolumeSnapshot'
  if (!known && !old?.dataSource) delete spec.dataSource
  if (spec.dataSource && !spec.dataSourceRef) spec.dataSourceRef = { ...spec.dataSource }
  else if (spec.dataSourceRef && !spec.dataSource && !spec.dataSourceRef.namespace) {
    const { namespace: _namespace, ...source } = spec.dataSourceRef
    spec.dataSource = source
  }
}

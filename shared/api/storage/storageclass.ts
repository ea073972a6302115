/** storage.k8s.io/v1 StorageClass: how storage is made. https://kubernetes.io/docs/concepts/storage/storage-classes/ */
import { forbidden, notSupported, required, type FieldError, Path } from '../../machinery/field.ts'
import { bool, list, map, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { deprecatedLabel } from '../core/nodelabels.ts'
import { topologySelectorTerm, validateTopologySelectorTerms } from '../core/topologyselectorterm.ts'
import { storageClasses } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { semanticEqual, validateImmutable } from '../meta/validation.ts'
import { resource } from '../resource.ts'
import { isDefaultClass } from './defaultclass.ts'
import { validateParameters, validateProvisioner } from './parametervalidation.ts'

const storageClassSchema = obj('io.k8s.api.storage.v1.StorageClass', 'How storage is made for claims of the class.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  provisioner: req(2, str(), { doc: 'Who makes the volumes.', default: '' }),
  parameters: opt(3, map(str()), { doc: 'Settings for the provisioner.' }),
  reclaimPolicy: opt(4, str(), { doc: 'What becomes of its volumes when their claims are gone: Delete or Retain.', pointer: true }),
  mountOptions: opt(5, list(str()), { doc: 'Options for mounting its volumes.', listType: 'atomic' }),
  allowVolumeExpansion: opt(6, bool(), { doc: 'Whether volumes may grow.' }),
  volumeBindingMode: opt(7, str(['Immediate', 'WaitForFirstConsumer']), {
    doc: 'Whether volumes are made at once or for the first pod.',
    pointer: true,
  }),
  allowedTopologies: opt(8, list(topologySelectorTerm), { doc: 'Where volumes may be made.', listType: 'atomic' }),
}))
export type StorageClass = Stored<Infer<typeof storageClassSchema>>

export const storageClass = resource<StorageClass>({
  ...storageClasses,
  schema: storageClassSchema,
  singular: 'storageclass',
  shortNames: ['sc'],
  columns: [
    { ...nameColumn, cell: c => `${c.metadata.name}${isDefaultClass(c.metadata) ? ' (default)' : ''}` },
    { name: 'Provisioner', type: 'string', doc: 'Who makes the volumes', cell: c => c.provisioner },
    { name: 'ReclaimPolicy', type: 'string', doc: 'What becomes of volumes', cell: c => c.reclaimPolicy ?? 'Delete' },
    { name: 'VolumeBindingMode', type: 'string', doc: 'When volumes are made', cell: c => c.volumeBindingMode ?? 'Immediate' },
    { name: 'AllowVolumeExpansion', type: 'string', doc: 'Whether volumes may grow', cell: c => c.allowVolumeExpansion ?? false },
    ageColumn,
  ],
  defaults: c => {
    c.reclaimPolicy ??= 'Delete'
    c.volumeBindingMode ??= 'Immediate'
  },
  validate: (c, at) => [
    ...validateProvisioner(c.provisioner, at.child('provisioner')),
    ...validateParameters(c.parameters, at.child('parameters')),
    ...(c.reclaimPolicy && !reclaimPolicies.includes(c.reclaimPolicy)
      ? [notSupported(at.child('reclaimPolicy'), c.reclaimPolicy, reclaimPolicies)]
      : []),
    ...validateBindingMode(c.volumeBindingMode, at.child('volumeBindingMode')),
    ...validateTopologySelectorTerms(c.allowedTopologies ?? [], at.child('allowedTopologies')),
  ],
  validateUpdate: (c, old, at) => [
    ...(['parameters', 'provisioner', 'reclaimPolicy'] as const)
      .filter(field => !semanticEqual(c[field], old[field]))
      .map(field => forbidden(at.child(field), `updates to ${field} are forbidden.`)),
    ...validateImmutable(c.volumeBindingMode, old.volumeBindingMode, at.child('volumeBindingMode')),
  ],
  warnings: c =>
    (c.allowedTopologies ?? []).flatMap((term, i) =>
      (term.matchLabelExpressions ?? []).flatMap(({ key }, j) => {
        const said = deprecatedLabel(key)
        const here = new Path('allowedTopologies').index(i).child('matchLabelExpressions').index(j).child('key')
        return said === undefined ? [] : [`${here}: ${key} is ${said}`]
      }),
    ),
})

const reclaimPolicies = ['Delete', 'Retain']
const bindingModes = ['Immediate', 'WaitForFirstConsumer']
function validateBindingMode(mode: string | undefined, at: Path): FieldError[] {
  if (mode === undefined) return [required(at)]
  return bindingModes.includes(mode) ? [] : [notSupported(at, mode, bindingModes)]
}

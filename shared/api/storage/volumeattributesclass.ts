/** storage.k8s.io/v1 VolumeAttributesClass. https://kubernetes.io/docs/concepts/storage/volume-attributes-classes/ */
import { forbidden, required } from '../../machinery/field.ts'
import { map, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { volumeAttributesClasses } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { semanticEqual } from '../meta/validation.ts'
import { resource } from '../resource.ts'
import { validateParameters, validateProvisioner } from './parametervalidation.ts'

const volumeAttributesClassSchema = obj(
  'io.k8s.api.storage.v1.VolumeAttributesClass',
  'Attributes of volumes that can be changed while they are in use.',
  () => ({
    ...typeMeta(),
    metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
    driverName: req(2, str(), { doc: 'The CSI driver; cannot change.', default: '' }),
    parameters: opt(3, map(str()), { doc: 'The attributes; cannot change.' }),
  }),
)
export type VolumeAttributesClass = Stored<Infer<typeof volumeAttributesClassSchema>>

export const volumeAttributesClass = resource<VolumeAttributesClass>({
  ...volumeAttributesClasses,
  schema: volumeAttributesClassSchema,
  singular: 'volumeattributesclass',
  shortNames: ['vac'],
  allowUnconditionalUpdate: false,
  columns: [nameColumn, { name: 'DriverName', type: 'string', doc: 'The CSI driver', cell: c => c.driverName }, ageColumn],
  validate: (c, at) => [
    ...validateProvisioner(c.driverName, at.child('driverName')),
    ...(Object.keys(c.parameters ?? {}).length === 0
      ? [required(at.child('parameters'), 'must contain at least one key/value pair')]
      : validateParameters(c.parameters, at.child('parameters'))),
  ],
  validateUpdate: (c, old, at) =>
    (['driverName', 'parameters'] as const)
      .filter(field => !semanticEqual(c[field], old[field]))
      .map(field => forbidden(at.child(field), `updates to ${field} are forbidden.`)),
})

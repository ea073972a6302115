/** core/v1 ConfigMap: configuration for pods. https://kubernetes.io/docs/concepts/configuration/configmap/ */
import { forbidden, invalid, tooLong, type FieldError, type Path } from '../../machinery/field.ts'
import { isConfigMapKey } from '../../machinery/names.ts'
import { bool, bytes, map, obj, opt, str, type Infer } from '../../machinery/schema.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { configMaps } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { semanticEqual } from '../meta/validation.ts'
import { resource } from '../resource.ts'

const configMapSchema = obj('io.k8s.api.core.v1.ConfigMap', 'Configuration for pods.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  immutable: opt(4, bool(), { doc: 'When true the data cannot change any more.' }),
  data: opt(2, map(str()), { doc: 'Values in UTF-8.' }),
  binaryData: opt(3, map(bytes()), { doc: 'Values that are not UTF-8, in base64; keys do not overlap with those of data.' }),
}))
export type ConfigMap = Stored<Infer<typeof configMapSchema>>

export const configMap = resource<ConfigMap>({
  ...configMaps,
  schema: configMapSchema,
  singular: 'configmap',
  shortNames: ['cm'],
  columns: [
    nameColumn,
    { name: 'Data', type: 'string', doc: 'How many keys it has', cell: c => size(c.data) + size(c.binaryData) },
    ageColumn,
  ],
  validate: validateConfigMap,
  validateUpdate: (c, old, at) => validateStillImmutable(c, old, ['data', 'binaryData'], at),
})

const size = (map: object | undefined): number => Object.keys(map ?? {}).length
/** Most bytes that a ConfigMap or Secret holds. */
export const maxDataBytes = 1024 * 1024
/** The bytes that a base64 text stands for. */
export const decodedLength = (text: string): number => Buffer.byteLength(text, 'base64')

function validateConfigMap(c: ConfigMap, at: Path): FieldError[] {
  const errors: FieldError[] = []
  let bytes = 0
  for (const [key, value] of Object.entries(c.data ?? {})) {
    errors.push(...isConfigMapKey(key).map(e => invalid(at.child('data').key(key), key, e)))
    if (c.binaryData && Object.hasOwn(c.binaryData, key))
      errors.push(invalid(at.child('data').key(key), key, 'duplicate of key present in binaryData'))
    bytes += Buffer.byteLength(value)
  }
  for (const [key, value] of Object.entries(c.binaryData ?? {})) {
    errors.push(...isConfigMapKey(key).map(e => invalid(at.child('binaryData').key(key), key, e)))
    bytes += decodedLength(value)
  }
  if (bytes > maxDataBytes) errors.push(tooLong(at, maxDataBytes))
  return errors
}

/** Once `immutable` is true it stays, and so do the named fields; for ConfigMap and Secret. */
export function validateStillImmutable<T extends { immutable?: boolean | undefined }>(
  object: T,
  old: T,
  fields: readonly (keyof T & string)[],
  at: Path,
): FieldError[] {
  if (!old.immutable) return []
  const changed = fields.filter(f => !semanticEqual(object[f], old[f]))
  return [...(object.immutable ? [] : ['immutable']), ...changed].map(f =>
    forbidden(at.child(f), 'field is immutable when `immutable` is set'),
  )
}

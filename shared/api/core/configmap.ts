/** core/v1 ConfigMap: configuration for pods. https://kubernetes.io/docs/concepts/configuration/configmap/ */
import { bool, bytes, map, obj, opt, str, type Infer } from '../../machinery/schema.ts'
import { configMaps } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
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
})

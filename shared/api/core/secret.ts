/** core/v1 Secret: confidential data for pods. https://kubernetes.io/docs/concepts/configuration/secret/ */
import { bool, bytes, map, obj, opt, str, type Infer } from '../../machinery/schema.ts'
import { secrets } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'

const secretSchema = obj('io.k8s.api.core.v1.Secret', 'Confidential data for pods.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  immutable: opt(5, bool(), { doc: 'When true the data cannot change any more.' }),
  data: opt(2, map(bytes()), { doc: 'Values in base64.' }),
  stringData: opt(4, map(str()), { doc: 'Values in plain text, merged into data when written; never shown.' }),
  type: opt(3, str(), { doc: 'What the secret is for; tells which keys it must have.' }),
}))
export type Secret = Stored<Infer<typeof secretSchema>>

export const secret = resource<Secret>({
  ...secrets,
  schema: secretSchema,
  singular: 'secret',
})

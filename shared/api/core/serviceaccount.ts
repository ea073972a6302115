/** core/v1 ServiceAccount: an identity for processes in pods. https://kubernetes.io/docs/concepts/security/service-accounts/ */
import { bool, list, obj, opt, type Infer } from '../../machinery/schema.ts'
import { serviceAccounts } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { localObjectReference, objectReference } from './objectreference.ts'

const serviceAccountSchema = obj('io.k8s.api.core.v1.ServiceAccount', 'An identity for the processes in pods.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  secrets: opt(2, list(objectReference), {
    doc: 'Secrets that its pods may use.',
    listType: 'map',
    listMapKeys: ['name'],
    mergeKey: 'name',
    patchStrategy: 'merge',
  }),
  imagePullSecrets: opt(3, list(localObjectReference), { doc: 'Secrets to pull images with.', listType: 'atomic' }),
  automountServiceAccountToken: opt(4, bool(), { doc: 'Whether its pods get a token; a pod may say otherwise.' }),
}))
export type ServiceAccount = Stored<Infer<typeof serviceAccountSchema>>

const mountable = 'kubernetes.io/enforce-mountable-secrets'

export const serviceAccount = resource<ServiceAccount>({
  ...serviceAccounts,
  schema: serviceAccountSchema,
  singular: 'serviceaccount',
  deletion: { answersWithObject: true },
  warnings: s =>
    s.metadata.annotations?.[mountable] === undefined
      ? []
      : [`metadata.annotations[${mountable}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets`],
  shortNames: ['sa'],
  subresources: { token: { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest', verbs: ['create'] } },
})

/** policy/v1 Eviction: the body of a pod's eviction subresource. */
import { obj, opt, type Infer } from '../../machinery/schema.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { deleteOptions } from '../meta/options.ts'

export const eviction = obj('io.k8s.api.policy.v1.Eviction', 'Evicts a pod, as far as disruption budgets allow.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Name and namespace of the pod.', default: {} }),
  deleteOptions: opt(2, deleteOptions, { doc: 'How the pod is deleted.' }),
}))
export type Eviction = Stored<Infer<typeof eviction>>

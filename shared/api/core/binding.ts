/** core/v1 Binding: the body of a pod's binding subresource. */
import { obj, opt, req, type Infer } from '../../machinery/schema.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { objectReference } from './objectreference.ts'

export const binding = obj('io.k8s.api.core.v1.Binding', 'Assigns a pod to a node.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Name and namespace of the pod.', default: {} }),
  target: req(2, objectReference, { doc: 'The node.', default: {} }),
}))
export type Binding = Stored<Infer<typeof binding>>

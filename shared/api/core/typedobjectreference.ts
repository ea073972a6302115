/** References that name the kind of what they refer to. */
import { obj, opt, req, str, type Infer } from '../../machinery/schema.ts'

export const typedLocalObjectReference = obj(
  'io.k8s.api.core.v1.TypedLocalObjectReference',
  'Names an object of any kind in the same namespace.',
  () => ({
    apiGroup: opt(1, str(), { doc: 'API group of the object; the core group when absent.', pointer: true }),
    kind: req(2, str(), { doc: 'Kind of the object.' }),
    name: req(3, str(), { doc: 'Name of the object.' }),
  }),
  { atomic: true },
)
export type TypedLocalObjectReference = Infer<typeof typedLocalObjectReference>

export const typedObjectReference = obj(
  'io.k8s.api.core.v1.TypedObjectReference',
  'Names an object of any kind, perhaps in another namespace.',
  () => ({
    apiGroup: opt(1, str(), { doc: 'API group of the object; the core group when absent.', pointer: true }),
    kind: req(2, str(), { doc: 'Kind of the object.' }),
    name: req(3, str(), { doc: 'Name of the object.' }),
    namespace: opt(4, str(), { doc: 'Namespace of the object; the own one when absent.', pointer: true }),
  }),
)
export type TypedObjectReference = Infer<typeof typedObjectReference>

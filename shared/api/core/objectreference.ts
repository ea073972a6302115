/** core/v1 ObjectReference and LocalObjectReference. */
import { obj, opt, str, type Infer } from '../../machinery/schema.ts'

export const objectReference = obj(
  'io.k8s.api.core.v1.ObjectReference',
  'Points at an object, or at a part of it.',
  () => ({
    kind: opt(1, str(), { doc: 'Kind of the object.' }),
    namespace: opt(2, str(), { doc: 'Namespace of the object.' }),
    name: opt(3, str(), { doc: 'Name of the object.' }),
    uid: opt(4, str(), { doc: 'UID of the object.' }),
    apiVersion: opt(5, str(), { doc: 'API version of the object.' }),
    resourceVersion: opt(6, str(), { doc: 'The version that is meant, if one in particular.' }),
    fieldPath: opt(7, str(), { doc: 'The part that is meant, such as spec.containers{name}.' }),
  }),
  { atomic: true },
)
export type ObjectReference = Infer<typeof objectReference>

export const localObjectReference = obj(
  'io.k8s.api.core.v1.LocalObjectReference',
  'Names an object in the same namespace.',
  () => ({ name: opt(1, str(), { doc: 'Name of the object.', default: '' }) }),
  { atomic: true },
)
export type LocalObjectReference = Infer<typeof localObjectReference>

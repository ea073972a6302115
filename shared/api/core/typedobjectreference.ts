/** References that name the kind of what they refer to. */
import { obj, opt, req, str, type Infer } from '../../machinery/schema.ts'

export const typedLocalObjectReference = obj(
  'io.k8s.api.core.v1.TypedLocalObjectReference',
  '',
  () => ({
    apiGroup: opt(1, str(), { pointer: true }),
    kind: req(2, str()),
    name: req(3, str()),
  }),
  { atomic: true },
)
export type TypedLocalObjectReference = Infer<typeof typedLocalObjectReference>

export const typedObjectReference = obj('io.k8s.api.core.v1.TypedObjectReference', '', () => ({
  apiGroup: opt(1, str(), { pointer: true }),
  kind: req(2, str()),
  name: req(3, str()),
  namespace: opt(4, str(), { pointer: true }),
}))
export type TypedObjectReference = Infer<typeof typedObjectReference>

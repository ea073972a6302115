/** metav1.Status as a schema, for OpenAPI and the wire codecs; shared/machinery/status.ts has the errors themselves. */
import { int32, list, obj, opt, str } from '../../machinery/schema.ts'
import { listMeta } from './listmeta.ts'
import { typeMeta } from './objectmeta.ts'

export const statusCause = obj('io.k8s.apimachinery.pkg.apis.meta.v1.StatusCause', 'One reason for a failure.', () => ({
  reason: opt(1, str(), { doc: 'Machine-readable word for the cause.' }),
  message: opt(2, str(), { doc: 'The cause in words.' }),
  field: opt(3, str(), { doc: 'Path of the field that caused the failure.' }),
}))

export const statusDetails = obj('io.k8s.apimachinery.pkg.apis.meta.v1.StatusDetails', 'What a failure or a success is about.', () => ({
  name: opt(1, str(), { doc: 'Name of the object.' }),
  group: opt(2, str(), { doc: 'API group of the object.' }),
  kind: opt(3, str(), { doc: 'Kind, or mostly resource, of the object.' }),
  uid: opt(6, str(), { doc: 'UID of the object, when one was addressed.' }),
  causes: opt(4, list(statusCause), { doc: 'All causes of the failure.', listType: 'atomic' }),
  retryAfterSeconds: opt(5, int32(), { doc: 'When to try again.', pointer: false }),
}))

export const status = obj(
  'io.k8s.apimachinery.pkg.apis.meta.v1.Status',
  'The outcome of a request that does not answer with an object.',
  () => ({
    ...typeMeta(),
    metadata: opt(1, listMeta, { doc: 'List metadata.', default: {} }),
    status: opt(2, str(), { doc: 'Success or Failure.' }),
    message: opt(3, str(), { doc: 'The outcome in words.' }),
    reason: opt(4, str(), { doc: 'Machine-readable word for a failure.' }),
    details: opt(5, statusDetails, { doc: 'What the outcome is about.' }),
    code: opt(6, int32(), { doc: 'The HTTP status code.', pointer: false }),
  }),
)

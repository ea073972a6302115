/**
 * authorization.k8s.io/v1 SubjectAccessReview, SelfSubjectAccessReview and LocalSubjectAccessReview: may somebody do something? Not stored.
 */
import { bool, list, map, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { labelSelectorRequirement } from '../meta/labelselector.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'

const fieldSelectorRequirement = obj('io.k8s.apimachinery.pkg.apis.meta.v1.FieldSelectorRequirement', 'What a field must be.', () => ({
  key: req(1, str(), { doc: 'The field.', default: '' }),
  operator: req(2, str(), { doc: 'In, NotIn, Exists or DoesNotExist.', default: '' }),
  values: opt(3, list(str()), { doc: 'Values for In and NotIn.', listType: 'atomic' }),
}))
const fieldSelectorAttributes = obj('io.k8s.api.authorization.v1.FieldSelectorAttributes', 'A limit by fields.', () => ({
  rawSelector: opt(1, str(), { doc: 'As in the query of a request; not with requirements.' }),
  requirements: opt(2, list(fieldSelectorRequirement), { doc: 'All must be met.', listType: 'atomic' }),
}))
const labelSelectorAttributes = obj('io.k8s.api.authorization.v1.LabelSelectorAttributes', 'A limit by labels.', () => ({
  rawSelector: opt(1, str(), { doc: 'As in the query of a request; not with requirements.' }),
  requirements: opt(2, list(labelSelectorRequirement), { doc: 'All must be met.', listType: 'atomic' }),
}))
const resourceAttributes = obj('io.k8s.api.authorization.v1.ResourceAttributes', 'A request for a resource.', () => ({
  namespace: opt(1, str(), { doc: 'Empty for all, and for what is in none.' }),
  verb: opt(2, str(), { doc: 'get, list, create, ...; * means all.' }),
  group: opt(3, str(), { doc: 'API group; * means all.' }),
  version: opt(4, str(), { doc: 'API version; * means all.' }),
  resource: opt(5, str(), { doc: 'The resource; * means all.' }),
  subresource: opt(6, str(), { doc: 'The subresource, if one is meant.' }),
  name: opt(7, str(), { doc: 'Empty for all.' }),
  fieldSelector: opt(8, fieldSelectorAttributes, { doc: 'Limits what is asked for, by fields.' }),
  labelSelector: opt(9, labelSelectorAttributes, { doc: 'Limits what is asked for, by labels.' }),
}))
const nonResourceAttributes = obj('io.k8s.api.authorization.v1.NonResourceAttributes', 'A request for a path.', () => ({
  path: opt(1, str(), { doc: 'The path.' }),
  verb: opt(2, str(), { doc: 'The HTTP method in lower case.' }),
}))
export type ResourceAttributes = Infer<typeof resourceAttributes>

const spec = obj('io.k8s.api.authorization.v1.SubjectAccessReviewSpec', 'Who, and what.', () => ({
  resourceAttributes: opt(1, resourceAttributes, { doc: 'A request for a resource.' }),
  nonResourceAttributes: opt(2, nonResourceAttributes, { doc: 'A request for a path.' }),
  user: opt(3, str(), { doc: 'The user.' }),
  groups: opt(4, list(str()), { doc: 'Groups the user is in.', listType: 'atomic' }),
  extra: opt(5, map(list(str())), { doc: 'What else the authenticator said.' }),
  uid: opt(6, str(), { doc: 'UID of the user.' }),
}))
const selfSpec = obj('io.k8s.api.authorization.v1.SelfSubjectAccessReviewSpec', 'What.', () => ({
  resourceAttributes: opt(1, resourceAttributes, { doc: 'A request for a resource.' }),
  nonResourceAttributes: opt(2, nonResourceAttributes, { doc: 'A request for a path.' }),
}))
const status = obj('io.k8s.api.authorization.v1.SubjectAccessReviewStatus', 'Whether.', () => ({
  allowed: req(1, bool(), { doc: 'Whether it is allowed.', default: false }),
  denied: opt(4, bool(), { doc: 'Whether somebody denies it, not only nobody allows it.', pointer: false }),
  reason: opt(2, str(), { doc: 'Why.' }),
  evaluationError: opt(3, str(), { doc: 'What went wrong while it was decided.' }),
}))
export type AccessReviewStatus = Infer<typeof status>

const review = <S extends typeof spec | typeof selfSpec>(name: string, doc: string, of: S) =>
  obj(`io.k8s.api.authorization.v1.${name}`, doc, () => ({
    ...typeMeta(),
    metadata: opt(1, objectMeta, { doc: 'Empty, but for the namespace of a LocalSubjectAccessReview.', default: {} }),
    spec: req(2, of, { doc: 'The question.', default: {} }),
    status: opt(3, status, { doc: 'The answer, filled in by the server.', default: {} }),
  }))
export const subjectAccessReview = review('SubjectAccessReview', 'Asks whether somebody may do something.', spec)
export const localSubjectAccessReview = review('LocalSubjectAccessReview', 'Asks the same of one namespace.', spec)
export const selfSubjectAccessReview = review('SelfSubjectAccessReview', 'Asks whether the asking one may do something.', selfSpec)
export type SubjectAccessReview = Stored<Infer<typeof subjectAccessReview>>

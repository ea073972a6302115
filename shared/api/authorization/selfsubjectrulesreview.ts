/** authorization.k8s.io/v1 SelfSubjectRulesReview: what the asking one may do in a namespace. Not stored. */
import { bool, list, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'

const spec = obj('io.k8s.api.authorization.v1.SelfSubjectRulesReviewSpec', 'Where.', () => ({
  namespace: opt(1, str(), { doc: 'The namespace.' }),
}))
const resourceRule = obj('io.k8s.api.authorization.v1.ResourceRule', 'What may be done with resources.', () => ({
  verbs: req(1, list(str()), { doc: 'Verbs; * means all.', listType: 'atomic' }),
  apiGroups: opt(2, list(str()), { doc: 'API groups; * means all.', listType: 'atomic' }),
  resources: opt(3, list(str()), { doc: 'Resources; * means all.', listType: 'atomic' }),
  resourceNames: opt(4, list(str()), { doc: 'Names; empty means all.', listType: 'atomic' }),
}))
const nonResourceRule = obj('io.k8s.api.authorization.v1.NonResourceRule', 'What may be done with paths.', () => ({
  verbs: req(1, list(str()), { doc: 'Methods in lower case; * means all.', listType: 'atomic' }),
  nonResourceURLs: opt(2, list(str()), { doc: 'Paths; a * may end one.', listType: 'atomic' }),
}))
const status = obj('io.k8s.api.authorization.v1.SubjectRulesReviewStatus', 'The rules.', () => ({
  resourceRules: req(1, list(resourceRule), { doc: 'Of resources.', listType: 'atomic' }),
  nonResourceRules: req(2, list(nonResourceRule), { doc: 'Of paths.', listType: 'atomic' }),
  incomplete: req(3, bool(), { doc: 'Whether there may be more that could not be told.', default: false }),
  evaluationError: opt(4, str(), { doc: 'What went wrong.' }),
}))
export const selfSubjectRulesReview = obj('io.k8s.api.authorization.v1.SelfSubjectRulesReview', 'Asks what one may do.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Unused.', default: {} }),
  spec: req(2, spec, { doc: 'The question.', default: {} }),
  status: opt(3, status, { doc: 'The answer, filled in by the server.' }),
}))
export type SelfSubjectRulesReview = Stored<Infer<typeof selfSubjectRulesReview>>

/** authentication.k8s.io/v1 SelfSubjectReview: who am I? Not stored. */
import { obj, opt, type Infer } from '../../machinery/schema.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { userInfo } from './userinfo.ts'

const status = obj('io.k8s.api.authentication.v1.SelfSubjectReviewStatus', 'Who asks.', () => ({
  userInfo: opt(1, userInfo, { doc: 'Who asks.', default: {} }),
}))
export const selfSubjectReview = obj('io.k8s.api.authentication.v1.SelfSubjectReview', 'Asks who one is.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Unused.', default: {} }),
  status: opt(2, status, { doc: 'The answer, filled in by the server.', default: {} }),
}))
export type SelfSubjectReview = Stored<Infer<typeof selfSubjectReview>>

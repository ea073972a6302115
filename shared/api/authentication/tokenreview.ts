/** authentication.k8s.io/v1 TokenReview: asks whom a token belongs to. Not stored. */
import { bool, list, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { userInfo } from './userinfo.ts'

export const tokenReviewSpec = obj('io.k8s.api.authentication.v1.TokenReviewSpec', 'The token to check.', () => ({
  token: opt(1, str(), { doc: 'The opaque bearer token.' }),
  audiences: opt(2, list(str()), { doc: 'Who the asker is; at least one must be among those of the token.', listType: 'atomic' }),
}))
export const tokenReviewStatus = obj('io.k8s.api.authentication.v1.TokenReviewStatus', 'What the check found.', () => ({
  authenticated: opt(1, bool(), { doc: 'Whether the token is good.', pointer: false }),
  user: opt(2, userInfo, { doc: 'Whom it belongs to.', default: {} }),
  audiences: opt(4, list(str()), { doc: 'Audiences that both the token and the asker have.', listType: 'atomic' }),
  error: opt(3, str(), { doc: 'Why the token could not be checked.' }),
}))
export const tokenReview = obj('io.k8s.api.authentication.v1.TokenReview', 'Asks whom a token belongs to.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Unused.', default: {} }),
  spec: req(2, tokenReviewSpec, { doc: 'The question.', default: {} }),
  status: opt(3, tokenReviewStatus, { doc: 'The answer, filled in by the server.', default: {} }),
}))
export type TokenReview = Stored<Infer<typeof tokenReview>>

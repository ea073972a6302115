/** authentication.k8s.io/v1 TokenRequest: the body of a service account's token subresource. */
import { int64, list, obj, opt, req, str, time, type Infer } from '../../machinery/schema.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'

export const boundObjectReference = obj(
  'io.k8s.api.authentication.v1.BoundObjectReference',
  'The object whose end also ends the token.',
  () => ({
    kind: opt(1, str(), { doc: 'Pod, Secret or Node.' }),
    apiVersion: opt(2, str(), { doc: 'API version of the object.' }),
    name: opt(3, str(), { doc: 'Name of the object.' }),
    uid: opt(4, str(), { doc: 'UID of the object.' }),
  }),
)
export const tokenRequestSpec = obj('io.k8s.api.authentication.v1.TokenRequestSpec', 'What the token shall be good for.', () => ({
  audiences: req(1, list(str()), { doc: 'Who shall accept the token; empty means the API server.', listType: 'atomic' }),
  expirationSeconds: opt(4, int64(), { doc: 'Wanted life time; the answer may have another.', default: 3600 }),
  boundObjectRef: opt(3, boundObjectReference, { doc: 'The token ends with this object.' }),
}))
export const tokenRequestStatus = obj('io.k8s.api.authentication.v1.TokenRequestStatus', 'The token.', () => ({
  token: req(1, str(), { doc: 'The opaque bearer token.', default: '' }),
  expirationTimestamp: req(2, time(), { doc: 'When it ends.' }),
}))
export const tokenRequest = obj('io.k8s.api.authentication.v1.TokenRequest', 'Asks for a token of a service account.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Name and namespace of the service account.', default: {} }),
  spec: req(2, tokenRequestSpec, { doc: 'What is asked for.', default: {} }),
  status: opt(3, tokenRequestStatus, { doc: 'Filled in by the server.', default: {} }),
}))
export type TokenRequest = Stored<Infer<typeof tokenRequest>>

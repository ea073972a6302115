/** What the issuers and the verifier of service-account tokens agree on: k8s.io/kubernetes/pkg/serviceaccount. */
import { createHash, type KeyObject } from 'node:crypto'

/** The issuer of tokens that stand in Secrets. */
export const legacyIssuer = 'kubernetes/serviceaccount'
/** The claims of such a token. */
export interface LegacyClaims {
  readonly 'kubernetes.io/serviceaccount/namespace': string
  readonly 'kubernetes.io/serviceaccount/secret.name': string
  readonly 'kubernetes.io/serviceaccount/service-account.name': string
  readonly 'kubernetes.io/serviceaccount/service-account.uid': string
}
export const subjectOf = (namespace: string, account: string): string => `system:serviceaccount:${namespace}:${account}`

/** Upstream's key id: the hash of the public key in DER. */
export const keyIdOf = (publicKey: KeyObject): string =>
  createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64url')

/** The type of a Secret that holds a token, and the annotations that say whose. */
export const tokenSecretType = 'kubernetes.io/service-account-token'
export const accountNameAnnotation = 'kubernetes.io/service-account.name'
export const accountUidAnnotation = 'kubernetes.io/service-account.uid'
/** Set on a Secret that was not used for long (LegacyServiceAccountTokenCleanUp): its token is refused. */
export const invalidSinceLabel = 'kubernetes.io/legacy-token-invalid-since'

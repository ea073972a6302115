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
/** Set by API servers at each use of the token in a Secret: the day, in UTC. */
export const lastUsedLabel = 'kubernetes.io/legacy-token-last-used'
/** The ConfigMap in kube-system that says since which day uses are noted. */
export const trackingConfigMap = 'kube-apiserver-legacy-service-account-token-tracking'

/** `2026-01-31`, the day of a time in ms, in UTC. */
export const dateOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10)
/** The begin of a day so written, in ms; undefined when it is no date. */
export function timeOf(date: string | undefined): number | undefined {
  const ms = date !== undefined && /^\d{4}-\d\d-\d\d$/.test(date) ? Date.parse(`${date}T00:00:00Z`) : NaN
  return Number.isNaN(ms) ? undefined : ms
}

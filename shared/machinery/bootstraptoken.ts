/**
 * Bootstrap tokens, by which a machine without credentials asks for its first ones: k8s.io/cluster-bootstrap. They are Secrets in
 * kube-system.
 */
import type { Secret } from '../api/core/secret.ts'

export const bootstrapTokenType = 'bootstrap.kubernetes.io/token'
export const bootstrapTokenPrefix = 'bootstrap-token-'
export const bootstrapGroup = 'system:bootstrappers'
/** Where strangers find the cluster's address and authority, signed with the tokens: in kube-public. */
export const clusterInfo = 'cluster-info'
export const signaturePrefix = 'jws-kubeconfig-'

/** `abcdef.0123456789abcdef`: the id, which is no secret, and the secret. Undefined when the text is no such token. */
export function parseBootstrapToken(text: string): { id: string; secret: string } | undefined {
  const [, id, secret] = /^([a-z0-9]{6})\.([a-z0-9]{16})$/.exec(text) ?? []
  return id === undefined || secret === undefined ? undefined : { id, secret }
}

/** A value of the Secret as text, `''` when it is not there. */
export const tokenData = (secret: Secret, key: string): string => Buffer.from(secret.data?.[key] ?? '', 'base64').toString()

/** When it ends, ms since 1970: Infinity when nothing is said, 0 when that is no time. */
export function expiryOf(secret: Secret): number {
  const text = tokenData(secret, 'expiration')
  return text === '' ? Infinity : Date.parse(text) || 0
}

/** What the token is for: `authentication` or `signing`. */
export const isFor = (secret: Secret, usage: 'authentication' | 'signing'): boolean =>
  tokenData(secret, `usage-bootstrap-${usage}`) === 'true'

/** The groups of who brings the token; undefined when one of them is not among system:bootstrappers. */
export function groupsOf(secret: Secret): string[] | undefined {
  const extra = tokenData(secret, 'auth-extra-groups')
  const groups = extra === '' ? [] : extra.split(',')
  const fits = groups.every(g => /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/.test(g))
  return fits ? [...new Set([bootstrapGroup, ...groups])].sort() : undefined
}

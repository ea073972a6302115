/** Tokens that stand in Secrets of type kubernetes.io/service-account-token: pkg/serviceaccount/legacy.go */
import type { JWTPayload } from 'jose'
import type { Secret } from '#shared/api/core/secret.ts'
import type { UserInfo } from '#shared/bus/transport.ts'
import { invalidSinceLabel, legacyIssuer, subjectOf, type LegacyClaims } from '#shared/machinery/serviceaccounttoken.ts'
import type { Registry } from '../registry/registry.ts'

/** Upstream gives what is being deleted a minute more. */
const deletedGraceMs = 60_000

/** The account that a token is of; undefined when its Secret no longer holds it, or its account is another by now. */
export function legacyAccount(
  registry: Registry,
  token: string,
  payload: JWTPayload,
): { namespace: string; name: string; uid: string } | undefined {
  if (payload.iss !== legacyIssuer) return undefined
  const claims = payload as Partial<LegacyClaims>
  const namespace = claims['kubernetes.io/serviceaccount/namespace']
  const secretName = claims['kubernetes.io/serviceaccount/secret.name']
  const name = claims['kubernetes.io/serviceaccount/service-account.name']
  const uid = claims['kubernetes.io/serviceaccount/service-account.uid']
  if (!namespace || !secretName || !name || !uid || payload.sub !== subjectOf(namespace, name)) return undefined
  const get = (plural: string, name: string) => {
    const object = registry.get({ group: '', plural }, namespace, name)?.object
    const deleted = object?.metadata.deletionTimestamp
    return deleted === undefined || Date.parse(deleted) + deletedGraceMs > Date.now() ? object : undefined
  }
  const secret = get('secrets', secretName) as Secret | undefined
  if (!secret || secret.metadata.labels?.[invalidSinceLabel] !== undefined) return undefined
  if (Buffer.from(secret.data?.['token'] ?? '', 'base64').toString() !== token) return undefined
  return get('serviceaccounts', name)?.metadata.uid === uid ? { namespace, name, uid } : undefined
}

export const legacyUser = ({ namespace, name, uid }: { namespace: string; name: string; uid: string }): UserInfo => ({
  name: subjectOf(namespace, name),
  uid,
  groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
})

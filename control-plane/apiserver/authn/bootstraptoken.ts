/** Who brings a bootstrap token: plugin/pkg/auth/authenticator/token/bootstrap */
import { timingSafeEqual } from 'node:crypto'
import type { Secret } from '#shared/api/core/secret.ts'
import type { UserInfo } from '#shared/bus/transport.ts'
import {
  bootstrapTokenPrefix,
  bootstrapTokenType,
  expiryOf,
  groupsOf,
  isFor,
  parseBootstrapToken,
  tokenData,
} from '#shared/machinery/bootstraptoken.ts'
import type { Maybe } from '#shared/machinery/maybe.ts'
import type { Registry } from '../registry/registry.ts'

const table = { group: '', plural: 'secrets' }

const same = (a: string, b: string): boolean => a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b))

/** The user of a token; undefined for every other text, and for a token that has ended. */
export function bootstrapTokens(registry: Registry): (token: string) => Maybe<UserInfo | undefined> {
  const find = (id: string, secret: string): UserInfo | undefined => {
    const object = registry.get(table, 'kube-system', bootstrapTokenPrefix + id)?.object as Secret | undefined
    if (!object || object.metadata.deletionTimestamp || object.type !== bootstrapTokenType) return undefined
    if (!same(tokenData(object, 'token-secret'), secret) || tokenData(object, 'token-id') !== id) return undefined
    if (expiryOf(object) <= Date.now() || !isFor(object, 'authentication')) return undefined
    const groups = groupsOf(object)
    return groups && { name: `system:bootstrap:${id}`, groups }
  }
  return token => {
    const parts = parseBootstrapToken(token)
    if (!parts) return undefined
    const { id, secret } = parts
    // It may just have been made through another server.
    return find(id, secret) ?? registry.fresh().then(() => find(id, secret))
  }
}

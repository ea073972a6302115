/** ID tokens of an OpenID Connect provider: k8s.io/apiserver/plugin/pkg/authenticator/token/oidc */
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet, type JWTPayload } from 'jose'
import type { UserInfo } from '#shared/bus/transport.ts'
import type { Logger } from '#shared/component/log.ts'
import { evaluateClaims, holdForClaims, holdForUser, textsOf } from './claimexpressions.ts'
import { LimitedClient } from './fetchlimited.ts'
import type { JwtAuthenticator } from './configuration.ts'
import { partsOf } from './serviceaccount.ts'
import { audienceAgnostic, TokenError, type TokenAuthenticator } from './token.ts'

/** Upstream's: all asymmetric ones. */
const algorithms = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512']
const deadlineMs = 10_000
/** A provider is asked for its keys that often at most. */
const refreshMs = 10_000
const maxRemembered = 1024
const maxRememberedLength = 8192

/** The claims of a token whose signature held, until it ends. */
interface Remembered {
  readonly user: UserInfo
  readonly until: number
}

export interface OidcAuthenticator {
  readonly authenticate: TokenAuthenticator
  close(): void
}

/** `own` are the audiences of this API, for which its tokens are good whatever audience they name to their issuer. */
export function oidcAuthenticator(
  { issuer, claimMappings, claimValidationRules = [], userValidationRules = [] }: JwtAuthenticator,
  own: readonly string[],
  log: Logger,
): OidcAuthenticator {
  const { url, discoveryURL, certificateAuthority, audiences } = issuer!
  const client = new LimitedClient({ ca: certificateAuthority })
  const remembered = new Map<string, Remembered>()
  let keys: ReturnType<typeof createLocalJWKSet> | undefined
  let asked = -Infinity
  let asking: Promise<void> | undefined

  async function json<T>(from: string): Promise<T> {
    const { status, body } = await client.fetch(from, { headers: { accept: 'application/json' }, deadlineMs })
    if (status !== 200) throw new Error(`${from} answers with ${status}`)
    return JSON.parse(body) as T
  }

  /** The provider's keys anew, when they were not asked for just now. */
  function refresh(): Promise<void> {
    if (performance.now() - asked < refreshMs && !asking) return Promise.resolve()
    asked = performance.now()
    return (asking ??= (async () => {
      const document = await json<{ issuer?: string; jwks_uri?: string }>(
        discoveryURL ?? `${url.replace(/\/$/, '')}/.well-known/openid-configuration`,
      )
      if (document.issuer !== url)
        throw new Error(
          `oidc: issuer did not match the issuer returned by provider, expected ${JSON.stringify(url)} got ${JSON.stringify(document.issuer)}`,
        )
      if (!document.jwks_uri?.startsWith('https://')) throw new Error('the provider names no https jwks_uri')
      keys = createLocalJWKSet(await json<JSONWebKeySet>(document.jwks_uri))
    })()
      .catch((e: Error) => log.warn({ issuer: url, err: e.message }, 'the keys of an OIDC provider could not be had'))
      .finally(() => (asking = undefined)))
  }

  async function verified(token: string): Promise<JWTPayload> {
    if (!keys) await refresh()
    const check = async (): Promise<JWTPayload> => {
      if (!keys) throw new TokenError('oidc: authenticator not initialized')
      return (await jwtVerify(token, keys, { issuer: url, audience: [...audiences], algorithms })).payload
    }
    try {
      return await check()
    } catch (e) {
      const { code } = e as { code?: string }
      if (code === 'ERR_JWKS_NO_MATCHING_KEY') {
        // The provider may have a new one.
        await refresh()
        return check().catch(failed)
      }
      return failed(e)
    }
  }
  const failed = (e: unknown): never => {
    if (e instanceof TokenError) throw e
    throw new TokenError(`oidc: verify token: ${(e as Error).message}`)
  }

  const userOf = (payload: JWTPayload): UserInfo => {
    const user = mappedUser(claimMappings!, payload)
    for (const { claim, requiredValue } of claimValidationRules)
      if (claim && payload[claim] !== requiredValue)
        throw new TokenError(`oidc: required claim ${claim} value does not match. Got = ${String(payload[claim])}, want = ${requiredValue}`)
    if (claimValidationRules.some(r => r.expression)) holdForClaims(claimValidationRules, payload)
    if (userValidationRules.length > 0) holdForUser(userValidationRules, user)
    return user
  }

  async function user(token: string): Promise<UserInfo> {
    const payload = await verified(token)
    const found = userOf(payload)
    if (token.length <= maxRememberedLength && payload.exp !== undefined) {
      if (remembered.size >= maxRemembered) remembered.delete(remembered.keys().next().value!)
      remembered.set(token, { user: found, until: payload.exp * 1000 })
    }
    return found
  }

  return {
    authenticate: audienceAgnostic(own, token => {
      const before = remembered.get(token)
      if (before && before.until > Date.now()) return before.user
      if (before) remembered.delete(token)
      return partsOf(token)?.issuer === url ? user(token) : undefined
    }),
    close: () => client.close(),
  }
}

type Mappings = NonNullable<JwtAuthenticator['claimMappings']>

/** Who the claims say that somebody is. Throws TokenError. */
function mappedUser({ username, groups, uid, extra = [] }: Mappings, payload: JWTPayload): UserInfo {
  const id = uidOf(uid, payload)
  const { jti } = payload
  const extras: Record<string, string[]> = jti === undefined ? {} : { 'authentication.kubernetes.io/credential-id': [`JTI=${jti}`] }
  for (const { key, valueExpression } of extra) {
    const value = evaluateClaims(valueExpression, payload, '')
    const texts = textsOf(value, `oidc: error evaluating extra claim expression: ${valueExpression}: `)
    if (texts.length > 0) extras[key] = texts
  }
  return {
    name: nameOf(username, payload),
    ...(id === undefined || id === '' ? {} : { uid: id }),
    groups: groupsOf(groups, payload),
    ...(Object.keys(extras).length > 0 ? { extra: extras } : {}),
  }
}

function nameOf(username: Mappings['username'], payload: JWTPayload): string {
  if (username?.expression) {
    const what = 'oidc: error evaluating username claim expression: '
    const name = evaluateClaims(username.expression, payload, what)
    if (typeof name !== 'string') throw new TokenError(`${what}username claim expression must return a string`)
    if (name === '') throw new TokenError('oidc: empty username via CEL expression is not allowed')
    return name
  }
  const claim = username!.claim!
  const name = payload[claim]
  if (typeof name !== 'string' || name === '')
    throw new TokenError(`oidc: parse username claims ${JSON.stringify(claim)}: claim not present`)
  // As the OpenID Connect claim asks to be read: an address counts when it was verified.
  if (claim === 'email' && payload['email_verified'] !== undefined && payload['email_verified'] !== true)
    throw new TokenError('oidc: email not verified')
  return (username!.prefix ?? '') + name
}

function groupsOf(groups: Mappings['groups'], payload: JWTPayload): string[] {
  if (groups?.expression) {
    const what = 'oidc: error evaluating group claim expression: '
    return textsOf(evaluateClaims(groups.expression, payload, what), what)
  }
  const of = groups?.claim ? payload[groups.claim] : undefined
  const list = typeof of === 'string' ? [of] : (of ?? [])
  if (!Array.isArray(list) || list.some(g => typeof g !== 'string'))
    throw new TokenError(`oidc: parse groups claim ${JSON.stringify(groups!.claim)}: json: cannot unmarshal into strings`)
  return (list as string[]).map(g => (groups!.prefix ?? '') + g)
}

function uidOf(uid: Mappings['uid'], payload: JWTPayload): string | undefined {
  if (!uid?.expression) {
    const value = uid?.claim ? payload[uid.claim] : undefined
    return typeof value === 'string' ? value : undefined
  }
  const what = 'oidc: error evaluating uid claim expression: '
  const value = evaluateClaims(uid.expression, payload, what)
  if (typeof value !== 'string') throw new TokenError(`${what}uid claim expression must return a string`)
  return value
}

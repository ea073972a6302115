/**
 * Tokens of service accounts: JWTs with upstream's `kubernetes.io` claims, good as long as what they are bound to lives
 * (pkg/serviceaccount/jwt.go and claims.go).
 */
import { randomUUID } from 'node:crypto'
import { compactVerify, SignJWT, type JWTPayload } from 'jose'
import type { UserInfo } from '#shared/bus/transport.ts'
import type { Maybe } from '#shared/machinery/maybe.ts'
import { legacyIssuer, subjectOf } from '#shared/machinery/serviceaccounttoken.ts'
import type { Registry } from '../registry/registry.ts'
import { accountUser, isDeleted } from './account.ts'
import type { PublicKey, SigningKey } from './keys.ts'
import { legacyToken, type Used } from './legacytoken.ts'
import { TokenError, type Authenticated, type Notes, type TokenAuthenticator } from './token.ts'

/** What a token names beside its account. The uid is '' of a pod's node that is not there. */
export interface Named {
  readonly name: string
  readonly uid: string
}
interface KubernetesClaims {
  namespace: string
  serviceaccount: Named
  pod?: Named
  node?: { readonly name: string; readonly uid?: string }
  secret?: Named
  warnafter?: number
}

export interface TokenOptions {
  readonly audiences: readonly string[]
  readonly seconds: number
  /** After that many seconds the token is good still, but its use is noted. */
  readonly warnAfterSeconds?: number
  readonly namespace: string
  readonly account: Named
  readonly pod?: Named
  readonly node?: Named
  readonly secret?: Named
}

export interface ServiceAccountTokens {
  /** Of this API: the audiences that tokens have when none is asked for. */
  readonly audiences: readonly string[]
  /** A new token and its id; undefined when the server has no key to sign with. */
  issue(options: TokenOptions): Promise<{ token: string; id: string } | undefined>
  readonly authenticate: TokenAuthenticator
}

export interface TokenIssuers {
  readonly keys: readonly PublicKey[]
  readonly signing: SigningKey | undefined
  /** The first issues; tokens of all are good. */
  readonly issuers: readonly string[]
  /** Of this API. */
  readonly audiences: readonly string[]
  /** A token in a Secret was used. */
  readonly onUse: Used
}

/** A token whose signature holds. */
interface Verified {
  readonly payload: JWTPayload
  readonly audiences: readonly string[]
  readonly claims: KubernetesClaims | undefined
  readonly user: UserInfo | undefined
}

/**
 * Checked signatures are remembered: verifying one costs more than everything else about a request. Bytes: at most 4096 tokens of 4 KiB.
 */
const maxRemembered = 4096
const maxRememberedLength = 4096

/** As go-jose, upstream's library, forgives clocks, s. */
const leewaySeconds = 60

export function serviceAccountTokens(registry: Registry, o: TokenIssuers): ServiceAccountTokens {
  const byId = new Map(o.keys.map(key => [key.id, key]))
  const verified = new Map<string, Verified>()
  const known = new Set([...o.issuers, legacyIssuer])

  async function verify(token: string, id: string | undefined): Promise<Verified> {
    const keys = id === undefined ? o.keys : [byId.get(id)].filter(k => k !== undefined)
    if (keys.length === 0) throw new TokenError('invalid signature, no keys found')
    for (const { key, algorithm } of keys) {
      const found = await compactVerify(token, key, { algorithms: [algorithm] }).catch(() => undefined)
      if (!found) continue
      const checked = verifiedOf(JSON.parse(Buffer.from(found.payload).toString()) as JWTPayload)
      if (token.length <= maxRememberedLength) {
        if (verified.size >= maxRemembered) verified.delete(verified.keys().next().value!)
        verified.set(token, checked)
      }
      return checked
    }
    throw new TokenError('go-jose/go-jose: error in cryptographic primitive')
  }

  /** Answers at once when the token is remembered and all that it names is there. */
  function check(token: string, v: Verified, audiences: readonly string[], notes: Notes): Maybe<Authenticated> {
    const { payload, claims } = v
    const legacy = v.audiences.length === 0
    if (legacy) notes.annotations.push(['authentication.k8s.io/legacy-token', payload.sub ?? ''])
    const has = legacy ? o.audiences : v.audiences
    const shared = audiences.filter(a => has.includes(a))
    if (shared.length === 0) throw new TokenError(`token audiences ${quoted(has)} is invalid for the target audiences ${quoted(audiences)}`)
    if (payload.iss === legacyIssuer)
      return legacyToken(registry, token, payload, notes, o.onUse).then(user => ({ user, audiences: shared }))
    const now = Date.now() / 1000
    if ((payload.exp ?? Infinity) + leewaySeconds < now) throw new TokenError('service account token has expired')
    if ((payload.nbf ?? 0) - leewaySeconds > now) throw new TokenError('service account token is not valid yet')
    if (!claims?.serviceaccount || !v.user)
      throw new TokenError('service account token claims could not be validated due to unexpected private claim')
    if (claims.warnafter !== undefined && claims.warnafter < now) {
      const text = `subject: ${payload.sub}, seconds after warning threshold: ${Math.floor(now - claims.warnafter)}`
      notes.annotations.push(['authentication.k8s.io/stale-token', text])
    }
    const answer = { user: v.user, audiences: shared }
    if (whyDead(registry, claims) === undefined) return answer
    // Account or pod may just have been made through another server.
    return registry.fresh().then(() => {
      const why = whyDead(registry, claims)
      if (why !== undefined) throw new TokenError(why)
      return answer
    })
  }

  return {
    audiences: o.audiences,
    async issue(t) {
      if (!o.signing) return undefined
      const now = Math.floor(Date.now() / 1000)
      const { pod, node, secret } = t
      const claims: KubernetesClaims = {
        namespace: t.namespace,
        ...(node ? { node: node.uid === '' ? { name: node.name } : node } : {}),
        ...(pod ? { pod } : {}),
        ...(secret ? { secret } : {}),
        serviceaccount: t.account,
        ...(t.warnAfterSeconds === undefined ? {} : { warnafter: now + t.warnAfterSeconds }),
      }
      const { id: kid, algorithm: alg } = o.signing.public
      const id = randomUUID()
      const token = await new SignJWT({ 'kubernetes.io': claims })
        .setProtectedHeader({ alg, kid })
        .setIssuer(o.issuers[0]!)
        .setSubject(subjectOf(t.namespace, t.account.name))
        .setAudience([...t.audiences])
        .setIssuedAt(now)
        .setNotBefore(now)
        .setExpirationTime(now + t.seconds)
        .setJti(id)
        .sign(o.signing.key)
      return { token, id }
    },
    authenticate(token, audiences, notes) {
      const before = verified.get(token)
      if (before) return check(token, before, audiences, notes)
      const parts = partsOf(token)
      if (!parts || !known.has(parts.issuer)) return undefined
      return verify(token, parts.keyId).then(v => check(token, v, audiences, notes))
    },
  }
}

/** As Go prints a list of strings with %q. */
const quoted = (texts: readonly string[]): string => `[${texts.map(t => JSON.stringify(t)).join(' ')}]`

/** What a token says of its issuer and key, nothing of it checked; undefined when it is no JWT. */
export function partsOf(token: string): { issuer: string; keyId: string | undefined } | undefined {
  const [head, body, signature, ...more] = token.split('.')
  if (!head || !body || signature === undefined || more.length > 0) return undefined
  try {
    const { kid } = JSON.parse(Buffer.from(head, 'base64url').toString()) as { kid?: unknown }
    const { iss } = JSON.parse(Buffer.from(body, 'base64url').toString()) as { iss?: unknown }
    return typeof iss === 'string' ? { issuer: iss, keyId: typeof kid === 'string' && kid !== '' ? kid : undefined } : undefined
  } catch {
    return undefined
  }
}

function verifiedOf(payload: JWTPayload): Verified {
  const { aud } = payload
  const claims = payload['kubernetes.io'] as KubernetesClaims | undefined
  const audiences = Array.isArray(aud) ? aud : aud === undefined ? [] : [aud]
  return { payload, audiences, claims, user: claims?.serviceaccount && userOf(claims, payload.jti) }
}

const invalidated = 'service account token has been invalidated'

/** Why what the token names is no longer the same; undefined when it is. */
function whyDead(registry: Registry, c: KubernetesClaims): string | undefined {
  const get = (plural: string, namespace: string, name: string) => registry.get({ group: '', plural }, namespace, name)?.object
  const { name, uid } = c.serviceaccount
  const account = get('serviceaccounts', c.namespace, name)
  if (!account) return `serviceaccounts ${JSON.stringify(name)} not found`
  if (isDeleted(account)) return `service account ${c.namespace}/${name} has been deleted`
  if (account.metadata.uid !== uid) return `service account UID (${account.metadata.uid}) does not match claim (${uid})`
  const bound = (what: string, plural: string, namespace: string, to: { name: string; uid?: string } | undefined): string | undefined => {
    if (!to) return undefined
    const object = get(plural, namespace, to.name)
    if (!object || isDeleted(object)) return invalidated
    if (object.metadata.uid === to.uid) return undefined
    return `${what} UID (${object.metadata.uid}) does not match service account ${what.toLowerCase()} ref claim (${to.uid ?? ''})`
  }
  return (
    bound('secret', 'secrets', c.namespace, c.secret) ??
    bound('Pod', 'pods', c.namespace, c.pod) ??
    // A pod's node is told for information; only a token that is bound to the node itself ends with it.
    (c.pod === undefined ? bound('node', 'nodes', '', c.node) : undefined)
  )
}

function userOf(c: KubernetesClaims, id: string | undefined): UserInfo {
  const extra: Record<string, string[]> = {}
  if (id !== undefined) extra['authentication.kubernetes.io/credential-id'] = [`JTI=${id}`]
  if (c.node) extra['authentication.kubernetes.io/node-name'] = [c.node.name]
  if (c.node?.uid) extra['authentication.kubernetes.io/node-uid'] = [c.node.uid]
  if (c.pod) {
    extra['authentication.kubernetes.io/pod-name'] = [c.pod.name]
    extra['authentication.kubernetes.io/pod-uid'] = [c.pod.uid]
  }
  const account = accountUser({ namespace: c.namespace, ...c.serviceaccount })
  return Object.keys(extra).length > 0 ? { ...account, extra } : account
}

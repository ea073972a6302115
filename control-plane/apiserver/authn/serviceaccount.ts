/**
 * Tokens of service accounts: JWTs signed with ES256, with upstream's `kubernetes.io` claims; good as long as what they are bound to lives.
 */
import { createPrivateKey, createPublicKey, randomUUID } from 'node:crypto'
import { SignJWT, jwtVerify, type JWTPayload } from 'jose'
import type { UserInfo } from '#shared/bus/transport.ts'
import { keyIdOf, legacyIssuer } from '#shared/machinery/serviceaccounttoken.ts'
import type { Registry } from '../registry/registry.ts'
import { legacyAccount, legacyUser } from './legacytoken.ts'

/** What a token names beside its account. */
export interface Named {
  readonly name: string
  readonly uid: string
}
interface KubernetesClaims {
  namespace: string
  serviceaccount: Named
  pod?: Named
  node?: Named
  secret?: Named
  warnafter?: number
}

export interface TokenOptions {
  readonly audiences: readonly string[]
  readonly seconds: number
  readonly namespace: string
  readonly account: Named
  readonly pod?: Named
  readonly node?: Named
  readonly secret?: Named
}

export interface AuthenticatedToken {
  readonly user: UserInfo
  readonly audiences: readonly string[]
}

export interface ServiceAccountTokens {
  /** The audience that tokens have when none is asked for. */
  readonly audiences: readonly string[]
  /** A new token; undefined when the server has no key to sign with. */
  issue(options: TokenOptions): Promise<string | undefined>
  /** Whom a token belongs to; undefined when it is not valid for one of the audiences. */
  authenticate(token: string, audiences?: readonly string[]): Promise<AuthenticatedToken | undefined>
}

export interface TokenKeys {
  /** PEM texts of one or more keys each: tokens signed with any of them are good, so that keys can change. */
  readonly publicKeys: readonly string[]
  readonly privateKey: string | undefined
  readonly issuer: string
}

/** Checked signatures are remembered: verifying one costs more than everything else about a request. */
const maxRemembered = 1000

export function serviceAccountTokens(registry: Registry, keys: TokenKeys): ServiceAccountTokens {
  const privateKey = keys.privateKey === undefined ? undefined : createPrivateKey(keys.privateKey)
  const signing = privateKey && createPublicKey(privateKey)
  const signingId = signing && keyIdOf(signing)
  const checking = [...(signing ? [signing] : []), ...keys.publicKeys.flatMap(blocks).map(block => createPublicKey(block))]
  const byId = new Map(checking.map(key => [keyIdOf(key), key]))
  const verified = new Map<string, JWTPayload>()
  const own = [keys.issuer]

  async function verify(token: string): Promise<JWTPayload | undefined> {
    const before = verified.get(token)
    if (before) return before
    try {
      const { payload } = await jwtVerify(token, ({ kid }) => byId.get(kid ?? '') ?? refuse(), {
        issuer: [keys.issuer, legacyIssuer],
        algorithms: ['ES256'],
        clockTolerance: 10,
      })
      if (verified.size >= maxRemembered) verified.delete(verified.keys().next().value!)
      verified.set(token, payload)
      return payload
    } catch {
      return undefined
    }
  }

  /** A token in a Secret names no audience: it is for this API. */
  async function legacy(token: string, payload: JWTPayload, audiences: readonly string[]): Promise<AuthenticatedToken | undefined> {
    const shared = audiences.filter(a => own.includes(a))
    if (shared.length === 0) return undefined
    let account = legacyAccount(registry, token, payload)
    if (!account) {
      await registry.fresh()
      account = legacyAccount(registry, token, payload)
    }
    return account && { user: legacyUser(account), audiences: shared }
  }

  return {
    audiences: own,
    async issue(o) {
      if (!privateKey) return undefined
      const now = Math.floor(Date.now() / 1000)
      const claims: KubernetesClaims = {
        namespace: o.namespace,
        ...(o.node ? { node: o.node } : {}),
        ...(o.pod ? { pod: o.pod } : {}),
        ...(o.secret ? { secret: o.secret } : {}),
        serviceaccount: o.account,
      }
      return new SignJWT({ 'kubernetes.io': claims })
        .setProtectedHeader({ alg: 'ES256', kid: signingId! })
        .setIssuer(keys.issuer)
        .setSubject(`system:serviceaccount:${o.namespace}:${o.account.name}`)
        .setAudience([...o.audiences])
        .setIssuedAt(now)
        .setNotBefore(now)
        .setExpirationTime(now + o.seconds)
        .setJti(randomUUID())
        .sign(privateKey)
    },
    async authenticate(token, audiences = own) {
      const payload = await verify(token)
      if (!payload) return undefined
      if (payload.iss === legacyIssuer) return legacy(token, payload, audiences)
      if ((payload.exp ?? 0) < Date.now() / 1000) return undefined
      const has = Array.isArray(payload.aud) ? payload.aud : payload.aud === undefined ? [] : [payload.aud]
      const shared = audiences.filter(a => has.includes(a))
      const claims = payload['kubernetes.io'] as KubernetesClaims | undefined
      if (shared.length === 0 || !claims?.serviceaccount) return undefined
      if (!isAlive(registry, claims)) {
        // Account or pod may just have been made through another server.
        await registry.fresh()
        if (!isAlive(registry, claims)) return undefined
      }
      return { user: userOf(claims, payload.jti), audiences: shared }
    },
  }
}

const refuse = (): never => {
  throw new Error('no key of that id')
}

/** The single keys of a PEM text. */
const blocks = (pem: string): string[] => pem.match(/-----BEGIN [A-Z ]+-----[\s\S]*?-----END [A-Z ]+-----/g) ?? []

/** Whether what the token names is still the same object. */
function isAlive(registry: Registry, c: KubernetesClaims): boolean {
  const alive = (plural: string, namespace: string, named: Named | undefined): boolean => {
    if (!named) return true
    const meta = registry.get({ group: '', plural }, namespace, named.name)?.object.metadata
    // Upstream gives what is being deleted a minute more.
    return meta?.uid === named.uid && (meta.deletionTimestamp === undefined || Date.parse(meta.deletionTimestamp) + 60_000 > Date.now())
  }
  return (
    alive('serviceaccounts', c.namespace, c.serviceaccount) &&
    alive('pods', c.namespace, c.pod) &&
    alive('secrets', c.namespace, c.secret) &&
    // A pod's node is told for information; only a token that is bound to the node itself ends with it.
    (c.pod !== undefined || alive('nodes', '', c.node))
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
  return {
    name: `system:serviceaccount:${c.namespace}:${c.serviceaccount.name}`,
    uid: c.serviceaccount.uid,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${c.namespace}`, 'system:authenticated'],
    extra,
  }
}

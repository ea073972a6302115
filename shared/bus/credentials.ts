/**
 * NATS credentials: an operator, the accounts REGISTRY (JetStream, API servers only), BUS (everybody) and SYS, and users with a JWT and a
 * key each. What a user of BUS may do follows from the scoped key that signed it, a template over its own name: the nats-server vouches for
 * who asks.
 */
import {
  encodeAccount,
  encodeOperator,
  encodeUser,
  createAccount,
  createOperator,
  createUser,
  fromPublic,
  fmtCreds,
  fromSeed,
  newScopedSigner,
  parseCreds,
} from '@nats-io/jwt'
import type { Algorithms, KeyPair, OperatorLimits, UserPermissionsLimits } from '@nats-io/jwt'
import { fromToken, toToken } from './subjects.ts'
import { maxBodyBytes } from './transport.ts'

/** The seeds of all signing keys: whoever holds this can be anybody. Strings, so that it can be kept as JSON. */
export interface Authority {
  readonly operator: string
  readonly system: string
  readonly registry: string
  readonly bus: string
  /** Scoped signing keys of BUS, one a role. */
  readonly roles: { readonly apiserver: string; readonly component: string; readonly node: string }
}

/** The identity whose credentials open the account REGISTRY, and the one of the system account. */
export const registryIdentity = 'registry'
export const systemIdentity = 'system'
export const apiserverIdentity = 'system:apiserver'

const seedOf = (key: KeyPair): string => Buffer.from(key.getSeed()).toString()
const keyOf = (seed: string): KeyPair => fromSeed(Buffer.from(seed))

/** New keys for a new cluster. */
export async function createAuthority(): Promise<Authority> {
  const account = () => seedOf(createAccount())
  return {
    operator: seedOf(createOperator()),
    system: account(),
    registry: account(),
    bus: account(),
    roles: { apiserver: account(), component: account(), node: account() },
  }
}

const unlimited: OperatorLimits = { conn: -1, leaf: -1, subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true }
const jetStream: OperatorLimits = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 }

/**
 * What one connection of a client may have and send: subscriptions (one for each session, few beside), and bytes in a message, which is a
 * body and some headers. The nats-server has no limit of connections for each user.
 */
const clientLimits = { subs: 2_000, data: -1, payload: maxBodyBytes + (1 << 20) }

/**
 * `{{name()}}` is the user's name in its JWT, which is the identity as a subject token. Nobody gets a response permission: what a node
 * sends to an API server goes below its own `api.<identity>.`, and API servers answer only below `_INBOX.<identity>.`. Nobody publishes as
 * an API server: that would be a request with its rights.
 */
const templates: { [role in keyof Authority['roles']]: Partial<UserPermissionsLimits> } = {
  apiserver: {
    pub: { allow: ['_INBOX.*.*', '_INBOX.*.*.*', 'node.*.*'] },
    sub: { allow: ['api.>', '_INBOX.{{name()}}.>'] },
    subs: -1,
    data: -1,
    payload: -1,
  },
  component: {
    pub: { allow: ['api.{{name()}}', 'api.{{name()}}.>'] },
    sub: { allow: ['_INBOX.{{name()}}.>'] },
    ...clientLimits,
  },
  node: {
    pub: { allow: ['api.{{name()}}', 'api.{{name()}}.>'] },
    sub: { allow: ['_INBOX.{{name()}}.>', 'node.{{name()}}.>'] },
    ...clientLimits,
  },
}

const roleOf = (identity: string): keyof Authority['roles'] =>
  identity === apiserverIdentity ? 'apiserver' : identity.startsWith('system:node:') ? 'node' : 'component'

// The library types these options as requiring an algorithm that it defaults itself.
const options = (o: { signer: KeyPair; scopedUser?: boolean }) => o as { signer: KeyPair; scopedUser?: boolean; algorithm: Algorithms }

/**
 * The credentials (a JWT and its key, in the form of a `.creds` file) of one identity: `registry` for the account REGISTRY, `system` for
 * the system account, else a user name of BUS such as `system:apiserver`, `system:kube-scheduler` or `system:node:node-1`. Each call makes
 * a new key.
 */
export async function mintCreds(authority: Authority, identity: string): Promise<string> {
  const user = createUser()
  const name = toToken(identity)
  if (identity === registryIdentity) return credsFile(await encodeUser(name, user, keyOf(authority.registry), {}), user)
  if (identity === systemIdentity) return credsFile(await encodeUser(name, user, keyOf(authority.system), {}), user)
  const signer = keyOf(authority.roles[roleOf(identity)])
  return credsFile(await encodeUser(name, user, keyOf(authority.bus), {}, options({ signer, scopedUser: true })), user)
}

/** The identity of a machine that has nothing but a bootstrap token of this id. */
export const bootstrapIdentity = (tokenId: string): string => `system:bootstrap:${tokenId}`

/**
 * What signs nodes' users, those that become nodes among them, and nothing else: the account's public key and the seed of the scoped
 * signing key. Kept as JSON.
 */
export interface NodeSigner {
  readonly account: string
  readonly signer: string
}
export const nodeSigner = ({ bus, roles }: Authority): NodeSigner => ({ account: keyOf(bus).getPublicKey(), signer: roles.node })

/** Credentials by which a machine may ask the API with a bootstrap token, until `expires`, in seconds since 1970. A node's, but in name. */
export async function bootstrapCreds(
  { account, signer }: NodeSigner,
  tokenId: string,
  expires: number,
): Promise<{ jwt: string; seed: string }> {
  const user = createUser()
  const scoped = { ...options({ signer: keyOf(signer), scopedUser: true }), exp: expires }
  return { jwt: await encodeUser(toToken(bootstrapIdentity(tokenId)), user, account, {}, scoped), seed: seedOf(user) }
}

/** The JWT of a node's user whose key somebody else has, good until `expires`, in seconds since 1970. Throws when that is no user's key. */
export async function nodeUserJwt({ account, signer }: NodeSigner, node: string, publicKey: string, expires: number): Promise<string> {
  if (!/^U[A-Z2-7]{55}$/.test(publicKey)) throw new Error('not the public key of a NATS user')
  fromPublic(publicKey)
  const scoped = { ...options({ signer: keyOf(signer), scopedUser: true }), exp: expires }
  return encodeUser(toToken(`system:node:${node}`), publicKey, account, {}, scoped)
}

/** A new key for a user. */
export function newUserKey(): { publicKey: string; seed: string } {
  const user = createUser()
  return { publicKey: user.getPublicKey(), seed: seedOf(user) }
}

/** The text of a `.creds` file. */
export const credsOf = (jwt: string, seed: string): string => credsFile(jwt, keyOf(seed))

/** The claims of the user in a `.creds` file, nothing of them checked; undefined when it is damaged. Times in seconds since 1970. */
export function userClaims(creds: string): { name?: string; iss?: string; sub?: string; iat?: number; exp?: number } | undefined {
  try {
    const payload = /BEGIN NATS USER JWT-+\s+[^.]+\.([^.]+)\.[^]*BEGIN USER NKEY SEED-+\s+SU\w{50,}\s/.exec(creds)?.[1] ?? ''
    return JSON.parse(Buffer.from(payload, 'base64url').toString()) as {
      name?: string
      iss?: string
      sub?: string
      iat?: number
      exp?: number
    }
  } catch {
    return undefined
  }
}

/** Whether a `.creds` file is of this identity, made by this authority. One that is damaged, or has expired, is not. */
export function areCredsOf(authority: Authority, identity: string, creds: string): boolean {
  const { registry, system, roles } = authority
  const signer = identity === registryIdentity ? registry : identity === systemIdentity ? system : roles[roleOf(identity)]
  const claims = userClaims(creds)
  return claims?.name === toToken(identity) && claims.iss === keyOf(signer).getPublicKey() && (claims.exp ?? Infinity) * 1000 > Date.now()
}

const credsFile = (jwt: string, user: KeyPair): string => Buffer.from(fmtCreds(jwt, user)).toString()

/** The identity that a `.creds` file is for. Throws when it is not one. */
export async function identityOf(creds: string | Uint8Array): Promise<string> {
  return fromToken((await parseCreds(Buffer.from(creds))).uc.name)
}

export interface NatsServerOptions {
  /** The only address that is listened on. */
  host: string
  /** -1 for any free one, which the server's log names (and a file: `--ports_file_dir`). */
  port: number
  storeDir: string
  /** As `nats-server --version` prints it. */
  serverVersion: string
  serverName?: string
  /**
   * Who sees to it that an acknowledged write is on disk. `server`: nats-server, with each message, from 2.10 on; 2.9 keeps what it
   * acknowledged over crashes of its process only. `reader`: API servers that have its files (`--store-dir`). `nobody`: what is stored is
   * thrown away in the end. Default `server`.
   */
  sync?: 'server' | 'reader' | 'nobody'
  /**
   * Several servers are one: where this one hears the others (`host:port`), where they do, and the password that they know each other by.
   * `advertise`: where it is heard from other machines. `caFile`: the authority of the others, which they show with `tls`.
   */
  cluster?: { listen: string; routes: readonly string[]; password: string; advertise?: string; caFile?: string }
  /** For clients that ask for it, those on other machines: files in PEM. The certificate is followed by the authority's. */
  tls?: { certFile: string; keyFile: string } | undefined
  /** Where clients on other machines reach it (`host:port`), which it tells them, and the other servers. */
  advertise?: string | undefined
  /**
   * Users of BUS and REGISTRY who may connect no more: public keys, with the time, in seconds since 1970, up to which their JWTs were made.
   */
  revoked?: Readonly<Record<string, number>>
}

/** Whether a server of this version knows `sync_interval`; 2.9 refuses to start with it, and syncs every two minutes. */
export const canSyncOften = (serverVersion: string): boolean => {
  const [, major, minor] = /(\d+)\.(\d+)/.exec(serverVersion) ?? []
  return Number(major) > 2 || (Number(major) === 2 && Number(minor) >= 10)
}

/**
 * Whether several servers of this version are a store: older ones compare before they replicate and swap after, so that of two writes over
 * the same version that come at about the same time both are acknowledged (seen with 2.9.10; not with 2.10.27 and 2.15.1).
 */
export const canReplicate = (serverVersion: string): boolean => {
  const [major = 0, minor = 0, patch = 0] = (/(\d+)\.(\d+)\.(\d+)/.exec(serverVersion) ?? []).slice(1).map(Number)
  return major > 2 || (major === 2 && (minor > 10 || (minor === 10 && patch >= 27)))
}

/** As a JWT names users whose credentials ended at a time. */
const revoking = (revocations: Readonly<Record<string, number>>) =>
  Object.keys(revocations).length > 0 ? { revocations: { ...revocations } } : {}

/**
 * The JWT of the account REGISTRY, the only one that stores anything. `revocations`: ended users' public keys, with the second of their
 * end.
 */
export const registryAccount = (authority: Authority, revocations: Readonly<Record<string, number>> = {}): Promise<string> =>
  encodeAccount(
    'REGISTRY',
    keyOf(authority.registry),
    { limits: { ...unlimited, ...jetStream }, ...revoking(revocations) },
    options({ signer: keyOf(authority.operator) }),
  )

/** The JWT of the account BUS, as above. */
export async function busAccount(authority: Authority, revocations: Readonly<Record<string, number>> = {}): Promise<string> {
  const scoped = Object.entries(templates).map(([role, template]) => {
    const signer = newScopedSigner(keyOf(authority.roles[role as keyof typeof templates]), role, template)
    // The library adds one for one answer to each message. For that nats-server remembers the replies of two minutes and, from 4,096 on,
    // goes through all of them at every message: 40 messages a second were enough to keep it busy.
    delete signer.template.resp
    return signer
  })
  const account = {
    limits: unlimited,
    signing_keys: scoped,
    ...revoking(revocations),
  }
  return encodeAccount('BUS', keyOf(authority.bus), account, options({ signer: keyOf(authority.operator) }))
}

/** The text of a nats-server configuration: operator mode, no anonymous connection, JetStream for REGISTRY only. */
export async function natsServerConfig(authority: Authority, o: NatsServerOptions): Promise<string> {
  const operator = keyOf(authority.operator)
  const system = keyOf(authority.system)
  const registry = keyOf(authority.registry)
  const bus = keyOf(authority.bus)
  const by = options({ signer: operator })
  const operatorJwt = await encodeOperator('coxswain', operator, { system_account: system.getPublicKey() })
  const accounts = {
    [system.getPublicKey()]: await encodeAccount('SYS', system, { limits: unlimited }, by),
    [registry.getPublicKey()]: await registryAccount(authority, o.revoked),
    [bus.getPublicKey()]: await busAccount(authority, o.revoked),
  }
  // What a reader does not sync, such as blocks that were compacted, is left to the server.
  const intervals = { server: 'always', reader: '"1s"', nobody: '"1h"' }
  const interval = canSyncOften(o.serverVersion) ? intervals[o.sync ?? 'server'] : undefined
  const { cluster, tls } = o
  const files = tls && `cert_file: ${JSON.stringify(tls.certFile)}, key_file: ${JSON.stringify(tls.keyFile)}`
  const routes = cluster?.routes.map(at => JSON.stringify(`nats://cluster:${cluster.password}@${at}`)).join(', ')
  return `listen: ${JSON.stringify(`${o.host.includes(':') ? `[${o.host}]` : o.host}:${o.port}`)}
server_name: ${JSON.stringify(o.serverName ?? 'nats-1')}
${o.advertise === undefined ? '' : `client_advertise: ${JSON.stringify(o.advertise)}\n`}max_payload: 8MB
max_pending: 256MB
write_deadline: "10s"
operator: ${operatorJwt}
system_account: ${system.getPublicKey()}
resolver: { type: full, dir: ${JSON.stringify(`${o.storeDir}/jwt`)}, allow_delete: true, interval: "2m" }
resolver_preload: {
${Object.entries(accounts)
  .map(([key, jwt]) => `  ${key}: ${jwt}`)
  .join('\n')}
}
${
  tls
    ? `tls { ${files}, timeout: 5 }
# Those on this machine have no need of it; those on others refuse a connection without.
allow_non_tls: true
`
    : ''
}jetstream {
  store_dir: ${JSON.stringify(`${o.storeDir}/jetstream`)}
  max_file_store: 64GB${interval ? `\n  sync_interval: ${interval}` : ''}
}
${
  cluster || tls
    ? `# A server that is cut off from the others, or from its clients, is known to be within some seconds: so is a client of another machine.
ping_interval: "3s"
ping_max: 2
`
    : ''
}${
    cluster
      ? `cluster {
  name: coxswain
  listen: ${JSON.stringify(cluster.listen)}
  authorization { user: cluster, password: ${JSON.stringify(cluster.password)}, timeout: 5 }
${cluster.advertise === undefined ? '' : `  cluster_advertise: ${JSON.stringify(cluster.advertise)}\n`}${
          files && cluster.caFile !== undefined ? `  tls { ${files}, ca_file: ${JSON.stringify(cluster.caFile)}, timeout: 5 }\n` : ''
        }  routes: [${routes}]
}
`
      : ''
  }`
}

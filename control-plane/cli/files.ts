/** What the processes of a cluster are started with: certificates, NATS credentials, nats-server's configuration, the kubeconfig. */
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import * as z from 'zod'
import {
  areCredsOf,
  canReplicate,
  createAuthority,
  mintCreds,
  nodeSigner,
  natsServerConfig,
  type Authority,
  type NatsServerOptions,
  type NodeSigner,
} from '#shared/bus/credentials.ts'
import type { Pair } from '#shared/certificates/certificate.ts'
import { ensureCertificates, ensureNatsCertificate, kubeconfig } from './pki.ts'
import { run } from './run.ts'
import { firstService, readCluster, writeAtomically, type Addresses, type StateDir } from './state.ts'
import { natsServer } from './system.ts'

/** The seeds of all NATS keys; only what mints credentials needs to read it. */
export const authorityFile = (dir: StateDir): string => path.join(dir.nats, 'authority.json')

/** What signs the NATS users of nodes, for the controller manager. */
export const nodeSignerFile = (dir: StateDir): string => path.join(dir.nats, 'node-signer.json')

export const writeNodeSigner = async (dir: StateDir): Promise<void> =>
  writeAtomically(nodeSignerFile(dir), JSON.stringify(nodeSigner(await authorityOf(dir))))

/** What that says: every machine of the control plane has it. */
export const nodeSignerOf = (dir: StateDir): NodeSigner =>
  z.object({ account: z.string(), signer: z.string() }).parse(JSON.parse(readFileSync(nodeSignerFile(dir), 'utf8')))

const seed = z.string().regex(/^S[A-Z2-7]{57}$/)
const authoritySchema = z.object({
  operator: seed,
  system: seed,
  registry: seed,
  bus: seed,
  roles: z.object({ apiserver: seed, component: seed, node: seed }),
})

/** The authority, which is made when there is none. The registry belongs to it: with another one, its objects could not be read. */
export async function authorityOf(dir: StateDir): Promise<Authority> {
  const file = authorityFile(dir)
  if (readCluster(dir)?.joined) throw new Error("the keys that NATS users are made with are on the cluster's first machine: ask there")
  const lost = (what: string): Error => new Error(`${file} is ${what}; restore it, or remove ${dir.root} to start afresh`)
  if (existsSync(file)) {
    try {
      return authoritySchema.parse(JSON.parse(readFileSync(file, 'utf8')))
    } catch {
      throw lost('damaged')
    }
  }
  if (existsSync(path.join(dir.nats, 'store'))) throw lost('missing')
  const authority = await createAuthority()
  writeAtomically(file, JSON.stringify(authority))
  return authority
}

export const revokedFile = (dir: StateDir): string => path.join(dir.nats, 'revoked.json')
const revokedSchema = z.record(z.string(), z.number())
export const revokedOf = (dir: StateDir): Record<string, number> =>
  existsSync(revokedFile(dir)) ? revokedSchema.parse(JSON.parse(readFileSync(revokedFile(dir), 'utf8'))) : {}

/** Makes the NATS credentials that these identities lack, or whose files are damaged, in the directory `creds`. */
export async function ensureCreds(dir: StateDir, identities: readonly string[], creds = dir.creds): Promise<void> {
  const authority = await authorityOf(dir)
  const wanted = identities.map(identity => [identity, path.join(creds, `${identity}.creds`)] as const)
  const missing = wanted.filter(([identity, file]) => !existsSync(file) || !areCredsOf(authority, identity, readFileSync(file, 'utf8')))
  await Promise.all(missing.map(async ([identity, file]) => writeAtomically(file, await mintCreds(authority, identity))))
}

/** Makes a key that Secrets are stored with, unless there is a configuration already. What was stored before stays readable. */
export function ensureEncryption(dir: StateDir): void {
  if (existsSync(dir.encryption)) return
  const secret = randomBytes(32).toString('base64')
  const config = `# Without this file the cluster's Secrets cannot be read.
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - aesgcm: {keys: [{name: key1, secret: ${secret}}]}
  - identity: {}
`
  writeAtomically(dir.encryption, config)
}

export interface NatsFileOptions {
  /** The address that nats-server listens on, and its port; 0 for any free one, which its log names. */
  listen: string
  port: number
  /** Where nats-server keeps what it stores. */
  storeDir: string
  sync: NatsServerOptions['sync']
  /** Whether machines other than this one connect, too, which takes TLS. */
  remote?: boolean
  /** How many there are, each with the next port, the same address and a store of its own; default 1. */
  servers?: number
  /** What each is called by the others where all have the same ports, addresses of their own and nothing in common. */
  hosts?: readonly string[] | undefined
  /** Where other machines reach the first; each other one has the next port there, unless a machine has taken it over (`elsewhere`). */
  outside?: Addresses['listen']
  elsewhere?: Addresses['nats']['elsewhere']
}

/** As `nats-server --version` says it. */
async function natsVersion(): Promise<string> {
  const { stdout, stderr } = await run(natsServer() ?? 'nats-server', ['--version'], { timeoutMs: 5000 })
  return /v?(\d+\.\d+\.\d+)/.exec(stdout + stderr)?.[1] ?? '2.9.0'
}

/** Throws when nats-server is too old for several of it to be one store. */
export async function requireReplication(servers: number): Promise<void> {
  const version = servers > 1 ? await natsVersion() : ''
  if (servers > 1 && !canReplicate(version))
    throw new Error(
      `three nats-servers take version 2.10.27 or newer, this is ${version}, which may acknowledge two writes over the same one; NATS_SERVER names another one`,
    )
}

/** Where nats-servers hear each other: so many ports after the one for clients. */
export const routesAfter = 2000
/** Between each other they know no accounts: the password opens everything. */
const routePassword = ({ system }: Authority): string => createHash('sha256').update(`routes ${system}`).digest('hex')
/** By it the others know a server, wherever it is. */
export const serverNameOf = (n: number): string => `nats-${n - 1}`
/** Where the nats-server of this number keeps what it stores, where several have one directory. */
export const storeOf = (storeDir: string, n: number): string => (n === 1 ? storeDir : `${storeDir}-${n}`)

/**
 * The configuration of the nats-server `n` on the machine at `address` that has taken it over, with paths that begin at that machine's
 * state directory. It knows the first one and those that others have taken over before.
 */
export async function movedNatsConfig(dir: StateDir, { listen, nats }: Addresses, n: number, address: string): Promise<string> {
  const { address: first, port } = listen!
  const authority = await authorityOf(dir)
  const others = Object.entries(nats.elsewhere?.hosts ?? {}).flatMap(([other, host]) => (Number(other) === n ? [] : [host]))
  const [here, routes] = [`${address}:${port}`, `${address}:${port + routesAfter}`]
  return natsServerConfig(authority, {
    host: address,
    port,
    storeDir: 'nats/store',
    serverVersion: await natsVersion(),
    serverName: serverNameOf(n),
    sync: 'server',
    advertise: here,
    tls: { certFile: 'pki/nats-server.crt', keyFile: 'pki/nats-server.key' },
    revoked: revokedOf(dir),
    cluster: {
      listen: routes,
      advertise: routes,
      routes: [first, ...others].map(host => `${host}:${port + routesAfter}`),
      password: routePassword(authority),
      caFile: 'pki/ca.crt',
    },
  })
}

/** Writes nats-server's configuration, and makes the credentials that these identities lack. */
export async function writeNatsFiles(
  dir: StateDir,
  { listen, port, storeDir, sync, remote = false, servers = 1, hosts, outside, elsewhere }: NatsFileOptions,
  identities: readonly string[],
): Promise<void> {
  const authority = await authorityOf(dir)
  // The version decides about syncing alone.
  const serverVersion = sync === 'nobody' ? '2.9.0' : await natsVersion()
  const spread = servers > 1 ? outside : undefined
  const tls = remote ? ensureNatsCertificate(dir, spread && [spread.address, listen]) : undefined
  const common = { host: listen, serverVersion, sync, tls, revoked: revokedOf(dir) }
  const password = routePassword(authority)
  const routes = Array.from({ length: servers }, (_, i) => {
    const other = elsewhere?.hosts[i + 1]
    if (other !== undefined) return `${other}:${elsewhere!.port + routesAfter}`
    return hosts ? `${hosts[i]}:${port + routesAfter}` : `${listen}:${port + routesAfter + i}`
  })
  const configurations = routes.map((route, i) => ({
    ...common,
    port: port ? port + (hosts ? 0 : i) : -1,
    storeDir: hosts ? storeDir : storeOf(storeDir, i + 1),
    serverName: serverNameOf(i + 1),
    ...(outside ? { advertise: `${outside.address}:${outside.port + i}` } : {}),
    ...(servers > 1
      ? {
          cluster: {
            listen: hosts ? `${listen}:${port + routesAfter}` : route,
            routes: routes.toSpliced(i, 1),
            password,
            ...(spread ? { advertise: `${spread.address}:${spread.port + routesAfter + i}`, caFile: path.join(dir.pki, 'ca.crt') } : {}),
          },
        }
      : {}),
  }))
  await Promise.all([
    ...configurations.map(async (o, i) => writeAtomically(natsConfig(dir, i + 1), await natsServerConfig(authority, o))),
    ensureCreds(dir, identities),
  ])
}
/** The configuration of the first, second, ... nats-server. */
export const natsConfig = (dir: StateDir, n = 1): string => path.join(dir.nats, n === 1 ? 'server.conf' : `server-${n}.conf`)

/** Writes the administrator's kubeconfig. */
export const writeKubeconfig = (file: string, securePort: number, { ca, admin }: { ca: Pair; admin: Pair }): void =>
  writeAtomically(file, kubeconfig(securePort, ca.cert, { name: 'kubernetes-admin', pair: admin }))

export interface FileOptions extends Omit<NatsFileOptions, 'port' | 'servers' | 'hosts' | 'outside' | 'elsewhere'> {
  at: Pick<Addresses, 'nats' | 'services'> & Partial<Pick<Addresses, 'listen'>>
  /** The addresses that clients reach the API server at, besides that of the Service `kubernetes`. */
  serverIPs: string[]
  /** Of the API server on 127.0.0.1, for the kubeconfig. */
  securePort: number
}

/** Writes what changes with the options, makes what is missing of the rest. Nodes' credentials are made by `ensureCreds`. */
export async function writeFiles(dir: StateDir, { at, serverIPs, securePort, ...nats }: FileOptions): Promise<void> {
  writeKubeconfig(dir.kubeconfig, securePort, ensureCertificates(dir, [...serverIPs, firstService(at)]))
  await writeNodeSigner(dir)
  const components = ['kube-controller-manager', 'kube-scheduler', 'cloud-controller-manager'].map(name => `system:${name}`)
  const identities = ['registry', 'system:apiserver', ...components, 'system:admin']
  const { port, servers, hosts, elsewhere } = at.nats
  await writeNatsFiles(dir, { ...nats, port, servers, hosts, elsewhere, outside: at.listen }, identities)
}

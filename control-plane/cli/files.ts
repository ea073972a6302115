/** What the processes of a cluster are started with: certificates, NATS credentials, nats-server's configuration, the kubeconfig. */
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import * as z from 'zod'
import {
  areCredsOf,
  busAccount,
  createAuthority,
  mintCreds,
  nodeSigner,
  systemIdentity,
  userClaims,
  natsServerConfig,
  type Authority,
  type NatsServerOptions,
} from '#shared/bus/credentials.ts'
import { updateAccount } from '#shared/bus/account.ts'
import { ensureCertificates, kubeconfig } from './pki.ts'
import { run } from './run.ts'
import { firstService, writeAtomically, type Addresses, type StateDir } from './state.ts'
import { natsServer } from './system.ts'

/** The seeds of all NATS keys; only what mints credentials needs to read it. */
export const authorityFile = (dir: StateDir): string => path.join(dir.nats, 'authority.json')

/** What signs the NATS users of nodes, for the controller manager. */
export const nodeSignerFile = (dir: StateDir): string => path.join(dir.nats, 'node-signer.json')

const seed = z.string().regex(/^S[A-Z2-7]{57}$/)
const authoritySchema = z.object({
  operator: seed,
  system: seed,
  registry: seed,
  bus: seed,
  roles: z.object({ apiserver: seed, component: seed, node: seed }),
})

/** The authority, which is made when there is none. The registry belongs to it: with another one, its objects could not be read. */
async function authorityOf(dir: StateDir): Promise<Authority> {
  const file = authorityFile(dir)
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

const revokedFile = (dir: StateDir): string => path.join(dir.nats, 'revoked.json')
const revokedSchema = z.record(z.string(), z.number())
const revokedOf = (dir: StateDir): Record<string, number> =>
  existsSync(revokedFile(dir)) ? revokedSchema.parse(JSON.parse(readFileSync(revokedFile(dir), 'utf8'))) : {}

/**
 * Ends the NATS credentials of an identity, as they lie in `creds`: the nats-server closes its connections and takes no new ones, now and
 * after its next start. The identity can be given new credentials.
 */
export async function revokeCreds(dir: StateDir, url: string, identity: string): Promise<void> {
  const authority = await authorityOf(dir)
  const file = path.join(dir.creds, `${identity}.creds`)
  const key = existsSync(file) ? userClaims(readFileSync(file, 'utf8'))?.sub : undefined
  if (key === undefined) throw new Error(`${file} is missing or damaged: it is not known which credentials ${identity} has`)
  const revoked = { ...revokedOf(dir), [key]: Math.floor(Date.now() / 1000) }
  writeAtomically(revokedFile(dir), JSON.stringify(revoked))
  await updateAccount(url, await mintCreds(authority, systemIdentity), await busAccount(authority, revoked))
  rmSync(file, { force: true })
}

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

export interface FileOptions {
  at: Pick<Addresses, 'nats' | 'services'>
  /** The address that nats-server listens on. */
  listen: string
  /** Where nats-server keeps what it stores. */
  storeDir: string
  sync: NatsServerOptions['sync']
  /** The addresses that clients reach the API server at, besides that of the Service `kubernetes`. */
  serverIPs: string[]
  /** Of the API server on 127.0.0.1, for the kubeconfig. */
  securePort: number
}

/** Writes what changes with the options, makes what is missing of the rest. Nodes' credentials are made by `ensureCreds`. */
export async function writeFiles(dir: StateDir, { at, listen, storeDir, sync, serverIPs, securePort }: FileOptions): Promise<void> {
  const server = natsServer()
  const [{ ca, admin }, authority, version] = await Promise.all([
    ensureCertificates(dir, [...serverIPs, firstService(at)]),
    authorityOf(dir),
    run(server ?? 'nats-server', ['--version'], { timeoutMs: 5000 }).then(
      r => /v?(\d+\.\d+\.\d+)/.exec(r.stdout + r.stderr)?.[1] ?? '2.9.0',
    ),
  ])
  writeAtomically(dir.kubeconfig, kubeconfig(securePort, ca.cert, { name: 'kubernetes-admin', pair: admin }))
  writeAtomically(nodeSignerFile(dir), JSON.stringify(nodeSigner(authority)))
  await Promise.all([
    natsServerConfig(authority, {
      host: listen,
      port: at.nats.port,
      storeDir,
      serverVersion: version,
      serverName: 'nats-0',
      sync,
      revoked: revokedOf(dir),
    }).then(conf => writeAtomically(path.join(dir.nats, 'server.conf'), conf)),
    ensureCreds(dir, ['registry', 'system:apiserver', 'system:kube-controller-manager', 'system:kube-scheduler', 'system:admin']),
  ])
}

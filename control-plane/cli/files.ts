/** What the processes of a cluster are started with: certificates, NATS credentials, nats-server's configuration, the kubeconfig. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { createAuthority, mintCreds, natsServerConfig, type Authority, type NatsServerOptions } from '#shared/bus/credentials.ts'
import { ensureCertificates, kubeconfig } from './pki.ts'
import { run } from './run.ts'
import { firstService, writeAtomically, type Addresses, type StateDir } from './state.ts'
import { natsServer } from './system.ts'

/** The seeds of all NATS keys; only what mints credentials needs to read it. */
export const authorityFile = (dir: StateDir): string => path.join(dir.nats, 'authority.json')

async function authorityOf(dir: StateDir): Promise<Authority> {
  const file = authorityFile(dir)
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as Authority
  const authority = await createAuthority()
  writeAtomically(file, JSON.stringify(authority))
  return authority
}

/** Makes the NATS credentials that these identities lack, in the directory `creds`. */
export async function ensureCreds(dir: StateDir, identities: readonly string[], creds = dir.creds): Promise<void> {
  const missing = identities
    .map(identity => [identity, path.join(creds, `${identity}.creds`)] as const)
    .filter(([, file]) => !existsSync(file))
  if (missing.length === 0) return
  const authority = await authorityOf(dir)
  await Promise.all(missing.map(async ([identity, file]) => writeAtomically(file, await mintCreds(authority, identity))))
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
  writeAtomically(dir.kubeconfig, kubeconfig(securePort, ca, admin))
  await Promise.all([
    natsServerConfig(authority, { host: listen, port: at.nats.port, storeDir, serverVersion: version, serverName: 'nats-0', sync }).then(
      conf => writeAtomically(path.join(dir.nats, 'server.conf'), conf),
    ),
    ensureCreds(dir, ['registry', 'system:apiserver', 'system:kube-controller-manager', 'system:kube-scheduler', 'system:admin']),
  ])
}

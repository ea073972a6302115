/** An API server in a process of its own on a nats-server of its own, whose store can be filled before it starts. */
import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { natsTransport } from '#shared/bus/api-client.ts'
import type { Transport } from '#shared/bus/transport.ts'
import { httpsTransport } from '#shared/client/https.ts'
import { newClient } from '#shared/client/rest.ts'
import type { Client } from '#shared/client/client.ts'
import { makeAuthority, sign } from '#shared/certificates/certificate.ts'
import type { Table } from '#control-plane/apiserver/registry/registry.ts'
import { startNats } from '../fixtures/nats.ts'
import { storeObjects } from '../fixtures/storeobjects.ts'

export interface Alone {
  /** Puts objects into the store, as its API servers would have. Only while none runs. */
  store(table: Table, objects: Iterable<KubeObject>): Promise<void>
  /** Starts the API server; resolves when it serves. */
  start(): Promise<void>
  stop(): Promise<void>
  url: string
  tls: { ca: string; cert: string; key: string }
  client: Client
  /** Certificates of another user. */
  user(commonName: string, organization?: string): Promise<{ ca: string; cert: string; key: string }>
  /** Over NATS, as an identity; closed with the server. */
  bus(identity: string): Promise<Transport>
  /** Proportional set size of the API server, bytes; and what is resident. */
  pss(): number
  rss(): number
  close(): Promise<void>
}

const bundle = path.join(import.meta.dirname, '../../dist/kube-apiserver.js')
/** As cox starts it. */
const nodeArgs = ['--max-semi-space-size=32', '--v8-pool-size=1']

export async function aloneApiServer(): Promise<Alone> {
  const dir = await mkdtemp(path.join(tmpdir(), 'cox-alone-'))
  // As in a cluster on one machine: what is read is synced by its readers.
  const nats = await startNats({ sync: 'reader' })
  const file = async (name: string, text: string): Promise<string> => {
    await writeFile(path.join(dir, name), text, { mode: 0o600 })
    return path.join(dir, name)
  }
  const ca = await makeAuthority()
  const [admin, server] = await Promise.all([
    sign(ca, { commonName: 'kubernetes-admin', organizations: ['system:masters'] }),
    sign(ca, { commonName: 'kube-apiserver', names: { dns: ['localhost'], ips: ['127.0.0.1'] } }),
  ])
  const port = 20_000 + (process.pid % 10_000)
  const args = [
    ...['--nats-url', nats.url, '--registry-creds', await nats.creds('registry'), '--bus-creds', await nats.creds('system:apiserver')],
    ...['--store-dir', nats.storeDir],
    ...['--secure-port', String(port), '--client-ca-file', await file('ca.crt', ca.cert)],
    ...['--tls-cert-file', await file('server.crt', server.cert), '--tls-private-key-file', await file('server.key', server.key)],
  ]
  const url = `https://127.0.0.1:${port}`
  const tls = { ca: ca.cert, cert: admin.cert, key: admin.key }
  const transport = httpsTransport({ server: url, ...tls })
  let child: ChildProcess | undefined
  const stop = async (): Promise<void> => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise(resolve => child!.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
  }
  return {
    url,
    tls,
    client: newClient(transport, { timeoutMs: 120_000 }),
    store: async (table, objects) => storeObjects((await nats.connect('registry')).nats, table, objects),
    async start() {
      child = spawn(process.execPath, [...nodeArgs, bundle, ...args], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
      await new Promise<void>((resolve, reject) => {
        child!.once('message', () => resolve())
        child!.once('exit', code => reject(new Error(`kube-apiserver exited with code ${code}`)))
      })
    },
    stop,
    async user(commonName, organization) {
      const { cert, key } = await sign(ca, { commonName, ...(organization === undefined ? {} : { organization }) })
      return { ca: ca.cert, cert, key }
    },
    bus: async identity => natsTransport(await nats.connect(identity)),
    rss: () => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${child!.pid}/status`, 'utf8'))?.[1] ?? 0) * 1024,
    pss: () => Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${child!.pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0) * 1024,
    async close() {
      await stop()
      await transport.close()
      await nats.stop()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

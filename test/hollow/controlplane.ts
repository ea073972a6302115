/** The control plane of a cluster as processes, from the sources, with logs that a test can read. It has no node. */
import { spawn, type ChildProcess } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { openSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { makeAuthority, sign } from '#shared/certificates/certificate.ts'
import { natsTransport } from '#shared/bus/api-client.ts'
import type { Client } from '#shared/client/client.ts'
import { newClient } from '#shared/client/rest.ts'
import { startNats, type NatsFixture } from '../fixtures/nats.ts'

export const components = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler'] as const
type Component = (typeof components)[number]
const sources: Record<Component, string> = {
  'kube-apiserver': 'control-plane/apiserver/main.ts',
  'kube-controller-manager': 'control-plane/controller-manager/main.ts',
  'kube-scheduler': 'control-plane/scheduler/main.ts',
}
const project = path.resolve(import.meta.dirname, '../..')
const node = path.join(project, 'node_modules/.bin/node')

export interface ControlPlane {
  readonly nats: NatsFixture
  /** As the cluster's administrator, over the bus. */
  readonly client: Client
  /** A file with the keys that sign credentials. */
  readonly authorityFile: string
  /** Lines of a component's log so far, parsed. */
  log(component: Component | 'hollow'): Promise<{ level: number; msg: string }[]>
  /** CPU time of a process so far, s. */
  cpu(component: Component | 'hollow' | 'nats-server'): Promise<number>
  /** Starts another process of ours that ends with the others; its log is the name's. */
  run(name: 'hollow', args: readonly string[]): ChildProcess
  stop(): Promise<void>
}

/** `args` are more flags of a component. */
export async function startControlPlane(args: Partial<Record<Component, readonly string[]>> = {}): Promise<ControlPlane> {
  const nats = await startNats()
  const dir = await mkdtemp(path.join(tmpdir(), 'cox-hollow-'))
  const children = new Map<string, ChildProcess>()
  const file = async (name: string, text: string): Promise<string> => {
    await writeFile(path.join(dir, name), text, { mode: 0o600 })
    return path.join(dir, name)
  }
  const run = (name: string, command: readonly string[]): ChildProcess => {
    const out = openSync(path.join(dir, `${name}.log`), 'a')
    // They must not outlive a test process that is killed.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', node, '--disable-warning=ExperimentalWarning', ...command], {
      cwd: project,
      stdio: ['ignore', out, out],
    })
    children.set(name, child)
    return child
  }
  const ca = await makeAuthority()
  const server = await sign(ca, { commonName: 'kube-apiserver', names: { dns: ['localhost'], ips: ['127.0.0.1'] } })
  const account = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  const caFile = await file('ca.crt', ca.cert)
  const elected = async (component: Component): Promise<string[]> => [
    '--nats-url',
    nats.url,
    '--creds',
    await nats.creds(`system:${component}`),
  ]
  const flags: Record<Component, string[]> = {
    'kube-apiserver': [
      ...['--nats-url', nats.url, '--registry-creds', await nats.creds('registry'), '--bus-creds', await nats.creds('system:apiserver')],
      ...['--tls-cert-file', await file('server.crt', server.cert), '--tls-private-key-file', await file('server.key', server.key)],
      ...['--client-ca-file', caFile, '--secure-port', '0'],
      ...['--service-account-key-file', await file('sa.pub', account.publicKey)],
      ...['--service-account-signing-key-file', await file('sa.key', account.privateKey)],
    ],
    'kube-controller-manager': [...(await elected('kube-controller-manager')), '--root-ca-file', caFile],
    'kube-scheduler': await elected('kube-scheduler'),
  }
  for (const component of components) {
    const young = component === 'kube-apiserver' ? 32 : 8
    run(component, [`--max-semi-space-size=${young}`, sources[component], ...flags[component], ...(args[component] ?? [])])
  }
  const client = newClient(natsTransport(await nats.connect('system:admin')), { userAgent: 'test', timeoutMs: 60_000 })
  return {
    nats,
    client,
    authorityFile: await file('authority.json', JSON.stringify(nats.authority)),
    async log(name) {
      const text = await readFile(path.join(dir, `${name}.log`), 'utf8')
      return text
        .split('\n')
        .filter(line => line.startsWith('{'))
        .map(line => JSON.parse(line) as { level: number; msg: string })
    },
    async cpu(name) {
      const pid = name === 'nats-server' ? nats.pid : children.get(name)?.pid
      const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ')
      return (Number(fields[11]) + Number(fields[12])) / 100
    },
    run: (name, more) => run(name, [path.join(import.meta.dirname, 'main.ts'), ...more]),
    async stop() {
      await Promise.all(
        [...children.values()].map(async child => {
          if (child.exitCode !== null || child.signalCode !== null) return
          const gone = new Promise(resolve => child.once('exit', resolve))
          child.kill('SIGKILL')
          await gone
        }),
      )
      await nats.stop()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

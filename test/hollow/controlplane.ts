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
export type Component = (typeof components)[number]
const sources: Record<Component, string> = {
  'kube-apiserver': 'control-plane/apiserver/main.ts',
  'kube-controller-manager': 'control-plane/controller-manager/main.ts',
  'kube-scheduler': 'control-plane/scheduler/main.ts',
}
const project = path.resolve(import.meta.dirname, '../..')
/** Where CPU profiles of the processes are written when they end. */
const profiles = process.env['HOLLOW_PROFILE']
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
  /** Resident memory of a process, MiB. */
  memory(component: Component | 'hollow' | 'nats-server'): Promise<number>
  /** SIGKILL, and another one at once. */
  restart(component: Component): Promise<void>
  /** Starts another process of ours that ends with the others; its log is the name's. */
  run(name: 'hollow', args: readonly string[]): ChildProcess
  stop(): Promise<void>
}

/** `args` are more flags of a component. `fill` has the store to itself before they start. */
export async function startControlPlane(
  args: Partial<Record<Component, readonly string[]>> = {},
  fill?: (nats: NatsFixture) => Promise<void>,
): Promise<ControlPlane> {
  const nats = await startNats()
  await fill?.(nats)
  const dir = await mkdtemp(path.join(tmpdir(), 'cox-hollow-'))
  const children = new Map<string, ChildProcess>()
  const file = async (name: string, text: string): Promise<string> => {
    await writeFile(path.join(dir, name), text, { mode: 0o600 })
    return path.join(dir, name)
  }
  const run = (name: string, command: readonly string[]): ChildProcess => {
    const out = openSync(path.join(dir, `${name}.log`), 'a')
    // They must not outlive a test process that is killed.
    const own = ['--disable-warning=ExperimentalWarning']
    if (profiles) own.push('--cpu-prof', `--cpu-prof-dir=${profiles}`, `--cpu-prof-name=${name}.cpuprofile`)
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', node, ...own, ...command], { cwd: project, stdio: ['ignore', out, out] })
    children.set(name, child)
    return child
  }
  const pidOf = (name: string): number | undefined => (name === 'nats-server' ? nats.pid : children.get(name)?.pid)
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
  const start = (component: Component): ChildProcess => {
    const young = component === 'kube-apiserver' ? 32 : 16
    return run(component, [`--max-semi-space-size=${young}`, sources[component], ...flags[component], ...(args[component] ?? [])])
  }
  components.forEach(start)
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
      const fields = (await readFile(`/proc/${pidOf(name)}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ')
      return (Number(fields[11]) + Number(fields[12])) / 100
    },
    async memory(name) {
      return Number(/^VmRSS:\s+(\d+)/m.exec(await readFile(`/proc/${pidOf(name)}/status`, 'utf8'))?.[1] ?? 0) / 1024
    },
    async restart(component) {
      const child = children.get(component)!
      const gone = new Promise(resolve => child.once('exit', resolve))
      child.kill('SIGKILL')
      await gone
      start(component)
    },
    run: (name, more) => run(name, ['--max-semi-space-size=32', path.join(import.meta.dirname, 'main.ts'), ...more]),
    async stop() {
      await Promise.all(
        [...children.values()].map(async child => {
          if (child.exitCode !== null || child.signalCode !== null) return
          const gone = new Promise(resolve => child.once('exit', resolve))
          child.kill(profiles ? 'SIGTERM' : 'SIGKILL')
          await gone
        }),
      )
      await nats.stop()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

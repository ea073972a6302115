/**
 * The `etcd` that controller-runtime's envtest starts (pkg/internal/testing/controlplane/etcd.go): writes what nats-server and its API
 * server need into --data-dir, then becomes nats-server. Its monitoring port is the client URL: below the base path /health it answers
 * /health itself, and /health/varz, where the API server learns nats-server's port and directory.
 */
import { appendFileSync } from 'node:fs'
import path from 'node:path'
import { natsConfig, writeNatsFiles } from '../cli/files.ts'
import { makeStateDir, stateDir } from '../cli/state.ts'
import { natsEnv, natsServer } from '../cli/system.ts'
import { parseGoFlags } from './flags.ts'

/** Of etcd alone: there is one, without peers. */
const meaningless = [
  'advertise-client-urls',
  'listen-peer-urls',
  'initial-advertise-peer-urls',
  'initial-cluster',
  'name',
  'log-level',
  'logger',
]

async function main(): Promise<void> {
  const flags = parseGoFlags(process.argv.slice(2))
  const take = (name: string): string | undefined => {
    const value = flags.get(name)?.at(-1)
    flags.delete(name)
    return value
  }
  const dir = stateDir(take('data-dir') ?? 'default.etcd')
  const client = new URL((take('listen-client-urls') ?? 'http://localhost:2379').split(',')[0]!)
  const sync = take('unsafe-no-fsync') === 'true' ? 'nobody' : 'server'
  meaningless.forEach(take)
  if (flags.size > 0) process.stderr.write(`etcd: ignored, as nats-server has nothing of the kind: --${[...flags.keys()].join(' --')}\n`)
  makeStateDir(dir)
  await writeNatsFiles(dir, { listen: '127.0.0.1', port: 0, storeDir: path.join(dir.nats, 'store'), sync }, [
    'registry',
    'system:apiserver',
  ])
  appendFileSync(natsConfig(dir), `http: ${JSON.stringify(client.host)}\nhttp_base_path: "/health"\n`)
  const program = natsServer()
  if (program === undefined) throw new Error('nats-server is missing; install the package nats-server')
  process.removeAllListeners('warning').on('warning', () => {})
  process.execve!(program, [program, '-c', natsConfig(dir)], { ...process.env, ...natsEnv } as Record<string, string>)
}

try {
  await main()
} catch (e) {
  process.stderr.write(`etcd: ${(e as Error).message}\n`)
  process.exit(1)
}

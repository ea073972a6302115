/**
 * The `kube-apiserver` that controller-runtime's envtest starts (pkg/internal/testing/controlplane/apiserver.go): finds nats-server by what
 * the `etcd` beside it answers, and runs the API server with the flags that it has in common with upstream's.
 */
import path from 'node:path'
import * as z from 'zod'
import { compileAfter, testRequests } from '../cli/tiering.ts'
import { parseGoFlags } from './flags.ts'

/** Of etcd's address, of upstream's ways to store and log, and of what is always so here. */
const meaningless =
  /^(etcd-.*|allow-privileged|insecure-port|insecure-bind-address|v|vmodule|logging-format|log-.*|watch-cache.*|storage-.*|profiling)$/

const varz = z.object({ port: z.number(), jetstream: z.object({ config: z.object({ store_dir: z.string() }) }) })

/** What the `etcd` says of itself. Rejects when that is none of ours. */
async function askEtcd(url: string): Promise<{ natsUrl: string; dataDir: string }> {
  const answer = await fetch(new URL('/health/varz', url), { signal: AbortSignal.timeout(5000) }).catch((e: Error) =>
    Promise.reject(new Error(`${url} does not answer: ${String(e.cause ?? e.message)}`)),
  )
  const said = varz.safeParse(await answer.json().catch(() => undefined))
  const dataDir = said.data && /^(.*)\/nats\/store\//.exec(said.data.jetstream.config.store_dir)?.[1]
  if (!said.success || dataDir === undefined) throw new Error(`${url} is not the etcd of this directory, which is nats-server`)
  return { natsUrl: `nats://127.0.0.1:${said.data.port}`, dataDir }
}

async function main(): Promise<void> {
  const flags = parseGoFlags(process.argv.slice(2))
  const { natsUrl, dataDir } = await askEtcd(flags.get('etcd-servers')?.at(-1)?.split(',')[0] ?? 'http://localhost:2379')
  const certDir = flags.get('cert-dir')?.at(-1) ?? '/var/run/kubernetes'
  flags.delete('cert-dir')
  for (const [name, file] of [
    ['tls-cert-file', 'apiserver.crt'],
    ['tls-private-key-file', 'apiserver.key'],
  ] as const)
    if (!flags.has(name)) flags.set(name, [path.join(certDir, file)])
  const ignored = [...flags.keys()].filter(name => meaningless.test(name))
  for (const name of ignored) flags.delete(name)
  flags.set('nats-url', [natsUrl])
  flags.set('registry-creds', [path.join(dataDir, 'creds', 'registry.creds')])
  flags.set('bus-creds', [path.join(dataDir, 'creds', 'system:apiserver.creds')])
  const program = path.join(import.meta.dirname, 'kube-apiserver.js')
  process.argv.splice(1, Infinity, program, ...[...flags].flatMap(([name, values]) => values.map(value => `--${name}=${value}`)))
  compileAfter(testRequests)
  await import(program)
}

try {
  await main()
} catch (e) {
  process.stderr.write(`kube-apiserver: ${(e as Error).message}\n`)
  process.exit(1)
}

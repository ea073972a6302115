/** The cluster under measurement: one that we start ourselves, as a user does, or one that runs already. */
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { execa } from 'execa'
import { natsUrl } from '#control-plane/cli/components.ts'
import { addressesOf, stateDir, readCluster, type StateDir } from '#control-plane/cli/state.ts'
import type { ProcessRow } from '#control-plane/cli/ps.ts'

const cox = path.resolve(import.meta.dirname, '../../control-plane/cli/cox.sh')

export interface BenchCluster {
  readonly dir: StateDir
  /** Whether it is ours to stop and start. */
  readonly ours: boolean
  /** `cox up`, with more flags where given. */
  up(...flags: string[]): Promise<void>
  down(): Promise<void>
  ps(): Promise<ProcessRow[]>
  /** Its own tool, with these arguments. */
  cox(...args: string[]): Promise<string>
  /** `https://127.0.0.1:port` of the API. */
  url(): string
  /** nats-server's, for the bus. */
  natsUrl(): string
  pem(file: 'ca.crt' | 'apiserver.crt' | 'apiserver.key' | 'admin.crt' | 'admin.key'): string
  /** Stops and removes it when it is ours. */
  dispose(): Promise<void>
}

/** `root` is the state directory of a running cluster; without it, a new one of `nodes` nodes is made ready to start. */
export async function benchCluster(root: string | undefined, nodes: number): Promise<BenchCluster> {
  const dir = stateDir(root ?? (await mkdtemp(path.join(tmpdir(), 'cox-bench-'))))
  const run = async (...args: string[]): Promise<string> =>
    (await execa(cox, [...args, '--state-dir', dir.root], { timeout: 120_000, stdin: 'ignore' })).stdout
  const cluster = () => readCluster(dir) ?? fail(`there is no cluster in ${dir.root}`)
  const self: BenchCluster = {
    dir,
    ours: root === undefined,
    up: async (...flags) => void (await run('up', '--detach', '--nodes', String(nodes), ...flags)),
    down: async () => void (await run('down')),
    ps: async () => JSON.parse(await run('ps', '-o', 'json')) as ProcessRow[],
    cox: run,
    url: () => `https://127.0.0.1:${cluster().securePort}`,
    natsUrl: () => natsUrl(addressesOf(cluster())),
    pem: file => readFileSync(path.join(dir.pki, file), 'utf8'),
    async dispose() {
      if (!self.ours) return
      if (readCluster(dir)) await self.down()
      await rm(dir.root, { recursive: true, force: true })
    },
  }
  return self
}

function fail(message: string): never {
  throw new Error(message)
}

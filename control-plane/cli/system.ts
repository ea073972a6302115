/** What coxswain needs from the machine, and getting it from the system's packages. */
import { accessSync, constants, existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { run } from './run.ts'

interface Program {
  name: string
  /** The Debian package that has it. */
  package: string
  why: string
}
const programs: readonly Program[] = [
  { name: 'nats-server', package: 'nats-server', why: 'stores the cluster and carries its messages' },
  { name: 'runc', package: 'runc', why: 'runs containers' },
  { name: 'conmon', package: 'conmon', why: 'holds the output of containers' },
  { name: 'ip', package: 'iproute2', why: 'makes networks' },
  { name: 'nft', package: 'nftables', why: 'routes Services' },
  { name: 'conntrack', package: 'conntrack', why: 'forgets UDP connections to endpoints that are gone' },
  { name: 'unshare', package: 'util-linux', why: 'makes the namespaces of nodes' },
]

/** The absolute path of a program in PATH or the system's sbin directories; undefined when there is none. */
export function which(name: string): string | undefined {
  for (const dir of [...(process.env['PATH'] ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin']) {
    const file = path.join(dir, name)
    try {
      accessSync(file, constants.X_OK)
      return file
    } catch {
      continue
    }
  }
  return undefined
}

/** The nats-server to run: `NATS_SERVER` if set, else the one in PATH. */
export const natsServer = (): string | undefined => process.env['NATS_SERVER'] ?? which('nats-server')

/** With a Go scheduler on each processor, most of which wait for the next message by spinning, a write costs nats-server a fifth more. */
export const natsEnv = { GOMAXPROCS: String(Math.max(1, availableParallelism() >> 1)) }

const present = (p: Program): boolean => (p.name === 'nats-server' ? natsServer() !== undefined : which(p.name) !== undefined)

/** Whether nodes can have namespaces, networks and packet rules of their own. */
export const isPrivileged = (): boolean => process.platform === 'linux' && process.getuid?.() === 0

/**
 * Installs what is missing with apt where that is possible; throws one line for each thing that stays missing. `host`: for a cluster on the
 * machine's own network; `node`: for a node of a cluster elsewhere.
 */
export async function ensurePrograms(
  say: (line: string) => void,
  what: 'host' | 'node' | 'all' = isPrivileged() ? 'all' : 'host',
): Promise<void> {
  if (!['linux', 'darwin'].includes(process.platform)) throw new Error(`coxswain runs on Linux and macOS; this is ${process.platform}`)
  const named = process.env['NATS_SERVER']
  if (named !== undefined && !existsSync(named)) throw new Error(`NATS_SERVER=${named}: no such file`)
  const needed = programs.filter(p => what === 'all' || (what === 'host') === (p.name === 'nats-server'))
  const missing = needed.filter(p => !present(p))
  if (missing.length === 0) return
  const apt = isPrivileged() ? which('apt-get') : undefined
  if (apt) {
    say(`installing ${missing.map(p => p.package).join(', ')} with apt-get...`)
    const env = { DEBIAN_FRONTEND: 'noninteractive' }
    // A machine that has package lists may be offline; one without them needs them first.
    const install = () =>
      run(apt, ['install', '-y', '-qq', '--no-install-recommends', ...missing.map(p => p.package)], { env, timeoutMs: 600_000 })
    let result = await install()
    if (!result.ok) {
      await run(apt, ['update', '-qq'], { env, timeoutMs: 300_000 })
      result = await install()
    }
    if (!result.ok) say(`${result.stdout}${result.stderr}`.split('\n').slice(-3).join('\n'))
    // Debian starts the service it installs; ours is another one.
    if (missing.some(p => p.name === 'nats-server') && which('systemctl'))
      await run('systemctl', ['disable', '--now', 'nats-server'], { timeoutMs: 20_000 })
  }
  const still = needed.filter(p => !present(p))
  if (still.length > 0)
    throw new Error(
      still
        .map(
          p =>
            `${p.name} is missing (it ${p.why}); ${process.platform === 'darwin' ? `brew install ${p.package}` : `install the package ${p.package}`}`,
        )
        .join('\n'),
    )
}

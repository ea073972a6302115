/** Which cluster number and which ports are whose on this machine: a claim is a file naming the state directory, made under a lock. */
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { withLock } from './lock.ts'
import { isAlive, readRecord, supervisorProcess } from './process.ts'
import { run } from './run.ts'
import { addresses, readCluster, stateDir, type Cluster } from './state.ts'

/** Of the machine when we may write there, else of the user. */
const claimsOf = (onHost: boolean): string =>
  onHost ? path.join(tmpdir(), `coxswain-${process.getuid?.() ?? 0}`, 'clusters') : '/var/lib/coxswain/clusters'

/** What another state directory says of its cluster; nothing of one that is gone or damaged. */
function clusterOf(root: string): Cluster | undefined {
  try {
    return readCluster(stateDir(root))
  } catch {
    return undefined
  }
}

async function routeTables(): Promise<string> {
  const { ok, stdout, error } = await run('ip', ['-4', 'route', 'show', 'table', 'all'], { timeoutMs: 5000 })
  if (!ok) throw new Error(error)
  return stdout
}

/**
 * Claims the lowest free cluster number for a state directory, or the one it had (`wanted`). The claim lasts until the state directory is
 * removed. `settle` writes cluster.json while nobody else chooses; it gets the ports that other clusters have chosen, which may not serve
 * yet. API servers share their ports: two clusters with the same would not fail, but mix.
 */
export function claimIndex<T>(
  root: string,
  wanted: number | undefined,
  onHost: boolean,
  settle: (index: number, takenPorts: ReadonlySet<number>) => Promise<T>,
): Promise<T> {
  const claims = claimsOf(onHost)
  mkdirSync(claims, { recursive: true, mode: 0o700 })
  // Everybody may make directories where temporary files are.
  if (onHost && statSync(path.dirname(claims)).uid !== process.getuid?.())
    throw new Error(`${path.dirname(claims)} belongs to another user; remove it`)
  return withLock(path.join(claims, 'lock'), async () => {
    const routes = onHost ? '' : await routeTables()
    const owner = (index: number): string | undefined => {
      try {
        return readFileSync(path.join(claims, String(index)), 'utf8')
      } catch {
        return undefined
      }
    }
    const free = (index: number): boolean => {
      const holder = owner(index)
      if (holder !== undefined && clusterOf(holder)?.index === index) return false
      // Somebody else's network may use the range without our knowing.
      return onHost || (!routes.includes(`10.${128 + index}.`) && !existsSync(`/sys/class/net/${addresses(index).bridge}`))
    }
    const others = readdirSync(claims).flatMap(file =>
      /^\d+$/.test(file) && owner(Number(file)) !== root ? [owner(Number(file)) ?? ''] : [],
    )
    const starting = others
      .filter(other => isAlive(readRecord(stateDir(other), supervisorProcess)))
      .flatMap(other => clusterOf(other) ?? [])
    const taken = new Set(starting.flatMap(c => [c.securePort, ...(c.host ? [c.host.natsPort] : [])]))
    if (wanted !== undefined && owner(wanted) === root) return settle(wanted, taken)
    // Users do not see each other's claims.
    const first = onHost ? (process.getuid?.() ?? 0) % 100 : 0
    const candidates = wanted !== undefined ? [wanted] : Array.from({ length: 100 }, (_, i) => (first + i) % 100)
    const index = candidates.find(free)
    if (index === undefined)
      throw new Error(
        wanted === undefined
          ? 'all 100 cluster ranges of this machine are taken'
          : `the cluster's range ${addresses(wanted).all} is used by another cluster or network on this machine`,
      )
    writeFileSync(path.join(claims, String(index)), root)
    return settle(index, taken)
  })
}

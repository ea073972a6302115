/** Processes of this machine, as the system tells of them: /proc where there is one, ps elsewhere. */
import { spawnSync } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'

const linux = process.platform === 'linux'
const ps = (...args: string[]): string => spawnSync('ps', args, { encoding: 'utf8', timeout: 10_000 }).stdout ?? ''

interface Stat {
  state: string
  parent: number
  group: number
  session: number
  /** Clock ticks. */
  cpu: number
  startTime: number
}

/** /proc/PID/stat without the name in brackets, which may hold anything. */
function readStat(pid: number | string): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return {
      state: fields[0] ?? '',
      parent: Number(fields[1]),
      group: Number(fields[2]),
      session: Number(fields[3]),
      cpu: Number(fields[11]) + Number(fields[12]),
      startTime: Number(fields[19]),
    }
  } catch {
    return undefined
  }
}

/**
 * When a process began, a number that means nothing but to name it for ever together with its pid; undefined when it is gone or only a
 * zombie.
 */
export function processStartTime(pid: number): number | undefined {
  if (linux) {
    const stat = readStat(pid)
    return stat === undefined || stat.state === 'Z' || stat.state === 'X' ? undefined : stat.startTime
  }
  const [state = '', ...started] = ps('-o', 'stat=,lstart=', '-p', String(pid)).trim().split(/\s+/)
  return state === '' || state.startsWith('Z') ? undefined : Date.parse(started.join(' '))
}

/** These processes, and all that descend from them, or are of a session that one of them leads. Linux. */
export function withDescendants(roots: readonly number[]): number[] {
  const all = readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(name => ({ pid: Number(name), ...readStat(name) }))
  return withKin(
    roots,
    all.flatMap(({ pid, parent, session }) => (parent === undefined || session === undefined ? [] : [{ pid, of: [parent, session] }])),
  )
}

/**
 * Processes of ours that were given `entry` (`NAME=value`) in their environment and are no zombies: children inherit it, wherever they go.
 */
export function processesMarked(entry: string): number[] {
  if (!linux) return markedByPs(ps('-A', '-Eww', '-o', 'pid=,ppid=,pgid=,stat=,command='), entry)
  const wanted = Buffer.from(`\0${entry}\0`)
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .filter(pid => {
      try {
        return Buffer.concat([Buffer.from([0]), readFileSync(`/proc/${pid}/environ`)]).includes(wanted)
      } catch {
        // not ours, or gone
        return false
      }
    })
    .map(Number)
    .filter(pid => processStartTime(pid) !== undefined)
}

/**
 * ps -E of macOS shows environments, but not those of the system's own programs: these are found as children, or by the group, of one that
 * is marked.
 */
export function markedByPs(listing: string, entry: string): number[] {
  const all = listing.split('\n').flatMap(line => {
    const [pid, parent, group, state = 'Z'] = line.trim().split(/\s+/)
    return state.startsWith('Z')
      ? []
      : [{ pid: Number(pid), parent: Number(parent), group: Number(group), marked: ` ${line} `.includes(` ${entry} `) }]
  })
  return withKin(
    all.filter(p => p.marked).map(p => p.pid),
    all.map(({ pid, parent, group }) => ({ pid, of: [parent, group] })),
  )
}

/** These, and of `all` those that are `of` one of them, and so on. */
function withKin(roots: readonly number[], all: readonly { pid: number; of: readonly number[] }[]): number[] {
  const found = new Set(roots)
  for (let size = -1; size !== found.size;) {
    size = found.size
    for (const one of all) if (one.of.some(pid => found.has(pid))) found.add(one.pid)
  }
  return [...found]
}

/** Signals all processes of a mark but those in `except`; false when there is none. */
export function signalMarked(entry: string, signal: NodeJS.Signals, except: readonly number[] = []): boolean {
  const pids = processesMarked(entry).filter(pid => pid !== process.pid && !except.includes(pid))
  for (const pid of pids) {
    try {
      process.kill(pid, signal)
    } catch {
      // it went by itself
    }
  }
  return pids.length > 0
}

/** Kills all processes of a mark, again until none is left or a second has passed: what forks meanwhile is found the next time. */
export async function killMarked(entry: string): Promise<void> {
  for (let attempt = 0; attempt < 20 && signalMarked(entry, 'SIGKILL'); attempt++)
    await new Promise(resolve => setTimeout(resolve, 5 * (attempt + 1)))
}

/**
 * Resident bytes and CPU nanoseconds so far of some processes; those that are gone count nothing. One resident page may be shared by
 * several.
 */
export function processUsage(pids: readonly number[]): { memoryBytes: number; cpuNanos: number } {
  const all = linux ? pids.map(usageOf) : usageByPs(pids)
  return {
    memoryBytes: all.reduce((sum, usage) => sum + usage.memoryBytes, 0),
    cpuNanos: all.reduce((sum, usage) => sum + usage.cpuNanos, 0),
  }
}

interface Usage {
  memoryBytes: number
  cpuNanos: number
}

function usageOf(pid: number): Usage {
  try {
    const rss = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
    // Clock ticks are hundredths of a second.
    return { memoryBytes: Number(rss ?? 0) * 1024, cpuNanos: (readStat(pid)?.cpu ?? 0) * 1e7 }
  } catch {
    return { memoryBytes: 0, cpuNanos: 0 }
  }
}

function usageByPs(pids: readonly number[]): Usage[] {
  if (pids.length === 0) return []
  const lines = ps('-o', 'rss=,time=', '-p', pids.join(',')).split('\n').filter(Boolean)
  return lines.map(line => {
    const [rss = '', time = ''] = line.trim().split(/\s+/)
    // [[days-]hours:]minutes:seconds.
    const parts = time.split(/[-:]/).map(Number)
    const seconds = parts.reduce((total, part, n) => total * (parts.length === 4 && n === 1 ? 24 : 60) + part, 0)
    return { memoryBytes: Number(rss) * 1024, cpuNanos: seconds * 1e9 }
  })
}

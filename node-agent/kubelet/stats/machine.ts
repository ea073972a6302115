/** What the kernel tells of the whole machine and of network namespaces, in the fields of /stats/summary. */
import { readFile, statfs } from 'node:fs/promises'

export const read = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '')

export interface FsStats {
  time: string
  availableBytes: number
  capacityBytes: number
  usedBytes: number
  inodesFree: number
  inodes: number
  inodesUsed: number
}

/** The file system that a path is on. */
export async function fsStats(path: string, time: string): Promise<FsStats> {
  const s = await statfs(path)
  const capacityBytes = s.blocks * s.bsize
  return {
    time,
    availableBytes: s.bavail * s.bsize,
    capacityBytes,
    usedBytes: capacityBytes - s.bfree * s.bsize,
    inodesFree: s.ffree,
    inodes: s.files,
    inodesUsed: s.files - s.ffree,
  }
}

export interface InterfaceStats {
  name: string
  rxBytes: number
  rxErrors: number
  txBytes: number
  txErrors: number
}

/** The interfaces but the loopback of a process's network namespace; the first is the one that counts. Undefined when there is none. */
export async function networkStats(pid: number | 'self', time: string) {
  const lines = (await read(`/proc/${pid}/net/dev`)).split('\n').slice(2)
  const interfaces = lines.flatMap((line): InterfaceStats[] => {
    const [name = '', rest = ''] = line.split(':')
    const n = rest.trim().split(/\s+/).map(Number)
    return n.length < 16 || name.trim() === 'lo'
      ? []
      : [{ name: name.trim(), rxBytes: n[0]!, rxErrors: n[2]!, txBytes: n[8]!, txErrors: n[10]! }]
  })
  const first = interfaces.find(i => i.name === 'eth0') ?? interfaces[0]
  return first && { time, ...first, interfaces }
}

interface Pressure {
  total: number
  avg10: number
  avg60: number
  avg300: number
}

/** Pressure stall information of a file of the kernel's; undefined where it has none. `total` is in nanoseconds. */
export async function pressure(path: string): Promise<{ some?: Pressure; full?: Pressure } | undefined> {
  const text = await read(path)
  const of = (kind: string): Pressure | undefined => {
    const m = new RegExp(`^${kind} avg10=(\\S+) avg60=(\\S+) avg300=(\\S+) total=(\\d+)`, 'm').exec(text)
    return m ? { total: Number(m[4]) * 1000, avg10: Number(m[1]), avg60: Number(m[2]), avg300: Number(m[3]) } : undefined
  }
  const [some, full] = [of('some'), of('full')]
  return some || full ? { ...(some ? { some } : {}), ...(full ? { full } : {}) } : undefined
}

/** Processes and threads: as many as there may be, and are. */
export async function processLimits(time: string) {
  const [max, load] = await Promise.all([read('/proc/sys/kernel/pid_max'), read('/proc/loadavg')])
  const running = /^\S+ \S+ \S+ \d+\/(\d+)/.exec(load)?.[1]
  return max === '' || running === undefined ? undefined : { time, maxpid: Number(max), curproc: Number(running) }
}

/** What the kernel tells of the whole machine and of network namespaces, in the fields of /stats/summary. */
import { statfs } from 'node:fs/promises'
import { freemem, totalmem } from 'node:os'
import { join } from 'node:path'
import { cgroupDirectory, isCgroup2 } from '#shared/linux/cgroup.ts'
import { kernelText } from '#shared/linux/cgroupusage.ts'

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
  rxPackets: number
  rxErrors: number
  rxDropped: number
  txBytes: number
  txPackets: number
  txErrors: number
  txDropped: number
}

/** The interfaces but the loopback of a process's network namespace: of the node's own, the links of all its pods among them. */
export function interfacesOf(pid: number | 'self'): InterfaceStats[] {
  const lines = kernelText(`/proc/${pid}/net/dev`).split('\n').slice(2)
  return lines.flatMap((line): InterfaceStats[] => {
    const [name = '', rest = ''] = line.split(':')
    const n = rest.trim().split(/\s+/).map(Number)
    if (n.length < 16 || name.trim() === 'lo') return []
    const [rxBytes, rxPackets, rxErrors, rxDropped] = n as [number, number, number, number]
    const [txBytes, txPackets, txErrors, txDropped] = n.slice(8) as [number, number, number, number]
    return [{ name: name.trim(), rxBytes, rxPackets, rxErrors, rxDropped, txBytes, txPackets, txErrors, txDropped }]
  })
}

/** A link seen from its other end. */
export const mirrored = (i: InterfaceStats, name: string): InterfaceStats => ({
  name,
  rxBytes: i.txBytes,
  rxPackets: i.txPackets,
  rxErrors: i.txErrors,
  rxDropped: i.txDropped,
  txBytes: i.rxBytes,
  txPackets: i.rxPackets,
  txErrors: i.rxErrors,
  txDropped: i.rxDropped,
})

/** As the summary tells of them; the first is the one that counts. Undefined when there is none. */
export function networkStats(interfaces: readonly InterfaceStats[], time: string) {
  const told = interfaces.map(({ name, rxBytes, rxErrors, txBytes, txErrors }) => ({ name, rxBytes, rxErrors, txBytes, txErrors }))
  const first = told.find(i => i.name === 'eth0') ?? told[0]
  return first && { time, ...first, interfaces: told }
}

/** Memory of the whole machine, bytes. */
export function machineMemory(): { total: number; available: number; swapTotal: number; swapFree: number } {
  const text = kernelText('/proc/meminfo')
  const kibi = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0) * 1024
  return {
    total: kibi('MemTotal') || totalmem(),
    available: kibi('MemAvailable') || freemem(),
    swapTotal: kibi('SwapTotal'),
    swapFree: kibi('SwapFree'),
  }
}

interface Pressure {
  total: number
  avg10: number
  avg60: number
  avg300: number
}

export type PressedResource = 'cpu' | 'memory' | 'io'
export interface Pressures {
  some?: Pressure
  full?: Pressure
}

/** Pressure stall information of a file of the kernel's; undefined where it has none. `total` is in nanoseconds. */
export function pressure(path: string): Pressures | undefined {
  const text = kernelText(path)
  const of = (kind: string): Pressure | undefined => {
    const m = new RegExp(`^${kind} avg10=(\\S+) avg60=(\\S+) avg300=(\\S+) total=(\\d+)`, 'm').exec(text)
    return m ? { total: Number(m[4]) * 1000, avg10: Number(m[1]), avg60: Number(m[2]), avg300: Number(m[3]) } : undefined
  }
  const [some, full] = [of('some'), of('full')]
  return some || full ? { ...(some ? { some } : {}), ...(full ? { full } : {}) } : undefined
}

/** Of a control group below the node's; only those of version 2 know of pressure. */
export const groupPressure = (group: string, resource: PressedResource): Pressures | undefined =>
  isCgroup2() ? pressure(join(cgroupDirectory('', group), `${resource}.pressure`)) : undefined

/** Processes and threads: as many as there may be, and are. */
export function processLimits(time: string) {
  const [max, load] = [kernelText('/proc/sys/kernel/pid_max'), kernelText('/proc/loadavg')]
  const running = /^\S+ \S+ \S+ \d+\/(\d+)/.exec(load)?.[1]
  return max === '' || running === undefined ? undefined : { time, maxpid: Number(max), curproc: Number(running) }
}

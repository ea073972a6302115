/** What is left of the node's memory, disks and processes: the signals of upstream's eviction manager, read from the kernel. */
import { readFileSync, statSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { cgroupDirectory, isCgroup2 } from '#shared/linux/cgroup.ts'
import type { Signal } from '#shared/kubelet/thresholds.ts'

export interface Observation {
  available: number
  capacity: number
}
export type Observations = ReadonlyMap<Signal, Observation>

export interface Places {
  /** The node's state directory, and where images are. */
  rootDir: string
  imageDir: string
  /** The node's cgroup, absolute below the cgroup root; pods are in `kubepods` below it. */
  cgroupRoot: string
}

const text = (path: string): string => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
const field = (of: string, name: string): number => Number(new RegExp(`^${name}:?\\s+(\\d+)`, 'm').exec(of)?.[1] ?? 0)

/** The cgroup and what it lies in, from the inside. */
function* upwards(path: string): Generator<string> {
  for (let at = path; at !== ''; at = at.slice(0, at.lastIndexOf('/'))) yield at
  yield '/'
}

/** The limit of one group, absent without one, and what of it could not be had back at once. */
export function cgroupMemory(path: string): { limit?: number; workingSet: number } | undefined {
  const two = isCgroup2()
  const read = (file: string): string => text(join(cgroupDirectory('memory', path), file))
  const usage = read(two ? 'memory.current' : 'memory.usage_in_bytes')
  if (usage === '') return undefined
  const limit = Number(read(two ? 'memory.max' : 'memory.limit_in_bytes'))
  const workingSet = Math.max(0, Number(usage) - field(read('memory.stat'), two ? 'inactive_file' : 'total_inactive_file'))
  // Version 1 says no limit with the highest whole number of pages, version 2 with a word.
  return { workingSet, ...(Number.isFinite(limit) && limit < 2 ** 62 ? { limit } : {}) }
}

/** The machine's memory as a working set of all that runs, as cAdvisor counts it. */
function machineMemory(): Observation {
  const info = text('/proc/meminfo')
  const kibi = (name: string): number => field(info, name) * 1024
  const capacity = kibi('MemTotal')
  const used = kibi('AnonPages') + kibi('Cached') + kibi('Buffers') - kibi('Inactive\\(file\\)')
  return { capacity, available: Math.max(0, capacity - used) }
}

const least = (a: Observation, b: Observation): Observation => (b.available < a.available ? b : a)

/** Of the machine, or of a group that the node is in when that has a limit: the least that is left. */
function memoryOf(cgroupRoot: string): Observation {
  let left = machineMemory()
  for (const path of upwards(cgroupRoot)) {
    const group = cgroupMemory(path)
    if (group?.limit !== undefined && group.limit < left.capacity)
      left = least(left, { capacity: group.limit, available: Math.max(0, group.limit - group.workingSet) })
  }
  return left
}

/** The most memory that the node can have: the machine's, or what a group that it is in is limited to. */
export function memoryCapacity(machineBytes: number, cgroupRoot: string): number {
  const limits = [...upwards(cgroupRoot)].flatMap(path => cgroupMemory(path)?.limit ?? [])
  return Math.min(machineBytes, ...limits)
}

function processesOf(cgroupRoot: string): Observation {
  const maxPids = Math.min(...['pid_max', 'threads-max'].map(name => Number(text(`/proc/sys/kernel/${name}`)) || Infinity))
  const running = Number(/^\S+ \S+ \S+ \d+\/(\d+)/.exec(text('/proc/loadavg'))?.[1] ?? 0)
  let left = { capacity: maxPids, available: Math.max(0, maxPids - running) }
  for (const path of upwards(cgroupRoot)) {
    const [max, current] = ['pids.max', 'pids.current'].map(file => Number(text(join(cgroupDirectory('pids', path), file)) || Number.NaN))
    if (Number.isFinite(max) && Number.isFinite(current)) left = least(left, { capacity: max!, available: Math.max(0, max! - current!) })
  }
  return left
}

function fileSystem(path: string): { space: Observation; inodes: Observation | undefined } {
  const { bavail, bsize, blocks, files, ffree } = statfsSync(path)
  return {
    space: { available: bavail * bsize, capacity: blocks * bsize },
    // Some file systems make inodes as they go, and say that there are none.
    inodes: files > 0 ? { available: ffree, capacity: files } : undefined,
  }
}

/** Whether images are on a disk of their own. */
export const hasImageDisk = ({ rootDir, imageDir }: Places): boolean =>
  statSync(imageDir, { throwIfNoEntry: false })?.dev !== undefined && statSync(imageDir).dev !== statSync(rootDir).dev

/** A look at everything, in a fraction of a millisecond. What cannot be seen is left out. */
export function observe(places: Places): Observations {
  const { rootDir, cgroupRoot } = places
  const seen = new Map<Signal, Observation>()
  const disk = (name: 'nodefs' | 'imagefs', path: string): void => {
    const { space, inodes } = fileSystem(path)
    seen.set(`${name}.available`, space)
    if (inodes) seen.set(`${name}.inodesFree`, inodes)
  }
  disk('nodefs', rootDir)
  disk('imagefs', hasImageDisk(places) ? places.imageDir : rootDir)
  if (process.platform !== 'linux') return seen
  seen.set('memory.available', memoryOf(cgroupRoot))
  seen.set('pid.available', processesOf(cgroupRoot))
  const pods = cgroupMemory(`${cgroupRoot}/kubepods`)
  if (pods?.limit !== undefined)
    seen.set('allocatableMemory.available', { capacity: pods.limit, available: Math.max(0, pods.limit - pods.workingSet) })
  return seen
}

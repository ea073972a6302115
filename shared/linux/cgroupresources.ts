/** What a control group may use: set and read alike on version 1 and 2. */
import { existsSync } from 'node:fs'
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { cgroupDirectory, isCgroup2 } from './cgroup.ts'

/** Absent: left as it is. -1: no limit. */
export interface CgroupResources {
  memoryBytes?: number | undefined
  /** As on version 1, 2 to 262144; on version 2 it becomes a weight. */
  cpuShares?: number | undefined
  /** Microseconds of CPU in each 100 ms. */
  cpuQuotaMicros?: number | undefined
  pids?: number | undefined
  /** Bytes of huge pages, by their size as resources name it (`2Mi`). Of every other size that the machine has: none. */
  hugepages?: Readonly<Record<string, number>> | undefined
}

const periodMicros = 100_000
const controllers = ['cpu', 'memory', 'pids', 'hugetlb'] as const

/**
 * The conversion of shares [2, 262144] to a weight [1, 10000] of runc 1.3.2 and v1.35's kubelet: 1024 shares are 100, the kernel's
 * defaults. https://github.com/kubernetes/kubernetes/issues/131216
 */
export function weightOf(shares: number): number {
  if (shares <= 2) return 1
  if (shares >= 262_144) return 10_000
  const log = Math.log2(shares)
  return Math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))
}
/** The least shares that make this weight. */
export function sharesOf(weight: number): number {
  if (weight <= 1) return 2
  // Shares above which the weight is more than one less, by the conversion's inverse; it is steep enough to look around a little.
  const exponent = (Math.log10(weight - 1) + 7 / 34) * 612
  const log = (-125 + Math.sqrt(125 * 125 + 4 * exponent)) / 2
  let shares = Math.max(2, Math.floor(2 ** log))
  while (weightOf(shares) < weight) shares++
  return shares
}

/**
 * Makes the cgroup in the trees of cpu, memory and pids, its parents too, and sets its resources. Idempotent. Rejects without the right to.
 */
export async function ensureCgroup(path: string, resources: CgroupResources = {}): Promise<void> {
  if (isCgroup2()) {
    await mkdir(cgroupDirectory('', path), { recursive: true })
    await enableControllers(path)
  } else await Promise.all(trees().map(controller => mkdir(cgroupDirectory(controller, path), { recursive: true })))
  await updateCgroup(path, resources)
}

/**
 * Sets what is given of a cgroup that exists. Rejects with the kernel's word: EBUSY for a memory limit below what is in use (version 1).
 */
export async function updateCgroup(
  path: string,
  { memoryBytes, cpuShares, cpuQuotaMicros, pids, hugepages }: CgroupResources,
): Promise<void> {
  const set = (controller: string, file: string, value: string | number): Promise<void> =>
    writeFile(join(cgroupDirectory(controller, path), file), String(value))
  const two = isCgroup2()
  const limit = (n: number): string => (n < 0 ? 'max' : String(n))
  const has = (controller: string): boolean => existsSync(cgroupDirectory(controller, path))
  if (memoryBytes !== undefined && has('memory'))
    await (two ? set('memory', 'memory.max', limit(memoryBytes)) : set('memory', 'memory.limit_in_bytes', memoryBytes))
  if (cpuShares !== undefined && has('cpu'))
    await (two ? set('cpu', 'cpu.weight', weightOf(cpuShares)) : set('cpu', 'cpu.shares', cpuShares))
  if (cpuQuotaMicros !== undefined && has('cpu')) {
    if (two) await set('cpu', 'cpu.max', `${limit(cpuQuotaMicros)} ${periodMicros}`)
    else {
      await set('cpu', 'cpu.cfs_period_us', periodMicros)
      await set('cpu', 'cpu.cfs_quota_us', cpuQuotaMicros)
    }
  }
  if (pids !== undefined && has('pids')) await set('pids', 'pids.max', limit(pids))
  if (hugepages !== undefined && has('hugetlb')) await setHugepages(path, hugepages, two)
}

/** The kernel's names of the sizes of huge pages are `2MB`, `1GB`, `64KB`. */
async function setHugepages(path: string, limits: Readonly<Record<string, number>>, two: boolean): Promise<void> {
  const directory = cgroupDirectory('hugetlb', path)
  const ending = two ? '.max' : '.limit_in_bytes'
  for (const file of await readdir(directory)) {
    // `rsvd` counts what is reserved by mmap, the other what is used.
    const size = /^hugetlb\.(\d+[KMG])B\.(rsvd\.)?/.exec(file)?.[1]
    if (size !== undefined && file.endsWith(ending)) await writeFile(join(directory, file), String(limits[`${size}i`] ?? 0))
  }
}

/** What is in force; undefined when there is no such cgroup. */
export async function readCgroup(path: string): Promise<CgroupResources | undefined> {
  const read = (controller: string, file: string): Promise<string | undefined> =>
    readFile(join(cgroupDirectory(controller, path), file), 'utf8').then(
      text => text.trim(),
      () => undefined,
    )
  const two = isCgroup2()
  const [memory, cpu, quota, pids] = await Promise.all([
    read('memory', two ? 'memory.max' : 'memory.limit_in_bytes'),
    read('cpu', two ? 'cpu.weight' : 'cpu.shares'),
    read('cpu', two ? 'cpu.max' : 'cpu.cfs_quota_us'),
    read('pids', 'pids.max'),
  ])
  if (memory === undefined && cpu === undefined) return undefined
  // Version 1 says no limit with the highest whole number of pages.
  const amount = (text: string): number => (text === 'max' || Number(text) >= 2 ** 62 ? -1 : Number(text))
  const [quotaText = '', period = String(periodMicros)] = quota?.split(' ') ?? []
  return {
    ...(memory === undefined ? {} : { memoryBytes: amount(memory) }),
    ...(cpu === undefined ? {} : { cpuShares: two ? sharesOf(Number(cpu)) : Number(cpu) }),
    ...(quotaText === ''
      ? {}
      : { cpuQuotaMicros: amount(quotaText) < 0 ? -1 : Math.round((Number(quotaText) * periodMicros) / Number(period)) }),
    ...(pids === undefined ? {} : { pids: amount(pids) }),
  }
}

/** The trees of version 1 that this machine has. */
const trees = (): string[] => controllers.filter(controller => existsSync(cgroupDirectory(controller, '/')))

/** On version 2 a group has the files of those controllers only that its parents hand on. */
async function enableControllers(path: string): Promise<void> {
  const parents: string[] = []
  for (let at = dirname(path); ; at = dirname(at)) {
    parents.unshift(at)
    if (at === '/' || at === '.') break
  }
  for (const parent of parents) {
    const file = (name: string): string => join(cgroupDirectory('', parent), name)
    const [available, enabled] = await Promise.all(
      ['cgroup.controllers', 'cgroup.subtree_control'].map(async name => (await readFile(file(name), 'utf8')).trim().split(' ')),
    )
    const missing = controllers.filter(c => available!.includes(c) && !enabled!.includes(c))
    if (missing.length > 0) await writeFile(file('cgroup.subtree_control'), missing.map(c => `+${c}`).join(' '))
  }
}

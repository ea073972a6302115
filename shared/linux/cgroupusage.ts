/**
 * What a control group and all below it has used, on version 1 and 2. Read synchronously: for files that the kernel makes up as they are
 * read that takes a tenth of the time of Node's promises, and a node has hundreds of groups.
 */
import { closeSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { cgroupDirectory, isCgroup2 } from './cgroup.ts'

export interface BriefUsage {
  /** Since the group was made. */
  cpuNanos: number
  /** Now: all that is charged, and what of it could not be dropped at once, as cAdvisor counts it. */
  memoryBytes: number
  workingSetBytes: number
  /** What of it belongs to no file. */
  rssBytes: number
  swapBytes: number
  /** Since the group was made. */
  pageFaults: number
  majorPageFaults: number
}
export interface CgroupUsage extends BriefUsage {
  cpuUserNanos: number
  cpuSystemNanos: number
  /** Of a group with a quota: its periods, in how many of them it was held back, and for how long. */
  cpuPeriods: number
  cpuThrottledPeriods: number
  cpuThrottledNanos: number
  cacheBytes: number
  mappedFileBytes: number
  /** The most at once; 0 where the kernel does not say. */
  peakMemoryBytes: number
  /** How often the limit was met. */
  memoryFailures: number
  /** Processes and their threads. */
  threads: number
  readBytes: number
  writeBytes: number
  reads: number
  writes: number
}

const buffer = Buffer.allocUnsafe(32 * 1024)

/** A small file of the kernel's; empty when it cannot be read. */
export function kernelText(path: string): string {
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch {
    return ''
  }
  try {
    return buffer.toString('latin1', 0, readSync(fd, buffer))
  } catch {
    return ''
  } finally {
    closeSync(fd)
  }
}

/** The number behind `name ` at the beginning of a line. */
function field(text: string, name: string): number {
  for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + 1)) {
    let digit = at + name.length
    if ((at > 0 && text.charCodeAt(at - 1) !== 10) || text.charCodeAt(digit++) !== 32) continue
    let n = 0
    for (let code = text.charCodeAt(digit); code >= 48 && code <= 57; code = text.charCodeAt(++digit)) n = n * 10 + code - 48
    return n
  }
  return 0
}

/** Ticks of cpuacct.stat, which Linux tells in hundredths of a second on every machine. */
const tickNanos = 10_000_000

/** Undefined when there is no such group. `path` is absolute below the cgroup root. */
export const readBriefUsage = (path: string): BriefUsage | undefined => versionOf(path).brief()?.usage
export const readCgroupUsage = (path: string): CgroupUsage | undefined => versionOf(path).whole()

let two: boolean | undefined
const versionOf = (path: string) => ((two ??= isCgroup2()) ? version2(path) : version1(path))

function version1(path: string) {
  const read = (controller: string, file: string): string => kernelText(join(cgroupDirectory(controller, path), file))
  function brief(): { usage: BriefUsage; memory: string } | undefined {
    const [cpu, memory] = [read('cpuacct', 'cpuacct.usage'), read('memory', 'memory.stat')]
    if (cpu === '' && memory === '') return undefined
    const memoryBytes = Number(read('memory', 'memory.usage_in_bytes'))
    const usage = {
      cpuNanos: Number(cpu),
      memoryBytes,
      workingSetBytes: Math.max(0, memoryBytes - field(memory, 'total_inactive_file')),
      rssBytes: field(memory, 'total_rss'),
      swapBytes: field(memory, 'total_swap'),
      pageFaults: field(memory, 'total_pgfault'),
      majorPageFaults: field(memory, 'total_pgmajfault'),
    }
    return { usage, memory }
  }
  function whole(): CgroupUsage | undefined {
    const found = brief()
    if (!found) return undefined
    const { usage, memory } = found
    const [ticks, throttling] = [read('cpuacct', 'cpuacct.stat'), read('cpu', 'cpu.stat')]
    const bytes = read('blkio', 'blkio.throttle.io_service_bytes_recursive')
    // No bytes without an operation.
    const operations = bytes.includes('Read') ? read('blkio', 'blkio.throttle.io_serviced_recursive') : ''
    return {
      ...usage,
      cpuUserNanos: field(ticks, 'user') * tickNanos,
      cpuSystemNanos: field(ticks, 'system') * tickNanos,
      cpuPeriods: field(throttling, 'nr_periods'),
      cpuThrottledPeriods: field(throttling, 'nr_throttled'),
      cpuThrottledNanos: field(throttling, 'throttled_time'),
      cacheBytes: field(memory, 'total_cache'),
      mappedFileBytes: field(memory, 'total_mapped_file'),
      peakMemoryBytes: Number(read('memory', 'memory.max_usage_in_bytes')),
      memoryFailures: Number(read('memory', 'memory.failcnt')),
      threads: Number(read('pids', 'pids.current')),
      readBytes: sumOf(bytes, /^\d\S* Read (\d+)/gm),
      writeBytes: sumOf(bytes, /^\d\S* Write (\d+)/gm),
      reads: sumOf(operations, /^\d\S* Read (\d+)/gm),
      writes: sumOf(operations, /^\d\S* Write (\d+)/gm),
    }
  }
  return { brief, whole }
}

function version2(path: string) {
  const directory = cgroupDirectory('', path)
  const read = (file: string): string => kernelText(join(directory, file))
  function brief(): { usage: BriefUsage; memory: string; cpu: string } | undefined {
    const cpu = read('cpu.stat')
    if (cpu === '') return undefined
    const [memory, memoryBytes] = [read('memory.stat'), Number(read('memory.current'))]
    const usage = {
      cpuNanos: field(cpu, 'usage_usec') * 1000,
      memoryBytes,
      workingSetBytes: Math.max(0, memoryBytes - field(memory, 'inactive_file')),
      rssBytes: field(memory, 'anon'),
      swapBytes: Number(read('memory.swap.current')),
      pageFaults: field(memory, 'pgfault'),
      majorPageFaults: field(memory, 'pgmajfault'),
    }
    return { usage, memory, cpu }
  }
  function whole(): CgroupUsage | undefined {
    const found = brief()
    if (!found) return undefined
    const { usage, memory, cpu } = found
    const io = read('io.stat')
    return {
      ...usage,
      cpuUserNanos: field(cpu, 'user_usec') * 1000,
      cpuSystemNanos: field(cpu, 'system_usec') * 1000,
      cpuPeriods: field(cpu, 'nr_periods'),
      cpuThrottledPeriods: field(cpu, 'nr_throttled'),
      cpuThrottledNanos: field(cpu, 'throttled_usec') * 1000,
      cacheBytes: field(memory, 'file'),
      mappedFileBytes: field(memory, 'file_mapped'),
      peakMemoryBytes: Number(read('memory.peak')),
      memoryFailures: field(read('memory.events'), 'max'),
      threads: Number(read('pids.current')),
      readBytes: sumOf(io, /rbytes=(\d+)/g),
      writeBytes: sumOf(io, /wbytes=(\d+)/g),
      reads: sumOf(io, /rios=(\d+)/g),
      writes: sumOf(io, /wios=(\d+)/g),
    }
  }
  return { brief, whole }
}

/** Over all devices. */
function sumOf(text: string, pattern: RegExp): number {
  let sum = 0
  if (text !== '') for (const [, n] of text.matchAll(pattern)) sum += Number(n)
  return sum
}

/** The processes in a group of a container: the outer one, which is made for it, and the one that its runtime makes in that. */
export function countProcesses(path: string): number {
  const directory = cgroupDirectory('pids', path)
  const lines = (file: string): number => kernelText(file).split('\n').length - 1
  // Where there is an inner one, nothing is in the outer.
  return lines(join(directory, 'container', 'cgroup.procs')) || lines(join(directory, 'cgroup.procs'))
}

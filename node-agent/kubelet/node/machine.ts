/** What the machine is: read once at start. */
import { readFileSync, statfsSync } from 'node:fs'
import { arch, availableParallelism, cpus, release, totalmem, type } from 'node:os'
import { processStartTime } from '#shared/component/processes.ts'
import { machineMemory } from '../stats/machine.ts'

export interface Machine {
  cpus: number
  memoryBytes: number
  diskBytes: number
  /** Absent: it has none. */
  swapBytes?: number
  /** The highest process number, and so the most processes and threads. */
  maxPids: number
  architecture: string
  kernelVersion: string
  osImage: string
  machineID: string
  systemUUID: string
  bootID: string
}

const text = (path: string): string => {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return ''
  }
}
const architectures: { [name: string]: string } = { x64: 'amd64', ia32: '386' }

export function readMachine(rootDir: string): Machine {
  const disk = statfsSync(rootDir)
  const { swapTotal } = machineMemory()
  const name = /^PRETTY_NAME="?(.*?)"?$/m.exec(text('/etc/os-release'))?.[1]
  return {
    cpus: cpus().length || availableParallelism(),
    memoryBytes: totalmem(),
    diskBytes: disk.blocks * disk.bsize,
    ...(swapTotal > 0 ? { swapBytes: swapTotal } : {}),
    maxPids: Number(text('/proc/sys/kernel/pid_max')) || 32_768,
    architecture: architectures[arch()] ?? arch(),
    kernelVersion: release(),
    osImage: name ?? type(),
    machineID: text('/etc/machine-id'),
    systemUUID: text('/sys/class/dmi/id/product_uuid') || text('/etc/machine-id'),
    bootID: text('/proc/sys/kernel/random/boot_id'),
  }
}

/**
 * Names this life of the node: the machine's boot, and when the node's first process began. That is the first of its PID namespace, or of a
 * node without one (`init`) the process that started us.
 */
export const bootMarker = (bootID: string, init = 1): string => `${bootID}/${init === 1 ? '' : `${init}/`}${processStartTime(init) ?? ''}`

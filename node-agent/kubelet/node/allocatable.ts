/**
 * What of a node pods can have: all that there is, without what is reserved for the system and the node's own programs, and without what
 * hard eviction thresholds keep free. https://kubernetes.io/docs/tasks/administer-cluster/reserve-compute-resources/
 */
import { readFileSync, readdirSync } from 'node:fs'
import { amountOf, bytesText, type Statements, type Threshold } from '#shared/kubelet/thresholds.ts'
import { formatQuantity, milliQuantityOf, quantityMilliValue, quantityValue } from '#shared/machinery/quantity.ts'
import type { Machine } from './machine.ts'

/** CPUs in thousandths, bytes; hugepages by resource name. */
export interface NodeCapacity {
  milliCPU: number
  memoryBytes: number
  diskBytes: number
  pods: number
  /** The most processes and threads. */
  pids: number
  hugepages: Readonly<Record<string, number>>
}

export interface Reservations {
  kubeReserved: Statements
  systemReserved: Statements
  thresholds: readonly Threshold[]
}

/** All of a machine, without huge pages. */
export const machineCapacity = (m: Pick<Machine, 'cpus' | 'memoryBytes' | 'diskBytes' | 'maxPids'>, pods: number): NodeCapacity => ({
  milliCPU: m.cpus * 1000,
  memoryBytes: m.memoryBytes,
  diskBytes: m.diskBytes,
  pods,
  pids: m.maxPids,
  hugepages: { 'hugepages-1Gi': 0, 'hugepages-2Mi': 0 },
})

/** Bytes of each size of huge pages that the machine has set aside: `hugepages-2Mi`. Both usual sizes are always named. */
export function readHugepages(directory = '/sys/kernel/mm/hugepages'): Record<string, number> {
  const found: Record<string, number> = { 'hugepages-1Gi': 0, 'hugepages-2Mi': 0 }
  try {
    for (const entry of readdirSync(directory)) {
      const kibi = Number(/^hugepages-(\d+)kB$/.exec(entry)?.[1])
      if (!(kibi > 0)) continue
      const pages = Number(readFileSync(`${directory}/${entry}/nr_hugepages`, 'utf8'))
      found[`hugepages-${bytesText(kibi * 1024)}`] = pages * kibi * 1024
    }
  } catch {
    // No such pages.
  }
  return found
}

const reserved = (r: Reservations, resource: string, value: (quantity: string) => number): number =>
  [r.kubeReserved, r.systemReserved].reduce((sum, list) => sum + (list[resource] === undefined ? 0 : value(list[resource])), 0)

const keptFree = (r: Reservations, signal: Threshold['signal'], capacity: number): number => {
  const hard = r.thresholds.find(t => t.signal === signal && t.graceMs === 0)
  return hard ? amountOf(hard.amount, capacity) : 0
}

/** What the kernel keeps all pods together within: what is reserved is not theirs; what evictions keep free may be used until they act. */
export function enforcedAllocatable(capacity: NodeCapacity, r: Reservations): { milliCPU: number; memoryBytes: number; pids: number } {
  const pids = reserved(r, 'pid', quantityValue)
  return {
    milliCPU: Math.max(0, capacity.milliCPU - reserved(r, 'cpu', quantityMilliValue)),
    memoryBytes: Math.max(0, capacity.memoryBytes - reserved(r, 'memory', quantityValue)),
    // Without a word about it, a tenth is left for what is not a pod.
    pids: pids > 0 ? Math.max(0, capacity.pids - pids) : Math.floor(capacity.pids * 0.9),
  }
}

/** status.capacity and status.allocatable, in upstream's texts. */
export function nodeResources(capacity: NodeCapacity, r: Reservations): Record<'capacity' | 'allocatable', { [resource: string]: string }> {
  const left = enforcedAllocatable(capacity, r)
  const huge = Object.values(capacity.hugepages).reduce((a, b) => a + b, 0)
  const memory = left.memoryBytes - keptFree(r, 'memory.available', capacity.memoryBytes) - huge
  const disk = capacity.diskBytes - reserved(r, 'ephemeral-storage', quantityValue) - keptFree(r, 'nodefs.available', capacity.diskBytes)
  const hugepages = Object.fromEntries(Object.entries(capacity.hugepages).map(([name, bytes]) => [name, bytesText(bytes)]))
  const of = (milliCPU: number, diskBytes: string, memoryBytes: number): { [resource: string]: string } => ({
    cpu: formatQuantity(milliQuantityOf(milliCPU)),
    'ephemeral-storage': diskBytes,
    ...hugepages,
    memory: `${Math.floor(Math.max(0, memoryBytes) / 1024)}Ki`,
    pods: String(capacity.pods),
  })
  return {
    capacity: of(capacity.milliCPU, `${Math.floor(capacity.diskBytes / 1024)}Ki`, capacity.memoryBytes),
    allocatable: of(left.milliCPU, String(Math.floor(Math.max(0, disk))), memory),
  }
}

/**
 * From what is left of the node's resources to the node's conditions and to what must be reclaimed: pure. The rules are those of upstream's
 * eviction manager (pkg/kubelet/eviction). Times are in ms.
 */
import { amountOf, type Signal, type Threshold } from '#shared/kubelet/thresholds.ts'
import type { Observations } from './signals.ts'

export type Pressure = 'MemoryPressure' | 'DiskPressure' | 'PIDPressure'
/** What pods are evicted for; inodes and processes are no resources of the API. */
export type Starved = 'memory' | 'ephemeral-storage' | 'inodes' | 'pids'

export interface EvictionState {
  /** Since when a threshold is met, and which were met for long enough: those hold until what they want reclaimed is there too. */
  firstMet: ReadonlyMap<Threshold, number>
  met: readonly Threshold[]
  /** When each condition was last seen. */
  lastSeen: ReadonlyMap<Pressure, number>
}
export const calm: EvictionState = { firstMet: new Map(), met: [], lastSeen: new Map() }

const isMemory = (signal: Signal): boolean => signal === 'memory.available' || signal === 'allocatableMemory.available'

export const pressureOf = (signal: Signal): Pressure =>
  isMemory(signal) ? 'MemoryPressure' : signal === 'pid.available' ? 'PIDPressure' : 'DiskPressure'
export const starvedOf = (signal: Signal): Starved =>
  isMemory(signal) ? 'memory' : signal === 'pid.available' ? 'pids' : signal.endsWith('.inodesFree') ? 'inodes' : 'ephemeral-storage'

/** Of the thresholds those below which the node is; with `reclaim` also those where less is free than should be reclaimed. */
export const thresholdsMet = (thresholds: readonly Threshold[], seen: Observations, reclaim: boolean): Threshold[] =>
  thresholds.filter(({ signal, amount, minReclaim }) => {
    const observed = seen.get(signal)
    if (!observed) return false
    const more = reclaim && minReclaim ? amountOf(minReclaim, observed.capacity) : 0
    return observed.available < amountOf(amount, observed.capacity) + more
  })

/**
 * One look. `pressures` are the conditions that hold now; `reclaim` what pods must go for, memory first. A condition comes as soon as a
 * threshold is met, soft ones too, and goes when none of its thresholds has been met for `transitionMs`.
 */
export function nextState(
  before: EvictionState,
  thresholds: readonly Threshold[],
  seen: Observations,
  now: number,
  transitionMs: number,
): { state: EvictionState; pressures: Set<Pressure>; reclaim: Threshold[] } {
  const low = [...new Set([...thresholdsMet(thresholds, seen, false), ...thresholdsMet(before.met, seen, true)])]
  const firstMet = new Map(low.map(t => [t, before.firstMet.get(t) ?? now] as const))
  const lastSeen = new Map(before.lastSeen)
  for (const { signal } of low) lastSeen.set(pressureOf(signal), now)
  for (const [pressure, at] of lastSeen) if (at !== now && now - at >= transitionMs) lastSeen.delete(pressure)
  const met = low.filter(t => now - firstMet.get(t)! >= t.graceMs)
  const reclaim = [...met.filter(t => isMemory(t.signal)), ...met.filter(t => !isMemory(t.signal))]
  return { state: { firstMet, met, lastSeen }, pressures: new Set(lastSeen.keys()), reclaim }
}

/**
 * The thresholds that the node goes by: a hard one of memory counts for the memory that pods together may use as well, when the kernel
 * keeps them within it. Containers' own files are on the node's disk, so that what is said of their disk says nothing.
 */
export const effectiveThresholds = (thresholds: readonly Threshold[], enforced: boolean): Threshold[] => [
  ...thresholds.filter(t => !t.signal.startsWith('containerfs.')),
  ...thresholds
    .filter(t => enforced && t.signal === 'memory.available' && t.graceMs === 0)
    .map(t => ({ ...t, signal: 'allocatableMemory.available' as const })),
]

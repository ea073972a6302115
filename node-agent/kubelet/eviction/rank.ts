/**
 * Which pod goes first when the node is short of something, and what it is told: upstream's order and words
 * (pkg/kubelet/eviction/helpers.go).
 */
import type { Pod } from '#shared/api/core/pod.ts'
import { podRequests } from '#shared/api/core/podspec/resources.ts'
import { amountOf, bytesText, type Threshold } from '#shared/kubelet/thresholds.ts'
import { compareQuantity, formatQuantity, quantityOf, quantityValue } from '#shared/machinery/quantity.ts'
import { sumUsage, type DiskUsage } from '../stats/diskusage.ts'
import type { Observations } from './signals.ts'
import { starvedOf, type Starved } from './state.ts'
import type { PodUsage } from './usage.ts'

/** The disk that is short: the node's, on which containers write, or another one that has the images alone. */
export type Disk = 'node' | 'images'

export interface Candidate {
  pod: Pod
  usage: PodUsage
}

const sum = (numbers: Iterable<number>): number => [...numbers].reduce((a, b) => a + b, 0)

function onDisk({ storage }: PodUsage, disk: Disk): DiskUsage | undefined {
  if (!storage || disk === 'images') return storage && { usedBytes: 0, inodesUsed: 0 }
  return sumUsage([...storage.containers.flatMap(c => [c.rootfs, c.logs]), ...storage.volumes])
}

/** How much a pod uses; undefined when nobody knows. */
export function usedBy(usage: PodUsage, starved: Starved, disk: Disk = 'node'): number | undefined {
  if (starved === 'memory') return usage.memory && sum(Object.values(usage.memory))
  if (starved === 'pids') return usage.processes
  const found = onDisk(usage, disk)
  return starved === 'inodes' ? found?.inodesUsed : found?.usedBytes
}

const requested = (pod: Pod, resource: string): number => quantityValue(podRequests(pod.spec)[resource] ?? '0')

/**
 * The first goes first: those that use more than they asked for, of them the least important, of them what is furthest above its request.
 * By processes nobody asks for any: there the least important goes first.
 */
export function rankPods<C extends Candidate>(candidates: readonly C[], starved: Starved, disk: Disk = 'node'): C[] {
  const rank = candidates.map(candidate => {
    const { pod, usage } = candidate
    const used = usedBy(usage, starved, disk)
    // Upstream compares inodes above a request for storage: nobody can ask for inodes.
    const request = starved === 'pids' ? 0 : requested(pod, starved === 'inodes' ? 'ephemeral-storage' : starved)
    const exceeds = starved !== 'pids' && used !== undefined && used > requested(pod, starved)
    return { candidate, unknown: used === undefined, exceeds, priority: pod.spec.priority ?? 0, above: (used ?? 0) - request }
  })
  rank.sort(
    (a, b) =>
      Number(b.unknown) - Number(a.unknown) || Number(b.exceeds) - Number(a.exceeds) || a.priority - b.priority || b.above - a.above,
  )
  return rank.map(r => r.candidate)
}

const countText = (n: number): string => formatQuantity(quantityOf(Math.trunc(n)))

/** Why a pod was evicted, and the annotations of the event that tells. `reclaim` are the thresholds that are met. */
export function evictionMessage(
  { pod, usage }: Candidate,
  starved: Starved,
  reclaim: readonly Threshold[],
  seen: Observations,
): { message: string; annotations: { [key: string]: string } } {
  let message = `The node was low on resource: ${starved}. `
  const annotations: { [key: string]: string } = {}
  const threshold = reclaim.find(t => starvedOf(t.signal) === starved && seen.has(t.signal))
  const observed = threshold && seen.get(threshold.signal)
  if (threshold && observed) {
    const { amount } = threshold
    const quantity = 'text' in amount ? amount.text : bytesText(amountOf(amount, observed.capacity))
    const available = (starved === 'inodes' || starved === 'pids' ? countText : bytesText)(observed.available)
    message += `Threshold quantity: ${quantity}, available: ${available}. `
  }
  const tell = (what: string, name: string, used: number, request: string): void => {
    message += `${what} ${name} was using ${bytesText(used)}, request is ${request}, has larger consumption of ${starved}. `
  }
  const podRequest = starved === 'memory' ? pod.spec.resources?.requests?.['memory'] : undefined
  const podMemory = usedBy(usage, 'memory')
  if (podRequest !== undefined && podMemory !== undefined) {
    tell('Pod', pod.metadata.name ?? '', podMemory, podRequest)
    annotations['offending_pod'] = pod.metadata.name ?? ''
    annotations['offending_pod_usage'] = bytesText(podMemory)
  }
  const above = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].flatMap(({ name, resources }) => {
    const stored = usage.storage?.containers.find(c => c.name === name)
    const used =
      starved === 'memory'
        ? usage.memory?.[name]
        : stored && starved === 'ephemeral-storage'
          ? stored.rootfs.usedBytes + stored.logs.usedBytes
          : undefined
    const request = resources?.requests?.[starved] ?? '0'
    return used !== undefined && compareQuantity(quantityOf(used), request) > 0 ? [{ name, used, request }] : []
  })
  for (const { name, used, request } of above) tell('Container', name, used, request)
  annotations['offending_containers'] = above.map(c => c.name).join(',')
  annotations['offending_containers_usage'] = above.map(c => bytesText(c.used)).join(',')
  annotations['starved_resource'] = starved
  return { message, annotations }
}

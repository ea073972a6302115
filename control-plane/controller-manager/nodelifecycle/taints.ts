/** Which taints a node's conditions call for, and how disrupted its zone is. */
import type { Node } from '#shared/api/core/node.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { condition, readiness } from './health.ts'

export type Taint = NonNullable<Node['spec']['taints']>[number]

const notReady = 'node.kubernetes.io/not-ready'
const unreachable = 'node.kubernetes.io/unreachable'
const pressures: Record<string, string> = {
  MemoryPressure: 'node.kubernetes.io/memory-pressure',
  DiskPressure: 'node.kubernetes.io/disk-pressure',
  NetworkUnavailable: 'node.kubernetes.io/network-unavailable',
  PIDPressure: 'node.kubernetes.io/pid-pressure',
}
const unschedulable = 'node.kubernetes.io/unschedulable'
const managed = new Set([notReady, unreachable, unschedulable, ...Object.values(pressures)])

/** Keys of the NoSchedule taints that follow from conditions and `spec.unschedulable`. */
export function noScheduleKeys(node: Node): string[] {
  const ready = readiness(node)
  // A new node carries the taint from its creation until it has reported something.
  const fresh = ready === '' && node.spec.taints?.some(t => t.key === notReady && t.effect === 'NoSchedule')
  return [
    ...(ready === 'False' || fresh ? [notReady] : ready === 'Unknown' ? [unreachable] : []),
    ...Object.entries(pressures).flatMap(([type, key]) => (condition(node, type)?.status === 'True' ? [key] : [])),
    ...(node.spec.unschedulable ? [unschedulable] : []),
  ]
}
/** The NoExecute taint that follows from readiness; undefined for none. */
export const noExecuteKey = (node: Node): string | undefined => ({ False: notReady, Unknown: unreachable })[readiness(node)]

/** The node's taints with those of ours as wanted; the very same array (or undefined) when nothing changes. Taints of others stay. */
export function withTaints(node: Node, noSchedule: readonly string[], noExecute: string | undefined, now: number): Taint[] | undefined {
  const before = node.spec.taints ?? []
  const wanted = (t: Taint): boolean => {
    if (t.effect === 'NoSchedule' && managed.has(t.key)) return noSchedule.includes(t.key)
    if (t.effect === 'NoExecute' && (t.key === notReady || t.key === unreachable)) return t.key === noExecute
    return true
  }
  const kept = before.filter(wanted)
  const timeAdded = formatTime(new Date(now))
  const has = (key: string, effect: string) => kept.some(t => t.key === key && t.effect === effect)
  const add: Taint[] = noSchedule.filter(key => !has(key, 'NoSchedule')).map(key => ({ key, effect: 'NoSchedule', timeAdded }))
  if (noExecute && !has(noExecute, 'NoExecute')) add.push({ key: noExecute, effect: 'NoExecute', timeAdded })
  return kept.length === before.length && add.length === 0 ? node.spec.taints : [...kept, ...add]
}
/** Whether the node carries one of the NoExecute taints of this controller. */
export const isEvicting = (node: Node): boolean =>
  Boolean(node.spec.taints?.some(t => t.effect === 'NoExecute' && (t.key === notReady || t.key === unreachable)))

export const zoneOf = ({ metadata: { labels } }: Node): string =>
  `${labels?.['topology.kubernetes.io/region'] ?? ''}/${labels?.['topology.kubernetes.io/zone'] ?? ''}`

export type ZoneState = 'Normal' | 'PartialDisruption' | 'FullDisruption'
/** A zone none of whose nodes is ready is likely cut off, not dead; so is one that lost 55 % and more than two. */
export function zoneState(nodes: readonly Node[]): ZoneState {
  const down = nodes.filter(n => readiness(n) !== 'True').length
  if (down > 0 && down === nodes.length) return 'FullDisruption'
  return down > 2 && down / nodes.length >= 0.55 ? 'PartialDisruption' : 'Normal'
}
export interface Disruption {
  /** Nothing is ready anywhere: the control plane, not the nodes, is in trouble. */
  total: boolean
  /** Nodes a second that may start to be evicted, by zone. */
  rates: Map<string, number>
}
export function disruption(nodes: readonly Node[]): Disruption {
  const zones = Map.groupBy(nodes, zoneOf)
  const rates = new Map<string, number>()
  let full = 0
  for (const [zone, members] of zones) {
    const state = zoneState(members)
    if (state === 'FullDisruption') full++
    // In a small zone that is half gone nobody is evicted; in a large one slowly.
    rates.set(zone, state === 'PartialDisruption' ? (members.length > 50 ? 0.01 : 0) : 0.1)
  }
  return { total: zones.size > 0 && full === zones.size, rates }
}

/**
 * Whether nodes are alive: what is remembered of each, and what their conditions become when they fall silent. pkg/controller/nodelifecycle
 */
import type { Lease } from '#shared/api/coordination/lease.ts'
import type { Node } from '#shared/api/core/node.ts'
import { formatTime } from '#shared/machinery/time.ts'

export type NodeCondition = NonNullable<NonNullable<Node['status']>['conditions']>[number]

/** A node that never reported gets this long after it was first seen. */
const startupGraceMs = 60_000
const judged = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure']

/** The last sign of life of one node, and when it was noticed (monotonic ms of this process, so that clocks do not matter). */
export interface Health {
  sign: string
  at: number
}

export const condition = (node: Node, type: string): NodeCondition | undefined => node.status?.conditions?.find(c => c.type === type)
/** The status of the Ready condition; `''` when the node never reported. */
export const readiness = (node: Node): string => condition(node, 'Ready')?.status ?? ''

/** Anything that only a living kubelet changes. */
export function signOf(node: Node, lease: Lease | undefined): string {
  // Unknown was set by the controller itself.
  const heartbeats = (node.status?.conditions ?? []).filter(c => c.status !== 'Unknown').map(c => c.lastHeartbeatTime ?? '')
  return `${node.metadata.uid} ${lease?.spec?.renewTime ?? ''} ${heartbeats.sort().at(-1) ?? ''}`
}
/** What is known of the node after looking at it at `now`. */
export function observe(before: Health | undefined, node: Node, lease: Lease | undefined, now: number): Health {
  const sign = signOf(node, lease)
  return before?.sign === sign ? before : { sign, at: now }
}
export const isSilent = (health: Health, node: Node, graceMs: number, now: number): boolean =>
  now - health.at > (condition(node, 'Ready') ? graceMs : Math.max(startupGraceMs, graceMs))

/** The conditions of a node that has fallen silent; the very same array when they say so already. `now` is wall-clock ms. */
export function silentConditions(node: Node, now: number): NodeCondition[] {
  const before = node.status?.conditions ?? []
  let changed = false
  const time = formatTime(new Date(now))
  const after = before.map(c => {
    if (!judged.includes(c.type) || c.status === 'Unknown') return c
    changed = true
    return {
      ...c,
      status: 'Unknown',
      reason: 'NodeStatusUnknown',
      message: 'Kubelet stopped posting node status.',
      lastTransitionTime: time,
    }
  })
  for (const type of judged) {
    if (condition(node, type)) continue
    changed = true
    const never = { reason: 'NodeStatusNeverUpdated', message: 'Kubelet never posted node status.' }
    after.push({ type, status: 'Unknown', ...never, lastHeartbeatTime: node.metadata.creationTimestamp, lastTransitionTime: time })
  }
  return changed ? after : before
}

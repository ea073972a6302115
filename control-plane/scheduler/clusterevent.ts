/** Cluster events: what changed, as bits, so that a change that helps nobody (a node's heartbeat) wakes nobody. */
import type { Node } from '#shared/api/core/node.ts'
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import { inForce, isResizing } from '#shared/api/core/podspec/inforce.ts'
import { podRequests } from '#shared/api/core/podspec/resources.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import { compareQuantity } from '#shared/machinery/quantity.ts'

const updates = {
  UpdateNodeAllocatable: 1 << 2,
  UpdateNodeLabel: 1 << 3,
  UpdateNodeTaint: 1 << 4,
  UpdateNodeCondition: 1 << 5,
  UpdateNodeAnnotation: 1 << 6,
  UpdatePodLabel: 1 << 7,
  UpdatePodScaleDown: 1 << 8,
  UpdatePodToleration: 1 << 9,
  UpdatePodSchedulingGatesEliminated: 1 << 10,
  /** The claims that were made for it from templates. */
  UpdatePodGeneratedResourceClaim: 1 << 11,
  /** A change that none of the others names. */
  UpdateOther: 1 << 12,
}
const update = Object.values(updates).reduce((a, b) => a | b)

/** Upstream's ActionType. An event may have several update bits. */
export const Action = { Add: 1, Delete: 2, ...updates, Update: update, All: update | 1 | 2 } as const

export interface ClusterEvent {
  /** As `resourceOf` gives it. */
  readonly resource: string
  /** Bits of Action. */
  readonly action: number
  readonly old?: KubeObject | undefined
  readonly object?: KubeObject | undefined
}

/** Upstream's names of what changed, where they are not those of the kind. */
const called: Readonly<Record<string, string>> = { '/pods': 'AssignedPod', '/nodes': 'Node' }

/** Upstream's name of the event, for metrics; `kind` is the kind's name with its group. */
export function eventLabel({ resource, action, object, old }: ClusterEvent): string {
  const [group = ''] = resource.split('/')
  const kind = (object ?? old)?.kind ?? ''
  const name = called[resource] ?? (group ? `${group}/${kind}` : kind)
  const done =
    Object.entries(Action).find(([, bits]) => bits === action) ?? Object.entries(Action).find(([, bits]) => (bits & action) !== 0)
  return `${name}${done?.[0] === 'UpdateOther' ? 'Update' : (done?.[0] ?? '')}`
}

export const resourceOf = (kind: Pick<Kind, 'group' | 'plural'>): string => `${kind.group}/${kind.plural}`

/** Whether two values that came from JSON are equal; `undefined` and empty are the same. */
function same(a: unknown, b: unknown): boolean {
  if (a === b) return true
  const [x, y] = [JSON.stringify(a ?? null), JSON.stringify(b ?? null)]
  return x === y || (/^(null|\{\}|\[\])$/.test(x) && /^(null|\{\}|\[\])$/.test(y))
}
const sizeOf = (node: Node) => node.status?.allocatable ?? node.status?.capacity
const conditionsOf = (node: Node) => (node.status?.conditions ?? []).map(c => [c.type, c.status])

/** What the scheduler may care about in a node's update; 0 for a heartbeat. As upstream's NodeSchedulingPropertiesChange. */
export function nodeChanges(now: Node, old: Node): number {
  let action = 0
  if (old.spec?.unschedulable && !now.spec?.unschedulable) action |= Action.UpdateNodeTaint
  if (!same(now.spec?.taints, old.spec?.taints)) action |= Action.UpdateNodeTaint
  if (!same(sizeOf(now), sizeOf(old))) action |= Action.UpdateNodeAllocatable
  if (!same(now.metadata.labels, old.metadata.labels)) action |= Action.UpdateNodeLabel
  if (!same(now.metadata.annotations, old.metadata.annotations)) action |= Action.UpdateNodeAnnotation
  if (!same(conditionsOf(now), conditionsOf(old))) action |= Action.UpdateNodeCondition
  return action
}

/** A resize to less frees something only when the containers have less. */
function scaledDown(now: Pod, old: Pod): boolean {
  // A generation is a version of the spec: most updates of a pod are of its status.
  const sameSpec = now.metadata.generation !== undefined && now.metadata.generation === old.metadata.generation
  if (sameSpec && !isResizing(old) && !isResizing(now)) return false
  const [wants, wanted] = [podRequests(inForce(now)), podRequests(inForce(old))]
  return Object.entries(wanted).some(([name, amount]) => !Object.hasOwn(wants, name) || compareQuantity(wants[name]!, amount) < 0)
}

/** The same of a pod: upstream's PodSchedulingPropertiesChange. */
export function podChanges(now: Pod, old: Pod): number {
  let action = 0
  if (!same(now.metadata.labels, old.metadata.labels)) action |= Action.UpdatePodLabel
  if (scaledDown(now, old)) action |= Action.UpdatePodScaleDown
  // Tolerations can be added only.
  if (now.spec.tolerations?.length !== old.spec.tolerations?.length) action |= Action.UpdatePodToleration
  if (old.spec.schedulingGates?.length && !now.spec.schedulingGates?.length) action |= Action.UpdatePodSchedulingGatesEliminated
  if (!same(now.status?.resourceClaimStatuses, old.status?.resourceClaimStatuses)) action |= Action.UpdatePodGeneratedResourceClaim
  return action === 0 ? Action.UpdateOther : action
}

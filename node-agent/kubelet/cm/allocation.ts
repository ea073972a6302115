/** What of a pod's wishes the node has set aside for it: asked for at admission, changed by a resize that fits. Pure. */
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Container } from '#shared/api/core/podspec/container.ts'
import { podQOS } from '#shared/api/core/podspec/qos.ts'
import { podRequests } from '#shared/api/core/podspec/resources.ts'
import type { ResourceRequirements } from '#shared/api/core/podspec/resourcerequirements.ts'
import { compareQuantity } from '#shared/machinery/quantity.ts'
import { lackText, lacks, resourceAmount } from '../pod/admission.ts'
import { initContainers, isSidecar } from '../pod/containers.ts'
import { isStatic } from '../pod/critical.ts'

/** By the names of containers that a resize may change. */
export type Allocation = { [container: string]: ResourceRequirements }

const resizable = (pod: Pod): Container[] => [...initContainers(pod).filter(isSidecar), ...pod.spec.containers]

export const wishes = (pod: Pod): Allocation => Object.fromEntries(resizable(pod).map(c => [c.name, c.resources ?? {}]))

type Amounts = { [resource: string]: string } | undefined
const sameAmounts = (a: Amounts = {}, b: Amounts = {}): boolean =>
  [...new Set([...Object.keys(a), ...Object.keys(b)])].every(
    r => a[r] !== undefined && b[r] !== undefined && compareQuantity(a[r], b[r]) === 0,
  )
export const sameResources = (a: ResourceRequirements = {}, b: ResourceRequirements = {}): boolean =>
  sameAmounts(a.requests, b.requests) && sameAmounts(a.limits, b.limits)

/** The pod with the resources that it has in place of those that it wishes for. */
export function allocatedPod(pod: Pod, allocation: Allocation | undefined): Pod {
  if (!allocation || resizable(pod).every(c => !allocation[c.name] || sameResources(c.resources, allocation[c.name]))) return pod
  const given = <C extends Container>(c: C): C => (allocation[c.name] ? { ...c, resources: allocation[c.name] } : c)
  const { initContainers: init } = pod.spec
  return { ...pod, spec: { ...pod.spec, containers: pod.spec.containers.map(given), ...(init ? { initContainers: init.map(given) } : {}) } }
}

/** A resize that cannot be had now (Deferred) or ever (Infeasible), as the condition PodResizePending tells. */
export interface Pending {
  reason: 'Deferred' | 'Infeasible'
  message: string
}

/** Whether the node can give the pod what it wishes for while `others` hold what they have; undefined when it can. */
export function resizeRefused(pod: Pod, node: Node, others: readonly Pod[]): Pending | undefined {
  if (isStatic(pod)) return { reason: 'Infeasible', message: 'In-place resize of static-pods is not supported' }
  const allocatable = node.status?.allocatable ?? {}
  const requests = podRequests(pod.spec)
  for (const resource of ['memory', 'cpu']) {
    const [requested, capacity] = [resourceAmount(resource, requests[resource]), resourceAmount(resource, allocatable[resource])]
    if (requested > capacity)
      return {
        reason: 'Infeasible',
        message: `Node didn't have enough capacity: ${resource}, requested: ${requested}, capacity: ${capacity}`,
      }
  }
  const lack = lacks(pod, node, others)[0]
  return lack && { reason: 'Deferred', message: lackText(lack) }
}

/** A pod whose resize waits, and since when. */
export interface PendingPod {
  pod: Pod
  /** As it is, with what is set aside for it. */
  allocated: Pod
  since: string
}

const grows = ({ pod, allocated }: PendingPod): boolean => {
  const [wanted, has] = [podRequests(pod.spec), podRequests(allocated.spec)]
  return ['cpu', 'memory'].some(resource => resourceAmount(resource, wanted[resource]) > resourceAmount(resource, has[resource]))
}

/** Whose turn is first: those that ask for no more than they have, then by priority, quality of service, and how long they have waited. */
export function byTurn(a: PendingPod, b: PendingPod): number {
  const guaranteed = ({ pod }: PendingPod): boolean => podQOS(pod.spec) === 'Guaranteed'
  return (
    Number(grows(a)) - Number(grows(b)) ||
    (b.pod.spec.priority ?? 0) - (a.pod.spec.priority ?? 0) ||
    Number(guaranteed(b)) - Number(guaranteed(a)) ||
    (a.since < b.since ? -1 : Number(a.since > b.since))
  )
}

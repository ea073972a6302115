/**
 * What a pod as a whole asks of a node, from its containers (k8s.io/component-helpers/resource). Used by the scheduler, the kubelet and
 * quality of service.
 */
import { addQuantities, compareQuantity, formatQuantity } from '../../../machinery/quantity.ts'
import type { PodSpec } from './podspec.ts'

/** Amounts by resource name, canonical texts: `{cpu: '250m', memory: '64Mi'}`. */
export type ResourceList = { [name: string]: string }

type Kind = 'requests' | 'limits'

type Container = Pick<PodSpec['containers'][number], 'resources' | 'restartPolicy'>
interface Containers {
  containers: readonly Container[]
  initContainers?: readonly Container[] | undefined
}
/** What of a pod says what it asks for. */
export type Asking = Containers & Pick<PodSpec, 'resources' | 'overhead'>

/** The amount of a resource, whatever its name: `valueOf` is one of no list. */
const amountOf = (list: ResourceList, name: string): string | undefined => (Object.hasOwn(list, name) ? list[name] : undefined)

function add(to: ResourceList, more: ResourceList | undefined): void {
  for (const [name, quantity] of Object.entries(more ?? {})) {
    const have = amountOf(to, name)
    to[name] = have === undefined ? quantity : formatQuantity(addQuantities(have, quantity))
  }
}

function max(to: ResourceList, other: ResourceList): void {
  for (const [name, quantity] of Object.entries(other)) {
    const have = amountOf(to, name)
    if (have === undefined || compareQuantity(quantity, have) > 0) to[name] = quantity
  }
}

/** The larger of both, of all names in either. */
export function larger(a: ResourceList, b: ResourceList): ResourceList {
  const most = { ...a }
  max(most, b)
  return most
}

/**
 * The most that the containers use at any one time: all of them together with the sidecars, or an init container with the sidecars that
 * started before it. Pod-level resources and overhead are not in it.
 */
export function aggregateContainers(spec: Containers, kind: Kind): ResourceList {
  const running: ResourceList = {}
  for (const c of spec.containers ?? []) add(running, c.resources?.[kind])
  const sidecars: ResourceList = {}
  const starting: ResourceList = {}
  for (const c of spec.initContainers ?? []) {
    if (c.restartPolicy === 'Always') {
      add(running, c.resources?.[kind])
      add(sidecars, c.resources?.[kind])
      max(starting, sidecars)
    } else {
      const now = { ...sidecars }
      add(now, c.resources?.[kind])
      max(starting, now)
    }
  }
  max(running, starting)
  return running
}

/** The resources that spec.resources may set for the pod as a whole. */
export const isPodLevelResource = (name: string): boolean => name === 'cpu' || name === 'memory' || name.startsWith('hugepages-')

function withPodLevel(amounts: ResourceList, spec: Asking, kind: Kind): ResourceList {
  for (const [name, quantity] of Object.entries(spec.resources?.[kind] ?? {})) if (isPodLevelResource(name)) amounts[name] = quantity
  return amounts
}

/** What the pod requests of a node, its overhead included. */
export function podRequests(spec: Asking): ResourceList {
  const requests = withPodLevel(aggregateContainers(spec, 'requests'), spec, 'requests')
  add(requests, spec.overhead)
  return requests
}

/** What the pod may use; a resource without a limit is not in it. The overhead is added to the limits that there are. */
export function podLimits(spec: Asking): ResourceList {
  const limits = withPodLevel(aggregateContainers(spec, 'limits'), spec, 'limits')
  for (const [name, quantity] of Object.entries(spec.overhead ?? {}))
    if (amountOf(limits, name) !== undefined) add(limits, { [name]: quantity })
  return limits
}

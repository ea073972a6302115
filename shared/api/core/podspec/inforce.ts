/**
 * What a pod asks for while it is being resized in place: of what its containers shall have, have been given and have, whichever is more
 * (k8s.io/component-helpers/resource, with UseStatusResources). Used by the scheduler and by quotas.
 */
import { compareQuantity } from '../../../machinery/quantity.ts'
import type { LeanPod } from '../../../client/leanpod.ts'
import type { Pod } from '../pod.ts'
import { larger, type Asking, type ResourceList } from './resources.ts'

type Either = Pod | LeanPod
type Container = Asking['containers'][number] & { name: string }
type Statuses = NonNullable<Either['status']>['containerStatuses']

/** What no node of its size can give is not asked for any more. */
const isInfeasible = ({ status }: Either): boolean => status?.conditions?.find(c => c.type === 'PodResizePending')?.reason === 'Infeasible'

/** Whether amounts are the same, however they are written. */
function same(a: ResourceList = {}, b: ResourceList = {}): boolean {
  const names = Object.keys(a)
  return (
    names.length === Object.keys(b).length &&
    names.every(name => Object.hasOwn(b, name) && (a[name] === b[name] || compareQuantity(a[name]!, b[name]!) === 0))
  )
}

function differs(containers: readonly Container[], statuses: Statuses): boolean {
  for (const { name, resources: had, allocatedResources: given } of statuses ?? []) {
    if (!had) continue
    const asked = containers.find(c => c.name === name)?.resources
    if (!same(asked?.requests, had.requests) || !same(asked?.limits, had.limits) || (given && !same(asked?.requests, given))) return true
  }
  return false
}

/** Whether the pod's containers have something else than its spec says. */
export const isResizing = ({ spec, status }: Either): boolean =>
  differs(spec.containers, status?.containerStatuses) || differs(spec.initContainers ?? [], status?.initContainerStatuses)

/** The spec itself when no resize is under way. */
export function inForce(pod: Either): Asking {
  const { spec, status } = pod
  if (!isResizing(pod)) return spec as Asking
  const given = isInfeasible(pod)
  const of = (containers: readonly Container[], statuses: Statuses): Container[] =>
    containers.map(c => {
      const { resources: had, allocatedResources = {} } = statuses?.find(s => s.name === c.name) ?? {}
      if (!had) return c
      const requests = larger(had.requests ?? {}, allocatedResources)
      const resources = given
        ? { requests, limits: had.limits ?? {} }
        : { requests: larger(c.resources?.requests ?? {}, requests), limits: larger(c.resources?.limits ?? {}, had.limits ?? {}) }
      return { ...c, resources }
    })
  const sidecarStatuses = status?.initContainerStatuses
  return {
    ...spec,
    containers: of(spec.containers, status?.containerStatuses),
    initContainers: (spec.initContainers ?? []).map(c => (c.restartPolicy === 'Always' ? of([c], sidecarStatuses)[0]! : c)),
  } as Asking
}

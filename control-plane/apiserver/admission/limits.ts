/** What a LimitRange allows and sets (plugin/pkg/admission/limitranger). */
import type { PersistentVolumeClaimSpec } from '#shared/api/core/persistentvolumeclaimspec.ts'
import type { LimitRange, LimitRangeItem } from '#shared/api/core/limitrange.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { podLimits, podRequests, type ResourceList } from '#shared/api/core/podspec/resources.ts'
import { lookUp } from '#shared/machinery/jsonvalue.ts'
import { compareQuantity, quantityFloat } from '#shared/machinery/quantity.ts'

type Container = Pod['spec']['containers'][number]
const annotation = 'kubernetes.io/limit-ranger'

/** Gives containers the requests and limits that they do not have, and the pod an annotation that says so. */
export function setDefaults({ spec }: LimitRange, pod: Pod): void {
  const requests: ResourceList = {}
  const limits: ResourceList = {}
  for (const item of spec.limits ?? []) {
    if (item.type !== 'Container') continue
    Object.assign(requests, item.defaultRequest)
    Object.assign(limits, item.default)
  }
  const set: string[] = []
  const complete = (c: Container, what: string): void => {
    const resources = { ...c.resources }
    const missing = (wanted: ResourceList, given: ResourceList = {}): string[] =>
      Object.keys(wanted)
        .filter(name => lookUp(given, name) === undefined)
        .sort()
    const [newRequests, newLimits] = [missing(requests, resources.requests), missing(limits, resources.limits)]
    if (newRequests.length > 0) set.push(`${newRequests.join(', ')} request for ${what} ${c.name}`)
    if (newLimits.length > 0) set.push(`${newLimits.join(', ')} limit for ${what} ${c.name}`)
    if (newRequests.length > 0) resources.requests = { ...requests, ...resources.requests }
    if (newLimits.length > 0) resources.limits = { ...limits, ...resources.limits }
    c.resources = resources
  }
  for (const c of pod.spec.containers) complete(c, 'container')
  for (const c of pod.spec.initContainers ?? []) complete(c, 'init container')
  if (set.length > 0) pod.metadata.annotations = { ...pod.metadata.annotations, [annotation]: `LimitRanger plugin set: ${set.join('; ')}` }
}

/** What is asked for: absent lists are empty. */
interface Asked {
  readonly requests?: ResourceList | undefined
  readonly limits?: ResourceList | undefined
}
type Broken = (type: string, name: string, enforced: string, request: string | undefined, limit: string | undefined) => string | undefined

const belowMin: Broken = (type, name, min, request, limit) => {
  const head = `minimum ${name} usage per ${type} is ${min}`
  if (request === undefined) return `${head}.  No request is specified`
  if (compareQuantity(request, min) < 0) return `${head}, but request is ${request}`
  return limit !== undefined && compareQuantity(limit, min) < 0 ? `${head}, but limit is ${limit}` : undefined
}
const aboveMax: Broken = (type, name, max, request, limit) => {
  const head = `maximum ${name} usage per ${type} is ${max}`
  if (limit === undefined) return `${head}.  No limit is specified`
  if (compareQuantity(limit, max) > 0) return `${head}, but limit is ${limit}`
  return request !== undefined && compareQuantity(request, max) > 0 ? `${head}, but request is ${request}` : undefined
}
const requestAboveMax: Broken = (type, name, max, request) => {
  const head = `maximum ${name} usage per ${type} is ${max}`
  if (request === undefined) return `${head}.  No request is specified`
  return compareQuantity(request, max) > 0 ? `${head}, but request is ${request}` : undefined
}
const aboveRatio: Broken = (type, name, most, request, limit) => {
  const head = `${name} max limit to request ratio per ${type} is ${most}`
  const nothing = (q: string | undefined): boolean => q === undefined || compareQuantity(q, '0') === 0
  if (nothing(request)) return `${head}, but no request is specified or request is 0`
  if (nothing(limit)) return `${head}, but no limit is specified or limit is 0`
  const ratio = quantityFloat(limit!) / quantityFloat(request!)
  return ratio > quantityFloat(most) ? `${head}, but provided ratio is ${ratio.toFixed(6)}` : undefined
}

function check(type: string, enforced: ResourceList | undefined, { requests = {}, limits = {} }: Asked, broken: Broken): string[] {
  return Object.entries(enforced ?? {}).flatMap(([name, q]) => broken(type, name, q, lookUp(requests, name), lookUp(limits, name)) ?? [])
}
const checkAll = ({ type, min, max, maxLimitRequestRatio }: LimitRangeItem, asked: Asked): string[] => [
  ...check(type, min, asked, belowMin),
  ...check(type, max, asked, aboveMax),
  ...check(type, maxLimitRequestRatio, asked, aboveRatio),
]

/** What a pod breaks of a LimitRange: each of its containers, and all of them together without the overhead. */
export function brokenByPod({ spec }: LimitRange, { spec: pod }: Pod): string[] {
  return (spec.limits ?? []).flatMap(item => {
    if (item.type === 'Container') return [...pod.containers, ...(pod.initContainers ?? [])].flatMap(c => checkAll(item, c.resources ?? {}))
    if (item.type !== 'Pod') return []
    const bare = { ...pod, overhead: undefined }
    return checkAll(item, { requests: podRequests(bare), limits: podLimits(bare) })
  })
}

/** What a claim breaks of a LimitRange. Limits of claims mean nothing. */
export function brokenByClaim({ spec }: LimitRange, claim: PersistentVolumeClaimSpec): string[] {
  const asked = { requests: claim.resources?.requests }
  return (spec.limits ?? []).flatMap(({ type, min, max }) =>
    type === 'PersistentVolumeClaim' ? [...check(type, min, asked, belowMin), ...check(type, max, asked, requestAboveMax)] : [],
  )
}

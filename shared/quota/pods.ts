/** What pods use of quotas (pkg/quota/v1/evaluator/core/pods.go). */
import type { Pod } from '../api/core/pod.ts'
import { inForce } from '../api/core/podspec/inforce.ts'
import { podLimits, podRequests } from '../api/core/podspec/resources.ts'
import { isExtendedResource, isHugePages, isNativeResource } from '../api/core/resourcenames.ts'
import { lookUp } from '../machinery/jsonvalue.ts'
import type { LeanPod } from '../client/leanpod.ts'
import { add, type ResourceList } from './amounts.ts'
import type { Evaluator } from './evaluator.ts'
import { matchesValue } from './scopes.ts'

const compute = ['cpu', 'memory', 'ephemeral-storage']
const names = ['count/pods', 'pods', ...compute.flatMap(name => [name, `requests.${name}`, `limits.${name}`])]
/** A quota of these makes containers say what they ask for: upstream calls that a mistake, and keeps it. */
const mandatory = ['cpu', 'memory', 'requests.cpu', 'requests.memory', 'limits.cpu', 'limits.memory']

/** Requests and limits under the names that quotas have for them. */
function computeUsage(requests: ResourceList = {}, limits: ResourceList = {}): ResourceList {
  const used: ResourceList = { pods: '1' }
  for (const [name, q] of Object.entries(requests)) {
    if (compute.includes(name) || isHugePages(name)) used[name] = used[`requests.${name}`] = q
    // Of extended resources limits and requests are one.
    if (isExtendedResource(name)) used[`requests.${name}`] = q
  }
  for (const [name, q] of Object.entries(limits)) if (compute.includes(name)) used[`limits.${name}`] = q
  return used
}

type Either = Pod | LeanPod
/** A pod that has ended, or should have long ago, uses nothing. */
function isActive({ metadata, status }: Either): boolean {
  if (status?.phase === 'Failed' || status?.phase === 'Succeeded') return false
  const { deletionTimestamp, deletionGracePeriodSeconds } = metadata
  if (deletionTimestamp === undefined || deletionGracePeriodSeconds === undefined) return true
  return Date.now() <= Date.parse(deletionTimestamp) + deletionGracePeriodSeconds * 1000
}

function usesOtherNamespaces({ spec }: Either): boolean {
  return [spec.affinity?.podAffinity, spec.affinity?.podAntiAffinity].some(a =>
    [
      ...(a?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
      ...(a?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(t => t.podAffinityTerm),
    ].some(term => (term?.namespaces?.length ?? 0) > 0 || term?.namespaceSelector !== undefined),
  )
}

const inTime = ({ spec }: Either): boolean => spec.activeDeadlineSeconds !== undefined && spec.activeDeadlineSeconds >= 0
const isBestEffort = ({ status }: Either): boolean => status?.qosClass === 'BestEffort'
const scopes: Readonly<Record<string, (pod: Either) => boolean>> = {
  Terminating: inTime,
  NotTerminating: pod => !inTime(pod),
  BestEffort: isBestEffort,
  NotBestEffort: pod => !isBestEffort(pod),
  CrossNamespacePodAffinity: usesOtherNamespaces,
}

/** `must specify limits.cpu for: a,b; memory for: b` */
function missing(required: readonly string[], { spec }: Either): string | undefined {
  // What the pod says as a whole is enough.
  if (Object.keys(spec.resources?.requests ?? {}).length > 0 || Object.keys(spec.resources?.limits ?? {}).length > 0) return undefined
  const containers = [...spec.containers, ...(spec.initContainers ?? [])]
  const lacking = required
    .filter(name => mandatory.includes(name))
    .sort()
    .flatMap(name => {
      const without = containers.filter(c => computeUsage(c.resources?.requests, c.resources?.limits)[name] === undefined)
      return without.length > 0 ? [`${name} for: ${[...new Set(without.map(c => c.name))].sort().join(',')}`] : []
    })
  return lacking.length > 0 ? `must specify ${lacking.join('; ')}` : undefined
}

export const pods: Evaluator<Either> = {
  kind: { group: '', plural: 'pods' },
  handles: ({ operation, subresource }) =>
    subresource === '' ? operation === 'CREATE' : subresource === 'resize' && operation === 'UPDATE',
  matching: asked =>
    asked.filter(
      name =>
        names.includes(name) ||
        isHugePages(name) ||
        name.startsWith('requests.hugepages-') ||
        (!isNativeResource(name) && name.startsWith('requests.')),
    ),
  inScope: (scope, pod) =>
    scope.scopeName === 'PriorityClass'
      ? matchesValue(scope, pod.spec.priorityClassName ?? '')
      : (lookUp(scopes, scope.scopeName)?.(pod) ?? false),
  constraints: missing,
  usage: pod => {
    // Pods that have ended are still stored.
    if (!isActive(pod)) return { 'count/pods': '1' }
    const asking = inForce(pod)
    return add({ 'count/pods': '1' }, computeUsage(podRequests(asking), podLimits(asking)))
  },
  releases: (now, before) =>
    (isActive(before) && !isActive(now)) ||
    (now.metadata.generation ?? 0) !== (before.metadata.generation ?? 0) ||
    now.status?.containerStatuses?.some((s, i) => resized(s, before.status?.containerStatuses?.[i])) === true,
}

type Status = NonNullable<NonNullable<Either['status']>['containerStatuses']>[number]
const resized = (now: Status, before: Status | undefined): boolean =>
  JSON.stringify([now.resources, now.allocatedResources]) !== JSON.stringify([before?.resources, before?.allocatedResources])

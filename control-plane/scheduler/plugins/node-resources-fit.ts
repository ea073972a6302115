/** A pod's requests must fit into what is left of a node; which nodes are better its scoring strategy says. */
import type { Node } from '#shared/api/core/node.ts'
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import { inForce } from '#shared/api/core/podspec/inforce.ts'
import { podRequests } from '#shared/api/core/podspec/resources.ts'
import { nodes, pods } from '#shared/api/kinds.ts'
import { Action } from '../clusterevent.ts'
import type { NodeResourcesFitArgs } from '../config/pluginargs.ts'
import type { PluginFactory, Status } from '../framework.ts'
import type { NodeInfo } from '../nodeinfo.ts'
import type { PodInfo } from '../podinfo.ts'
import { resourcesOf, signRequests, type Resources } from '../resources.ts'
import { nodeScore } from '../resourcescore.ts'

/** Whether an extended resource is somebody else's to look at. */
type IsIgnored = (name: string) => boolean
const native = /^([^/]+|hugepages-.*)$/

/** Whether an empty node of that size would do. */
function fitsIn(wanted: Resources, allocatable: Resources): boolean {
  if (wanted.milliCPU > allocatable.milliCPU || wanted.memory > allocatable.memory) return false
  if (wanted.ephemeralStorage > allocatable.ephemeralStorage || allocatable.pods < 1) return false
  for (const [name, amount] of wanted.scalar ?? []) if (amount > (allocatable.scalar?.get(name) ?? 0)) return false
  return true
}

/** Which resources are short, and whether the node could ever have enough. */
function shortOf({ requests: wanted }: PodInfo, { allocatable, requested, pods }: NodeInfo, isIgnored: IsIgnored): Status | undefined {
  const tooMany = pods.size + 1 > allocatable.pods
  const cpu = wanted.milliCPU > 0 && wanted.milliCPU > allocatable.milliCPU - requested.milliCPU
  const memory = wanted.memory > 0 && wanted.memory > allocatable.memory - requested.memory
  const storage = wanted.ephemeralStorage > 0 && wanted.ephemeralStorage > allocatable.ephemeralStorage - requested.ephemeralStorage
  if (!tooMany && !cpu && !memory && !storage && !wanted.scalar) return undefined
  const reasons: string[] = []
  if (tooMany) reasons.push('Too many pods')
  if (cpu) reasons.push('Insufficient cpu')
  if (memory) reasons.push('Insufficient memory')
  if (storage) reasons.push('Insufficient ephemeral-storage')
  let never =
    (cpu && wanted.milliCPU > allocatable.milliCPU) ||
    (memory && wanted.memory > allocatable.memory) ||
    (storage && wanted.ephemeralStorage > allocatable.ephemeralStorage)
  for (const [name, amount] of wanted.scalar ?? []) {
    const has = allocatable.scalar?.get(name) ?? 0
    if (amount === 0 || amount <= has - (requested.scalar?.get(name) ?? 0) || isIgnored(name)) continue
    reasons.push(`Insufficient ${name}`)
    if (amount > has) never = true
  }
  if (reasons.length === 0) return undefined
  return { code: never ? 'UnschedulableAndUnresolvable' : 'Unschedulable', reasons }
}

/** Whether there is more of something that is wanted. */
const hasMore = (wanted: Resources, before: Resources, now: Resources): boolean =>
  (wanted.milliCPU > 0 && now.milliCPU > before.milliCPU) ||
  (wanted.memory > 0 && now.memory > before.memory) ||
  (wanted.ephemeralStorage > 0 && now.ephemeralStorage > before.ephemeralStorage) ||
  [...(wanted.scalar ?? [])].some(([name, amount]) => amount > 0 && (now.scalar?.get(name) ?? 0) > (before.scalar?.get(name) ?? 0))

const wantedBy = (pod: Pod): Resources => resourcesOf(podRequests(pod.spec))
const allocatableOf = (node: Node): Resources => resourcesOf(node.status?.allocatable ?? node.status?.capacity ?? {})

/** A node that came, or that has more of what the pod wants than before, if it fits there. */
function nodeHelps(pod: Pod, old: Node | undefined, node: Node): boolean {
  const [wanted, now] = [wantedBy(pod), allocatableOf(node)]
  if (!fitsIn(wanted, now)) return false
  if (!old) return true
  const before = allocatableOf(old)
  return now.pods > before.pods || hasMore(wanted, before, now)
}

/** A pod that is gone, the pod itself when it wants less, or another one that leaves some of what the pod wants. */
function podHelps(pod: Pod, old: Pod, now: Pod | undefined): boolean {
  if (!now || now.metadata.uid === pod.metadata.uid) return true
  return hasMore(wantedBy(pod), resourcesOf(podRequests(inForce(now))), resourcesOf(podRequests(inForce(old))))
}

export function nodeResourcesFit({
  ignoredResources = [],
  ignoredResourceGroups = [],
  scoringStrategy,
}: NodeResourcesFitArgs): PluginFactory {
  const [names, groups] = [new Set(ignoredResources), new Set(ignoredResourceGroups)]
  const isIgnored: IsIgnored = name => !native.test(name) && (names.has(name) || groups.has(name.slice(0, name.indexOf('/'))))
  const score = nodeScore(scoringStrategy ?? {})
  return () => ({
    name: 'NodeResourcesFit',
    sign: signRequests,
    events: [
      {
        kind: nodes,
        action: Action.Add | Action.UpdateNodeAllocatable,
        hint: (pod, old, node) => nodeHelps(pod, old as Node | undefined, node as Node),
      },
      {
        kind: pods,
        action: Action.Delete | Action.UpdatePodScaleDown,
        hint: (pod, old, now) => podHelps(pod, old as Pod, now as Pod | undefined),
      },
    ],
    filter: (_, pod, node) => shortOf(pod, node, isIgnored),
    score: (_, pod, node) => score(pod, node),
  })
}

/**
 * Spreads pods over domains, as their topology spread constraints say; those without any of their own over nodes and zones, by upstream's
 * default constraints. There the pods of one controller are those that are counted; upstream finds them through Services and controllers,
 * which is the same pods for almost every pod. https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/
 */
import { nodes, pods } from '#shared/api/kinds.ts'
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import type { Node } from '#shared/api/core/node.ts'
import { Action } from '../clusterevent.ts'
import type { PodTopologySpreadArgs } from '../config/pluginargs.ts'
import { skip, type PluginFactory, type Snapshot } from '../framework.ts'
import { ownerOf, type PodInfo } from '../podinfo.ts'
import { constraintsOf, defaultConstraintsOf, hasAllKeys, type Constraint } from '../topologyspread/constraint.ts'
import { changeDomains, countDomains, fitsDomains } from '../topologyspread/hard.ts'
import { countPreferred, normalizeDomains, preferenceOf, scoreDomains, type Preference } from '../topologyspread/soft.ts'

const defaults = [
  { topologyKey: 'kubernetes.io/hostname', maxSkew: 3 },
  { topologyKey: 'topology.kubernetes.io/zone', maxSkew: 5 },
]
const anyNode = (): boolean => true

/** Without siblings all nodes are alike. */
function defaultPreferences({ owner }: PodInfo, snapshot: Snapshot): Preference[] {
  const counts = owner === undefined ? undefined : snapshot.siblings(owner)
  return counts ? defaults.map(d => ({ ...d, counts, includes: anyNode })) : []
}

/** Whether another pod can be one of those that are counted; the pod itself counts, too. */
const takesPart = (pod: Pod, { metadata, spec }: Pod): boolean =>
  metadata.uid === pod.metadata.uid || (Boolean(spec.nodeName) && metadata.namespace === pod.metadata.namespace)

/** Whether a pod came or went, or changed its labels, that one of the constraints is about; or the pod itself tolerates more nodes. */
function podHelps(pod: Pod, constraints: readonly Constraint[], before?: Pod, now?: Pod): boolean {
  if (!before || !now) return constraints.some(c => c.selects((now ?? before)!))
  const own = now.metadata.uid === pod.metadata.uid
  if (own && now.spec.tolerations?.length !== before.spec.tolerations?.length && constraints.some(c => c.honorsTaints)) return true
  return constraints.some(c => c.selects(before) !== c.selects(now))
}

/** Whether a node came to take part, takes part no more or otherwise. */
function nodeHelps(constraints: readonly Constraint[], before: Node | undefined, now: Node | undefined): boolean {
  const [had, has] = [before, now].map(n => n !== undefined && hasAllKeys(n, constraints))
  if (!before || !now || had !== has) return Boolean(had || has)
  if (!has) return false
  if (constraints.some(({ topologyKey: k }) => before.metadata.labels?.[k] !== now.metadata.labels?.[k])) return true
  return JSON.stringify(before.spec?.taints ?? []) !== JSON.stringify(now.spec?.taints ?? [])
}

export function podTopologySpread({ defaultingType, defaultConstraints = [] }: PodTopologySpreadArgs): PluginFactory {
  const given = defaultingType === 'List' ? defaultConstraints : undefined
  const hasOwn = ({ pod }: Pick<PodInfo, 'pod'>): boolean => (pod.spec.topologySpreadConstraints?.length ?? 0) > 0
  const hardOf = (pod: Pod): Constraint[] => {
    if (hasOwn({ pod })) return constraintsOf(pod, 'DoNotSchedule')
    return given ? defaultConstraintsOf({ pod, owner: ownerOf(pod) }, given, 'DoNotSchedule') : []
  }
  return () => ({
    name: 'PodTopologySpread',
    // Where others are counts, and without constraints of its own the default ones do: then no pod is like another.
    ...(given?.length === 0 ? { sign: (info: PodInfo) => (hasOwn(info) ? undefined : '') } : {}),
    events: [
      {
        kind: pods,
        action: Action.Add | Action.Delete | Action.UpdatePodLabel | Action.UpdatePodToleration,
        hint: (pod, old, now) => takesPart(pod, (now ?? old) as Pod) && podHelps(pod, hardOf(pod), old as Pod, now as Pod),
      },
      {
        kind: nodes,
        action: Action.Add | Action.Delete | Action.UpdateNodeLabel | Action.UpdateNodeTaint,
        hint: (pod, old, now) => nodeHelps(hardOf(pod), old as Node | undefined, now as Node | undefined),
      },
    ],
    preFilter(state, info, snapshot) {
      if (!hasOwn(info) && !given) return skip
      const constraints = hardOf(info.pod)
      if (constraints.length === 0) return skip
      countDomains(state, constraints, snapshot)
      return undefined
    },
    addPod: (state, _, added, node) => changeDomains(state, added, node, 1),
    removePod: (state, _, removed, node) => changeDomains(state, removed, node, -1),
    filter: (state, _, node) => fitsDomains(state, node),
    preScore(state, info, candidates, snapshot) {
      const own = hasOwn(info)
      const constraints = own ? constraintsOf(info.pod, 'ScheduleAnyway') : given && defaultConstraintsOf(info, given, 'ScheduleAnyway')
      const all = constraints ? constraints.map(c => preferenceOf(c, snapshot)) : defaultPreferences(info, snapshot)
      if (all.length === 0) return skip
      return countPreferred(state, all, candidates, snapshot, own || given !== undefined) ? undefined : skip
    },
    score: (state, _, node) => scoreDomains(state, node),
    normalizeScore: (_, __, scores) => normalizeDomains(scores),
  })
}

/**
 * Spreads pods over domains, as their topology spread constraints say; those without any of their own over nodes and zones, by upstream's
 * default constraints. There the pods of one controller are those that are counted; upstream finds them through Services and controllers,
 * which is the same pods for almost every pod. https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/
 */
import { nodes, pods } from '#shared/api/kinds.ts'
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { Action } from '../clusterevent.ts'
import type { PodTopologySpreadArgs } from '../config/pluginargs.ts'
import { skip, type PluginFactory, type Snapshot } from '../framework.ts'
import type { PodInfo } from '../podinfo.ts'
import { selects } from '../podset.ts'
import { constraintsOf, defaultConstraintsOf } from '../topologyspread/constraint.ts'
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

/** Whether a pod that came, went or changed its labels is counted by one of the constraints, before or after. */
function isCounted(pod: Pod, ...versions: (KubeObject | undefined)[]): boolean {
  const { namespace } = pod.metadata
  const sets = constraintsOf(pod, 'DoNotSchedule').flatMap(c => c.selections ?? [])
  return versions.some(v => v?.metadata.namespace === namespace && sets.some(s => selects(s, namespace ?? '', v?.metadata.labels)))
}

export function podTopologySpread({ defaultingType, defaultConstraints = [] }: PodTopologySpreadArgs): PluginFactory {
  const given = defaultingType === 'List' ? defaultConstraints : undefined
  const hasOwn = ({ pod }: PodInfo): boolean => (pod.spec.topologySpreadConstraints?.length ?? 0) > 0
  return () => ({
    name: 'PodTopologySpread',
    // Where others are counts, and without constraints of its own the default ones do: then no pod is like another.
    ...(given?.length === 0 ? { sign: (info: PodInfo) => (hasOwn(info) ? undefined : '') } : {}),
    events: [
      // What a configuration's own constraints count depends on controllers: of them any change may help.
      {
        kind: pods,
        action: Action.Add | Action.Delete | Action.UpdatePodLabel,
        ...(given ? {} : { hint: isCounted }),
      },
      { kind: nodes, action: Action.Add | Action.Delete | Action.UpdateNodeLabel | Action.UpdateNodeTaint },
    ],
    preFilter(state, info, snapshot) {
      if (!hasOwn(info) && !given) return skip
      const constraints = hasOwn(info) ? constraintsOf(info.pod, 'DoNotSchedule') : defaultConstraintsOf(info, given ?? [], 'DoNotSchedule')
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

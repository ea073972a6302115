/** The pod of a daemon set for one node. pkg/controller/daemon/util */
import type { DaemonSet } from '#shared/api/apps/daemonset.ts'
import type { Affinity } from '#shared/api/core/podspec/affinity.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Toleration } from '#shared/api/core/podspec/scheduling.ts'
import { daemonSets } from '#shared/api/kinds.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { safeHash } from '#shared/machinery/hash.ts'
import { revisionHashLabel } from '../history/revisions.ts'
import { podFromTemplate } from '../podcontrol/podcontrol.ts'

const generationLabel = 'pod-template-generation'
const generationOf = ({ metadata }: DaemonSet): string | undefined => metadata.annotations?.['deprecated.daemonset.template.generation']

export const templateHash = (ds: DaemonSet, collisions: number | undefined): string => safeHash(ds.spec.template, collisions)

/** Whether the pod is made from the present template. */
export const isUpdated = ({ metadata: { labels = {} } }: LeanPod, ds: DaemonSet, hash: string): boolean =>
  labels[revisionHashLabel] === hash || (generationOf(ds) !== undefined && labels[generationLabel] === generationOf(ds))

/** Trouble with the node, in which its daemons are wanted all the more. */
const tolerated: readonly (readonly [taint: string, effect: string])[] = [
  ['not-ready', 'NoExecute'],
  ['unreachable', 'NoExecute'],
  ['disk-pressure', 'NoSchedule'],
  ['memory-pressure', 'NoSchedule'],
  ['pid-pressure', 'NoSchedule'],
  ['unschedulable', 'NoSchedule'],
]
const same = (a: Toleration, b: Toleration): boolean =>
  a.key === b.key && a.effect === b.effect && a.operator === b.operator && (a.value ?? '') === (b.value ?? '')

/** The template's tolerations and those that every daemon has. */
export function tolerationsOf({ spec }: DaemonSet): Toleration[] {
  const extra = [...tolerated, ...(spec.template.spec?.hostNetwork ? [['network-unavailable', 'NoSchedule'] as const] : [])]
  const own = extra.map(([taint, effect]) => ({ key: `node.kubernetes.io/${taint}`, operator: 'Exists', effect }) as Toleration)
  const given = (spec.template.spec?.tolerations ?? []).map(t => own.find(o => same(o, t)) ?? t)
  return [...given, ...own.filter(o => !given.includes(o))]
}

/** `affinity` for this node alone; what the template requires has been looked at already. */
function onNode(affinity: Affinity | undefined, node: string): Affinity {
  const term = { matchFields: [{ key: 'metadata.name', operator: 'In', values: [node] }] }
  const required = { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term] } }
  return { ...affinity, nodeAffinity: { ...affinity?.nodeAffinity, ...required } }
}

/** The node that a pod is for, bound or not; undefined for a pod that names none. */
export function nodeOf({ spec }: LeanPod): string | undefined {
  if (spec.nodeName) return spec.nodeName
  const terms = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? []
  const fields = terms.flatMap(t => t.matchFields ?? []).filter(f => f.key === 'metadata.name' && f.operator === 'In')
  return fields[0]?.values?.[0]
}

export function newPod(ds: DaemonSet, node: string, hash: string): Pod {
  const pod = podFromTemplate(daemonSets, ds, ds.spec.template)
  const generation = generationOf(ds)
  pod.metadata.labels = {
    ...pod.metadata.labels,
    [revisionHashLabel]: hash,
    ...(generation === undefined ? {} : { [generationLabel]: generation }),
  }
  pod.spec = { ...pod.spec, tolerations: tolerationsOf(ds), affinity: onNode(pod.spec.affinity, node) }
  return pod
}

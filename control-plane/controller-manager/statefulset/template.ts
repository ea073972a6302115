/** The pod of a stateful set with one ordinal, and what is kept of its template. */
import type { ControllerRevision } from '#shared/api/apps/controllerrevision.ts'
import type { StatefulSet } from '#shared/api/apps/statefulset.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { PodTemplateSpec } from '#shared/api/core/podtemplate.ts'
import { statefulSets } from '#shared/api/kinds.ts'
import { safeHash } from '#shared/machinery/hash.ts'
import { revisionHashLabel, templatePatch, type Snapshot } from '../history/revisions.ts'
import { podFromTemplate } from '../podcontrol/podcontrol.ts'
import { claimName, identityLabels, podName } from './identity.ts'

/** Of a revision's name, before its hash. */
const longestPrefix = 223

export function snapshotOf({ metadata, spec }: StatefulSet): Snapshot {
  const data = templatePatch(spec.template)
  const hash = (collisions: number | undefined): string => safeHash(data, collisions)
  return {
    data,
    name: collisions => `${(metadata.name ?? '').slice(0, longestPrefix)}-${hash(collisions)}`,
    labels: collisions => ({ ...spec.template.metadata?.labels, 'controller.kubernetes.io/hash': hash(collisions) }),
  }
}

/** The template that a revision keeps. */
function templateIn({ data }: ControllerRevision): PodTemplateSpec {
  const { $patch: _, ...template } = (data as { spec: { template: PodTemplateSpec & { $patch?: string } } }).spec.template
  return template
}

export function newPod(set: StatefulSet, ordinal: number, revision: ControllerRevision): Pod {
  const pod = podFromTemplate(statefulSets, set, templateIn(revision))
  pod.metadata.name = podName(set, ordinal)
  pod.metadata.labels = { ...pod.metadata.labels, ...identityLabels(set, ordinal), [revisionHashLabel]: revision.metadata.name ?? '' }
  const claims = (set.spec.volumeClaimTemplates ?? []).map(t => t.metadata?.name ?? '')
  const own = claims.map(name => ({ name, persistentVolumeClaim: { claimName: claimName(set, name, ordinal) } }))
  const others = (pod.spec.volumes ?? []).filter(v => !claims.includes(v.name))
  pod.spec = {
    ...pod.spec,
    hostname: pod.metadata.name,
    ...(set.spec.serviceName ? { subdomain: set.spec.serviceName } : {}),
    ...(own.length + others.length > 0 ? { volumes: [...own, ...others] } : {}),
  }
  return pod
}

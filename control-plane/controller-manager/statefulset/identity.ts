/** The names that a stateful set's pods and claims have for ever. pkg/controller/statefulset/stateful_set_utils.go */
import type { StatefulSet } from '#shared/api/apps/statefulset.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'

export const podNameLabel = 'statefulset.kubernetes.io/pod-name'
export const podIndexLabel = 'apps.kubernetes.io/pod-index'

export const startOf = ({ spec }: StatefulSet): number => spec.ordinals?.start ?? 0
export const replicasOf = ({ spec }: StatefulSet): number => spec.replicas ?? 1
export const isWanted = (set: StatefulSet, ordinal: number): boolean => ordinal >= startOf(set) && ordinal < startOf(set) + replicasOf(set)

export const podName = ({ metadata }: StatefulSet, ordinal: number): string => `${metadata.name}-${ordinal}`
export const claimName = ({ metadata }: StatefulSet, template: string, ordinal: number): string => `${template}-${metadata.name}-${ordinal}`

/** The ordinal of a name of this set's; undefined for any other name. */
export function ordinalOf(set: StatefulSet, name: string | undefined): number | undefined {
  const prefix = `${set.metadata.name}-`
  const text = name?.startsWith(prefix) ? name.slice(prefix.length) : ''
  return /^(0|[1-9]\d{0,9})$/.test(text) ? Number(text) : undefined
}

/** The labels of the pod with this ordinal that tell who it is. */
export const identityLabels = (set: StatefulSet, ordinal: number): Record<string, string> => ({
  [podNameLabel]: podName(set, ordinal),
  [podIndexLabel]: String(ordinal),
})
export const hasIdentity = ({ metadata }: LeanPod): boolean => metadata.labels?.[podNameLabel] === metadata.name

/** Which replica set stands for a deployment's present template, and what a new one looks like. */
import type { Deployment } from '#shared/api/apps/deployment.ts'
import type { ReplicaSet } from '#shared/api/apps/replicaset.ts'
import type { PodTemplateSpec } from '#shared/api/core/podtemplate.ts'
import { deployments } from '#shared/api/kinds.ts'
import { canonical, safeHash } from '#shared/machinery/hash.ts'
import { controllerRef } from '../podcontrol/ownership.ts'
import { byCreation } from './rolling.ts'

export const hashLabel = 'pod-template-hash'

/** Empty lists and label-like maps mean the same as absent ones. */
const emptyIsAbsent = new Set(['labels', 'annotations', 'nodeSelector', 'limits', 'requests'])
function normal(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(normal)
  if (typeof value !== 'object' || value === null) return value
  const isEmpty = (k: string, v: unknown) =>
    Array.isArray(v) ? v.length === 0 : emptyIsAbsent.has(k) && Object.keys((v as object | null) ?? {}).length === 0
  const kept = Object.entries(value).filter(([k, v]) => !isEmpty(k, v))
  return Object.fromEntries(kept.map(([k, v]) => [k, normal(v)]))
}
/** The template's meaning as text, without the label that replica sets add and what the server keeps in metadata. */
function meaning(template: PodTemplateSpec | undefined): string {
  const { [hashLabel]: _, ...labels } = template?.metadata?.labels ?? {}
  const { creationTimestamp: __, ...metadata } = template?.metadata ?? {}
  return canonical(normal({ metadata: { ...metadata, labels }, spec: template?.spec }))
}
export const sameTemplate = (a: PodTemplateSpec | undefined, b: PodTemplateSpec | undefined): boolean => meaning(a) === meaning(b)

/** The oldest replica set with the deployment's template. */
export const findNew = (d: Deployment, sets: readonly ReplicaSet[]): ReplicaSet | undefined =>
  [...sets].sort(byCreation).find(rs => sameTemplate(rs.spec.template, d.spec.template))

const longestName = 253

/** A replica set for the deployment's template, of size 0; its name and label carry the template's hash. */
export function newReplicaSet(d: Deployment): ReplicaSet {
  const hash = safeHash(JSON.parse(meaning(d.spec.template)), d.status?.collisionCount)
  const template = {
    ...d.spec.template,
    metadata: { ...d.spec.template.metadata, labels: { ...d.spec.template.metadata?.labels, [hashLabel]: hash } },
  }
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `${(d.metadata.name ?? '').slice(0, longestName - hash.length - 1)}-${hash}`,
      namespace: d.metadata.namespace,
      labels: template.metadata.labels,
      ownerReferences: [controllerRef(deployments, d)],
    },
    spec: {
      replicas: 0,
      ...(d.spec.minReadySeconds ? { minReadySeconds: d.spec.minReadySeconds } : {}),
      selector: { ...d.spec.selector, matchLabels: { ...d.spec.selector.matchLabels, [hashLabel]: hash } },
      template,
    },
  }
}

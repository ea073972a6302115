/** The annotations by which a deployment and its replica sets know their revisions and sizes: pkg/controller/deployment/util. */
import type { Deployment } from '#shared/api/apps/deployment.ts'
import type { ReplicaSet } from '#shared/api/apps/replicaset.ts'

const prefix = 'deployment.kubernetes.io/'
export const revisionAnnotation = `${prefix}revision`
const historyAnnotation = `${prefix}revision-history`
const desiredAnnotation = `${prefix}desired-replicas`
const maxAnnotation = `${prefix}max-replicas`
/** Not copied between a deployment and its replica sets. */
const own = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  'deprecated.deployment.rollback.to',
  revisionAnnotation,
  historyAnnotation,
  desiredAnnotation,
  maxAnnotation,
])
/** The history of revisions is cut at this many characters. */
const historyLimit = 2000

type Annotations = { [key: string]: string }
const annotationsOf = (o: Deployment | ReplicaSet): Annotations => o.metadata.annotations ?? {}

function int(o: ReplicaSet, annotation: string): number | undefined {
  const text = annotationsOf(o)[annotation]
  return text !== undefined && /^-?\d+$/.test(text) ? Number(text) : undefined
}
export const desiredReplicas = (rs: ReplicaSet): number | undefined => int(rs, desiredAnnotation)
export const maxReplicasAnnotation = (rs: ReplicaSet): number | undefined => int(rs, maxAnnotation)

/** A revision is an int64, more than a number holds; what is none counts as 0. */
function parseRevision(text: string | undefined): bigint {
  if (text === undefined || !/^[+-]?\d{1,19}$/.test(text)) return 0n
  const value = BigInt(text.replace('+', ''))
  return BigInt.asIntN(64, value) === value ? value : 0n
}
export const revision = (rs: Pick<ReplicaSet, 'metadata'>): bigint => parseRevision(rs.metadata.annotations?.[revisionAnnotation])
export const maxRevision = (sets: readonly ReplicaSet[]): bigint => sets.map(revision).reduce((a, b) => (a > b ? a : b), 0n)

/** The annotations that say for which size of the deployment a replica set was sized. */
export const sizeAnnotations = (desired: number, max: number): Annotations => ({
  [desiredAnnotation]: String(desired),
  [maxAnnotation]: String(max),
})

/**
 * A replica set's annotations with its deployment's and the revision set on it. A revision only ever rises; those it had before are its
 * history.
 */
export function syncedAnnotations(d: Deployment, rs: Pick<ReplicaSet, 'metadata'>, newRevision: bigint): Annotations {
  const result: Annotations = { ...rs.metadata.annotations }
  for (const [key, value] of Object.entries(annotationsOf(d))) if (!own.has(key)) result[key] = value
  const before = result[revisionAnnotation]
  if (parseRevision(before) < newRevision) {
    result[revisionAnnotation] = String(newRevision)
    if (before !== undefined) {
      const history = result[historyAnnotation] ? result[historyAnnotation].split(',') : []
      history.push(before)
      while (history.length > 1 && history.join(',').length > historyLimit) history.shift()
      result[historyAnnotation] = history.join(',')
    }
  }
  return result
}

export const sameAnnotations = (a: Annotations | undefined, b: Annotations): boolean =>
  Object.keys(a ?? {}).length === Object.keys(b).length && Object.entries(b).every(([k, v]) => a?.[k] === v)

/** What a job asks about a single pod of its own. */
import type { Job } from '#shared/api/batch/job.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { isTerminating } from '../podcontrol/pods.ts'

/** The finalizer that keeps a pod that ended until it is counted. */
export const trackingFinalizer = 'batch.kubernetes.io/job-tracking'
export const indexAnnotation = 'batch.kubernetes.io/job-completion-index'
const failureCountAnnotation = 'batch.kubernetes.io/job-index-failure-count'
const ignoredFailureCountAnnotation = 'batch.kubernetes.io/job-index-ignored-failure-count'
export const failureAnnotations = [failureCountAnnotation, ignoredFailureCountAnnotation] as const

type Meta = Pick<LeanPod, 'metadata'>

export const isTracked = ({ metadata }: Meta): boolean => metadata.finalizers?.includes(trackingFinalizer) ?? false
export const hasSucceeded = (pod: LeanPod): boolean => pod.status?.phase === 'Succeeded'

const mostInt32 = 2 ** 31 - 1
/** A whole number of at least 0 that fits an int32; undefined for anything else. */
function count({ metadata }: Meta, annotation: string): number | undefined {
  const text = metadata.annotations?.[annotation] ?? ''
  return /^\+?\d+$/.test(text) && Number(text) <= mostInt32 ? Number(text) : undefined
}
/** The completion index; undefined for a pod without a valid one. */
export const indexOf = (pod: Meta): number | undefined => count(pod, indexAnnotation)
/** How many failures of its index came before this pod. */
export const failuresBefore = (pod: Meta): number => count(pod, failureCountAnnotation) ?? 0
/** The same for those that a policy ignored. */
export const ignoredFailuresBefore = (pod: Meta): number => count(pod, ignoredFailureCountAnnotation) ?? 0

/** Whether a pod is replaced only when it has failed, not already when it is on its way out. */
export const replacesOnlyFailed = ({ spec }: Job): boolean => spec.podReplacementPolicy === 'Failed' || spec.podFailurePolicy !== undefined

/** Whether the pod counts as a failure. One that is being deleted does, as an orphan may never come to say so itself. */
export const hasFailed = (pod: LeanPod, job: Job): boolean =>
  pod.status?.phase === 'Failed' || (!replacesOnlyFailed(job) && isTerminating(pod) && !hasSucceeded(pod))

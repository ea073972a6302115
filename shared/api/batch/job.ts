/** batch/v1 Job: runs pods until enough of them have succeeded. https://kubernetes.io/docs/concepts/workloads/controllers/job/ */
import { Path } from '../../machinery/field.ts'
import { formatLabelSelector } from '../../machinery/labels.ts'
import { int32, list, obj, opt, str, time, type Infer } from '../../machinery/schema.ts'
import { humanDuration } from '../../machinery/time.ts'
import { ageColumn, containersColumn, imagesColumn, nameColumn } from '../columns.ts'
import { defaultPodTemplateSpec, sameGeneration, warningsForPodTemplate } from '../core/podtemplate.ts'
import { warningsForName } from '../core/podspec/warnings.ts'
import { jobs } from '../kinds.ts'
import { conditionSchema } from '../meta/condition.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { controllerUidLabels, jobNameLabels, jobSpec, type JobSpec } from './jobspec.ts'
import { validateJobStatus } from './jobstatusvalidation.ts'
import { isIndexed, limitForManyCompletions, manyCompletions, validateJob, validateJobUpdate } from './jobvalidation.ts'

const jobCondition = conditionSchema('io.k8s.api.batch.v1.JobCondition', 'One aspect of the state of a job.', {
  tags: { lastTransitionTime: 4, reason: 5, message: 6 },
  types: 'Complete, Failed, Suspended, FailureTarget or SuccessCriteriaMet.',
  more: () => ({ lastProbeTime: opt(3, time(), { doc: 'When it was last looked at.' }) }),
})
const uncountedTerminatedPods = obj('io.k8s.api.batch.v1.UncountedTerminatedPods', 'Pods that have ended and are not counted yet.', () => ({
  succeeded: opt(1, list(str()), { doc: 'UIDs of those that succeeded.', listType: 'set' }),
  failed: opt(2, list(str()), { doc: 'UIDs of those that failed.', listType: 'set' }),
}))
const jobStatus = obj('io.k8s.api.batch.v1.JobStatus', 'What the controller saw last.', () => ({
  conditions: opt(1, list(jobCondition), {
    doc: 'How it is; Complete or Failed when it has ended.',
    listType: 'atomic',
    mergeKey: 'type',
    patchStrategy: 'merge',
  }),
  startTime: opt(2, time(), { doc: 'When the controller began with it, or with it again after a suspension.', pointer: true }),
  completionTime: opt(3, time(), { doc: 'When it was complete.', pointer: true }),
  active: opt(4, int32(), { doc: 'Pods that run or wait to, without terminating ones.', pointer: false }),
  succeeded: opt(5, int32(), { doc: 'Pods that succeeded.', pointer: false }),
  failed: opt(6, int32(), { doc: 'Pods that failed.', pointer: false }),
  terminating: opt(11, int32(), { doc: 'Pods on their way out.' }),
  completedIndexes: opt(7, str(), { doc: 'Indexes that succeeded, as text: `1,3-5,7`.' }),
  failedIndexes: opt(10, str(), { doc: 'Indexes that failed, in the same form.', pointer: true }),
  uncountedTerminatedPods: opt(8, uncountedTerminatedPods, { doc: 'Pods that have ended and are not counted yet.' }),
  ready: opt(9, int32(), { doc: 'Active pods that are ready.' }),
}))
const jobSchema = obj('io.k8s.api.batch.v1.Job', 'Runs pods until enough of them have succeeded.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: opt(2, jobSpec, { doc: 'What is run, how often and how many at a time.', default: {} }),
  status: opt(3, jobStatus, { doc: 'What the controller saw last.', default: {} }),
}))
export type Job = Stored<Infer<typeof jobSchema>>
export type JobStatus = Infer<typeof jobStatus>

const mostInt32 = 2 ** 31 - 1

function defaults({ spec }: Job): void {
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1
  spec.parallelism ??= 1
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : mostInt32
  spec.completionMode ??= 'NonIndexed'
  spec.suspend ??= false
  spec.manualSelector ??= false
  spec.podReplacementPolicy ??= spec.podFailurePolicy ? 'Failed' : 'TerminatingOrFailed'
  if (spec.template) defaultPodTemplateSpec(spec.template)
}

/** Labels and a selector by which the pods are this job's alone; what is there is left to validation to refuse. */
function generateSelector({ metadata, spec }: Job): void {
  const { uid = '', name = '' } = metadata
  spec.template ??= {}
  spec.template.metadata ??= {}
  const labels = (spec.template.metadata.labels ??= {})
  for (const key of jobNameLabels) labels[key] ??= name
  for (const key of controllerUidLabels) labels[key] ??= uid
  spec.selector ??= {}
  spec.selector.matchLabels ??= {}
  spec.selector.matchLabels[controllerUidLabels[1]] ??= uid
}

/** A job without labels has those of its template, as it is when it is read. */
function labelAsTemplate({ metadata, spec }: Job): void {
  const labels = spec.template?.metadata?.labels
  if (labels && Object.keys(metadata.labels ?? {}).length === 0) metadata.labels = { ...labels }
}

/** What is said of a job's spec, which is at this path. */
export function warningsForJobSpec(spec: JobSpec, at: Path): string[] {
  const large = isIndexed(spec) && (spec.completions ?? 0) > manyCompletions && (spec.parallelism ?? 0) > limitForManyCompletions
  const text =
    'In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail'
  return [...(large ? [`${at}: ${text}`] : []), ...warningsForPodTemplate(spec.template, at.child('template'))]
}

const isTrue = (j: Job, type: string): boolean => j.status?.conditions?.find(c => c.type === type)?.status === 'True'
function statusText(j: Job): string {
  if (isTrue(j, 'Complete')) return 'Complete'
  if (isTrue(j, 'Failed')) return 'Failed'
  if (j.metadata.deletionTimestamp) return 'Terminating'
  if (isTrue(j, 'Suspended')) return 'Suspended'
  return isTrue(j, 'FailureTarget') ? 'FailureTarget' : 'Running'
}
function completionsText({ spec, status }: Job): string {
  const succeeded = status?.succeeded ?? 0
  if (spec.completions !== undefined) return `${succeeded}/${spec.completions}`
  return (spec.parallelism ?? 0) > 1 ? `${succeeded}/1 of ${spec.parallelism}` : `${succeeded}/1`
}
function durationText({ status }: Job): string {
  if (!status?.startTime) return ''
  return humanDuration((status.completionTime ? Date.parse(status.completionTime) : Date.now()) - Date.parse(status.startTime))
}

export const job = resource<Job>({
  ...jobs,
  schema: jobSchema,
  singular: 'job',
  categories: ['all'],
  hasStatus: true,
  hasGeneration: true,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  deletion: {
    orphansDependents:
      'child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning',
  },
  columns: [
    nameColumn,
    { name: 'Status', type: 'string', doc: 'Status of the job.', cell: statusText },
    { name: 'Completions', type: 'string', doc: 'Pods that succeeded, of those wanted', cell: completionsText },
    { name: 'Duration', type: 'string', doc: 'Time required to complete the job.', cell: durationText },
    ageColumn,
    containersColumn,
    imagesColumn,
    { name: 'Selector', type: 'string', wide: true, doc: 'Labels of its pods', cell: j => formatLabelSelector(j.spec.selector) },
  ],
  fields: { 'status.successful': j => String(j.status?.succeeded ?? 0) },
  defaults,
  prepareForCreate: j => {
    if (!j.spec.manualSelector) generateSelector(j)
    labelAsTemplate(j)
    j.status = {}
  },
  prepareForUpdate: labelAsTemplate,
  validate: (j, at) => validateJob(j, at),
  validateUpdate: (j, old, at, ctx) =>
    ctx.subresource === 'status' ? validateJobStatus(j, old, at.child('status')) : validateJobUpdate(j, old, at.child('spec')),
  warnings: (j, old) => [
    ...(old ? [] : warningsForName(j.metadata.name, 'Pod names and hostnames')),
    ...(sameGeneration(j, old) ? [] : warningsForJobSpec(j.spec, new Path('spec'))),
  ],
})

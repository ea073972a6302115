/** batch/v1 CronJob: makes jobs by a timetable. https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ */
import { Path } from '../../machinery/field.ts'
import { formatLabelSelector } from '../../machinery/labels.ts'
import { bool, int32, int64, list, obj, opt, req, str, time, type Infer } from '../../machinery/schema.ts'
import { age } from '../../machinery/time.ts'
import { ageColumn, nameColumn } from '../columns.ts'
import { objectReference } from '../core/objectreference.ts'
import { defaultPodTemplateSpec, sameGeneration } from '../core/podtemplate.ts'
import { warningsForName } from '../core/podspec/warnings.ts'
import { cronJobs } from '../kinds.ts'
import { objectMeta, typeMeta, type Stored } from '../meta/objectmeta.ts'
import { resource } from '../resource.ts'
import { templateOf, validateCronJob, validateCronJobName } from './cronjobvalidation.ts'
import { warningsForJobSpec } from './job.ts'
import { jobSpec } from './jobspec.ts'

const jobTemplateSpec = obj('io.k8s.api.batch.v1.JobTemplateSpec', 'What the jobs are made from.', () => ({
  metadata: opt(1, objectMeta, { doc: 'Labels and annotations of the jobs.', default: {} }),
  spec: opt(2, jobSpec, { doc: 'What the jobs run.', default: {} }),
}))
const cronJobSpec = obj('io.k8s.api.batch.v1.CronJobSpec', 'When jobs are made, and what they run.', () => ({
  schedule: req(1, str(), { doc: 'Minute, hour, day of month, month and day of week, as in crontab.', default: '' }),
  timeZone: opt(8, str(), { doc: "The schedule's time zone, Europe/Berlin; that of the controller when absent.", pointer: true }),
  startingDeadlineSeconds: opt(2, int64(), { doc: 'How late a job may be made; for ever when absent.' }),
  concurrencyPolicy: opt(3, str(['Allow', 'Forbid', 'Replace']), {
    doc: 'What happens when the job before still runs: Allow (both do), Forbid (none is made) or Replace.',
  }),
  suspend: opt(4, bool(), { doc: 'No jobs are made.' }),
  jobTemplate: req(5, jobTemplateSpec, { doc: 'What the jobs are made from.', default: {} }),
  successfulJobsHistoryLimit: opt(6, int32(), { doc: 'How many jobs that succeeded are kept.' }),
  failedJobsHistoryLimit: opt(7, int32(), { doc: 'How many jobs that failed are kept.' }),
}))
const cronJobStatus = obj('io.k8s.api.batch.v1.CronJobStatus', 'What the controller did last.', () => ({
  active: opt(1, list(objectReference), { doc: 'Jobs that run.', listType: 'atomic' }),
  lastScheduleTime: opt(4, time(), { doc: 'When a job was last made.', pointer: true }),
  lastSuccessfulTime: opt(5, time(), { doc: 'When a job last succeeded.', pointer: true }),
}))
const cronJobSchema = obj('io.k8s.api.batch.v1.CronJob', 'Makes jobs by a timetable.', () => ({
  ...typeMeta(),
  metadata: opt(1, objectMeta, { doc: 'Standard metadata.', default: {} }),
  spec: opt(2, cronJobSpec, { doc: 'When jobs are made, and what they run.', default: {} }),
  status: opt(3, cronJobStatus, { doc: 'What the controller did last.', default: {} }),
}))
export type CronJob = Stored<Infer<typeof cronJobSchema>>

const containers = (c: CronJob) => c.spec.jobTemplate?.spec?.template?.spec?.containers ?? []
const suspended = { true: 'True', false: 'False', undefined: '<unset>' } as const

export const cronJob = resource<CronJob>({
  ...cronJobs,
  schema: cronJobSchema,
  singular: 'cronjob',
  shortNames: ['cj'],
  categories: ['all'],
  hasStatus: true,
  hasGeneration: true,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  columns: [
    nameColumn,
    { name: 'Schedule', type: 'string', doc: 'When jobs are made', cell: c => c.spec.schedule },
    { name: 'Timezone', type: 'string', doc: "The schedule's time zone", cell: c => c.spec.timeZone ?? '<none>' },
    { name: 'Suspend', type: 'boolean', doc: 'No jobs are made', cell: c => suspended[`${c.spec.suspend}`] },
    { name: 'Active', type: 'integer', doc: 'Jobs that run', cell: c => c.status?.active?.length ?? 0 },
    {
      name: 'Last Schedule',
      type: 'string',
      doc: 'When a job was last made',
      cell: c => (c.status?.lastScheduleTime ? age(c.status.lastScheduleTime) : '<none>'),
    },
    ageColumn,
    {
      name: 'Containers',
      type: 'string',
      wide: true,
      doc: 'Names of each container in the template.',
      cell: c =>
        containers(c)
          .map(i => i.name)
          .join(','),
    },
    {
      name: 'Images',
      type: 'string',
      wide: true,
      doc: 'Images referenced by each container in the template.',
      cell: c =>
        containers(c)
          .map(i => i.image ?? '')
          .join(','),
    },
    {
      name: 'Selector',
      type: 'string',
      wide: true,
      doc: 'Labels of the pods',
      cell: c => formatLabelSelector(c.spec.jobTemplate?.spec?.selector),
    },
  ],
  defaults: ({ spec }) => {
    spec.concurrencyPolicy ||= 'Allow'
    spec.suspend ??= false
    spec.successfulJobsHistoryLimit ??= 3
    spec.failedJobsHistoryLimit ??= 1
    const template = spec.jobTemplate?.spec?.template
    if (template) defaultPodTemplateSpec(template)
  },
  prepareForCreate: c => {
    c.status = {}
  },
  validate: (c, at) => validateCronJob(c.spec, at.child('spec')),
  validateCreate: (c, at) => validateCronJobName(c.metadata.name, at.child('metadata', 'name')),
  warnings: (c, old) => [
    ...(old ? [] : warningsForName(c.metadata.name, 'Pod names and hostnames')),
    ...(sameGeneration(c, old) ? [] : warningsForJobSpec(templateOf(c.spec), new Path('spec').child('jobTemplate', 'spec'))),
  ],
})

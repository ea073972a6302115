/** What a Job runs, alone or as the template of a CronJob's. */
import { bool, int32, int64, list, obj, opt, req, str, type Infer } from '../../machinery/schema.ts'
import { podTemplateSpec } from '../core/podtemplate.ts'
import { labelSelector } from '../meta/labelselector.ts'

const podFailurePolicyOnExitCodesRequirement = obj(
  'io.k8s.api.batch.v1.PodFailurePolicyOnExitCodesRequirement',
  'Exit codes of containers that a rule is for.',
  () => ({
    containerName: opt(1, str(), { doc: 'The container that is looked at; all when absent.', pointer: true }),
    operator: req(2, str(['In', 'NotIn']), {
      doc: 'In or NotIn: whether the exit code, which is not 0, must be one of the values.',
      default: '',
    }),
    values: req(3, list(int32()), { doc: 'Exit codes in order, without duplicates, at most 255.', listType: 'set' }),
  }),
)
const podFailurePolicyOnPodConditionsPattern = obj(
  'io.k8s.api.batch.v1.PodFailurePolicyOnPodConditionsPattern',
  'A condition of a pod that a rule is for.',
  () => ({
    type: req(1, str(), { doc: 'Name of the condition.', default: '' }),
    status: req(2, str(), { doc: 'True (the default), False or Unknown.', default: 'True' }),
  }),
)
const podFailurePolicyRule = obj('io.k8s.api.batch.v1.PodFailurePolicyRule', 'What is done about some failures of pods.', () => ({
  action: req(1, str(['Count', 'FailIndex', 'FailJob', 'Ignore']), {
    doc: 'FailJob, FailIndex, Ignore (a new pod, not counted) or Count (as without a rule).',
    default: '',
  }),
  onExitCodes: opt(2, podFailurePolicyOnExitCodesRequirement, { doc: 'Failures by exit code.' }),
  onPodConditions: opt(3, list(podFailurePolicyOnPodConditionsPattern), {
    doc: 'Failures by condition; one must hold.',
    listType: 'atomic',
  }),
}))
export type PodFailurePolicyRule = Infer<typeof podFailurePolicyRule>
const podFailurePolicy = obj('io.k8s.api.batch.v1.PodFailurePolicy', 'What failures of pods mean.', () => ({
  rules: req(1, list(podFailurePolicyRule), { doc: 'The first that fits counts; at most 20.', listType: 'atomic' }),
}))
const successPolicyRule = obj('io.k8s.api.batch.v1.SuccessPolicyRule', 'Which indexes must succeed, or how many.', () => ({
  succeededIndexes: opt(1, str(), { doc: 'Indexes as text: `1,3-5,7`; all of them, or of them succeededCount.', pointer: true }),
  succeededCount: opt(2, int32(), { doc: 'How many indexes must succeed.' }),
}))
export type SuccessPolicyRule = Infer<typeof successPolicyRule>
const successPolicy = obj('io.k8s.api.batch.v1.SuccessPolicy', 'When an indexed job has succeeded before all of its indexes have.', () => ({
  rules: req(1, list(successPolicyRule), { doc: 'One must hold; at most 20.', listType: 'atomic' }),
}))

export const jobSpec = obj('io.k8s.api.batch.v1.JobSpec', 'What is run, how often and how many at a time.', () => ({
  parallelism: opt(1, int32(), { doc: 'How many pods run at a time at most.' }),
  completions: opt(2, int32(), { doc: 'How many pods must succeed; when absent, any one that does ends the job.' }),
  activeDeadlineSeconds: opt(3, int64(), { doc: 'How long the job may be active before it fails.' }),
  podFailurePolicy: opt(11, podFailurePolicy, { doc: 'What failures of pods mean; when absent, each counts against backoffLimit.' }),
  successPolicy: opt(16, successPolicy, { doc: 'When an indexed job has succeeded before all of its indexes have.' }),
  backoffLimit: opt(7, int32(), { doc: 'Failures after which the job has failed.' }),
  backoffLimitPerIndex: opt(12, int32(), { doc: 'Failures after which an index has failed; of indexed jobs.' }),
  maxFailedIndexes: opt(13, int32(), { doc: 'Failed indexes after which the job has failed.' }),
  selector: opt(4, labelSelector, { doc: 'Selects its pods; set by the server unless manualSelector is.' }),
  manualSelector: opt(5, bool(), { doc: 'The selector and the labels of the template are as given.' }),
  template: req(6, podTemplateSpec, { doc: 'What the pods are made from; its restartPolicy is Never or OnFailure.', default: {} }),
  ttlSecondsAfterFinished: opt(8, int32(), { doc: 'How long the job stays after it has ended; for ever when absent.' }),
  completionMode: opt(9, str(['Indexed', 'NonIndexed']), {
    doc: 'NonIndexed, or Indexed: each pod has an index from 0 up.',
    pointer: true,
  }),
  suspend: opt(10, bool(), { doc: 'Holds the job: no pods, and those that run are deleted.' }),
  podReplacementPolicy: opt(14, str(['Failed', 'TerminatingOrFailed']), {
    doc: 'When a pod is replaced: TerminatingOrFailed, or Failed: only when it has ended.',
    pointer: true,
  }),
  managedBy: opt(15, str(), { doc: 'The controller that runs the job, domain/name; the built-in one when absent.', pointer: true }),
}))
export type JobSpec = Infer<typeof jobSpec>

/** The labels by which a job's pods are its own: the older names, which clients still use, come first. */
export const controllerUidLabels = ['controller-uid', 'batch.kubernetes.io/controller-uid'] as const
export const jobNameLabels = ['job-name', 'batch.kubernetes.io/job-name'] as const

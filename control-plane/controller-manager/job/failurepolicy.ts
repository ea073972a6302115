/** What a job's podFailurePolicy says of a pod that failed. pkg/controller/job/pod_failure_policy.go */
import type { Job } from '#shared/api/batch/job.ts'
import type { PodFailurePolicyRule } from '#shared/api/batch/jobspec.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'

export interface Ruling {
  readonly action?: 'FailJob' | 'FailIndex' | 'Ignore' | 'Count'
  /** Why the job fails with it. */
  readonly message?: string
  /** Whether it counts against the limits. */
  readonly counts: boolean
}

type ContainerStatus = NonNullable<NonNullable<LeanPod['status']>['containerStatuses']>[number]

/** A container that ended with one of the rule's exit codes, of the app containers first. */
function exited(pod: LeanPod, { containerName, operator, values = [] }: NonNullable<PodFailurePolicyRule['onExitCodes']>) {
  const fits = ({ name, state }: ContainerStatus): boolean => {
    const code = state?.terminated?.exitCode ?? 0
    return code !== 0 && (containerName === undefined || containerName === name) && values.includes(code) === (operator === 'In')
  }
  return [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])].find(fits)
}

/** The first rule that fits counts. */
export function ruling({ spec }: Job, pod: LeanPod): Ruling {
  for (const [i, { action, onExitCodes, onPodConditions = [] }] of (spec.podFailurePolicy?.rules ?? []).entries()) {
    const container = onExitCodes && exited(pod, onExitCodes)
    const condition = pod.status?.conditions?.find(c => onPodConditions.some(p => p.type === c.type && p.status === c.status))
    if (!container && (onExitCodes || !condition)) continue
    const who = `${pod.metadata.namespace}/${pod.metadata.name}`
    switch (action) {
      case 'Ignore':
        return { action, counts: false }
      case 'FailIndex':
      case 'Count':
        return { action, counts: true }
      case 'FailJob':
        return {
          action,
          counts: true,
          message: container
            ? `Container ${container.name} for pod ${who} failed with exit code ${container.state?.terminated?.exitCode} matching ${action} rule at index ${i}`
            : `Pod ${who} has condition ${condition?.type} matching ${action} rule at index ${i}`,
        }
    }
  }
  return { counts: true }
}

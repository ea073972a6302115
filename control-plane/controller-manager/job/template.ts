/** The pod that a job makes, for one of its indexes or for none. */
import type { Job } from '#shared/api/batch/job.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { jobs } from '#shared/api/kinds.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { podFromTemplate } from '../podcontrol/podcontrol.ts'
import { ruling } from './failurepolicy.ts'
import { failureAnnotations, failuresBefore, ignoredFailuresBefore, indexAnnotation, trackingFinalizer } from './pods.ts'

const indexVariable = 'JOB_COMPLETION_INDEX'
/** Of a generated name, before the random end. */
const longestPrefix = 58

type Container = Pod['spec']['containers'][number]
function withIndexVariable(container: Container): Container {
  const { env = [] } = container
  if (env.some(e => e.name === indexVariable)) return container
  const fieldRef = { apiVersion: 'v1', fieldPath: `metadata.labels['${indexAnnotation}']` }
  return { ...container, env: [...env, { name: indexVariable, valueFrom: { fieldRef } }] }
}

/** `replaced`: the pod of the same index that failed last, where failures are counted by index. */
export function newPod(job: Job, index: number | undefined, replaced: LeanPod | undefined): Pod {
  const pod = podFromTemplate(jobs, job, job.spec.template)
  pod.metadata.finalizers = [...new Set([...(pod.metadata.finalizers ?? []), trackingFinalizer])]
  if (index === undefined) return pod
  const name = job.metadata.name ?? ''
  const end = `-${index}-`
  pod.metadata.generateName = name.slice(0, longestPrefix - end.length) + end
  const failures = job.spec.backoffLimitPerIndex === undefined ? {} : failuresOf(job, replaced)
  pod.metadata.annotations = { ...pod.metadata.annotations, [indexAnnotation]: String(index), ...failures }
  pod.metadata.labels = { ...pod.metadata.labels, [indexAnnotation]: String(index) }
  pod.spec = {
    ...pod.spec,
    hostname: `${name}-${index}`,
    containers: pod.spec.containers.map(withIndexVariable),
    ...(pod.spec.initContainers ? { initContainers: pod.spec.initContainers.map(withIndexVariable) } : {}),
  }
  return pod
}

function failuresOf(job: Job, replaced: LeanPod | undefined): Record<string, string> {
  const counts = replaced && ruling(job, replaced).counts
  const failures = replaced ? failuresBefore(replaced) + (counts ? 1 : 0) : 0
  const ignored = replaced ? ignoredFailuresBefore(replaced) + (counts ? 0 : 1) : 0
  return { [failureAnnotations[0]]: String(failures), ...(ignored > 0 ? { [failureAnnotations[1]]: String(ignored) } : {}) }
}

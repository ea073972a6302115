/** The kubelet's conditions of a pod, with upstream's reasons and messages. */
import type { Pod } from '#shared/api/core/pod.ts'
import type { ContainerStatus } from '#shared/api/core/podspec/containerstatus.ts'
import type { PodCondition } from '#shared/api/core/podspec/podstatus.ts'
import { initContainers, isSidecar } from './containers.ts'
import type { Phase } from './phase.ts'

export type Condition = Omit<PodCondition, 'lastTransitionTime' | 'observedGeneration' | 'lastProbeTime'>
export interface ConditionInput {
  phase: Phase
  init: readonly ContainerStatus[]
  app: readonly ContainerStatus[]
  initialized: boolean
  readyToStart: boolean
}

const isTrue = (type: string): Condition => ({ type, status: 'True' })
const isFalse = (type: string, reason: string, message?: string): Condition => ({
  type,
  status: 'False',
  reason,
  ...(message ? { message } : {}),
})
const listed = (what: string, names: readonly string[]): string[] =>
  names.length > 0 ? [`containers with ${what} status: [${names.join(' ')}]`] : []

function containersReady(pod: Pod, { phase, init, app }: ConditionInput): Condition {
  const type = 'ContainersReady'
  const sidecars = initContainers(pod).filter(isSidecar)
  const statuses = [
    ...sidecars.map(c => [c.name, init.find(s => s.name === c.name)] as const),
    ...pod.spec.containers.map(c => [c.name, app.find(s => s.name === c.name)] as const),
  ]
  const unknown = statuses.filter(([, s]) => !s).map(([name]) => name)
  const unready = statuses.filter(([, s]) => s && !s.ready).map(([name]) => name)
  if (phase === 'Succeeded' && unknown.length === 0) return isFalse(type, 'PodCompleted')
  if (phase === 'Failed' && unknown.length === 0) return isFalse(type, 'PodFailed')
  const messages = [...listed('unknown', unknown), ...listed('unready', unready)]
  return messages.length > 0 ? isFalse(type, 'ContainersNotReady', messages.join(', ')) : isTrue(type)
}

function ready(pod: Pod, containers: Condition): Condition {
  if (containers.status !== 'True') return { ...containers, type: 'Ready' }
  const messages = (pod.spec.readinessGates ?? []).flatMap(gate => {
    const condition = pod.status?.conditions?.find(c => c.type === gate.conditionType)
    if (!condition) return [`corresponding condition of pod readiness gate "${gate.conditionType}" does not exist.`]
    return condition.status === 'True'
      ? []
      : [`the status of pod readiness gate "${gate.conditionType}" is not "True", but ${condition.status}`]
  })
  return messages.length > 0 ? isFalse('Ready', 'ReadinessGatesNotReady', messages.join(', ')) : isTrue('Ready')
}

function initialized(pod: Pod, { phase, init, initialized: done }: ConditionInput): Condition {
  const type = 'Initialized'
  const unknown: string[] = []
  const incomplete: string[] = []
  for (const c of initContainers(pod)) {
    const status = init.find(s => s.name === c.name)
    if (!status) unknown.push(c.name)
    else if (isSidecar(c) ? !status.started : !status.ready) incomplete.push(c.name)
  }
  if (phase === 'Succeeded' && unknown.length === 0) return { ...isTrue(type), reason: 'PodCompleted' }
  // A sidecar that restarts does not take the pod back before its initialisation.
  if (done && unknown.length === 0) return isTrue(type)
  const messages = [...listed('unknown', unknown), ...listed('incomplete', incomplete)]
  return messages.length > 0 ? isFalse(type, 'ContainersNotInitialized', messages.join(', ')) : isTrue(type)
}

/** All conditions that the kubelet owns, in upstream's order. */
export function podConditions(pod: Pod, input: ConditionInput): Condition[] {
  const containers = containersReady(pod, input)
  return [
    { type: 'PodReadyToStartContainers', status: input.readyToStart ? 'True' : 'False' },
    initialized(pod, input),
    ready(pod, containers),
    containers,
    isTrue('PodScheduled'),
  ]
}

/** The whole status of a pod: pure, from its spec, what is remembered of it and what is live. */
import type { Pod } from '#shared/api/core/pod.ts'
import type { PodCondition, PodStatus } from '#shared/api/core/podspec/podstatus.ts'
import type { ContainerState, ContainerStatus } from '#shared/api/core/podspec/containerstatus.ts'
import { podQOS } from '#shared/api/core/podspec/qos.ts'
import { allocatedPod } from '../cm/allocation.ts'
import { resizeConditions } from '../cm/resize.ts'
import { ofPod } from '../container/terminationmessage.ts'
import { podConditions, type Condition } from './conditions.ts'
import { allContainers, type ContainerType } from './containers.ts'
import { apiTime, containerStatus, type LiveView } from './containerstatus.ts'
import { endedStatuses } from './ended.ts'
import { isTerminal, podPhase } from './phase.ts'
import type { PodState } from './state.ts'

export interface StatusInput {
  state: PodState
  live: { readonly [name: string]: LiveView | undefined }
  hostIP: string
  /** All of them, when there are several, that one first. */
  hostIPs?: readonly string[]
  now: Date
  /** Nothing will be started any more. */
  terminal: boolean
  /** False while a pod in which nothing has run yet waits for them. */
  volumesReady?: boolean
}

/** A status whose termination messages fit beside those of the pod's other containers. */
function withinPod(status: ContainerStatus, containers: number): ContainerStatus {
  const within = (state: ContainerState | undefined): ContainerState | undefined => {
    const { message } = state?.terminated ?? {}
    return message ? { terminated: { ...state!.terminated!, message: ofPod(message, containers) } } : state
  }
  return { ...status, state: within(status.state), lastState: within(status.lastState) }
}

const anyRunning = (state: PodState): boolean => Object.values(state.containers).some(r => r.current.state !== 'exited')

/** Keeps the transition time of a condition whose status did not change. */
function dated(
  conditions: readonly (Condition & { observedGeneration?: number })[],
  pod: Pod,
  previous: PodStatus | undefined,
  now: Date,
): PodCondition[] {
  const { generation } = pod.metadata
  return conditions.map(c => {
    const old = previous?.conditions?.find(o => o.type === c.type)
    return {
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      ...c,
      lastTransitionTime: old?.status === c.status && old.lastTransitionTime ? old.lastTransitionTime : apiTime(now.toISOString())!,
    }
  })
}

/** `previous` is the last status that was sent or seen: it gives transition times and keeps a terminal phase. */
export function generateStatus(
  asked: Pod,
  previous: PodStatus | undefined,
  { state, live, hostIP, hostIPs = [hostIP], now, terminal, volumesReady = true }: StatusInput,
): PodStatus {
  const pod = allocatedPod(asked, state.allocated)
  const ended = terminal && !anyRunning(state)
  const containers = allContainers(pod)
  const ofType = (type: ContainerType) =>
    containers
      .filter(c => c.type === type)
      // What held it back does so no more.
      .map(c => containerStatus(pod, c, state.containers[c.container.name], ended ? undefined : live[c.container.name]))
      .map(s => withinPod(s, containers.length))
  const [init, app, ephemeral] = [ofType('init'), ofType('app'), ofType('ephemeral')]
  const initialized = pod.spec.containers.some(
    c => state.containers[c.name] && state.containers[c.name]!.current.sandbox === state.sandbox?.attempt,
  )

  let phase = podPhase(pod, { init, app, initialized, terminal })
  let why = state.ended
  if (isTerminal(previous?.phase)) phase = previous!.phase as typeof phase
  else if (state.ended) phase = 'Failed'
  // The end is told when it has come: containers may still be stopping.
  if (isTerminal(phase) && anyRunning(state) && !isTerminal(previous?.phase)) {
    phase = (previous?.phase ?? 'Running') as typeof phase
    why = undefined
  }
  const { sandbox } = state
  // Upstream makes a sandbox when the volumes are there.
  const readyToStart = sandbox !== undefined && !sandbox.lost && (volumesReady || Object.keys(state.containers).length > 0)
  const ips = !sandbox ? [] : pod.spec.hostNetwork ? hostIPs : (sandbox.ips ?? [sandbox.ip])
  const reason = why?.reason ?? (isTerminal(previous?.phase) ? previous?.reason : undefined)
  const message = why?.message ?? (isTerminal(previous?.phase) ? previous?.message : undefined)
  const always = {
    ...(pod.metadata.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
    phase,
    ...(message ? { message } : {}),
    ...(reason ? { reason } : {}),
    startTime: apiTime(state.startTime)!,
    qosClass: podQOS(pod.spec),
  }
  // Nothing of a rejected pod was ever touched, and nothing else is told of it.
  if (state.ended && !state.admitted && Object.keys(state.containers).length === 0) return always
  const told = ended ? endedStatuses(pod, init, app) : { init, app }
  return {
    ...always,
    conditions: dated(
      [
        ...resizeConditions(state),
        ...podConditions(pod, { phase, init, app, initialized, readyToStart }),
        ...(why?.condition ? [why.condition] : []),
      ],
      pod,
      previous,
      now,
    ),
    hostIP,
    hostIPs: hostIPs.map(ip => ({ ip })),
    ...(ips[0] ? { podIP: ips[0], podIPs: ips.map(ip => ({ ip })) } : {}),
    ...(init.length > 0 ? { initContainerStatuses: told.init } : {}),
    containerStatuses: told.app,
    ...(ephemeral.length > 0 ? { ephemeralContainerStatuses: ephemeral } : {}),
  }
}

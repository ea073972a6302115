/** One container's status as the API shows it, from what the kubelet remembers of it. */
import type { Pod } from '#shared/api/core/pod.ts'
import type { ContainerState, ContainerStatus } from '#shared/api/core/podspec/containerstatus.ts'
import { inContainer } from '../container/mounts.ts'
import { resourcesInForce } from '../container/resources.ts'
import { initContainers, isSidecar, type TypedContainer } from './containers.ts'
import { restartsAfter } from './restart.ts'
import type { Attempt, ContainerRecord } from './state.ts'

/** What is true of a container only in this process: never on disk. */
export interface LiveView {
  /** Why it does not run, when something holds it back: CrashLoopBackOff, ErrImagePull, ... */
  waiting?: { reason: string; message?: string }
  /** It runs, but its postStart hook has not succeeded yet. */
  inPostStart?: boolean
  ready: boolean
  started: boolean
}

/** Whole seconds, as metav1.Time is written. */
export const apiTime = (iso: string | undefined): string | undefined =>
  iso === undefined ? undefined : `${new Date(iso).toISOString().slice(0, 19)}Z`
export const containerID = (id: string): string => `coxswain://${id}`

function terminated(a: Attempt): ContainerState {
  const exitCode = a.exitCode ?? 255
  return {
    terminated: {
      exitCode,
      ...(a.signal ? { signal: a.signal } : {}),
      reason: a.reason ?? (exitCode === 0 ? 'Completed' : 'Error'),
      ...(a.message ? { message: a.message } : {}),
      // A container that never started shows the epoch, as upstream's does.
      startedAt: apiTime(a.startedAt ?? new Date(0).toISOString())!,
      finishedAt: apiTime(a.finishedAt ?? new Date(0).toISOString())!,
      containerID: containerID(a.id),
    },
  }
}

function stateOf(
  pod: Pod,
  { type, container }: TypedContainer,
  record: ContainerRecord | undefined,
  live: LiveView | undefined,
): [ContainerState, ContainerState] {
  const idle = {
    waiting: live?.waiting ?? { reason: initContainers(pod).length > 0 && type !== 'ephemeral' ? 'PodInitializing' : 'ContainerCreating' },
  }
  if (!record) return [idle, {}]
  const { current, previous } = record
  const last = previous ? terminated(previous) : {}
  if (current.state === 'running' && !live?.inPostStart) return [{ running: { startedAt: apiTime(current.startedAt)! } }, last]
  if (current.state !== 'exited') return [idle, last]
  const done = type === 'ephemeral' || (type === 'init' && !isSidecar(container) && current.exitCode === 0)
  if (done || !live?.waiting || !restartsAfter(pod, container, current.exitCode ?? 255)) return [terminated(current), last]
  return [{ waiting: live.waiting }, terminated(current)]
}

export function containerStatus(
  pod: Pod,
  typed: TypedContainer,
  record: ContainerRecord | undefined,
  live: LiveView | undefined,
): ContainerStatus {
  const { type, container } = typed
  const [state, lastState] = stateOf(pod, typed, record, live)
  // An attempt that its node does not survive is made again, as another container: until it runs, the one before it is shown.
  const shown = record?.current.state === 'starting' ? record.previous : record?.current
  const plainInit = type === 'init' && !isSidecar(container)
  const running = state.running !== undefined
  const started = running && !plainInit && (live?.started ?? false)
  const ready = plainInit ? state.terminated?.exitCode === 0 : type !== 'ephemeral' && started && (live?.ready ?? false)
  const { resources } = container
  const mounts = (container.volumeMounts ?? []).map(m => ({
    name: m.name,
    mountPath: m.mountPath,
    ...(m.readOnly
      ? {
          readOnly: true,
          recursiveReadOnly: record?.current.recursiveReadOnly?.includes(inContainer(m.mountPath)) ? 'Enabled' : 'Disabled',
        }
      : {}),
  }))
  return {
    name: container.name,
    state,
    lastState,
    ready,
    restartCount: shown?.attempt ?? 0,
    image: record?.current.image ?? container.image ?? '',
    imageID: record?.current.imageID ?? '',
    ...(shown ? { containerID: containerID(shown.id) } : {}),
    started,
    ...(running && resources?.requests ? { allocatedResources: resources.requests } : {}),
    ...(running && type !== 'ephemeral'
      ? {
          resources: resourcesInForce(record?.current.resources ?? resources ?? {}, record?.current.actual, pod.spec.resources?.limits),
        }
      : {}),
    ...(record?.current.user ? { user: { linux: record.current.user } } : {}),
    ...(mounts.length > 0 && record ? { volumeMounts: mounts } : {}),
    ...(record?.current.stopSignal ? { stopSignal: record.current.stopSignal } : {}),
  }
}

/** A pod's phase, from what its containers do. The rules are those of upstream's getPhase. */
import type { Pod } from '#shared/api/core/pod.ts'
import type { ContainerStatus } from '#shared/api/core/podspec/containerstatus.ts'
import { initContainers, isSidecar } from './containers.ts'
import { restartsAfter } from './restart.ts'

export type Phase = 'Pending' | 'Running' | 'Succeeded' | 'Failed'
export interface PhaseInput {
  init: readonly ContainerStatus[]
  app: readonly ContainerStatus[]
  /** The app containers have been allowed to run at least once in this sandbox. */
  initialized: boolean
  /** Nothing will be started any more: the pod is deleted or was ended. */
  terminal: boolean
}

export function podPhase(pod: Pod, { init, app, initialized, terminal }: PhaseInput): Phase {
  let pendingInit = 0
  let failedInit = false
  for (const container of initContainers(pod)) {
    const status = init.find(s => s.name === container.name)
    const exit = status?.state?.terminated
    if (isSidecar(container)) {
      if (!initialized && !(status?.state?.running && status.started)) pendingInit++
    } else if (exit) {
      if (exit.exitCode !== 0 && (terminal || !restartsAfter(pod, container, exit.exitCode))) failedInit = true
    } else if (!initialized) pendingInit++
  }

  let waiting = 0
  let running = 0
  let stopped = 0
  let succeeded = 0
  let restarts = 0
  for (const container of pod.spec.containers) {
    const status = app.find(s => s.name === container.name)
    const exit = status?.state?.terminated ?? (status?.state?.waiting ? status.lastState?.terminated : undefined)
    if (status?.state?.running) running++
    else if (exit) {
      stopped++
      if (exit.exitCode === 0) succeeded++
      if (restartsAfter(pod, container, exit.exitCode)) restarts++
    } else waiting++
  }

  if (failedInit) return 'Failed'
  if (pendingInit > 0 || waiting > 0) return terminal ? 'Failed' : 'Pending'
  if (running > 0) return 'Running'
  if (stopped === 0) return 'Pending'
  if (!terminal && restarts > 0) return 'Running'
  return succeeded === stopped ? 'Succeeded' : 'Failed'
}

export const isTerminal = (phase: string | undefined): boolean => phase === 'Succeeded' || phase === 'Failed'

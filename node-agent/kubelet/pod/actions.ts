/**
 * Decides what to do next for a running pod, from its spec and what its containers do: pure, so that every rule can be tested
 * without a process. The rules are those of upstream's computePodActions.
 */
import type { Pod } from '#shared/api/core/pod.ts'
import type { Container } from '#shared/api/core/podspec/container.ts'
import { ephemeralContainers, initContainers, isSidecar, type ContainerType } from './containers.ts'
import { restartsAfter } from './restart.ts'

export type ProbeResult = 'unknown' | 'success' | 'failure'

/** What a container is doing, as computeActions needs it. */
export interface ContainerView {
  state: 'running' | 'exited'
  exitCode: number
  hash: string
  /** Belongs to the pod's sandbox of now, not to one that was lost. */
  inSandbox: boolean
  stopping: boolean
  started: boolean
  startup: ProbeResult
  liveness: ProbeResult
  /** It has other resources than are set aside for it: they are changed, or it is restarted with them. */
  resize?: 'update' | 'restart'
}
export type ContainerViews = { readonly [name: string]: ContainerView | undefined }

export interface Stop {
  name: string
  /** The words of the Killing event. */
  message: string
  reason: 'FailedStartup' | 'FailedLiveness' | 'SpecChanged' | 'Resize'
}
export interface Actions {
  start: { type: ContainerType; name: string }[]
  stop: Stop[]
  /** Running containers that get other resources. */
  update: string[]
  /** Nothing is left to run: sidecars stop and the pod ends. */
  killPod: boolean
}

/** The part of a container's spec whose change restarts it. */
export const containerHash = (c: { name: string; image?: string | undefined }): string => `${c.name}=${c.image ?? ''}`

function failedProbe(name: string, view: ContainerView): Stop | undefined {
  if (view.startup === 'failure') return { name, message: `Container ${name} failed startup probe`, reason: 'FailedStartup' }
  if (view.liveness === 'failure') return { name, message: `Container ${name} failed liveness probe`, reason: 'FailedLiveness' }
  return undefined
}
function resize(name: string, view: ContainerView, actions: Actions): void {
  if (view.resize === 'update') actions.update.push(name)
  else if (view.resize) actions.stop.push({ name, message: `Container ${name} resize requires restart`, reason: 'Resize' })
}
const andRestart = (stop: Stop): Stop => ({ ...stop, message: `${stop.message}, will be restarted` })

/** Init containers in order, sidecars among them; true when the app containers may run. */
function initActions(pod: Pod, views: ContainerViews, actions: Actions): boolean {
  // Once an app container ran in this sandbox, plain init containers are done for ever.
  const initialized = pod.spec.containers.some(c => views[c.name]?.inSandbox)
  for (const container of initContainers(pod)) {
    const view = views[container.name]
    const present = view?.inSandbox ? view : undefined
    const start = (): void => void actions.start.push({ type: 'init', name: container.name })
    if (isSidecar(container)) {
      if (!present || present.state === 'exited') start()
      else if (!present.stopping) {
        const stop = failedProbe(container.name, present)
        if (stop) actions.stop.push({ ...stop, message: `Init ${stop.message.replace('Container', 'container')}` })
        else resize(container.name, present, actions)
      }
      if (!initialized && !(present?.state === 'running' && present.started && !present.stopping)) return false
      continue
    }
    if (initialized) continue
    if (!present) {
      start()
      return false
    }
    if (present.state === 'running') return false
    if (present.exitCode === 0) continue
    if (restartsAfter(pod, container, present.exitCode)) start()
    else actions.killPod = true
    return false
  }
  return true
}

function appAction(pod: Pod, container: Container, view: ContainerView | undefined, actions: Actions): 'kept' | 'gone' {
  const start = (): void => void actions.start.push({ type: 'app', name: container.name })
  if (!view) {
    start()
    return 'kept'
  }
  if (view.state === 'exited') {
    if (!restartsAfter(pod, container, view.exitCode)) return 'gone'
    start()
    return 'kept'
  }
  if (view.stopping) return 'kept'
  if (view.hash !== containerHash(container)) {
    actions.stop.push(
      andRestart({ name: container.name, message: `Container ${container.name} definition changed`, reason: 'SpecChanged' }),
    )
    return 'kept'
  }
  const stop = failedProbe(container.name, view)
  if (!stop) {
    resize(container.name, view, actions)
    return 'kept'
  }
  actions.stop.push(restartsAfter(pod, container, 137) ? andRestart(stop) : stop)
  return 'kept'
}

/** What to start and stop now. Containers to restart are stopped first: their exit brings the pod back here. */
export function computeActions(pod: Pod, views: ContainerViews): Actions {
  const actions: Actions = { start: [], stop: [], update: [], killPod: false }
  for (const c of ephemeralContainers(pod)) if (!views[c.name]) actions.start.push({ type: 'ephemeral', name: c.name })
  if (!initActions(pod, views, actions)) return actions
  const kept = pod.spec.containers.map(c => appAction(pod, c, views[c.name], actions)).filter(r => r === 'kept').length
  if (kept === 0) return { start: [], stop: [], update: [], killPod: true }
  return actions
}

/** Whether a pod that lost its sandbox gets another one: not when all that ran in it has run its course. */
export function needsSandbox(pod: Pod, views: ContainerViews): boolean {
  const seen = pod.spec.containers.some(c => views[c.name])
  if (!seen) return true
  return pod.spec.containers.some(c => {
    const view = views[c.name]
    return !view || view.state === 'running' || restartsAfter(pod, c, view.exitCode)
  })
}

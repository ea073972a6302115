/**
 * Containers of a pod that has ended of which there is nothing to tell: they count as failed, lest the pod looks as if it had done its
 * work. The rules are those of upstream's TerminatePod.
 */
import type { Pod } from '#shared/api/core/pod.ts'
import type { ContainerStatus } from '#shared/api/core/podspec/containerstatus.ts'
import { initContainers, isSidecar } from './containers.ts'

/** How upstream tells of a container that it cannot find. */
export const statusUnknown = {
  exitCode: 137,
  reason: 'ContainerStatusUnknown',
  message: 'The container could not be located when the pod was terminated',
}

const began = (s: ContainerStatus): boolean => s.lastState?.terminated !== undefined || s.state?.waiting === undefined

/** Whether the app containers were ever allowed to run. */
function initialized(pod: Pod, init: readonly ContainerStatus[], app: readonly ContainerStatus[]): boolean {
  const last = initContainers(pod).at(-1)
  if (!last || app.some(began)) return true
  const status = init.find(s => s.name === last.name)
  if (isSidecar(last)) return status?.started === true
  return (status?.state?.terminated ?? status?.lastState?.terminated)?.exitCode === 0
}

export function endedStatuses(
  pod: Pod,
  init: readonly ContainerStatus[],
  app: readonly ContainerStatus[],
): { init: ContainerStatus[]; app: ContainerStatus[] } {
  const ended = (s: ContainerStatus): ContainerStatus =>
    s.state?.terminated ? s : { ...s, state: { terminated: { ...statusUnknown } as never } }
  // Of init containers those up to the last that began, and the first in any case.
  const reached = Math.max(0, init.findLastIndex(began))
  return {
    init: init.map((s, i) => (i <= reached ? ended(s) : s)),
    app: initialized(pod, init, app) ? app.map(ended) : [...app],
  }
}

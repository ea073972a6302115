/**
 * A pod that ran here before, of which the node has no memory: its disk was replaced. What the API says of its containers is all there is.
 */
import type { Pod } from '#shared/api/core/pod.ts'
import { containerHash } from './actions.ts'
import { allContainers } from './containers.ts'
import { statusUnknown } from './ended.ts'
import type { Attempt, PodState } from './state.ts'

/** Fills in runs that ended, so that restart counts go on and finished containers stay finished. */
export function rememberFromStatus(pod: Pod, state: PodState, now: Date): void {
  const { initContainerStatuses = [], containerStatuses = [], ephemeralContainerStatuses = [] } = pod.status ?? {}
  const statuses = new Map([...initContainerStatuses, ...containerStatuses, ...ephemeralContainerStatuses].map(s => [s.name, s]))
  for (const { container } of allContainers(pod)) {
    const status = statuses.get(container.name)
    if (!status?.containerID) continue
    const { terminated = status.lastState?.terminated, running } = status.state ?? {}
    const end = running || !terminated ? { ...statusUnknown, startedAt: running?.startedAt, finishedAt: now.toISOString() } : terminated
    const current: Attempt = {
      id: status.containerID.replace(/^.*:\/\//, ''),
      attempt: status.restartCount,
      image: status.image,
      imageID: status.imageID,
      hash: containerHash(container),
      // It ran in a sandbox that is no more.
      sandbox: -1,
      state: 'exited',
      exitCode: end.exitCode,
      ...(end.reason ? { reason: end.reason } : {}),
      ...(end.message ? { message: end.message } : {}),
      ...(end.startedAt ? { startedAt: end.startedAt } : {}),
      finishedAt: end.finishedAt ?? now.toISOString(),
    }
    state.containers[container.name] = { current }
  }
}

/**
 * The end of the node's pods when the node goes down, as upstream's node shutdown manager: those that matter most live longest, none longer
 * than the node has time for. https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#graceful-node-shutdown
 */
import type { Pod } from '#shared/api/core/pod.ts'
import { sleep } from '#shared/client/backoff.ts'
import type { Logger } from '#shared/component/log.ts'
import type { Kubelet } from './kubelet.ts'
import { uidOf } from './pod/containers.ts'
import { isCritical } from './pod/critical.ts'
import { disruptionTarget } from './pod/kill.ts'
import type { StatusManager } from './status/manager.ts'

const message = 'Pod was terminated in response to imminent node shutdown.'
/** For the last statuses to be taken by the API. */
const flushMs = 5_000

/** How long pods of at least that priority have, up to the next one. */
export interface ShutdownPeriod {
  priority: number
  seconds: number
}

const systemCritical = 2_000_000_000

/** What options come to, the least important first: periods by priority, or one for all of which a part is kept for critical pods. */
export function shutdownPeriods(o: {
  shutdownGracePeriod: number
  shutdownGracePeriodCriticalPods: number
  shutdownGracePeriodByPodPriority?: readonly { priority: number; shutdownGracePeriodSeconds: number }[] | undefined
}): ShutdownPeriod[] {
  if (o.shutdownGracePeriodByPodPriority?.length)
    return o.shutdownGracePeriodByPodPriority
      .map(({ priority, shutdownGracePeriodSeconds: seconds }) => ({ priority, seconds }))
      .sort((x, y) => x.priority - y.priority)
  const [all, critical] = [o.shutdownGracePeriod, o.shutdownGracePeriodCriticalPods].map(ms => Math.floor(ms / 1000)) as [number, number]
  if (all <= 0) return []
  return [
    { priority: 0, seconds: Math.max(0, all - critical) },
    { priority: systemCritical, seconds: Math.min(all, critical) },
  ]
}

/** The period of a pod: the last whose priority is not above the pod's; the first for those below all. Periods are sorted. */
export const periodOf = (periods: readonly ShutdownPeriod[], pod: Pod): ShutdownPeriod =>
  periods.findLast(p => p.priority <= (pod.spec.priority ?? (isCritical(pod) ? systemCritical : 0))) ?? periods[0]!

/** Ends pods, the least important first. Resolves when they have ended or their time is over, and their statuses are told. */
export async function shutDownPods(
  kubelet: Pick<Kubelet, 'workers'>,
  statuses: Pick<StatusManager, 'flushed'>,
  periods: readonly ShutdownPeriod[],
  log: Logger,
): Promise<void> {
  const all = kubelet.workers().filter(w => w.stage === 'new' || w.stage === 'running' || w.stage === 'terminating')
  for (const period of periods) {
    const pods = all.filter(w => periodOf(periods, w.pod) === period)
    if (pods.length === 0) continue
    const { priority, seconds: graceSeconds } = period
    log.info({ pods: pods.length, priority, graceSeconds }, 'the node shuts down: ending pods')
    const ended = Promise.all(pods.map(w => w.kill({ reason: 'Terminated', message, graceSeconds, condition: disruptionTarget(message) })))
    // A little more than the containers have.
    await within(graceSeconds * 1000 + 1_000, ended)
  }
  await within(flushMs, Promise.all(all.map(w => statuses.flushed(uidOf(w.pod)))))
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const over = new AbortController()
  await Promise.race([work.finally(() => over.abort()), sleep(ms, over.signal)])
}

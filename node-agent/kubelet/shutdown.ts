/**
 * The end of the node's pods when the node goes down, as upstream's node shutdown manager: those that matter most live longest, none longer
 * than the node has time for. https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#graceful-node-shutdown
 */
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

export interface ShutdownPeriods {
  /** What all pods together have, and how much of it is kept for the critical ones (shutdownGracePeriod, ...CriticalPods). */
  graceMs: number
  criticalMs: number
}

/** Ends ordinary pods, then critical ones. Resolves when they have ended or their time is over, and their statuses are told. */
export async function shutDownPods(
  kubelet: Pick<Kubelet, 'workers'>,
  statuses: Pick<StatusManager, 'flushed'>,
  { graceMs, criticalMs }: ShutdownPeriods,
  log: Logger,
): Promise<void> {
  const all = kubelet.workers().filter(w => w.stage === 'new' || w.stage === 'running' || w.stage === 'terminating')
  const groups = [
    { pods: all.filter(w => !isCritical(w.pod)), ms: Math.max(0, graceMs - criticalMs) },
    { pods: all.filter(w => isCritical(w.pod)), ms: Math.min(graceMs, criticalMs) },
  ]
  for (const { pods, ms } of groups) {
    if (pods.length === 0) continue
    log.info({ pods: pods.length, graceMs: ms }, 'the node shuts down: ending pods')
    const ended = Promise.all(
      pods.map(w => w.kill({ reason: 'Terminated', message, graceSeconds: Math.floor(ms / 1000), condition: disruptionTarget(message) })),
    )
    // A little more than the containers have.
    await within(ms + 1_000, ended)
  }
  await within(flushMs, Promise.all(all.map(w => statuses.flushed(uidOf(w.pod)))))
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const over = new AbortController()
  await Promise.race([work.finally(() => over.abort()), sleep(ms, over.signal)])
}

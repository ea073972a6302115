/** Evicts pods that have written more than they may. Nobody tells when a directory grows: they are looked at every ten seconds, as upstream. */
import { sleep } from '#shared/client/backoff.ts'
import type { EventRecorder } from '#shared/client/events.ts'
import type { Logger } from '#shared/component/log.ts'
import type { ContainerRuntime } from '../../runtime/runtime.ts'
import type { Kubelet } from '../kubelet.ts'
import { uidOf } from '../pod/containers.ts'
import { isCritical } from '../pod/critical.ts'
import { podStorage } from '../stats/storage.ts'
import { exceededLimit, hasStorageLimit } from './limits.ts'

const periodMs = 10_000
/** Between SIGTERM and SIGKILL, as upstream gives to pods that must go at once. */
const graceSeconds = 1

/** One look at the pods that have limits. Costs nothing when none has. */
export async function evictOverLimits(kubelet: Kubelet, runtime: ContainerRuntime, recorder: EventRecorder): Promise<void> {
  const limited = kubelet.workers().filter(w => w.stage === 'running' && hasStorageLimit(w.pod) && !isCritical(w.pod))
  if (limited.length === 0) return
  const storage = await podStorage(limited, runtime)
  for (const worker of limited) {
    const used = storage.get(uidOf(worker.pod))
    const message = used && exceededLimit(worker.pod, used)
    if (message === undefined || worker.stage !== 'running') continue
    recorder.event(worker.pod, 'Warning', 'Evicted', message)
    void worker.kill({ reason: 'Evicted', message, graceSeconds })
  }
}

export async function keepStorageLimits(
  kubelet: Kubelet,
  runtime: ContainerRuntime,
  recorder: EventRecorder,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await sleep(periodMs, signal)
    if (signal.aborted) return
    await evictOverLimits(kubelet, runtime, recorder).catch((e: Error) => log.warn({ err: e.message }, 'storage of pods not looked at'))
  }
}

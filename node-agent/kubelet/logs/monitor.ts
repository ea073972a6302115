/** Looks after the sizes of the logs of running containers, every ten seconds as upstream does: nobody tells when a file has grown. */
import { sleep } from '#shared/client/backoff.ts'
import type { Logger } from '#shared/component/log.ts'
import type { ContainerRuntime } from '../../runtime/runtime.ts'
import type { Kubelet } from '../kubelet.ts'
import { containerDirectory, logFile } from '../pod/directory.ts'
import { rotateLog } from './rotate.ts'

const periodMs = 10_000

export async function rotateLogs(kubelet: Kubelet, runtime: ContainerRuntime, log: Logger, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(periodMs, signal)
    for (const { state, directory, pod } of kubelet.workers()) {
      for (const [name, { current }] of Object.entries(state.containers)) {
        if (signal.aborted || current.state !== 'running') continue
        await rotateLog(runtime, containerDirectory(directory, name, current.attempt), logFile(directory, name, current.attempt)).catch(
          (e: Error) => log.warn({ pod: pod.metadata.name, container: name, err: e.message }, 'log not rotated'),
        )
      }
    }
  }
}

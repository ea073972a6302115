/** Looks from time to time whether volumes of running pods have grown: nodes may get claims and volumes and not watch them. */
import { sleep } from '#shared/client/backoff.ts'
import type { EventRecorder } from '#shared/client/events.ts'
import type { Logger } from '#shared/component/log.ts'
import type { Kubelet } from '../kubelet.ts'

/** Upstream looks as often as it does at a pod of which nothing is new, about once a minute. */
const everyMs = 10_000

export function keepVolumeSizes(kubelet: Kubelet, recorder: EventRecorder, log: Logger, signal: AbortSignal): void {
  const round = async (): Promise<void> => {
    for (const { pod, volumes } of kubelet.workers()) {
      if (signal.aborted || !pod.spec.volumes?.some(v => v.persistentVolumeClaim ?? v.ephemeral)) continue
      const grown = await volumes
        .expand(pod)
        .catch((e: Error) => (log.warn({ pod: pod.metadata.name, err: e.message }, 'volume sizes not looked at'), []))
      for (const { volume, failed } of grown)
        if (failed === undefined)
          recorder.event(
            pod,
            'Normal',
            'FileSystemResizeSuccessful',
            `MountVolume.NodeExpandVolume succeeded for volume ${JSON.stringify(volume)}`,
          )
        else
          recorder.event(
            pod,
            'Warning',
            'VolumeResizeFailed',
            `NodeExpandVolume.NodeExpandVolume failed for volume ${JSON.stringify(volume)} : ${failed}`,
          )
    }
  }
  void (async () => {
    while (!signal.aborted) {
      await sleep(everyMs, signal)
      await round()
    }
  })()
}

/**
 * Looks from time to time after volumes of running pods: whether they have grown, since nodes may get claims and volumes and not watch
 * them; whether they are well; and which are to be set up again.
 */
import { sleep } from '#shared/client/backoff.ts'
import type { EventRecorder } from '#shared/client/events.ts'
import type { Logger } from '#shared/component/log.ts'
import type { Kubelet } from '../kubelet.ts'

/** Upstream looks as often as it does at a pod of which nothing is new, about once a minute. */
const often = { sizesMs: 10_000, restMs: 60_000 }
type Worker = ReturnType<Kubelet['workers']>[number]

export function keepVolumes(
  kubelet: Kubelet,
  recorder: EventRecorder,
  log: Logger,
  signal: AbortSignal,
  { sizesMs, restMs } = often,
): void {
  async function every(ms: number, what: string, look: (worker: Worker) => Promise<void> | void): Promise<void> {
    for (await sleep(ms, signal); !signal.aborted; await sleep(ms, signal))
      for (const worker of kubelet.workers()) {
        if (signal.aborted) return
        try {
          await look(worker)
        } catch (e) {
          log.warn({ pod: worker.pod.metadata.name, err: (e as Error).message }, what)
        }
      }
  }
  async function sizes({ pod, volumes }: Worker): Promise<void> {
    if (!pod.spec.volumes?.some(v => v.persistentVolumeClaim ?? v.ephemeral)) return
    for (const { volume, failed } of await volumes.expand(pod)) {
      const name = JSON.stringify(volume)
      if (failed === undefined)
        recorder.event(pod, 'Normal', 'FileSystemResizeSuccessful', `MountVolume.NodeExpandVolume succeeded for volume ${name}`)
      else recorder.event(pod, 'Warning', 'VolumeResizeFailed', `NodeExpandVolume.NodeExpandVolume failed for volume ${name} : ${failed}`)
    }
  }
  async function health({ pod, volumes }: Worker): Promise<void> {
    for (const { name, stats } of volumes.mounted()) {
      const condition = (await stats?.())?.condition
      if (condition?.abnormal) recorder.event(pod, 'Warning', 'VolumeConditionAbnormal', `Volume ${name}: ${condition.message}`)
    }
  }
  void every(sizesMs, 'volume sizes not looked at', sizes)
  void every(restMs, 'volumes` health not looked at', health)
  void every(restMs, 'volumes not set up again', worker => void (worker.volumes.repeats() && worker.kick()))
}

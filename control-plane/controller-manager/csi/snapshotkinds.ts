/** Informers of the snapshot kinds, from when the API serves them. */
import { keyOf } from '#shared/client/controller.ts'
import type { Informer } from '#shared/client/informer.ts'
import { startInformer } from '#shared/client/reflector.ts'
import type { WorkQueue } from '#shared/client/workqueue.ts'
import type { ControllerContext } from '../context.ts'
import {
  snapshotGroup,
  volumeSnapshotClasses,
  volumeSnapshotContents,
  volumeSnapshots,
  type VolumeSnapshot,
  type VolumeSnapshotClass,
  type VolumeSnapshotContent,
} from './snapshots.ts'

export interface SnapshotKinds {
  readonly snapshots: Informer<VolumeSnapshot>
  readonly contents: Informer<VolumeSnapshotContent>
  readonly classes: Informer<VolumeSnapshotClass>
}

/** Keys are `snapshot NAMESPACE/NAME` and `content /NAME`. The function gives the informers; undefined before the kinds are served. */
export function followSnapshotKinds(ctx: ControllerContext, queue: WorkQueue): () => SnapshotKinds | undefined {
  const served = ctx.served()
  let kinds: SnapshotKinds | undefined
  const look = (): void => {
    const all = [volumeSnapshots, volumeSnapshotContents, volumeSnapshotClasses]
    if (kinds || !all.every(k => served.current.some(s => s.group === snapshotGroup && s.plural === k.plural))) return
    const start = { log: ctx.log }
    kinds = {
      snapshots: startInformer(ctx.client, volumeSnapshots, start, ctx.signal),
      contents: startInformer(ctx.client, volumeSnapshotContents, start, ctx.signal),
      classes: startInformer(ctx.client, volumeSnapshotClasses, start, ctx.signal),
    }
    const { snapshots, contents, classes } = kinds
    void Promise.all([snapshots.synced, contents.synced, classes.synced]).then(() => {
      snapshots.subscribe(e => queue.add(`snapshot ${keyOf(e.object)}`))
      contents.subscribe(e => {
        const { namespace, name } = e.object.spec.volumeSnapshotRef
        queue.add(`content ${keyOf(e.object)}`)
        if (namespace && name) queue.add(`snapshot ${namespace}/${name}`)
      })
      classes.subscribe(() => snapshots.list().forEach(s => s.status?.readyToUse || queue.add(`snapshot ${keyOf(s)}`)))
    })
  }
  served.onChange(look)
  void served.known.then(look)
  return () => kinds
}

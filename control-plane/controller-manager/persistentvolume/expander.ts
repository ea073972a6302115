/** Says that a claim waits for its volume's provisioner to expand it: no kind of volumes is expanded here. pkg/controller/volume/expand */
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import { persistentVolumeClaims } from '#shared/api/kinds.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import type { NewController } from '../context.ts'
import { sizeOf } from '../csi/expansion.ts'

export const volumeExpander: NewController = ctx => {
  const claims = ctx.informer(persistentVolumeClaims)
  const recorder = ctx.recorder('volume_expand')
  const requested = (claim: PersistentVolumeClaim): number => sizeOf(claim.spec.resources?.requests)
  const waits = (claim: PersistentVolumeClaim): boolean =>
    claim.status?.phase === 'Bound' && requested(claim) > sizeOf(claim.status.capacity)
  return {
    name: 'persistentvolume-expander-controller',
    client: ctx.as('expand-controller'),
    sources: [
      source(claims, e => {
        if (e.type === 'DELETED' || (e.previous && requested(e.previous) >= requested(e.object))) return []
        return waits(e.object) ? [keyOf(e.object)] : []
      }),
    ],
    async reconcile(key) {
      const claim = claims.get(...splitKey(key))
      if (claim && waits(claim))
        recorder.event(claim, 'Normal', 'ExternalExpanding', 'waiting for an external controller to expand this PVC')
    },
    log: ctx.log,
  }
}

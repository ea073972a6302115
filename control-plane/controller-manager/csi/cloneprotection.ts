/**
 * Keeps a claim while others are made from its volume: the driver may be copying. The provisioner gives it the finalizer, and here it is
 * taken when nobody waits any more. external-provisioner pkg/controller/clone_controller.go
 */
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import { persistentVolumeClaims, persistentVolumes } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey, type ControllerOptions } from '#shared/client/controller.ts'
import { ignoreNotFound } from '#shared/machinery/status.ts'
import type { ControllerContext } from '../context.ts'
import { hasFinalizer, setFinalizer, type Csi } from './driver.ts'
import { claimFinalizer } from './request.ts'

export const cloneFinalizer = 'provisioner.storage.kubernetes.io/cloning-protection'

/** The claim whose volume this one's is to be a copy of, by key. */
export function cloneSource({ metadata, spec }: PersistentVolumeClaim): string | undefined {
  const { kind, name, apiGroup = '' } = spec.dataSource ?? {}
  return kind === 'PersistentVolumeClaim' && apiGroup === '' ? `${metadata.namespace}/${name}` : undefined
}

/** Rejects when the claim is being deleted, or gone. */
export async function protectSource(client: Client, from: PersistentVolumeClaim): Promise<void> {
  if (!hasFinalizer(from, cloneFinalizer)) await setFinalizer(client, persistentVolumeClaims, from, cloneFinalizer, true)
}

export function cloneProtection(ctx: ControllerContext, csi: Csi): ControllerOptions {
  const claims = ctx.informer(persistentVolumeClaims)
  const volumes = ctx.informer(persistentVolumes)
  claims.addIndex('clone in progress', c => (hasFinalizer(c, claimFinalizer) ? [cloneSource(c) ?? ''] : []))
  return {
    name: 'csi-clone-protection',
    client: ctx.as('csi-controller'),
    workers: 1,
    sources: [source(claims, e => [keyOf(e.object), cloneSource(e.object)].filter(key => key !== undefined))],
    async reconcile(key, client) {
      const claim = claims.get(...splitKey(key))
      if (!claim || !hasFinalizer(claim, cloneFinalizer) || claims.byIndex('clone in progress', key).length > 0) return
      // Of a driver that brings its sidecars they take it.
      if (!csi.drives(volumes.get('', claim.spec.volumeName ?? '')?.spec.csi?.driver ?? '')) return
      await setFinalizer(client, persistentVolumeClaims, claim, cloneFinalizer, false).catch(ignoreNotFound)
    },
    log: ctx.log,
  }
}

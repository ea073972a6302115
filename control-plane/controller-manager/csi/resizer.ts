/** Expands volumes when claims ask for it, and has their attributes changed, as kubernetes-csi's external-resizer does. */
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import { persistentVolumeClaims, persistentVolumes, volumeAttributesClasses } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey, type ControllerOptions } from '#shared/client/controller.ts'
import { accessModeOf, capabilityOf } from '#shared/csi/capability.ts'
import { ControllerRpc } from '#shared/csi/messages.ts'
import { controller } from '#shared/csi/services.ts'
import { Code, RpcError, isUncertain } from '#shared/grpc/rpc.ts'
import { formatQuantity, quantityOf, quantityValue } from '#shared/machinery/quantity.ts'
import type { ControllerContext } from '../context.ts'
import { withConditions, writeStatus } from './claimstatus.ts'
import { secretOf, topologiesOf, type Csi } from './driver.ts'
import { nextSize, sizeOf } from './expansion.ts'
import { volumeModifier } from './modifier.ts'
import { refusals } from './refusals.ts'

/** The driver will hardly ever do it: it is seldom asked again before the claim changes. external-resizer util.IsInfeasibleError */
const isInfeasible = (e: unknown): boolean =>
  e instanceof RpcError && ([Code.invalidArgument, Code.outOfRange, Code.notFound] as number[]).includes(e.code)

const resizing = ['Resizing', 'FileSystemResizePending', 'ControllerResizeError', 'NodeResizeError']

export function csiResizer(ctx: ControllerContext, csi: Csi): ControllerOptions {
  const claims = ctx.informer(persistentVolumeClaims)
  const volumes = ctx.informer(persistentVolumes)
  const attributes = ctx.informer(volumeAttributesClasses)
  const { refusedRetryMs } = ctx.settings
  const refused = { sizes: refusals(refusedRetryMs), attributes: refusals(refusedRetryMs) }
  const modifier = volumeModifier(ctx, csi, refused.attributes)
  /** Uids of claims whose expansion has failed for sure. Whatever else was begun is seen through first. */
  const failed = new Set<string>()

  async function expand(claim: PersistentVolumeClaim, volume: PersistentVolume, client: Client): Promise<void> {
    const { driver, volumeHandle, controllerExpandSecretRef, fsType } = volume.spec.csi!
    const recorder = ctx.recorder(`external-resizer ${driver}`)
    const name = volume.metadata.name ?? ''
    const { uid = '' } = claim.metadata
    const requested = nextSize(claim, volume, failed.has(uid))
    if (requested === undefined) return
    const wanted = quantityValue(requested)
    const state = claim.status?.allocatedResourceStatuses?.['storage']
    const same = claim.status?.allocatedResources?.['storage'] === requested
    // That a node has refused is not known from having asked it.
    if (state === 'NodeResizeInfeasible' && refused.sizes.againMs(uid) === undefined) refused.sizes.add(uid)
    if (same && refused.sizes.holds(uid)) return
    if (!same || state === undefined) {
      claim = await writeStatus(client, claim, {
        allocatedResources: { storage: requested },
        allocatedResourceStatuses: { storage: 'ControllerResizeInProgress' },
        conditions: withConditions(claim.status?.conditions, resizing, [{ type: 'Resizing' }]),
      })
      recorder.event(claim, 'Normal', 'Resizing', `External resizer is resizing volume ${name}`)
    }
    refused.sizes.forget(uid)
    const { rpcs } = await csi.abilities(client, driver)
    const block = volume.spec.volumeMode === 'Block'
    let capacity = wanted
    let onNode = true
    // Also of a volume that has it by now: whether the node has to do something, too, only the driver knows.
    if (rpcs.has(ControllerRpc.expandVolume)) {
      try {
        const call = csi.caller(client, driver, topologiesOf(volume.spec.nodeAffinity?.required?.nodeSelectorTerms))
        const answer = await call(controller.controllerExpandVolume, {
          volumeId: volumeHandle,
          capacityRange: { requiredBytes: wanted },
          secrets: await secretOf(client, controllerExpandSecretRef),
          volumeCapability: capabilityOf({
            mode: accessModeOf(volume.spec.accessModes?.[0] ?? ''),
            block,
            fsType,
            mountFlags: volume.spec.mountOptions,
          }),
        })
        capacity = answer.capacityBytes || wanted
        onNode = answer.nodeExpansionRequired ?? false
        if (capacity < wanted) throw new Error(`the driver says that the volume has ${capacity} bytes, which is less than ${wanted}`)
      } catch (e) {
        const message = `resize volume ${JSON.stringify(name)} by resizer ${JSON.stringify(driver)} failed: ${(e as Error).message}`
        recorder.event(claim, 'Warning', 'VolumeResizeFailed', message)
        if (isUncertain(e)) failed.delete(uid)
        else {
          failed.add(uid)
          const hopeless = isInfeasible(e)
          await writeStatus(client, claim, {
            ...(hopeless ? { allocatedResourceStatuses: { storage: 'ControllerResizeInfeasible' } } : {}),
            conditions: withConditions(
              claim.status?.conditions,
              ['ControllerResizeError'],
              [{ type: 'ControllerResizeError', message: `failed to expand pvc with ${(e as Error).message}` }],
            ),
          })
          if (hopeless) return refused.sizes.add(uid)
        }
        throw e
      }
      failed.delete(uid)
    }
    const storage = capacity === wanted ? requested : formatQuantity(quantityOf(capacity, 'BinarySI'))
    // The node compares this with what the claim says that it has.
    if (sizeOf(volume.spec.capacity) < capacity)
      await client.patch(persistentVolumes, '', name, 'merge', { spec: { capacity: { storage } } })
    if (onNode) {
      const message = 'Waiting for user to (re-)start a pod to finish file system resize of volume on node.'
      await writeStatus(client, claim, {
        allocatedResourceStatuses: { storage: 'NodeResizePending' },
        conditions: withConditions(claim.status?.conditions, resizing, [{ type: 'FileSystemResizePending', message }]),
      })
      recorder.event(claim, 'Normal', 'FileSystemResizeRequired', 'Require file system resize of volume on node')
      return
    }
    await writeStatus(client, claim, {
      capacity: { storage },
      allocatedResources: { storage: requested },
      allocatedResourceStatuses: { storage: null },
      conditions: withConditions(claim.status?.conditions, resizing, []),
    })
    recorder.event(claim, 'Normal', 'VolumeResizeSuccessful', 'Resize volume succeeded')
  }

  function forget(uid: string): void {
    modifier.forget(uid)
    for (const kind of [refused.sizes, refused.attributes]) kind.forget(uid)
    failed.delete(uid)
  }
  /** When what was refused is to be asked for again. */
  function again({ metadata: { uid = '' } }: PersistentVolumeClaim): { requeueAfterMs: number } | undefined {
    const waits = [refused.sizes, refused.attributes].flatMap(of => of.againMs(uid) ?? [])
    return waits.length ? { requeueAfterMs: Math.min(...waits) } : undefined
  }
  return {
    name: 'csi-resizer',
    workers: 10,
    client: ctx.as('csi-controller'),
    sources: [
      source(claims, e => {
        if (e.type !== 'DELETED') return [keyOf(e.object)]
        forget(e.object.metadata.uid ?? '')
        return []
      }),
      source(volumes, e => {
        const { claimRef } = e.object.spec
        return claimRef ? [`${claimRef.namespace}/${claimRef.name}`] : []
      }),
      source(attributes, e => claims.list().flatMap(c => (c.spec.volumeAttributesClassName === e.object.metadata.name ? [keyOf(c)] : []))),
    ],
    async reconcile(key, client) {
      const claim = claims.get(...splitKey(key))
      if (claim?.status?.phase !== 'Bound' || claim.metadata.deletionTimestamp) return
      const volume = volumes.get('', claim.spec.volumeName ?? '')
      if (!volume?.spec.csi || volume.spec.claimRef?.uid !== claim.metadata.uid || !csi.drives(volume.spec.csi.driver)) return
      if (!(await modifier.modify(claim, volume, client))) {
        if (sizeOf(claim.spec.resources?.requests) > sizeOf(claim.status.capacity)) await expand(claim, volume, client)
        else refused.sizes.forget(claim.metadata.uid ?? '')
      }
      return again(claim)
    },
    queue: { baseMs: 200, limitMs: 60_000 },
    log: ctx.log,
  }
}

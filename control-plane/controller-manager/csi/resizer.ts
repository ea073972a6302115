/** Expands volumes when claims ask for it, and has their attributes changed, as kubernetes-csi's external-resizer does. */
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import { persistentVolumeClaims, persistentVolumes, volumeAttributesClasses } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey, type ControllerOptions } from '#shared/client/controller.ts'
import { accessModeOf, capabilityOf } from '#shared/csi/capability.ts'
import { ControllerRpc } from '#shared/csi/messages.ts'
import { controller } from '#shared/csi/services.ts'
import { Code, RpcError } from '#shared/grpc/rpc.ts'
import { formatQuantity, quantityOf, quantityValue } from '#shared/machinery/quantity.ts'
import type { ControllerContext } from '../context.ts'
import { withConditions, writeStatus } from './claimstatus.ts'
import { callTimeoutMs, secretOf, topologiesOf, type Csi } from './driver.ts'
import { volumeModifier } from './modifier.ts'

const size = (of: { [resource: string]: string } | undefined): number => quantityValue(of?.['storage'] ?? '0')

/** The driver will never do it: it is not asked again before the claim changes. */
const isInfeasible = (e: unknown): boolean =>
  e instanceof RpcError && ([Code.invalidArgument, Code.outOfRange, Code.notFound, Code.unimplemented] as number[]).includes(e.code)

const resizing = ['Resizing', 'FileSystemResizePending', 'ControllerResizeError', 'NodeResizeError']

export function csiResizer(ctx: ControllerContext, csi: Csi): ControllerOptions {
  const claims = ctx.informer(persistentVolumeClaims)
  const volumes = ctx.informer(persistentVolumes)
  const attributes = ctx.informer(volumeAttributesClasses)
  const modifier = volumeModifier(ctx, csi)

  async function expand(claim: PersistentVolumeClaim, volume: PersistentVolume, client: Client): Promise<void> {
    const { driver, volumeHandle, controllerExpandSecretRef, fsType } = volume.spec.csi!
    const recorder = ctx.recorder(`external-resizer ${driver}`)
    const name = volume.metadata.name ?? ''
    const requested = claim.spec.resources!.requests!['storage']!
    const wanted = quantityValue(requested)
    const state = claim.status?.allocatedResourceStatuses?.['storage']
    // The rest is the node's.
    if (state === 'NodeResizePending' || state === 'NodeResizeInProgress' || state === 'NodeResizeInfeasible') {
      if (size(volume.spec.capacity) >= wanted) return
    }
    const same = claim.status?.allocatedResources?.['storage'] === requested
    if (state === 'ControllerResizeInfeasible' && same) return
    if (state !== 'ControllerResizeInProgress' || !same) {
      claim = await writeStatus(client, claim, {
        allocatedResources: { storage: requested },
        allocatedResourceStatuses: { storage: 'ControllerResizeInProgress' },
        conditions: withConditions(claim.status?.conditions, resizing, [{ type: 'Resizing' }]),
      })
      recorder.event(claim, 'Normal', 'Resizing', `External resizer is resizing volume ${name}`)
    }
    const { rpcs } = await csi.abilities(client, driver)
    const block = volume.spec.volumeMode === 'Block'
    let capacity = wanted
    let onNode = true
    if (rpcs.has(ControllerRpc.expandVolume) && size(volume.spec.capacity) < wanted) {
      try {
        const call = csi.caller(client, driver, topologiesOf(volume.spec.nodeAffinity?.required?.nodeSelectorTerms))
        const answer = await call(
          controller.controllerExpandVolume,
          {
            volumeId: volumeHandle,
            capacityRange: { requiredBytes: wanted },
            secrets: await secretOf(client, controllerExpandSecretRef),
            volumeCapability: capabilityOf({
              mode: accessModeOf(volume.spec.accessModes?.[0] ?? ''),
              block,
              fsType,
              mountFlags: volume.spec.mountOptions,
            }),
          },
          callTimeoutMs,
        )
        capacity = answer.capacityBytes || wanted
        onNode = answer.nodeExpansionRequired ?? false
        if (capacity < wanted) throw new Error(`the driver says that the volume has ${capacity} bytes, which is less than ${wanted}`)
      } catch (e) {
        const message = `resize volume ${JSON.stringify(name)} by resizer ${JSON.stringify(driver)} failed: ${(e as Error).message}`
        recorder.event(claim, 'Warning', 'VolumeResizeFailed', message)
        if (!isInfeasible(e)) throw e
        await writeStatus(client, claim, {
          allocatedResourceStatuses: { storage: 'ControllerResizeInfeasible' },
          conditions: withConditions(claim.status?.conditions, resizing, [{ type: 'ControllerResizeError', message }]),
        })
        return
      }
    }
    if (size(volume.spec.capacity) < capacity) {
      // The node compares this with what the claim says that it has.
      const storage = capacity === wanted ? requested : formatQuantity(quantityOf(capacity, 'BinarySI'))
      await client.patch(persistentVolumes, '', name, 'merge', { spec: { capacity: { storage } } })
    }
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
      capacity: { storage: capacity === wanted ? requested : formatQuantity(quantityOf(capacity, 'BinarySI')) },
      allocatedResources: { storage: requested },
      allocatedResourceStatuses: { storage: null },
      conditions: withConditions(claim.status?.conditions, resizing, []),
    })
    recorder.event(claim, 'Normal', 'VolumeResizeSuccessful', 'Resize volume succeeded')
  }

  return {
    name: 'csi-resizer',
    client: ctx.as('csi-controller'),
    sources: [
      source(claims, e => {
        if (e.type !== 'DELETED') return [keyOf(e.object)]
        modifier.forget(e.object.metadata.uid ?? '')
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
      if (await modifier.modify(claim, volume, client)) return
      if (size(claim.spec.resources?.requests) > size(claim.status.capacity)) await expand(claim, volume, client)
    },
    queue: { baseMs: 200, limitMs: 60_000 },
    log: ctx.log,
  }
}

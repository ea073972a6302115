/** Expands volumes and changes their attributes when claims ask for it, as kubernetes-csi's external-resizer does. */
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
import { formatTime } from '#shared/machinery/time.ts'
import type { ControllerContext } from '../context.ts'
import { callTimeoutMs, secretOf, topologiesOf, type Csi } from './driver.ts'

type Condition = NonNullable<NonNullable<PersistentVolumeClaim['status']>['conditions']>[number]
const size = (of: { [resource: string]: string } | undefined): number => quantityValue(of?.['storage'] ?? '0')

/** The driver will never do it: it is not asked again before the claim changes. */
const isInfeasible = (e: unknown): boolean =>
  e instanceof RpcError && ([Code.invalidArgument, Code.outOfRange, Code.notFound, Code.unimplemented] as number[]).includes(e.code)

/** Conditions about a volume's size and attributes; those of others stay. */
function withCondition(
  conditions: readonly Condition[] | undefined,
  ours: readonly string[],
  made: { type: string; message?: string } | undefined,
): Condition[] {
  const others = (conditions ?? []).filter(c => !ours.includes(c.type))
  if (!made) return others
  const old = conditions?.find(c => c.type === made.type)
  const lastTransitionTime = old?.lastTransitionTime ?? formatTime()
  return [
    ...others,
    { type: made.type, status: 'True', lastTransitionTime, ...(made.message === undefined ? {} : { message: made.message }) } as Condition,
  ]
}
const resizing = ['Resizing', 'FileSystemResizePending', 'ControllerResizeError', 'NodeResizeError']
const modifying = ['ModifyingVolume', 'ModifyVolumeError']

export function csiResizer(ctx: ControllerContext, csi: Csi): ControllerOptions {
  const claims = ctx.informer(persistentVolumeClaims)
  const volumes = ctx.informer(persistentVolumes)
  const attributes = ctx.informer(volumeAttributesClasses)

  async function say(client: Client, claim: PersistentVolumeClaim, status: object): Promise<PersistentVolumeClaim> {
    const { namespace = '', name = '', resourceVersion } = claim.metadata
    // Its version: conditions are a list that others write too.
    return await client.patch(persistentVolumeClaims, namespace, name, 'merge', { metadata: { resourceVersion }, status }, 'status')
  }
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
      claim = await say(client, claim, {
        allocatedResources: { storage: requested },
        allocatedResourceStatuses: { storage: 'ControllerResizeInProgress' },
        conditions: withCondition(claim.status?.conditions, resizing, { type: 'Resizing' }),
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
        await say(client, claim, {
          allocatedResourceStatuses: { storage: 'ControllerResizeInfeasible' },
          conditions: withCondition(claim.status?.conditions, resizing, { type: 'ControllerResizeError', message }),
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
      await say(client, claim, {
        allocatedResourceStatuses: { storage: 'NodeResizePending' },
        conditions: withCondition(claim.status?.conditions, resizing, { type: 'FileSystemResizePending', message }),
      })
      recorder.event(claim, 'Normal', 'FileSystemResizeRequired', 'Require file system resize of volume on node')
      return
    }
    await say(client, claim, {
      capacity: { storage: capacity === wanted ? requested : formatQuantity(quantityOf(capacity, 'BinarySI')) },
      allocatedResources: { storage: requested },
      allocatedResourceStatuses: { storage: null },
      conditions: withCondition(claim.status?.conditions, resizing, undefined),
    })
    recorder.event(claim, 'Normal', 'VolumeResizeSuccessful', 'Resize volume succeeded')
  }

  async function modify(claim: PersistentVolumeClaim, volume: PersistentVolume, client: Client): Promise<void> {
    const { driver, volumeHandle } = volume.spec.csi!
    const recorder = ctx.recorder(`external-resizer ${driver}`)
    const target = claim.spec.volumeAttributesClassName!
    const { modifyVolumeStatus: state } = claim.status ?? {}
    const found = attributes.get('', target)
    if (!found) {
      if (state?.status !== 'Pending' || state.targetVolumeAttributesClassName !== target)
        await say(client, claim, { modifyVolumeStatus: { targetVolumeAttributesClassName: target, status: 'Pending' } })
      recorder.event(claim, 'Warning', 'VolumeModifyFailed', `VAC ${target} does not exist.`)
      return
    }
    if (found.driverName !== driver) throw new Error(`VAC ${target} is of driver ${found.driverName}`)
    if (state?.status !== 'InProgress' || state.targetVolumeAttributesClassName !== target) {
      claim = await say(client, claim, {
        modifyVolumeStatus: { targetVolumeAttributesClassName: target, status: 'InProgress' },
        conditions: withCondition(claim.status?.conditions, modifying, {
          type: 'ModifyingVolume',
          message: 'ModifyVolume operation in progress.',
        }),
      })
      recorder.event(claim, 'Normal', 'VolumeModify', `external resizer is modifying volume ${claim.metadata.name} with vac ${target}`)
    }
    try {
      const { rpcs } = await csi.abilities(client, driver)
      if (!rpcs.has(ControllerRpc.modifyVolume)) throw new RpcError(Code.unimplemented, `driver ${driver} cannot modify volumes`)
      const call = csi.caller(client, driver, topologiesOf(volume.spec.nodeAffinity?.required?.nodeSelectorTerms))
      await call(
        controller.controllerModifyVolume,
        { volumeId: volumeHandle, secrets: {}, mutableParameters: found.parameters ?? {} },
        callTimeoutMs,
      )
    } catch (e) {
      const message = (e as Error).message
      recorder.event(claim, 'Warning', 'VolumeModifyFailed', message)
      const infeasible = isInfeasible(e)
      await say(client, claim, {
        modifyVolumeStatus: { targetVolumeAttributesClassName: target, status: infeasible ? 'Infeasible' : 'InProgress' },
        conditions: withCondition(claim.status?.conditions, modifying, {
          type: 'ModifyVolumeError',
          message: `ModifyVolume failed with error: ${message}`,
        }),
      })
      if (infeasible) return
      throw e
    }
    await client.patch(persistentVolumes, '', volume.metadata.name ?? '', 'merge', { spec: { volumeAttributesClassName: target } })
    await say(client, claim, {
      currentVolumeAttributesClassName: target,
      modifyVolumeStatus: null,
      conditions: withCondition(claim.status?.conditions, modifying, undefined),
    })
    recorder.event(
      claim,
      'Normal',
      'VolumeModifySuccessful',
      `external resizer modified volume ${claim.metadata.name} with vac ${target} successfully`,
    )
  }

  return {
    name: 'csi-resizer',
    client: ctx.as('csi-controller'),
    sources: [
      source(claims, e => (e.type === 'DELETED' ? [] : [keyOf(e.object)])),
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
      const { volumeAttributesClassName: attributesClass } = claim.spec
      const current = claim.status.currentVolumeAttributesClassName
      const changing = claim.status.modifyVolumeStatus
      const refused = changing?.status === 'Infeasible' && changing.targetVolumeAttributesClassName === attributesClass
      // Also back to what it has, when something else was begun.
      if (attributesClass && (attributesClass !== current || changing) && !refused) {
        // It was made with them.
        if (!current && !changing && volume.spec.volumeAttributesClassName === attributesClass)
          await say(client, claim, { currentVolumeAttributesClassName: attributesClass })
        else await modify(claim, volume, client)
        return
      }
      if (size(claim.spec.resources?.requests) > size(claim.status.capacity)) await expand(claim, volume, client)
    },
    queue: { baseMs: 200, limitMs: 60_000 },
    log: ctx.log,
  }
}

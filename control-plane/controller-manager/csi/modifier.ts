/** Gives volumes the attributes that their claims ask for. external-resizer pkg/modifycontroller, https://kep.k8s.io/3751 */
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import { persistentVolumes, volumeAttributesClasses } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { ControllerRpc } from '#shared/csi/messages.ts'
import { controller } from '#shared/csi/services.ts'
import { Code, RpcError, codeName, isUncertain } from '#shared/grpc/rpc.ts'
import type { ControllerContext } from '../context.ts'
import { withConditions, writeStatus } from './claimstatus.ts'
import { secretOf, topologiesOf, type Csi } from './driver.ts'
import { keptSecret } from './parameters.ts'
import type { Refusals } from './refusals.ts'

const modifying = ['ModifyingVolume', 'ModifyVolumeError']

export interface Modifier {
  /** Whether it wrote something of the claim, which comes again then: what else is to be done about it can wait. */
  modify(claim: PersistentVolumeClaim, volume: PersistentVolume, client: Client): Promise<boolean>
  /** The claim is gone. */
  forget(uid: string): void
}

/** What is refused for good goes to `refused`, and is asked for again when that says so. */
export function volumeModifier(ctx: ControllerContext, csi: Csi, refused: Refusals): Modifier {
  const classes = ctx.informer(volumeAttributesClasses)
  /**
   * Of claims, by uid, what their driver has refused for sure: another class may be tried. Whatever else was begun is seen through first.
   */
  const ended = new Map<string, string>()

  /** Whether it wrote something. */
  async function change(claim: PersistentVolumeClaim, volume: PersistentVolume, target: string, client: Client): Promise<boolean> {
    const { driver, volumeHandle } = volume.spec.csi!
    const { name = '', uid = '' } = claim.metadata
    const recorder = ctx.recorder(`external-resizer ${driver}`)
    const state = claim.status?.modifyVolumeStatus
    const found = classes.get('', target)
    if (found?.driverName !== driver) {
      const why = found
        ? `VAC ${target} referenced in PVC is for driver ${found.driverName} which does not match driver name ${driver}`
        : `VAC ${JSON.stringify(target)} does not exist.`
      recorder.event(claim, 'Warning', 'VolumeModifyFailed', why)
      if (state?.status === 'Pending' && state.targetVolumeAttributesClassName === target) return false
      await writeStatus(client, claim, { modifyVolumeStatus: { targetVolumeAttributesClassName: target, status: 'Pending' } })
      return true
    }
    const quoted = JSON.stringify(target)
    if (state?.status !== 'InProgress' || state.targetVolumeAttributesClassName !== target) {
      claim = await writeStatus(client, claim, {
        modifyVolumeStatus: { targetVolumeAttributesClassName: target, status: 'InProgress' },
        conditions: withConditions(claim.status?.conditions, modifying, [
          { type: 'ModifyingVolume', message: `Modifying volume to ${quoted} is in progress.` },
        ]),
      })
      recorder.event(claim, 'Normal', 'VolumeModify', `external resizer is modifying volume ${name} with vac ${target}`)
    }
    ended.delete(uid)
    try {
      const { rpcs } = await csi.abilities(client, driver)
      if (!rpcs.has(ControllerRpc.modifyVolume)) throw new RpcError(Code.unimplemented, `driver ${driver} cannot modify volumes`)
      const call = csi.caller(client, driver, topologiesOf(volume.spec.nodeAffinity?.required?.nodeSelectorTerms))
      const secrets = await secretOf(client, keptSecret('modify', volume))
      await call(controller.controllerModifyVolume, { volumeId: volumeHandle, secrets, mutableParameters: found.parameters ?? {} })
    } catch (e) {
      const open = isUncertain(e)
      if (!open) ended.set(uid, target)
      const { message } = e as Error
      const code = e instanceof RpcError ? e.code : Code.unknown
      const infeasible = code === Code.invalidArgument || code === Code.unimplemented
      if (infeasible) refused.add(uid)
      await writeStatus(client, claim, {
        modifyVolumeStatus: { targetVolumeAttributesClassName: target, status: infeasible ? 'Infeasible' : 'InProgress' },
        conditions: withConditions(claim.status?.conditions, modifying, [
          {
            type: 'ModifyingVolume',
            message: `Modifying volume to ${quoted} ${open ? 'is still in progress.' : 'failed. Waiting for retry.'}`,
          },
          { type: 'ModifyVolumeError', reason: codeName(code), message: e instanceof RpcError ? e.details : message },
        ]),
      })
      recorder.event(claim, 'Warning', 'VolumeModifyFailed', open ? `${message}. Still modifying to VAC ${target}` : message)
      if (infeasible) return true
      throw e
    }
    await client.patch(persistentVolumes, '', volume.metadata.name ?? '', 'merge', { spec: { volumeAttributesClassName: target } })
    await writeStatus(client, claim, {
      currentVolumeAttributesClassName: target,
      modifyVolumeStatus: null,
      conditions: withConditions(claim.status?.conditions, modifying, []),
    })
    recorder.event(claim, 'Normal', 'VolumeModifySuccessful', `external resizer modified volume ${name} with vac ${target} successfully`)
    return true
  }

  /** The claim asks for no class any more. What the driver has made of the last one is not known, and stays. */
  async function giveUp(claim: PersistentVolumeClaim, driver: string, client: Client): Promise<void> {
    if (!claim.status?.conditions?.some(c => c.type === 'ModifyingVolume')) return
    const conditions = withConditions(claim.status.conditions, ['ModifyingVolume'], [])
    ctx.recorder(`external-resizer ${driver}`).event(claim, 'Normal', 'VolumeModifyCanceled', 'Cancelled modify.')
    await writeStatus(client, claim, { conditions })
  }

  return {
    async modify(claim, volume, client) {
      const { uid = '' } = claim.metadata
      const { volumeAttributesClassName: wanted } = claim.spec
      const { currentVolumeAttributesClassName: current, modifyVolumeStatus: state } = claim.status ?? {}
      const begun = state?.status === 'InProgress' ? state.targetVolumeAttributesClassName : undefined
      const open = begun !== undefined && ended.get(uid) !== begun
      if (!wanted && begun === undefined) {
        refused.forget(uid)
        await giveUp(claim, volume.spec.csi!.driver, client)
        return false
      }
      const target = open || !wanted ? begun! : wanted
      if (state?.status === 'Infeasible' && state.targetVolumeAttributesClassName === target && refused.holds(uid)) return false
      refused.forget(uid)
      // Also back to what it has, when something else was begun.
      if (target === current && !state) return false
      // It was made with them.
      if (!current && !state && volume.spec.volumeAttributesClassName === target)
        return Boolean(await writeStatus(client, claim, { currentVolumeAttributesClassName: target }))
      return change(claim, volume, target, client)
    },
    forget: uid => void ended.delete(uid),
  }
}

/**
 * Makes volumes for claims and deletes them, as kubernetes-csi's external-provisioner does. A claim holds a finalizer from before its
 * driver is asked until its volume is in the API: whoever comes next knows that the driver may have one, and has it deleted when nobody
 * wants it.
 */
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'
import { persistentVolumeClaims, persistentVolumes, storageClasses, volumeAttachments, volumeAttributesClasses } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey, type ControllerOptions } from '#shared/client/controller.ts'
import type { CsiVolume } from '#shared/csi/messages.ts'
import { controller } from '#shared/csi/services.ts'
import { Code, RpcError, isUncertain } from '#shared/grpc/rpc.ts'
import { formatQuantity, quantityOf } from '#shared/machinery/quantity.ts'
import { ignoreNotFound, isAlreadyExists } from '#shared/machinery/status.ts'
import { provisionedBy, selectedNode, storageProvisioner } from '#shared/storage/annotations.ts'
import { classOf } from '#shared/storage/volume.ts'
import type { ControllerContext } from '../context.ts'
import { cloneSource, protectSource } from './cloneprotection.ts'
import { dataSourceOf, isForPopulator, populated } from './datasource.ts'
import { hasFinalizer, secretOf, setFinalizer, topologiesOf, type Csi, type Segments } from './driver.ts'
import { fsTypeOf, keepSecret, keptSecret, secretRefOf, type SecretRef, type SecretUse } from './parameters.ts'
import { claimFinalizer, examine, requestOf, volumeName } from './request.ts'
import { takeBackStrays } from './strays.ts'
import { affinityOf } from './topology.ts'

/** On volumes: their driver's is deleted before they go. */
export const volumeFinalizer = 'external-provisioner.volume.kubernetes.io/finalizer'

export function csiProvisioner(ctx: ControllerContext, csi: Csi): ControllerOptions {
  const claims = ctx.informer(persistentVolumeClaims)
  const volumes = ctx.informer(persistentVolumes)
  const classes = ctx.informer(storageClasses)
  const attributes = ctx.informer(volumeAttributesClasses)
  const attachments = ctx.informer(volumeAttachments)
  /** Also of one of which the binder has not yet said so, when the scheduler has found that no volume is there for it. */
  function driverOf(claim: PersistentVolumeClaim): string {
    const { [storageProvisioner]: told, [selectedNode]: chosen } = claim.metadata.annotations ?? {}
    return told ?? (chosen === undefined ? '' : (classes.get('', classOf(claim))?.provisioner ?? ''))
  }
  claims.addIndex('csi driver', c => (c.spec.volumeName ? [] : [driverOf(c)]))
  attachments.addIndex('provisioned volume', a => [a.spec.source.persistentVolumeName ?? ''])
  const recorderOf = (driver: string) => ctx.recorder(driver)

  async function provision(claim: PersistentVolumeClaim, storageClass: StorageClass, client: Client): Promise<void> {
    const driver = storageClass.provisioner
    const named = `${claim.metadata.namespace}/${claim.metadata.name}`
    recorderOf(driver).event(
      claim,
      'Normal',
      'Provisioning',
      `External provisioner is provisioning volume for claim ${JSON.stringify(named)}`,
    )
    examine(claim, await csi.abilities(client, driver))
    const data = await dataSourceOf(claim, storageClass, { client, claims, volumes })
    const { near, question } = await requestOf(claim, storageClass, data, { client, csi, attributes })
    if (!hasFinalizer(claim, claimFinalizer)) {
      const now = await setFinalizer(client, persistentVolumeClaims, claim, claimFinalizer, true)
      // Of what has changed meanwhile the informer tells.
      if (now.spec.volumeName || now.metadata.annotations?.[selectedNode] !== claim.metadata.annotations?.[selectedNode]) return
      claim = now
    }
    const from = data && claims.get(...splitKey(cloneSource(claim) ?? ''))
    if (from) await protectSource(client, from)
    const { volume } = await csi.caller(client, driver, near)(controller.createVolume, question)
    if (!volume?.volumeId) throw new Error('the driver has answered without a volume')
    if (data && JSON.stringify(volume.contentSource ?? null) === 'null') {
      await deleteVolume(client, driver, volume.volumeId, question.secrets, near)
      throw new Error('volume content source missing')
    }
    if ((volume.capacityBytes ?? 0) !== 0 && volume.capacityBytes! < question.capacityRange.requiredBytes) {
      await deleteVolume(client, driver, volume.volumeId, question.secrets, near)
      throw new Error(
        `created volume capacity ${volume.capacityBytes} less than requested capacity ${question.capacityRange.requiredBytes}`,
      )
    }
    const made = persistentVolumeOf(claim, storageClass, volume, question.capacityRange.requiredBytes)
    await client.create(persistentVolumes, '', made).catch((e: unknown) => (isAlreadyExists(e) ? undefined : Promise.reject(e)))
    recorderOf(driver).event(claim, 'Normal', 'ProvisioningSucceeded', `Successfully provisioned volume ${volumeName(claim)}`)
  }
  const deleteVolume = async (
    client: Client,
    driver: string,
    volumeId: string,
    secrets: Record<string, string>,
    near: Segments[],
  ): Promise<void> => {
    await csi
      .caller(
        client,
        driver,
        near,
      )(controller.deleteVolume, { volumeId, secrets })
      .catch((e: unknown) => (e instanceof RpcError && e.code === Code.notFound ? undefined : Promise.reject(e)))
  }

  async function reconcileClaim(claim: PersistentVolumeClaim, client: Client): Promise<void> {
    const driver = driverOf(claim)
    const began = hasFinalizer(claim, claimFinalizer)
    const letGo = (): Promise<unknown> => setFinalizer(client, persistentVolumeClaims, claim, claimFinalizer, false).catch(ignoreNotFound)
    const has =
      volumes.get('', volumeName(claim)) ??
      (began ? await client.get(persistentVolumes, '', volumeName(claim)).catch(ignoreNotFound) : undefined)
    // Not while the binder writes what it has found: of two writers one would have to begin again.
    const isSettled = claim.status?.phase === 'Bound' || claim.status?.phase === 'Lost' || claim.metadata.deletionTimestamp !== undefined
    if (has ?? claim.spec.volumeName) return void (began && isSettled && (await letGo()))
    if (claim.metadata.deletionTimestamp) return void (began && (await abandon(claim, client).then(letGo)))
    const storageClass = classes.get('', classOf(claim))
    if (!storageClass || storageClass.provisioner !== driver) return
    if (storageClass.volumeBindingMode === 'WaitForFirstConsumer' && !claim.metadata.annotations?.[selectedNode]) return
    if (isForPopulator(claim)) return recorderOf(driver).event(claim, 'Normal', 'Provisioning', populated)
    try {
      await provision(claim, storageClass, client)
    } catch (e) {
      const why = `failed to provision volume with StorageClass ${JSON.stringify(storageClass.metadata.name)}: ${(e as Error).message}`
      if (!ctx.signal.aborted) recorderOf(driver).event(claim, 'Warning', 'ProvisioningFailed', why)
      // Not there, but maybe elsewhere: the scheduler looks for another node.
      if (e instanceof RpcError && e.code === Code.resourceExhausted && claim.metadata.annotations?.[selectedNode])
        return void (await reschedule(claim, client))
      throw e
    }
  }
  async function reschedule({ metadata: { namespace = '', name = '' } }: PersistentVolumeClaim, client: Client): Promise<void> {
    const patch = { metadata: { annotations: { [selectedNode]: null } } }
    await client.patch(persistentVolumeClaims, namespace, name, 'merge', patch).catch(ignoreNotFound)
  }
  /** Finds what was made, by the same request again, and deletes it. */
  async function abandon(claim: PersistentVolumeClaim, client: Client): Promise<void> {
    const storageClass = classes.get('', classOf(claim))
    if (!storageClass) throw new Error(`storageclass ${JSON.stringify(classOf(claim))} is gone, and a volume may have been made`)
    const data = await dataSourceOf(claim, storageClass, { client, claims, volumes }).catch(() => undefined)
    const { near, question } = await requestOf(claim, storageClass, data, { client, csi, attributes })
    try {
      const { volume } = await csi.caller(client, storageClass.provisioner, near)(controller.createVolume, question)
      if (volume?.volumeId) await deleteVolume(client, storageClass.provisioner, volume.volumeId, question.secrets, near)
    } catch (e) {
      // It refuses: then it has none, unless that is why.
      if (isUncertain(e) || (e as RpcError).code === Code.alreadyExists) throw e
    }
  }

  function persistentVolumeOf(
    claim: PersistentVolumeClaim,
    storageClass: StorageClass,
    volume: CsiVolume,
    requested: number,
  ): PersistentVolume {
    const { parameters, provisioner: driver, reclaimPolicy, mountOptions } = storageClass
    const { namespace, name, uid } = claim.metadata
    const block = claim.spec.volumeMode === 'Block'
    const secretOfUse = (use: SecretUse): SecretRef | undefined => secretRefOf(use, parameters, volumeName(claim), claim)
    const ref = (field: string, use: SecretUse): object => {
      const found = secretOfUse(use)
      return found ? { [field]: found } : {}
    }
    const nodeAffinity = affinityOf(volume.accessibleTopology)
    return {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: {
        name: volumeName(claim),
        annotations: {
          [provisionedBy]: driver,
          ...keepSecret('deletion', secretOfUse('provisioner')),
          ...keepSecret('modify', secretOfUse('controller-modify')),
        },
        ...(reclaimPolicy === 'Retain' ? {} : { finalizers: [volumeFinalizer] }),
      },
      spec: {
        accessModes: claim.spec.accessModes ?? [],
        capacity: { storage: formatQuantity(quantityOf(volume.capacityBytes || requested, 'BinarySI')) },
        claimRef: { kind: 'PersistentVolumeClaim', apiVersion: 'v1', namespace, name, uid },
        persistentVolumeReclaimPolicy: reclaimPolicy ?? 'Delete',
        storageClassName: storageClass.metadata.name ?? '',
        volumeMode: claim.spec.volumeMode ?? 'Filesystem',
        ...(mountOptions?.length && !block ? { mountOptions } : {}),
        ...(nodeAffinity ? { nodeAffinity } : {}),
        ...(claim.spec.volumeAttributesClassName ? { volumeAttributesClassName: claim.spec.volumeAttributesClassName } : {}),
        csi: {
          driver,
          volumeHandle: volume.volumeId ?? '',
          ...(block ? {} : { fsType: fsTypeOf(parameters) }),
          volumeAttributes: { ...volume.volumeContext, 'storage.kubernetes.io/csiProvisionerIdentity': driver },
          ...ref('controllerPublishSecretRef', 'controller-publish'),
          ...ref('nodeStageSecretRef', 'node-stage'),
          ...ref('nodePublishSecretRef', 'node-publish'),
          ...ref('controllerExpandSecretRef', 'controller-expand'),
          ...ref('nodeExpandSecretRef', 'node-expand'),
        },
      },
    } as PersistentVolume
  }

  async function reconcileVolume(volume: PersistentVolume, client: Client): Promise<void> {
    const { name = '', uid, annotations = {}, deletionTimestamp } = volume.metadata
    const driver = annotations[provisionedBy] ?? ''
    const handle = volume.spec.csi?.volumeHandle
    if (handle === undefined || volume.spec.csi?.driver !== driver || !csi.drives(driver)) return
    const deletes = volume.spec.persistentVolumeReclaimPolicy === 'Delete'
    const unused = volume.status?.phase === 'Released' || volume.status?.phase === 'Failed' || deletionTimestamp !== undefined
    const wants = deletes && (!deletionTimestamp || hasFinalizer(volume, volumeFinalizer))
    if (wants !== hasFinalizer(volume, volumeFinalizer))
      volume = await setFinalizer(client, persistentVolumes, volume, volumeFinalizer, wants)
    if (!deletes || !unused || volume.status?.phase === 'Bound') return
    const attached = attachments.byIndex('provisioned volume', name)[0]
    try {
      if (attached) throw new Error(`persistentvolume ${name} is still attached to node ${attached.spec.nodeName}`)
      const secrets = await secretOf(client, keptSecret('deletion', volume))
      const topologies = topologiesOf(volume.spec.nodeAffinity?.required?.nodeSelectorTerms)
      await deleteVolume(client, driver, handle, secrets, topologies).catch((e: unknown) => {
        const secretRef = volume.spec.csi?.controllerPublishSecretRef
        return takeBackStrays(csi, client, { driver, volumeId: handle, topologies, secretRef }, e)
      })
    } catch (e) {
      if (!ctx.signal.aborted) recorderOf(driver).event(volume, 'Warning', 'VolumeFailedDelete', (e as Error).message)
      throw e
    }
    if (!deletionTimestamp) await client.delete(persistentVolumes, '', name, uid ? { preconditions: { uid } } : {}).catch(ignoreNotFound)
    const now = await client.get(persistentVolumes, '', name).catch(ignoreNotFound)
    if (now && now.metadata.uid === uid && hasFinalizer(now, volumeFinalizer))
      await setFinalizer(client, persistentVolumes, now, volumeFinalizer, false).catch(ignoreNotFound)
  }

  return {
    name: 'csi-provisioner',
    client: ctx.as('csi-controller'),
    workers: 20,
    sources: [
      source(claims, e => (e.type === 'DELETED' || !driverOf(e.object) ? [] : [`claim ${keyOf(e.object)}`])),
      source(volumes, e => {
        const { claimRef } = e.object.spec
        return [
          ...(e.type === 'DELETED' ? [] : [`volume ${keyOf(e.object)}`]),
          ...(claimRef ? [`claim ${claimRef.namespace}/${claimRef.name}`] : []),
        ]
      }),
      source(attachments, e => (e.type === 'DELETED' ? [`volume /${e.object.spec.source.persistentVolumeName ?? ''}`] : [])),
      source(classes, e => claims.byIndex('csi driver', e.object.provisioner).map(c => `claim ${keyOf(c)}`)),
      source(csi.drivers, e => claims.byIndex('csi driver', e.object.metadata.name ?? '').map(c => `claim ${keyOf(c)}`)),
      source(csi.csiNodes, e =>
        (e.object.spec.drivers ?? []).flatMap(d => claims.byIndex('csi driver', d.name).map(c => `claim ${keyOf(c)}`)),
      ),
    ],
    async reconcile(key, client) {
      const [what = '', object = ''] = key.split(' ')
      if (what === 'volume') {
        const volume = volumes.get(...splitKey(object))
        if (volume) await reconcileVolume(volume, client)
        return
      }
      const claim = claims.get(...splitKey(object))
      if (claim && csi.drives(driverOf(claim))) await reconcileClaim(claim, client)
    },
    queue: { baseMs: 200, limitMs: 60_000 },
    log: ctx.log,
  }
}

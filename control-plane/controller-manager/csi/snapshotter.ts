/**
 * Takes snapshots of volumes and deletes them: what kubernetes-csi's snapshot-controller (VolumeSnapshots get a VolumeSnapshotContent) and
 * csi-snapshotter (whose driver is asked) do, for drivers that leave it to us. Everything is read anew before it is changed: these kinds
 * are custom ones, which may come and go.
 */
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import { persistentVolumeClaims, persistentVolumes } from '#shared/api/kinds.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { Client } from '#shared/client/client.ts'
import { source, splitKey, type ControllerOptions } from '#shared/client/controller.ts'
import type { WorkQueue } from '#shared/client/workqueue.ts'
import { ControllerRpc, type CsiSnapshot } from '#shared/csi/messages.ts'
import { controller } from '#shared/csi/services.ts'
import { Code, RpcError, isUncertain } from '#shared/grpc/rpc.ts'
import { ignoreNotFound, isAlreadyExists } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'
import type { ControllerContext } from '../context.ts'
import { finalized, hasFinalizer, secretOf, setFinalizer, topologiesOf, type Csi } from './driver.ts'
import { driverParameters, secretRefOf } from './parameters.ts'
import { claimFinalizer as provisioningFinalizer } from './request.ts'
import { followSnapshotKinds, type SnapshotKinds } from './snapshotkinds.ts'
import {
  snapshotGroup,
  volumeSnapshotClasses,
  volumeSnapshotContents,
  volumeSnapshots,
  type VolumeSnapshot,
  type VolumeSnapshotClass,
  type VolumeSnapshotContent,
} from './snapshots.ts'

const prefix = 'snapshot.storage.kubernetes.io/'
const boundFinalizer = `${prefix}volumesnapshot-bound-protection`
const contentFinalizer = `${prefix}volumesnapshotcontent-bound-protection`
const claimFinalizer = `${prefix}pvc-as-source-protection`
/** On contents: their driver may have a snapshot whose handle nobody knows yet. */
const beingCreated = `${prefix}volumesnapshot-being-created`
/** On contents: their VolumeSnapshot is to go, and the driver's with it. */
const beingDeleted = `${prefix}volumesnapshot-being-deleted`
const defaultClass = `${prefix}is-default-class`
const deletionSecretName = `${prefix}deletion-secret-name`
const deletionSecretNamespace = `${prefix}deletion-secret-namespace`

const annotated = <T extends KubeObject>(o: T, name: string): boolean => Object.hasOwn(o.metadata.annotations ?? {}, name)

export function csiSnapshotter(ctx: ControllerContext, csi: Csi): ControllerOptions {
  const claims = ctx.informer(persistentVolumeClaims)
  const volumes = ctx.informer(persistentVolumes)
  const recorder = ctx.recorder('snapshot-controller')
  let kinds: () => SnapshotKinds | undefined = () => undefined

  const say = <T extends KubeObject>(client: Client, kind: Kind<T>, { metadata }: T, status: object): Promise<T> =>
    client.patch(kind, metadata.namespace ?? '', metadata.name ?? '', 'merge', { status }, 'status')
  async function complain(client: Client, snapshot: VolumeSnapshot, reason: string, message: string): Promise<void> {
    if (snapshot.status?.error?.message === message) return
    recorder.event(snapshot, 'Warning', reason, message)
    await say(client, volumeSnapshots, snapshot, { readyToUse: false, error: { time: formatTime(), message } })
  }
  function classOf({ spec }: VolumeSnapshot, driver: string, all: SnapshotKinds): VolumeSnapshotClass {
    const named = spec.volumeSnapshotClassName
    const found =
      named === undefined || named === ''
        ? all.classes.list().find(c => c.driver === driver && c.metadata.annotations?.[defaultClass] === 'true')
        : all.classes.get('', named)
    if (!found)
      throw new Error(
        named ? `failed to retrieve snapshot class ${named} from the informer: not found` : 'cannot find default snapshot class',
      )
    return found
  }
  function volumeOf(claim: PersistentVolumeClaim | undefined) {
    const volume = claim?.status?.phase === 'Bound' ? volumes.get('', claim.spec.volumeName ?? '') : undefined
    return volume?.spec.csi ? { volume, csi: volume.spec.csi } : undefined
  }

  async function reconcileSnapshot(namespace: string, name: string, client: Client, all: SnapshotKinds): Promise<void> {
    let snapshot = await client.get(volumeSnapshots, namespace, name).catch(ignoreNotFound)
    if (!snapshot) return
    const { persistentVolumeClaimName: claimName, volumeSnapshotContentName } = snapshot.spec.source
    const contentName = volumeSnapshotContentName ?? `snapcontent-${snapshot.metadata.uid}`
    const content = await client.get(volumeSnapshotContents, '', contentName).catch(ignoreNotFound)
    const claim = claimName === undefined ? undefined : claims.get(namespace, claimName)
    const driver = content?.spec.driver ?? volumeOf(claim)?.csi.driver
    if (driver === undefined) {
      if (snapshot.metadata.deletionTimestamp) return void (await release(snapshot, client))
      if (claimName !== undefined && csiWaits(snapshot, all))
        await complain(
          client,
          snapshot,
          'SnapshotContentCreationFailed',
          `Failed to create snapshot content with error snapshot controller failed to update ${name} on API server: cannot get claim from snapshot`,
        )
      return
    }
    if (!csi.drives(driver)) return
    if (snapshot.metadata.deletionTimestamp) return remove(snapshot, content, client)
    if (!hasFinalizer(snapshot, boundFinalizer)) snapshot = await client.update(volumeSnapshots, finalized(snapshot, boundFinalizer, true))
    if (!content) {
      if (claim && claimName !== undefined) return make(snapshot, claim, driver, contentName, client, all)
      return complain(client, snapshot, 'SnapshotContentMissing', 'VolumeSnapshotContent is missing')
    }
    const ref = content.spec.volumeSnapshotRef
    if (ref.name !== name || ref.namespace !== namespace || (ref.uid && ref.uid !== snapshot.metadata.uid))
      return complain(
        client,
        snapshot,
        'SnapshotContentMisbound',
        `VolumeSnapshotContent [${contentName}] is bound to a different snapshot`,
      )
    if (!ref.uid)
      await client.update(volumeSnapshotContents, {
        ...content,
        spec: { ...content.spec, volumeSnapshotRef: { ...ref, uid: snapshot.metadata.uid! } },
      })
    await show(snapshot, content, client)
    if (content.status?.readyToUse && claim) await protect(claim, false, client)
  }
  /** Whether the class says that the snapshot will be ours. */
  const csiWaits = ({ spec }: VolumeSnapshot, all: SnapshotKinds): boolean =>
    csi.drives(all.classes.get('', spec.volumeSnapshotClassName ?? '')?.driver ?? '')

  async function make(
    snapshot: VolumeSnapshot,
    claim: PersistentVolumeClaim,
    driver: string,
    contentName: string,
    client: Client,
    all: SnapshotKinds,
  ): Promise<void> {
    let snapshotClass: VolumeSnapshotClass
    try {
      snapshotClass = classOf(snapshot, driver, all)
      if (snapshotClass.driver !== driver) throw new Error(`the class is of driver ${snapshotClass.driver}, the volume of ${driver}`)
    } catch (e) {
      await complain(client, snapshot, 'SnapshotCreationFailed', `Failed to create snapshot: ${(e as Error).message}`)
      return
    }
    const { volume, csi: from } = volumeOf(claim)!
    await protect(claim, true, client)
    const secret = secretRefOf('snapshotter', snapshotClass.parameters, contentName, undefined)
    const { name, namespace, uid, resourceVersion } = snapshot.metadata
    const content = {
      apiVersion: `${snapshotGroup}/v1`,
      kind: 'VolumeSnapshotContent',
      metadata: {
        name: contentName,
        finalizers: [contentFinalizer],
        ...(secret ? { annotations: { [deletionSecretName]: secret.name, [deletionSecretNamespace]: secret.namespace } } : {}),
      },
      spec: {
        volumeSnapshotRef: { apiVersion: `${snapshotGroup}/v1`, kind: 'VolumeSnapshot', name, namespace, uid, resourceVersion },
        source: { volumeHandle: from.volumeHandle },
        driver,
        deletionPolicy: snapshotClass.deletionPolicy,
        volumeSnapshotClassName: snapshotClass.metadata.name ?? '',
        sourceVolumeMode: volume.spec.volumeMode ?? 'Filesystem',
      },
    } as VolumeSnapshotContent
    await client.create(volumeSnapshotContents, '', content).catch((e: unknown) => (isAlreadyExists(e) ? undefined : Promise.reject(e)))
    recorder.event(snapshot, 'Normal', 'CreatingSnapshot', `Waiting for a snapshot ${namespace}/${name} to be created by the CSI driver.`)
  }
  /** Keeps the claim while its snapshot is taken. */
  async function protect(claim: PersistentVolumeClaim, there: boolean, client: Client): Promise<void> {
    const now = await client.get(persistentVolumeClaims, claim.metadata.namespace ?? '', claim.metadata.name ?? '').catch(ignoreNotFound)
    if (!now || hasFinalizer(now, claimFinalizer) === there) return
    const others = (kinds()?.snapshots.list(now.metadata.namespace) ?? []).filter(
      s => s.spec.source.persistentVolumeClaimName === now.metadata.name && !s.status?.readyToUse && !s.metadata.deletionTimestamp,
    )
    if (!there && others.length > 1) return
    await setFinalizer(client, persistentVolumeClaims, now, claimFinalizer, there).catch(ignoreNotFound)
  }
  async function show(snapshot: VolumeSnapshot, content: VolumeSnapshotContent, client: Client): Promise<void> {
    const { readyToUse = false, restoreSize, creationTime, error } = content.status ?? {}
    const status = {
      boundVolumeSnapshotContentName: content.metadata.name,
      readyToUse,
      ...(restoreSize === undefined ? {} : { restoreSize: String(restoreSize) }),
      ...(creationTime === undefined ? {} : { creationTime: formatTime(new Date(creationTime / 1e6)) }),
      error: error ?? null,
    }
    const same = (a: unknown, b: unknown): boolean => JSON.stringify(a ?? null) === JSON.stringify(b ?? null)
    const old = (snapshot.status ?? {}) as Record<string, unknown>
    if (Object.entries(status).every(([key, value]) => same(old[key], value))) return
    if (!old['boundVolumeSnapshotContentName'])
      recorder.event(
        snapshot,
        'Normal',
        'SnapshotCreated',
        `Snapshot ${snapshot.metadata.namespace}/${snapshot.metadata.name} was successfully created by the CSI driver.`,
      )
    if (readyToUse && !old['readyToUse'])
      recorder.event(
        snapshot,
        'Normal',
        'SnapshotReady',
        `Snapshot ${snapshot.metadata.namespace}/${snapshot.metadata.name} is ready to use.`,
      )
    if (error && !same(error, old['error'])) recorder.event(snapshot, 'Warning', 'SnapshotContentCreationFailed', error.message ?? '')
    await say(client, volumeSnapshots, snapshot, status)
  }
  async function remove(snapshot: VolumeSnapshot, content: VolumeSnapshotContent | undefined, client: Client): Promise<void> {
    const { namespace = '', name = '' } = snapshot.metadata
    // Of others nothing has been begun.
    const isRestored = (c: PersistentVolumeClaim): boolean =>
      c.status?.phase === 'Pending' &&
      c.spec.dataSource?.kind === 'VolumeSnapshot' &&
      c.spec.dataSource.name === name &&
      hasFinalizer(c, provisioningFinalizer)
    if (claims.list(namespace).some(isRestored)) {
      recorder.event(snapshot, 'Warning', 'SnapshotDeletePending', 'Snapshot is being used to restore a PVC')
      throw new Error(`snapshot ${name} is in use (being used to restore a PVC), will retry deletion`)
    }
    if (content && content.spec.volumeSnapshotRef.uid === snapshot.metadata.uid && content.spec.deletionPolicy === 'Delete') {
      if (!annotated(content, beingDeleted))
        await client.patch(volumeSnapshotContents, '', content.metadata.name ?? '', 'merge', {
          metadata: { annotations: { [beingDeleted]: 'yes' } },
        })
      if (!content.metadata.deletionTimestamp)
        await client.delete(volumeSnapshotContents, '', content.metadata.name ?? '').catch(ignoreNotFound)
      // Its own end brings us back here.
      return
    }
    const claim = claims.get(namespace, snapshot.spec.source.persistentVolumeClaimName ?? '')
    if (claim) await protect(claim, false, client)
    await release(snapshot, client)
  }
  const release = async (snapshot: VolumeSnapshot, client: Client): Promise<unknown> =>
    hasFinalizer(snapshot, boundFinalizer)
      ? client.update(volumeSnapshots, finalized(snapshot, boundFinalizer, false)).catch(ignoreNotFound)
      : undefined

  const near = (volumeHandle: string | undefined) =>
    topologiesOf(volumes.list().find(v => v.spec.csi?.volumeHandle === volumeHandle)?.spec.nodeAffinity?.required?.nodeSelectorTerms)
  async function take(content: VolumeSnapshotContent, client: Client): Promise<CsiSnapshot> {
    const { driver, source: from, volumeSnapshotRef: ref, volumeSnapshotClassName } = content.spec
    const { rpcs } = await csi.abilities(client, driver)
    if (!rpcs.has(ControllerRpc.createDeleteSnapshot)) throw new RpcError(Code.unimplemented, `driver ${driver} takes no snapshots`)
    const parameters = volumeSnapshotClassName
      ? (await client.get(volumeSnapshotClasses, '', volumeSnapshotClassName).catch(ignoreNotFound))?.parameters
      : undefined
    const question = {
      sourceVolumeId: from.volumeHandle ?? '',
      name: `snapshot-${ref.uid}`,
      secrets: await secretOf(client, secretRefOf('snapshotter', parameters, content.metadata.name ?? '', undefined)),
      parameters: driverParameters(parameters),
    }
    const { snapshot } = await csi.caller(client, driver, near(from.volumeHandle))(controller.createSnapshot, question)
    if (!snapshot?.snapshotId) throw new Error('the driver has answered without a snapshot')
    return snapshot
  }
  async function reconcileContent(name: string, client: Client): Promise<void | { requeueAfterMs: number }> {
    let content = await client.get(volumeSnapshotContents, '', name).catch(ignoreNotFound)
    if (!content || !csi.drives(content.spec.driver)) return
    if (content.metadata.deletionTimestamp) return removeContent(content, client)
    if (!hasFinalizer(content, contentFinalizer))
      content = await client.update(volumeSnapshotContents, finalized(content, contentFinalizer, true))
    if (content.status?.readyToUse) {
      if (annotated(content, beingCreated)) await mark(content, null, client)
      return
    }
    const { snapshotHandle } = content.spec.source
    if (snapshotHandle !== undefined)
      return void (await say(client, volumeSnapshotContents, content, await existing(content.spec.driver, snapshotHandle, client)))
    try {
      // Written first: whoever deletes it must find out whether there is one.
      if (!annotated(content, beingCreated)) await mark(content, 'yes', client)
      const made = await take(content, client)
      const { snapshotId, sizeBytes, creationTime, readyToUse } = made
      await say(client, volumeSnapshotContents, content, {
        snapshotHandle: snapshotId,
        readyToUse: readyToUse ?? false,
        restoreSize: sizeBytes ?? 0,
        creationTime: Date.parse(creationTime ?? formatTime()) * 1e6,
        error: null,
      })
      return readyToUse ? undefined : { requeueAfterMs: 1_000 }
    } catch (e) {
      const message = `Failed to check and update snapshot content: failed to take snapshot of the volume ${content.spec.source.volumeHandle}: ${JSON.stringify((e as Error).message)}`
      if (!ctx.signal.aborted && content.status?.error?.message !== message)
        await say(client, volumeSnapshotContents, content, { readyToUse: false, error: { time: formatTime(), message } }).catch(
          ignoreNotFound,
        )
      throw e
    }
  }
  const mark = (content: VolumeSnapshotContent, value: 'yes' | null, client: Client): Promise<unknown> =>
    client.patch(volumeSnapshotContents, '', content.metadata.name ?? '', 'merge', { metadata: { annotations: { [beingCreated]: value } } })
  async function existing(driver: string, snapshotId: string, client: Client): Promise<object> {
    const { rpcs } = await csi.abilities(client, driver)
    if (!rpcs.has(ControllerRpc.listSnapshots)) return { snapshotHandle: snapshotId, readyToUse: true }
    const { entries = [] } = await csi.caller(client, driver)(controller.listSnapshots, { snapshotId, maxEntries: 0 })
    const found = entries[0]?.snapshot
    if (!found) throw new Error(`can not find snapshot for snapshotID ${snapshotId}`)
    const creationTime = Date.parse(found.creationTime ?? formatTime()) * 1e6
    return { snapshotHandle: snapshotId, readyToUse: found.readyToUse ?? false, restoreSize: found.sizeBytes ?? 0, creationTime }
  }
  async function removeContent(content: VolumeSnapshotContent, client: Client): Promise<void> {
    if (!hasFinalizer(content, contentFinalizer)) return
    const { driver, deletionPolicy, source: from, volumeSnapshotRef: ref } = content.spec
    const owner = await client.get(volumeSnapshots, ref.namespace ?? '', ref.name ?? '').catch(ignoreNotFound)
    // Still somebody's, who has not been told to go.
    if (owner && owner.metadata.uid === ref.uid && !owner.metadata.deletionTimestamp) return
    if (deletionPolicy === 'Delete') {
      let id = content.status?.snapshotHandle ?? from.snapshotHandle
      if (id === undefined && annotated(content, beingCreated))
        id = await take(content, client).then(
          made => made.snapshotId,
          // It refuses: then it has none.
          (e: unknown) => (isUncertain(e) ? Promise.reject(e) : undefined),
        )
      const told = (what: string) => (e: unknown) => {
        if (!ctx.signal.aborted) recorder.event(content, 'Warning', 'SnapshotDeleteError', `Failed to ${what}`)
        throw e
      }
      const { annotations = {} } = content.metadata
      const ref = { name: annotations[deletionSecretName], namespace: annotations[deletionSecretNamespace] }
      const secrets = await secretOf(client, ref).catch(told('get snapshot credentials'))
      if (id !== undefined)
        await csi
          .caller(
            client,
            driver,
            near(from.volumeHandle),
          )(controller.deleteSnapshot, { snapshotId: id, secrets })
          .catch((e: unknown) => (e instanceof RpcError && e.code === Code.notFound ? undefined : Promise.reject(e)))
          .catch(told('delete snapshot'))
    }
    await client.update(volumeSnapshotContents, finalized(content, contentFinalizer, false)).catch(ignoreNotFound)
  }

  return {
    name: 'csi-snapshotter',
    workers: 10,
    client: ctx.as('csi-controller'),
    sources: [
      source(claims, e => {
        const { namespace = '', name } = e.object.metadata
        const own = kinds()?.snapshots.list(namespace) ?? []
        return own
          .filter(s => s.spec.source.persistentVolumeClaimName === name && !s.status?.readyToUse)
          .map(s => `snapshot ${namespace}/${s.metadata.name}`)
      }),
      source(volumes),
    ],
    start(queue: WorkQueue) {
      kinds = followSnapshotKinds(ctx, queue)
    },
    async reconcile(key, client) {
      const all = kinds()
      const [what = '', object = ''] = key.split(' ')
      const [namespace, name] = splitKey(object)
      if (!all) return
      return what === 'content' ? reconcileContent(name, client) : reconcileSnapshot(namespace, name, client, all)
    },
    queue: { baseMs: 200, limitMs: 60_000 },
    log: ctx.log,
  }
}

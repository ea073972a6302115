/**
 * The PersistentVolume controller: binds claims to volumes, says what phase both are in, asks provisioners for volumes, and releases those
 * whose claims are gone. A volume's claimRef is what counts; every write is a compare-and-swap, so that of two binders one loses.
 * pkg/controller/volume/persistentvolume
 */
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import { persistentVolumeClaims, persistentVolumes, pods, storageClasses } from '#shared/api/kinds.ts'
import { defaultClassOf } from '#shared/api/storage/defaultclass.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey, type ControllerOptions } from '#shared/client/controller.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { ignoreNotFound } from '#shared/machinery/status.ts'
import { claimKey, claimRefKey, classOf, isFullyBound } from '#shared/storage/volume.ts'
import type { ControllerContext } from '../context.ts'
import { claimsOf } from '../podcontrol/claims.ts'
import { bind, setClaimPhase, setClass, setProvisioner, setVolumePhase } from './bind.ts'
import { decideClaim, type ClaimWorld, type Told } from './claim.ts'
import { hostPathDeletion, removeHostPath } from './hostpath.ts'
import { persistentVolumeMetrics } from './metrics.ts'
import { decideVolume, reclaimFailure, unbound } from './volume.ts'

/** By the class of a volume that is for nobody yet; a claim's key cannot be mistaken for it. */
const free = (className: string): string => `class ${className}`

export const persistentVolumeBinder = (ctx: ControllerContext): ControllerOptions[] => {
  const claims = ctx.informer(persistentVolumeClaims)
  const volumes = ctx.informer(persistentVolumes)
  const classes = ctx.informer(storageClasses)
  const podInformer = ctx.informer(pods)
  const recorder = ctx.recorder('persistentvolume-controller')
  podInformer.addIndex('claim', p => claimsOf(p).map(name => `${p.metadata.namespace}/${name}`))
  volumes.addIndex('for', v => [claimRefKey(v) ?? free(classOf(v))])
  claims.addIndex('unbound', c => (isFullyBound(c) ? [] : [classOf(c)]))
  claims.addIndex('volume', c => (c.spec.volumeName ? [c.spec.volumeName] : []))
  persistentVolumeMetrics(ctx.metrics, volumes, claims)
  const retroactive = ctx.metrics.counter(
    'retroactive_storageclass_total',
    '[ALPHA] Total number of PersistentVolumeClaims updated with a storage class retroactively',
  )
  const notRetroactive = ctx.metrics.counter(
    'retroactive_storageclass_errors_total',
    '[ALPHA] Total number of failed retroactive StorageClass assignments to persistent volume claim',
  )
  /** Volumes that claims, by key, are about to get in this process: the cache shows it later. */
  const taken = new Map<string, string>()

  const classNamed = (name: string) => classes.get('', name)
  function* candidates(key: string, className: string): Iterable<PersistentVolume> {
    yield* volumes.byIndex('for', key)
    yield* volumes.byIndex('for', free(className))
  }
  const world = (key: string): ClaimWorld => ({
    volume: name => volumes.get('', name),
    candidates,
    excluded: { has: name => taken.has(name) && taken.get(name) !== key },
    class: classNamed,
    defaultClass: () => defaultClassOf(classes.list()),
    waitingPods: of => podInformer.byIndex('claim', of).flatMap(p => (p.spec.nodeName ? [] : (p.metadata.name ?? []))),
  })

  async function reconcileClaim(key: string, client: Client): Promise<void> {
    const claim = claims.get(...splitKey(key))
    if (!claim) return
    const decision = decideClaim(claim, world(key))
    if ('tell' in decision && decision.tell && decision.step === 'pending') {
      const { type, reason, message } = decision.tell
      recorder.event(claim, type, reason, message)
    }
    switch (decision.step) {
      case 'bind': {
        const name = decision.volume.metadata.name ?? ''
        taken.set(name, key)
        try {
          await bind(client, decision.volume, claim)
        } finally {
          taken.delete(name)
        }
        return
      }
      case 'pending':
        return void (await setClaimPhase(client, claim, 'Pending'))
      case 'lost': {
        // The cache may be behind, and there is no way back.
        const { volumeName } = claim.spec
        const now = volumeName ? await client.get(persistentVolumes, '', volumeName).catch(ignoreNotFound) : undefined
        if (now && (!now.spec.claimRef || now.spec.claimRef.uid === claim.metadata.uid))
          throw new Error(`volume ${volumeName} of claim ${key} is not in the cache yet`)
        if (await setClaimPhase(client, claim, 'Lost'))
          recorder.event(claim, decision.tell.type, decision.tell.reason, decision.tell.message)
        return
      }
      case 'class':
        await setClass(client, claim, decision.name).catch((e: unknown) => {
          notRetroactive.add({})
          throw e
        })
        return retroactive.add({})
      case 'provision': {
        const { provisioner } = decision.class
        await setProvisioner(client, claim, provisioner)
        const message =
          `Waiting for a volume to be created either by the external provisioner '${provisioner}' or manually by the system administrator. ` +
          'If volume creation is delayed, please verify that the provisioner is running and correctly registered.'
        recorder.event(claim, 'Normal', 'ExternalProvisioning', message)
      }
    }
  }

  async function reconcileVolume(key: string, client: Client): Promise<void> {
    const volume = volumes.get(...splitKey(key))
    if (!volume) return
    const ref = claimRefKey(volume)
    const claim = ref === undefined ? undefined : claims.get(...splitKey(ref))
    const decision = decideVolume(volume, claim)
    switch (decision.step) {
      case 'phase':
        return void (await setVolumePhase(client, volume, decision.phase))
      case 'unbind':
        return void (await setVolumePhase(client, await client.update(persistentVolumes, unbound(volume)), 'Available'))
      case 'claim':
        if (!decision.tell) return
        recorder.event(volume, decision.tell.volume.type, decision.tell.volume.reason, decision.tell.volume.message)
        return recorder.event(claim!, decision.tell.claim.type, decision.tell.claim.reason, decision.tell.claim.message)
      case 'release':
        return release(volume, client)
    }
  }
  async function release(volume: PersistentVolume, client: Client): Promise<void> {
    const [namespace, name] = splitKey(claimRefKey(volume) ?? '')
    const phase = volume.status?.phase
    let released = volume
    if (phase !== 'Released' && phase !== 'Failed') {
      // The cache may be behind, and data may be deleted after this.
      const now = await client.get(persistentVolumeClaims, namespace, name).catch(ignoreNotFound)
      const kept = now?.metadata.uid === volume.spec.claimRef?.uid
      if (kept && (!now!.spec.volumeName || now!.spec.volumeName === volume.metadata.name))
        throw new Error(`claim ${namespace}/${name} of volume ${volume.metadata.name} is not in the cache yet`)
      released = await setVolumePhase(client, volume, 'Released')
    }
    const failure = hostPathDeletion(released) ? await deleteHostPath(released, client) : reclaimFailure(released)
    if (!failure || released.status?.phase === 'Failed') return
    await setVolumePhase(client, released, 'Failed', failure.message)
    recorder.event(released, failure.type, failure.reason, failure.message)
  }

  /** What has failed; undefined when nothing has. */
  async function deleteHostPath(volume: PersistentVolume, client: Client): Promise<Told | undefined> {
    if (volume.status?.phase === 'Failed') return undefined
    try {
      await removeHostPath(volume)
    } catch (e) {
      return { type: 'Warning', reason: 'VolumeFailedDelete', message: (e as Error).message }
    }
    const { name = '', uid } = volume.metadata
    await client.delete(persistentVolumes, '', name, uid ? { preconditions: { uid } } : {}).catch(ignoreNotFound)
    return undefined
  }

  function* claimsOfVolume(volume: PersistentVolume): Iterable<string> {
    const ref = claimRefKey(volume)
    if (ref !== undefined) yield ref
    for (const claim of claims.byIndex('volume', volume.metadata.name ?? '')) yield claimKey(claim)
    // What is for nobody may be for somebody who waits.
    if (ref === undefined) for (const claim of claims.byIndex('unbound', classOf(volume))) yield claimKey(claim)
  }
  function* volumesOfClaim(claim: PersistentVolumeClaim): Iterable<string> {
    if (claim.spec.volumeName) yield `/${claim.spec.volumeName}`
    for (const volume of volumes.byIndex('for', claimKey(claim))) yield keyOf(volume)
  }
  const waiting = (pod: LeanPod): string[] => (pod.spec.nodeName ? [] : claimsOf(pod).map(name => `${pod.metadata.namespace}/${name}`))
  const common = { client: ctx.as('persistent-volume-binder'), log: ctx.log, workers: 8 }
  return [
    {
      ...common,
      name: 'persistentvolume-binder-controller',
      sources: [
        source(claims, e => (e.type === 'DELETED' ? [] : [keyOf(e.object)])),
        source(volumes, e => claimsOfVolume(e.object)),
        source(classes, e => [e.object.metadata.name ?? '', ''].flatMap(name => claims.byIndex('unbound', name).map(claimKey))),
        source(podInformer, e => (e.type === 'ADDED' ? waiting(e.object).filter(key => claims.get(...splitKey(key))) : [])),
      ],
      reconcile: reconcileClaim,
    },
    {
      ...common,
      name: 'persistentvolume-binder-controller-volumes',
      sources: [source(volumes, e => (e.type === 'DELETED' ? [] : [keyOf(e.object)])), source(claims, e => volumesOfClaim(e.object))],
      reconcile: reconcileVolume,
    },
  ]
}

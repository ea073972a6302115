/**
 * Lets go of claims that are to be deleted once no pod uses them, of volumes once they are not bound, and of classes of volumes' attributes
 * once no claim or volume names them: until then a finalizer, which the admission plugin StorageObjectInUseProtection sets, keeps them.
 * pkg/controller/volume/pvcprotection, pvprotection, vacprotection
 */
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { VolumeAttributesClass } from '#shared/api/storage/volumeattributesclass.ts'
import { persistentVolumeClaims, persistentVolumes, pods, volumeAttributesClasses } from '#shared/api/kinds.ts'
import { pvProtection, pvcProtection, vacProtection } from '#shared/api/storage/finalizers.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { isStatus } from '#shared/machinery/status.ts'
import type { NewController } from './context.ts'
import { claimsOf } from './podcontrol/claims.ts'

/** The object with the finalizer or without it; undefined when it is as it should be. */
function withFinalizer<T extends PersistentVolume | PersistentVolumeClaim | VolumeAttributesClass>(
  object: T,
  finalizer: string,
  there: boolean,
): T | undefined {
  const finalizers = object.metadata.finalizers ?? []
  if (finalizers.includes(finalizer) === there) return undefined
  const others = finalizers.filter(f => f !== finalizer)
  return { ...object, metadata: { ...object.metadata, finalizers: there ? [...others, finalizer] : others } }
}

/** What was changed or is gone meanwhile comes again by its own event. */
const ignoringChanges = (e: unknown): void => {
  if (!isStatus(e, 'NotFound') && !isStatus(e, 'Conflict')) throw e
}

/**
 * A kubelet has done with a pod that goes without grace, and its volumes with it: where something else keeps it, that may be its ephemeral
 * volumes' claims, which would wait for each other (deletion in the foreground). podIsShutDown
 */
const isShutDown = ({ metadata }: Pick<LeanPod, 'metadata'>): boolean =>
  metadata.deletionTimestamp !== undefined && metadata.deletionGracePeriodSeconds === 0

function uses(pod: Pick<LeanPod, 'metadata' | 'spec'>, claim: string): boolean {
  if (!pod.spec.nodeName) return false
  return isShutDown(pod) ? (pod.spec.volumes ?? []).some(v => v.persistentVolumeClaim?.claimName === claim) : claimsOf(pod).includes(claim)
}

export const pvcProtectionController: NewController = ctx => {
  const claims = ctx.informer(persistentVolumeClaims)
  const podInformer = ctx.informer(pods)
  podInformer.addIndex('claim', p => claimsOf(p).map(name => `${p.metadata.namespace}/${name}`))
  return {
    name: 'persistentvolumeclaim-protection-controller',
    client: ctx.as('pvc-protection-controller'),
    sources: [
      source(claims, e => [keyOf(e.object)]),
      source(podInformer, e => claimsOf(e.object).map(c => `${e.object.metadata.namespace}/${c}`)),
    ],
    async reconcile(key, client) {
      const [namespace, name] = splitKey(key)
      const claim = claims.get(namespace, name)
      if (!claim) return
      const deleted = claim.metadata.deletionTimestamp !== undefined
      const next = withFinalizer(claim, pvcProtection, !deleted)
      if (!next || (deleted && podInformer.byIndex('claim', key).some(p => uses(p, name)))) return
      // The cache may be behind: a pod may have been bound that it does not show yet.
      if (deleted && (await client.list(pods, namespace)).items.some(p => uses(p, name))) return
      await client.update(persistentVolumeClaims, next).catch(ignoringChanges)
    },
    log: ctx.log,
  }
}

export const pvProtectionController: NewController = ctx => {
  const volumes = ctx.informer(persistentVolumes)
  return {
    name: 'persistentvolume-protection-controller',
    client: ctx.as('pv-protection-controller'),
    sources: [source(volumes, e => [keyOf(e.object)])],
    async reconcile(key, client) {
      const volume = volumes.get('', splitKey(key)[1])
      if (!volume) return
      const deleted = volume.metadata.deletionTimestamp !== undefined
      const next = withFinalizer(volume, pvProtection, !deleted)
      if (!next || (deleted && volume.status?.phase === 'Bound')) return
      await client.update(persistentVolumes, next).catch(ignoringChanges)
    },
    log: ctx.log,
  }
}

/** The classes that a claim names: the one it has, the one it wants, and the one it is being given. */
const classesOf = ({ spec, status }: PersistentVolumeClaim): string[] =>
  [
    spec.volumeAttributesClassName,
    status?.currentVolumeAttributesClassName,
    status?.modifyVolumeStatus?.targetVolumeAttributesClassName,
  ].filter(name => name !== undefined && name !== '') as string[]
const classOf = ({ spec }: PersistentVolume): string[] => (spec.volumeAttributesClassName ? [spec.volumeAttributesClassName] : [])

export const vacProtectionController: NewController = ctx => {
  const classes = ctx.informer(volumeAttributesClasses)
  const claims = ctx.informer(persistentVolumeClaims)
  const volumes = ctx.informer(persistentVolumes)
  claims.addIndex('attributes', classesOf)
  volumes.addIndex('attributes', classOf)
  /** Classes that an event's object named before: somebody may wait for that. */
  const freed =
    <T>(names: (object: T) => string[]) =>
    ({ previous }: { previous?: T }): string[] =>
      previous ? names(previous).map(name => `/${name}`) : []
  return {
    name: 'volumeattributesclass-protection-controller',
    client: ctx.as('volumeattributesclass-protection-controller'),
    sources: [source(classes, e => [keyOf(e.object)]), source(claims, freed(classesOf)), source(volumes, freed(classOf))],
    async reconcile(key, client) {
      const [, name] = splitKey(key)
      const one = classes.get('', name)
      if (!one) return
      const deleted = one.metadata.deletionTimestamp !== undefined
      const next = withFinalizer(one, vacProtection, !deleted)
      const used = (): boolean => claims.byIndex('attributes', name).length + volumes.byIndex('attributes', name).length > 0
      if (next && !(deleted && used())) await client.update(volumeAttributesClasses, next).catch(ignoringChanges)
    },
    log: ctx.log,
  }
}

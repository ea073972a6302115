/**
 * Makes and deletes volumes that are directories or devices of a node, as an external provisioner would: for claims that the binder names
 * it to, on the node that the scheduler has selected. Kubelets make and remove them when they are told to, by way of the API server. A
 * directory is there before its volume and goes before it; what a kill leaves in between, a sweep of its node finds.
 */
import * as z from 'zod'
import type { Node } from '#shared/api/core/node.ts'
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import { configMaps, nodes, persistentVolumeClaims, persistentVolumes, storageClasses } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey, type ControllerOptions } from '#shared/client/controller.ts'
import { quantityValue } from '#shared/machinery/quantity.ts'
import { StatusError, ignoreNotFound, isAlreadyExists } from '#shared/machinery/status.ts'
import { selectedNode, storageProvisioner } from '#shared/storage/annotations.ts'
import { claimKey, classOf } from '#shared/storage/volume.ts'
import type { ControllerContext } from '../context.ts'
import { isForPopulator, populated } from '../csi/datasource.ts'
import { pickNode } from './node.ts'
import {
  claimUid,
  enforceCapacity,
  finalizer,
  formOf,
  hostnameLabel,
  hostOf,
  isOurs,
  isToBeDeleted,
  localVolume,
  provisionerName,
  refusal,
  volumeName,
} from './volume.ts'

const made = z.object({ path: z.string().startsWith('/') })
const listed = z.object({ volumes: z.array(z.string().regex(/^pvc-[0-9a-f-]{36}$/)) })
const isReady = (node: Node): boolean => node.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True') ?? false

const mostSweepTries = 8

export const localVolumeProvisioner = (ctx: ControllerContext): ControllerOptions => {
  const claims = ctx.informer(persistentVolumeClaims)
  const volumes = ctx.informer(persistentVolumes)
  const classes = ctx.informer(storageClasses)
  const nodeInformer = ctx.informer(nodes)
  const recorder = ctx.recorder(provisionerName)
  const sweepTries = new Map<string, number>()
  /** Also one of which the binder has not yet said so, when the scheduler has found that no volume is there for it. */
  const isForUs = (claim: PersistentVolumeClaim): boolean => {
    const { [storageProvisioner]: told, [selectedNode]: chosen } = claim.metadata.annotations ?? {}
    return (
      told === provisionerName ||
      (told === undefined && chosen !== undefined && classes.get('', classOf(claim))?.provisioner === provisionerName)
    )
  }
  const wantsUs = (claim: PersistentVolumeClaim): boolean => isForUs(claim) && !claim.spec.volumeName && !claim.metadata.deletionTimestamp
  claims.addIndex('uid', c => [c.metadata.uid ?? ''])
  claims.addIndex('wants local volume', c => (wantsUs(c) ? [''] : []))
  volumes.addIndex('local host', v => (isOurs(v) ? [hostOf(v)] : []))
  nodeInformer.addIndex('host', n => [n.metadata.labels?.[hostnameLabel] ?? n.metadata.name ?? ''])

  const kubelet = (node: string, volume = ''): string =>
    `/api/v1/nodes/${encodeURIComponent(node)}/proxy/localVolumes${volume && `/${encodeURIComponent(volume)}`}`
  /** Idempotent. */
  const remove = (client: Client, node: string, volume: string): Promise<unknown> => client.raw('DELETE', kubelet(node, volume))

  async function provision(claim: PersistentVolumeClaim, client: Client): Promise<void> {
    const storageClass = classes.get('', classOf(claim))
    if (!storageClass || storageClass.provisioner !== provisionerName || volumes.get('', volumeName(claim))) return
    const fail = (why: string): void =>
      recorder.event(
        claim,
        'Warning',
        'ProvisioningFailed',
        `failed to provision volume with StorageClass ${JSON.stringify(classOf(claim))}: ${why}`,
      )
    const chosen = claim.metadata.annotations?.[selectedNode]
    if (storageClass.volumeBindingMode === 'WaitForFirstConsumer' && chosen === undefined) return
    if (isForPopulator(claim)) return recorder.event(claim, 'Normal', 'Provisioning', populated)
    const why = refusal(claim, storageClass)
    if (why !== undefined) return fail(why)
    const node =
      chosen === undefined ? pickNode(nodeInformer.list().filter(isReady), storageClass, volumes.list()) : nodeInformer.get('', chosen)
    if (!node && chosen === undefined) return fail('no node is ready')
    if (!node) {
      fail(`node ${JSON.stringify(chosen)} not found`)
      return reschedule(claim, client)
    }
    const capacity = claim.spec.resources?.requests?.['storage'] ?? '0'
    try {
      const form = formOf(claim, storageClass)
      const path = `${kubelet(node.metadata.name ?? '', volumeName(claim))}?capacity=${quantityValue(capacity)}&form=${form}`
      const directory = made.parse(await client.raw('PUT', path))
      const volume = localVolume(claim, storageClass, node, directory.path, capacity)
      await client.create(persistentVolumes, '', volume).catch((e: unknown) => (isAlreadyExists(e) ? undefined : Promise.reject(e)))
      recorder.event(claim, 'Normal', 'ProvisioningSucceeded', `Successfully provisioned volume ${volumeName(claim)}`)
      if (form === 'directory')
        recorder.event(
          claim,
          'Normal',
          'CapacityNotEnforced',
          `a directory can grow beyond ${capacity}: its class does not say ${enforceCapacity}`,
        )
    } catch (e) {
      fail((e as Error).message)
      // Too large for this node, or nobody there: another may do. What it has made nevertheless is swept away.
      const elsewhere = (e instanceof StatusError && e.code === 507) || !isReady(nodeInformer.get('', node.metadata.name ?? '') ?? node)
      if (elsewhere && chosen !== undefined) return reschedule(claim, client)
      throw e
    }
  }
  /** The scheduler looks for another node. */
  async function reschedule(claim: PersistentVolumeClaim, client: Client): Promise<void> {
    const { [selectedNode]: _, ...annotations } = claim.metadata.annotations ?? {}
    await client.update(persistentVolumeClaims, { ...claim, metadata: { ...claim.metadata, annotations } })
  }

  async function reclaim(volume: PersistentVolume, client: Client): Promise<void> {
    const name = volume.metadata.name ?? ''
    const kept = volume.spec.persistentVolumeReclaimPolicy !== 'Delete'
    if (!isToBeDeleted(volume)) {
      if (kept && volume.metadata.deletionTimestamp) await letGo(volume, client)
      return
    }
    const [node] = nodeInformer.byIndex('host', hostOf(volume))
    try {
      // A node that is gone has taken its directories along; should it come back, its sweep removes them.
      if (node) await remove(client, node.metadata.name ?? '', name)
    } catch (e) {
      recorder.event(volume, 'Warning', 'VolumeFailedDelete', (e as Error).message)
      throw e
    }
    const { uid } = volume.metadata
    if (!volume.metadata.deletionTimestamp)
      await client.delete(persistentVolumes, '', name, uid ? { preconditions: { uid } } : {}).catch(ignoreNotFound)
    const now = await client.get(persistentVolumes, '', name).catch(ignoreNotFound)
    if (now && now.metadata.uid === uid) await letGo(now, client)
  }
  async function letGo(volume: PersistentVolume, client: Client): Promise<void> {
    const finalizers = volume.metadata.finalizers ?? []
    if (!finalizers.includes(finalizer)) return
    const rest = { ...volume, metadata: { ...volume.metadata, finalizers: finalizers.filter(f => f !== finalizer) } }
    await client.update(persistentVolumes, rest).catch(ignoreNotFound)
  }

  /** Removes directories that belong to no volume and will belong to none. */
  async function sweep(name: string, client: Client): Promise<void> {
    const node = nodeInformer.get('', name)
    if (!node || !isReady(node)) return
    const host = node.metadata.labels?.[hostnameLabel] ?? name
    const found = listed.parse(await client.raw('GET', kubelet(name)))
    for (const volume of found.volumes) {
      const [claim] = claims.byIndex('uid', claimUid(volume))
      if (claim && [undefined, name].includes(claim.metadata.annotations?.[selectedNode])) continue
      const known = volumes.get('', volume) ?? (await client.get(persistentVolumes, '', volume).catch(ignoreNotFound))
      if (known && hostOf(known) === host) continue
      ctx.log.info({ node: name, volume }, 'removing a directory of which there is no volume')
      await remove(client, name, volume)
    }
  }

  /** A node that has just come may not answer yet; one that never does is left alone until it is Ready anew. */
  async function trySweep(name: string, client: Client): Promise<void> {
    const tries = (sweepTries.get(name) ?? 0) + 1
    try {
      await sweep(name, client)
      sweepTries.delete(name)
    } catch (e) {
      sweepTries.set(name, tries)
      if (tries < mostSweepTries) throw e
      sweepTries.delete(name)
      ctx.log.info({ node: name, err: (e as Error).message }, 'a node does not say which volumes it has')
    }
  }

  /** Made once in a cluster's life: whoever deletes it does not want it. */
  async function makeClass(client: Client): Promise<void> {
    const marker = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'local-volume-provisioner', namespace: 'kube-system' },
      data: { class: ctx.settings.localStorageClass },
    }
    if (await client.get(configMaps, 'kube-system', marker.metadata.name).catch(ignoreNotFound)) return
    const found = classes.list().length > 0
    if (!found)
      await client
        .create(storageClasses, '', {
          apiVersion: 'storage.k8s.io/v1',
          kind: 'StorageClass',
          metadata: {
            name: ctx.settings.localStorageClass,
            annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' },
          },
          provisioner: provisionerName,
          reclaimPolicy: 'Delete',
          volumeBindingMode: 'WaitForFirstConsumer',
        })
        .catch((e: unknown) => (isAlreadyExists(e) ? undefined : Promise.reject(e)))
    await client.create(configMaps, 'kube-system', marker).catch((e: unknown) => (isAlreadyExists(e) ? undefined : Promise.reject(e)))
  }

  return {
    name: 'local-volume-provisioner-controller',
    client: ctx.as('local-volume-provisioner'),
    workers: 16,
    queue: { baseMs: 100, limitMs: 60_000 },
    sources: [
      source(claims, function* ({ type, object, previous }) {
        if (type !== 'DELETED' && wantsUs(object)) yield `claim ${keyOf(object)}`
        // It may have been about to get a volume.
        const node = (previous ?? object).metadata.annotations?.[selectedNode]
        if (type === 'DELETED' && wantsUs({ ...object, metadata: { ...object.metadata, deletionTimestamp: undefined } }) && node)
          yield `node /${node}`
      }),
      source(volumes, e => (e.type !== 'DELETED' && isOurs(e.object) ? [`volume ${keyOf(e.object)}`] : [])),
      source(classes, () => claims.byIndex('wants local volume', '').map(c => `claim ${claimKey(c)}`)),
      source(nodeInformer, function* ({ object, previous }) {
        if (!isReady(object) || (previous && isReady(previous))) return
        yield `node /${object.metadata.name}`
        const host = object.metadata.labels?.[hostnameLabel] ?? object.metadata.name ?? ''
        for (const volume of volumes.byIndex('local host', host)) if (isToBeDeleted(volume)) yield `volume ${keyOf(volume)}`
        for (const claim of claims.byIndex('wants local volume', '')) yield `claim ${claimKey(claim)}`
      }),
    ],
    start: queue => {
      if (ctx.settings.localStorageClass) queue.add('class /')
    },
    async reconcile(key, client) {
      const at = key.indexOf(' ')
      const [what, rest] = [key.slice(0, at), splitKey(key.slice(at + 1))]
      if (what === 'class') return makeClass(client)
      if (what === 'node') return trySweep(rest[1], client)
      if (what === 'volume') {
        const volume = volumes.get(...rest)
        return volume && reclaim(volume, client)
      }
      const claim = claims.get(...rest)
      return claim && wantsUs(claim) ? provision(claim, client) : undefined
    },
    log: ctx.log,
  }
}

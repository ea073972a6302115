/** Volumes of a pod: bound ones must be reachable from its node, others are bound to, or made for, the node that it gets. */
import type { CSIStorageCapacity } from '#shared/api/storage/csistoragecapacity.ts'
import type { CSIDriver } from '#shared/api/storage/csidriver.ts'
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'
import {
  csiDrivers,
  csiNodes,
  csiStorageCapacities,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  storageClasses,
} from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { isConflict } from '#shared/machinery/status.ts'
import { compareQuantity } from '#shared/machinery/quantity.ts'
import { selectedNode } from '#shared/storage/annotations.ts'
import { claimKey, claimRefKey, classOf, isFullyBound, volumeBoundTo } from '#shared/storage/volume.ts'
import { unlessVolumes } from '../batch.ts'
import { Action } from '../clusterevent.ts'
import type { VolumeBindingArgs } from '../config/pluginargs.ts'
import { stateKey } from '../cyclestate.ts'
import { failure, skip, type EventToRegister, type PluginFactory } from '../framework.ts'
import { Assumed } from '../volumebinding/assumed.ts'
import { bindingWaiter } from '../volumebinding/await.ts'
import { hasEnoughCapacity, volumeLimit } from '../volumebinding/capacity.ts'
import { findPodVolumes, type PodVolumes, type VolumeWorld } from '../volumebinding/find.ts'
import { claimNames, podClaims, usesClaims, type PodClaims } from '../volumebinding/podclaims.ts'

interface State {
  readonly claims: PodClaims
  /** By node, of those that fit. */
  readonly found: Map<string, PodVolumes>
  /** What was assumed by Reserve. */
  reserved?: PodVolumes
}
const key = stateKey<State>('VolumeBinding')
const hasWork = (reserved: PodVolumes | undefined): reserved is PodVolumes =>
  reserved !== undefined && reserved.bindings.length + reserved.provisions.length > 0
const free = (className: string): string => `class ${className}`

/** Whether a larger volume has room than before. */
function hasMore(old: CSIStorageCapacity | undefined, now: CSIStorageCapacity): boolean {
  const [before, after] = [old && volumeLimit(old), volumeLimit(now)]
  return !old || (after !== undefined && (before === undefined || compareQuantity(after, before) > 0))
}

const events: EventToRegister[] = [
  {
    kind: persistentVolumeClaims,
    action: Action.Add | Action.Update,
    hint: (pod, _, claim) =>
      claim?.metadata.namespace === pod.metadata.namespace && claimNames(pod).some(c => c.name === claim?.metadata.name),
  },
  { kind: persistentVolumes, action: Action.Add | Action.Update },
  {
    kind: storageClasses,
    action: Action.Add | Action.Update,
    hint: (_, old, now) =>
      !old || JSON.stringify((old as StorageClass).allowedTopologies) !== JSON.stringify((now as StorageClass).allowedTopologies),
  },
  { kind: csiNodes, action: Action.Add },
  { kind: nodes, action: Action.Add | Action.UpdateNodeLabel },
  {
    kind: csiDrivers,
    action: Action.Update,
    hint: (_, old, now) => Boolean((old as CSIDriver).spec.storageCapacity) && !(now as CSIDriver).spec.storageCapacity,
  },
  {
    kind: csiStorageCapacities,
    action: Action.Add | Action.Update,
    hint: (_, old, now) => hasMore(old as CSIStorageCapacity | undefined, now as CSIStorageCapacity),
  },
]

export function volumeBinding({ bindTimeoutSeconds = 600 }: VolumeBindingArgs): PluginFactory {
  return ({ client, informer }) => {
    const informers = {
      pods: informer(pods),
      nodes: informer(nodes),
      claims: informer(persistentVolumeClaims),
      volumes: informer(persistentVolumes),
    }
    const classes = informer(storageClasses)
    const drivers = informer(csiDrivers)
    const capacities = informer(csiStorageCapacities)
    informer(csiNodes)
    informers.volumes.addIndex('for', v => [claimRefKey(v) ?? free(classOf(v))])
    const claims = new Assumed<PersistentVolumeClaim>(informers.claims)
    const volumes = new Assumed<PersistentVolume>(informers.volumes)
    const waitFor = bindingWaiter(informers)
    const world: VolumeWorld = {
      volume: name => volumes.get('', name),
      candidates: claim => [...volumes.byIndex('for', claimKey(claim)), ...volumes.byIndex('for', free(classOf(claim)))],
      class: name => classes.get('', name),
      hasCapacity: (claim, storageClass, node) =>
        hasEnoughCapacity(claim, storageClass, node, drivers.get('', storageClass.provisioner), capacities.list()),
    }
    const restore = ({ bindings, provisions }: PodVolumes): void => {
      for (const { volume } of bindings) volumes.restore(volume)
      for (const claim of provisions) claims.restore(claim)
    }
    return {
      name: 'VolumeBinding',
      sign: unlessVolumes,
      events,
      preFilter(state, { pod }) {
        if (!usesClaims(pod)) return skip
        const found = podClaims(pod, (namespace, name) => claims.get(namespace, name), world.class)
        if ('code' in found) return found
        state.set(key, { claims: found, found: new Map() })
        return undefined
      },
      filter(state, _, { node, name }) {
        const known = state.get(key)
        if (!known) return undefined
        const found = findPodVolumes(known.claims, node, world)
        if ('code' in found) return found
        known.found.set(name, found)
        return undefined
      },
      reserve(state, _, node) {
        const known = state.get(key)
        const found = known?.found.get(node)
        if (!known || !found) return undefined
        const bindings = found.bindings.map(({ claim, volume }) => ({ claim, volume: volumeBoundTo(volume, claim) ?? volume }))
        const provisions = found.provisions.map(claim => ({
          ...claim,
          metadata: { ...claim.metadata, annotations: { ...claim.metadata.annotations, [selectedNode]: node } },
        }))
        for (const { volume } of bindings) volumes.assume(volume)
        for (const claim of provisions) claims.assume(claim)
        known.reserved = { bindings, provisions }
        return undefined
      },
      unreserve(state) {
        const known = state.get(key)
        if (known?.reserved) restore(known.reserved)
      },
      preBindPreFlight: state => (hasWork(state.get(key)?.reserved) ? undefined : skip),
      async preBind(state, { pod }, node) {
        const reserved = state.get(key)?.reserved
        if (!hasWork(reserved)) return undefined
        try {
          const written = await Promise.all(reserved.bindings.map(({ volume }) => write(client, volume)))
          const provisions = await Promise.all(
            reserved.provisions.map(({ metadata: { namespace = '', name = '', uid } }) =>
              client.patch(persistentVolumeClaims, namespace, name, 'merge', { metadata: { uid, annotations: { [selectedNode]: node } } }),
            ),
          )
          const all = [...reserved.bindings.map(b => b.claim), ...reserved.provisions]
          await waitFor(pod, node, { volumes: written, provisions, claims: all }, bindTimeoutSeconds * 1000)
          return undefined
        } catch (e) {
          return failure(`binding volumes: ${(e as Error).message}`)
        }
      },
    }
  }
}

/** Another pod that uses the claim may have been faster: then the volume is as we want it. */
async function write(client: Client, volume: PersistentVolume): Promise<PersistentVolume> {
  try {
    return await client.update(persistentVolumes, volume)
  } catch (e) {
    if (!isConflict(e)) throw e
    const now = await client.get(persistentVolumes, '', volume.metadata.name ?? '')
    if (now.spec.claimRef?.uid !== volume.spec.claimRef?.uid) throw e
    return now
  }
}

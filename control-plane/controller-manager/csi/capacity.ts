/**
 * Tells the scheduler how much room a driver has, as kubernetes-csi's external-provisioner does with --enable-capacity: a
 * CSIStorageCapacity for each of the driver's classes in each part of its topology. Only for drivers whose CSIDriver says
 * `storageCapacity`, and only of classes that wait for a pod. They belong to the CSIDriver and go with it.
 */
import { createHash } from 'node:crypto'
import { csiStorageCapacities, persistentVolumes, csiDrivers as driverKind, storageClasses } from '#shared/api/kinds.ts'
import type { CSIDriver } from '#shared/api/storage/csidriver.ts'
import type { CSIStorageCapacity } from '#shared/api/storage/csistoragecapacity.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'
import type { Client } from '#shared/client/client.ts'
import { source, type ControllerOptions } from '#shared/client/controller.ts'
import type { WorkQueue } from '#shared/client/workqueue.ts'
import { AccessMode, ControllerRpc, PluginService } from '#shared/csi/messages.ts'
import { capabilityOf } from '#shared/csi/capability.ts'
import { controller } from '#shared/csi/services.ts'
import { formatQuantity, quantityOf } from '#shared/machinery/quantity.ts'
import { ignoreNotFound, isAlreadyExists } from '#shared/machinery/status.ts'
import type { ControllerContext } from '../context.ts'
import { type Csi, type Segments } from './driver.ts'
import { driverParameters, fsTypeOf } from './parameters.ts'
import { allows, distinctSegments, segmentsOf } from './topology.ts'

/** external-provisioner's --capacity-poll-interval. */
const pollMs = 60_000
/** Volumes that come and go in a hurry make one question. */
const settleMs = 1_000
const namespace = 'kube-system'
const driverLabel = 'csi.storage.k8s.io/drivername'
const managedBy = 'csi.storage.k8s.io/managed-by'
const bytes = (n: number): string => formatQuantity(quantityOf(n, 'BinarySI'))

/** The same for the same place, so that of two controllers one is late. */
function nameOf(driver: string, className: string, segments: Segments): string {
  return `csisc-${createHash('sha256')
    .update(JSON.stringify([driver, className, segments]))
    .digest('hex')
    .slice(0, 20)}`
}

export function csiCapacity(ctx: ControllerContext, csi: Csi): ControllerOptions {
  const capacities = ctx.informer(csiStorageCapacities)
  const classes = ctx.informer(storageClasses)
  const volumes = ctx.informer(persistentVolumes)
  let queue: WorkQueue | undefined

  async function ask(client: Client, driver: string, { parameters }: StorageClass, segments: Segments | undefined) {
    const call = csi.caller(client, driver, segments ? [segments] : [])
    const { availableCapacity = 0, maximumVolumeSize } = await call(controller.getCapacity, {
      volumeCapabilities: [capabilityOf({ mode: AccessMode.singleNodeWriter, block: false, fsType: fsTypeOf(parameters) })],
      parameters: driverParameters(parameters),
      ...(segments ? { accessibleTopology: { segments: { ...segments } } } : {}),
    })
    return { capacity: bytes(availableCapacity), ...(maximumVolumeSize ? { maximumVolumeSize: bytes(maximumVolumeSize.value ?? 0) } : {}) }
  }
  function object(driver: CSIDriver, storageClass: StorageClass, segments: Segments | undefined): CSIStorageCapacity {
    const name = driver.metadata.name ?? ''
    return {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'CSIStorageCapacity',
      metadata: {
        name: nameOf(name, storageClass.metadata.name ?? '', segments ?? {}),
        namespace,
        labels: { [driverLabel]: name, [managedBy]: 'external-provisioner' },
        ownerReferences: [
          { apiVersion: 'storage.k8s.io/v1', kind: driverKind.kind, name, uid: driver.metadata.uid ?? '', controller: true },
        ],
      },
      nodeTopology: segments ? { matchLabels: { ...segments } } : {},
      storageClassName: storageClass.metadata.name ?? '',
    }
  }
  async function write(client: Client, wanted: CSIStorageCapacity): Promise<void> {
    const known = capacities.get(namespace, wanted.metadata.name ?? '')
    if (!known) {
      await client
        .create(csiStorageCapacities, namespace, wanted)
        .catch((e: unknown) => (isAlreadyExists(e) ? undefined : Promise.reject(e)))
      return
    }
    if (known.capacity === wanted.capacity && known.maximumVolumeSize === wanted.maximumVolumeSize) return
    const { capacity, maximumVolumeSize } = wanted
    await client.update(csiStorageCapacities, { ...known, capacity, maximumVolumeSize })
  }

  /** Undefined when the driver publishes none. */
  async function wantedOf(driver: CSIDriver | undefined, client: Client) {
    const name = driver?.metadata.name ?? ''
    if (!driver?.spec.storageCapacity || driver.metadata.deletionTimestamp) return undefined
    const { rpcs, services } = await csi.abilities(client, name)
    if (!rpcs.has(ControllerRpc.getCapacity)) return undefined
    const places: (Segments | undefined)[] = services.has(PluginService.accessibilityConstraints)
      ? distinctSegments(csi.csiNodes.list().flatMap<Segments>(n => segmentsOf(name, n, csi.nodes.get('', n.metadata.name ?? '')) ?? []))
      : [undefined]
    return classes
      .list()
      .filter(c => c.provisioner === name && c.volumeBindingMode === 'WaitForFirstConsumer')
      .flatMap(c => places.filter(p => !p || allows(c, p)).map(place => ({ storageClass: c, place, made: object(driver, c, place) })))
  }

  return {
    name: 'csi-capacity',
    client: ctx.as('csi-controller'),
    workers: 2,
    sources: [
      source(capacities),
      source(csi.drivers, e => [e.object.metadata.name ?? '']),
      source(csi.csiNodes, e => [...(e.object.spec.drivers ?? []), ...(e.previous?.spec.drivers ?? [])].map(d => d.name)),
      source(classes, e => (csi.drivers.get('', e.object.provisioner) ? [e.object.provisioner] : [])),
      source(volumes, e => {
        const name = e.object.spec.csi?.driver
        if (name !== undefined && e.type !== 'MODIFIED' && csi.drivers.get('', name)?.spec.storageCapacity) queue?.addAfter(name, settleMs)
        return []
      }),
    ],
    start: q => void (queue = q),
    async reconcile(name, client) {
      const driver = csi.drivers.get('', name)
      if (driver && !csi.drives(name)) return
      const wanted = (await wantedOf(driver, client)) ?? []
      for (const { storageClass, place, made } of wanted)
        await write(client, { ...made, ...(await ask(client, name, storageClass, place)) })
      const names = new Set(wanted.map(w => w.made.metadata.name))
      for (const { metadata } of capacities.list())
        if (metadata.labels?.[driverLabel] === name && metadata.labels[managedBy] === 'external-provisioner' && !names.has(metadata.name))
          // Those of a driver with a sidecar of its own are the sidecar's.
          if (metadata.ownerReferences?.some(o => o.kind === driverKind.kind))
            await client.delete(csiStorageCapacities, metadata.namespace ?? '', metadata.name ?? '').catch(ignoreNotFound)
      return wanted.length > 0 ? { requeueAfterMs: pollMs } : undefined
    },
    queue: { baseMs: 1_000, limitMs: 60_000 },
    log: ctx.log,
  }
}

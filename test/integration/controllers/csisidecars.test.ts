/**
 * A driver that brings its sidecars, as its own manifests have it: they provision, attach and delete; attach/detach, the binder and the
 * scheduler's part are the cluster's; the controllers that do sidecars' work for other drivers leave it alone.
 */
import { createServer } from 'node:http'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { CSIDriver } from '#shared/api/storage/csidriver.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import {
  csiDrivers as driverKind,
  csiNodes,
  csiStorageCapacities,
  events,
  leases,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  storageClasses,
  volumeAttachments,
} from '#shared/api/kinds.ts'
import { natsTransport } from '#shared/bus/api-client.ts'
import { newClient } from '#shared/client/rest.ts'
import { grpcClient } from '#shared/grpc/client.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { csiNodeRecord } from '#node-agent/kubelet/csi/csinode.ts'
import { csiDrivers } from '#node-agent/kubelet/csi/drivers.ts'
import { followPlugins } from '#node-agent/kubelet/pluginmanager/pluginmanager.ts'
import { startCsiDriver, type TestCsiDriver } from '../../fixtures/csidriver.ts'
import { runSidecars } from '../../fixtures/sidecars.ts'
import { quiet, startControl, startNode, until, type Control } from './setup.ts'

const name = 'own.test'
let c: Control
let ns: string
let root: string
let driver: TestCsiDriver
const stop = new AbortController()
const first = new AbortController()
let node: Awaited<ReturnType<typeof startNode>>
let socket: Awaited<ReturnType<typeof grpcClient>>

beforeAll(async () => {
  c = await startControl()
  await c.control()
  ns = await c.namespace('own')
  root = await mkdtemp(join(tmpdir(), 'csi-sidecars-'))
  // No annotation: its manifests have sidecars.
  const made = { metadata: { name }, spec: { attachRequired: true, storageCapacity: true } }
  await c.client.create(driverKind, '', made as CSIDriver)
  const storageClass = { metadata: { name: 'own' }, provisioner: name, volumeBindingMode: 'Immediate' }
  await c.client.create(storageClasses, '', storageClass as unknown as StorageClass)
  node = await startNode(c.client, 'node-1', {})
  const own = newClient(natsTransport(await c.api.nats.connect('system:node:node-1')), { userAgent: 'kubelet' })
  const object = await own.get(nodes, '', 'node-1')
  const all = csiDrivers(
    csiNodeRecord(own, () => object, quiet),
    quiet,
  )
  const onNode = (path: string): string => path.replace('/var/lib/kubelet', root)
  followPlugins(join(root, 'plugins_registry'), { CSIPlugin: all }, onNode, quiet, stop.signal)
  driver = await startCsiDriver(root, {
    name,
    nodeId: 'node-1',
    controller: ['CREATE_DELETE_VOLUME', 'PUBLISH_UNPUBLISH_VOLUME', 'GET_CAPACITY', 'EXPAND_VOLUME'],
  })
  await until('the driver', async () => (await c.client.get(csiNodes, '', 'node-1').catch(() => undefined))?.spec.drivers?.length === 1)
  socket = await grpcClient(join(root, `plugins/${name}/csi.sock`))
})
afterAll(async () => {
  stop.abort()
  socket?.close()
  node?.stop()
  await driver?.stop()
  await c?.stop()
  await rm(root, { recursive: true, force: true })
})

const claim = (claimName: string) =>
  c.client.create(persistentVolumeClaims, ns, {
    metadata: { name: claimName },
    spec: { accessModes: ['ReadWriteOnce'], storageClassName: 'own', resources: { requests: { storage: '1Mi' } } },
  } as unknown as PersistentVolumeClaim)
const sidecars = (pod: string, signal: AbortSignal) => void runSidecars(c.client, name, socket, pod, quiet, signal)

test('without its sidecars nothing is done for it, but that it is told whose turn it is', async () => {
  await claim('data')
  const told = await until('the claim to wait', async () => {
    const found = await c.client.get(persistentVolumeClaims, ns, 'data')
    return found.metadata.annotations?.['volume.kubernetes.io/storage-provisioner'] ? found : undefined
  })
  expect(told.status?.phase).toBe('Pending')
  const why = await until('an event', async () => (await c.client.list(events, ns)).items.find(e => e.reason === 'ExternalProvisioning'))
  expect(why.message).toContain(`Waiting for a volume to be created either by the external provisioner '${name}'`)
  expect(driver.calls.filter(call => /Volume|Capacity/.test(call))).toEqual([])
})

test('with them a claim is bound, attached, detached and deleted, each call once; another leader goes on when one ends', async () => {
  sidecars('pod-1', first.signal)
  sidecars('pod-2', stop.signal)
  const bound = await until('the claim to be bound', async () => {
    const found = await c.client.get(persistentVolumeClaims, ns, 'data')
    return found.status?.phase === 'Bound' ? found : undefined
  })
  const volumeName = bound.spec.volumeName ?? ''
  await c.client.create(pods, ns, {
    metadata: { name: 'user' },
    spec: {
      nodeName: 'node-1',
      containers: [{ name: 'c', image: 'x' }],
      volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'data' } }],
    },
  } as Pod)
  const attached = await until('the attachment', async () =>
    (await c.client.list(volumeAttachments, '')).items.find(a => a.status?.attached),
  )
  expect(attached.metadata.finalizers).toEqual(['external-attacher/own-test'])
  await until('the node to say so', async () => (await c.client.get(nodes, '', 'node-1')).status?.volumesAttached?.length === 1)
  // The leader ends; the other one takes over.
  const holder = async () => (await c.client.get(leases, 'kube-system', 'external-attacher-leader-own-test')).spec?.holderIdentity
  const leads = await holder()
  if (leads === 'pod-1') first.abort()
  await until('pod-2 to lead', async () => (await holder()) === 'pod-2')
  await c.client.delete(pods, ns, 'user')
  await until('no attachment', async () => (await c.client.list(volumeAttachments, '')).items.length === 0)
  await c.client.delete(persistentVolumeClaims, ns, 'data')
  await until('no volume', () => c.client.get(persistentVolumes, '', volumeName).then(() => false, isNotFound))
  expect(driver.calls.filter(call => call.includes(' ')).map(call => call.split(' ')[0])).toEqual([
    'CreateVolume',
    'ControllerPublishVolume',
    'ControllerUnpublishVolume',
    'DeleteVolume',
  ])
  expect(driver.violations).toEqual([])
  expect([...driver.backend.volumes.keys(), ...driver.backend.published.keys()]).toEqual([])
  // Nobody else has asked it anything, or speaks for it.
  expect(driver.calls).not.toContain('ControllerGetCapabilities')
  expect((await c.client.list(csiStorageCapacities, '')).items).toEqual([])
  expect((await c.client.list(events, ns)).items.filter(e => e.source?.component === name)).toEqual([])
})

/**
 * What tests of CSI controllers have in common: a real API server and controllers, and of two nodes what hands calls to a driver that
 * checks their order.
 */
import { createServer } from 'node:http'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { CSIDriver } from '#shared/api/storage/csidriver.ts'
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { Event } from '#shared/api/core/event.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'
import {
  csiDrivers as driverKind,
  csiNodes,
  events,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  storageClasses,
  volumeAttachments,
} from '#shared/api/kinds.ts'
import { natsTransport } from '#shared/bus/api-client.ts'
import { serveSessions } from '#shared/bus/sessions.ts'
import { sessionStream } from '#shared/bus/sessionstream.ts'
import { nodeSubject } from '#shared/bus/subjects.ts'
import { newClient } from '#shared/client/rest.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { controllerAnnotation, controllerName } from '#control-plane/controller-manager/csi/driver.ts'
import { csiNodeRecord } from '#node-agent/kubelet/csi/csinode.ts'
import { csiDrivers, type CsiDrivers } from '#node-agent/kubelet/csi/drivers.ts'
import { followPlugins } from '#node-agent/kubelet/pluginmanager/pluginmanager.ts'
import { serveCsi } from '#node-agent/kubelet/server/csi.ts'
import { newBackend, startCsiDriver, type Backend, type TestCsiDriver } from '../../fixtures/csidriver.ts'
import { quiet, startControl, startNode, until, type Control } from './setup.ts'

const name = 'csi.test'
export type CsiControl = Awaited<ReturnType<typeof startCsiControl>>

/**
 * A cluster in name only with a class `test` of a driver on `node-1` and `node-2`, zones `a` and `b` of a storage system that both have.
 */
export async function startCsiControl() {
  const c = await startControl()
  const root = await mkdtemp(join(tmpdir(), 'csi-control-'))
  await c.control()
  const ns = await c.namespace('csi')
  await c.client.create(driverKind, '', {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'CSIDriver',
    metadata: { name, annotations: { [controllerAnnotation]: controllerName } },
    spec: { attachRequired: true, storageCapacity: true },
  } as CSIDriver)
  await c.client.create(storageClasses, '', {
    metadata: { name: 'test' },
    provisioner: name,
    parameters: { kind: 'fast', 'csi.storage.k8s.io/fstype': 'ext4' },
    allowVolumeExpansion: true,
    volumeBindingMode: 'Immediate',
  } as unknown as StorageClass)
  const backend = newBackend()
  const stopping = new AbortController()
  const nodesInName = await Promise.all(['node-1', 'node-2'].map(node => startCsiNode(c, node, root, backend, stopping.signal)))
  const drivers = new Map(nodesInName.map(({ node, driver }) => [node, driver]))

  const isGone = (kind: typeof pods, objectName: string) => c.client.get(kind, ns, objectName).then(() => false, isNotFound)
  const isBound = (claimName: string): Promise<PersistentVolumeClaim> =>
    until(`claim ${claimName} to be bound`, async () => {
      const found = await c.client.get(persistentVolumeClaims, ns, claimName)
      return found.status?.phase === 'Bound' ? found : undefined
    })
  const left = async (): Promise<unknown[]> => {
    const lists = await Promise.all([persistentVolumes, volumeAttachments].map(kind => c.client.list(kind as typeof persistentVolumes, '')))
    return [...lists.flatMap(l => l.items.map(o => [o.metadata, o.status])), ...backend.volumes.keys(), ...backend.published.keys()]
  }
  return {
    c,
    ns,
    name,
    backend,
    drivers,
    claim: (claimName: string, more: object = {}, storage = '2Mi'): Promise<PersistentVolumeClaim> =>
      c.client.create(persistentVolumeClaims, ns, {
        metadata: { name: claimName },
        spec: { accessModes: ['ReadWriteOnce'], storageClassName: 'test', resources: { requests: { storage } }, ...more },
      } as unknown as PersistentVolumeClaim),
    isBound,
    volumeOf: async (claimName: string): Promise<PersistentVolume> =>
      c.client.get(persistentVolumes, '', (await isBound(claimName)).spec.volumeName ?? ''),
    async remove(claimName: string): Promise<void> {
      await c.client.delete(persistentVolumeClaims, ns, claimName)
      await until(`claim ${claimName} to be gone`, () => isGone(persistentVolumeClaims as unknown as typeof pods, claimName))
    },
    async nothingLeft(): Promise<void> {
      await until('nothing to be left', async () => (await left()).length === 0).catch(async () => expect(await left()).toEqual([]))
    },
    /** Of the driver on all nodes. */
    fault: (call: string, what: Parameters<TestCsiDriver['fault']>[1]) => drivers.forEach(d => d.fault(call, what)),
    called: (call: string): string[] => [...drivers.values()].flatMap(d => d.calls).filter(x => x.startsWith(`${call} `)),
    eventOf: (object: string, reason: string, timeoutMs?: number): Promise<Event> =>
      until(
        `event ${reason} of ${object}`,
        async () => (await c.client.list(events, ns)).items.find(e => e.involvedObject.name === object && e.reason === reason),
        timeoutMs,
      ),
    pod: (podName: string, claimName: string, nodeName: string): Promise<Pod> =>
      c.client.create(pods, ns, {
        metadata: { name: podName },
        spec: {
          nodeName,
          containers: [{ name: 'c', image: 'x' }],
          volumes: [{ name: 'v', persistentVolumeClaim: { claimName } }],
        },
      } as Pod),
    /** What the specification of CSI does not allow has not been done. */
    check(): void {
      for (const driver of drivers.values()) expect(driver.violations).toEqual([])
    },
    async stop(): Promise<void> {
      for (const one of nodesInName) one.stop()
      stopping.abort()
      for (const driver of drivers.values()) await driver.stop()
      await c.stop()
      await rm(root, { recursive: true, force: true })
    },
  }
}

/** Of a kubelet what registers drivers and hands them calls. */
async function startCsiNode(c: Control, node: string, root: string, backend: Backend, signal: AbortSignal) {
  const inName = await startNode(c.client, node, { binds: node === 'node-1' })
  const rootDir = join(root, node)
  const connection = await c.api.nats.connect(`system:node:${node}`)
  const own = newClient(natsTransport(connection), { userAgent: 'kubelet' })
  const object = await own.get(nodes, '', node)
  const all: CsiDrivers = csiDrivers(
    csiNodeRecord(own, () => object, quiet),
    quiet,
  )
  const onNode = (path: string): string => path.replace('/var/lib/kubelet', rootDir)
  followPlugins(join(rootDir, 'plugins_registry'), { CSIPlugin: all }, onNode, quiet, signal)
  const server = createServer((req, res) => {
    const [, ...rest] = new URL(req.url ?? '/', 'http://kubelet').pathname.split('/').filter(Boolean).map(decodeURIComponent)
    void serveCsi(all, rest, req, res)
  })
  const service = serveSessions(connection, nodeSubject(connection.identity, 'http'), async session => {
    const stream = sessionStream(session, 'acceptor')
    server.emit('connection', stream)
    await new Promise(resolve => stream.once('close', resolve))
  })
  signal.addEventListener('abort', () => service.close())
  const driver = await startCsiDriver(rootDir, {
    name,
    nodeId: node,
    controller: [
      'CREATE_DELETE_VOLUME',
      'PUBLISH_UNPUBLISH_VOLUME',
      'CREATE_DELETE_SNAPSHOT',
      'CLONE_VOLUME',
      'EXPAND_VOLUME',
      'MODIFY_VOLUME',
      'GET_CAPACITY',
      'LIST_VOLUMES',
      'LIST_VOLUMES_PUBLISHED_NODES',
    ],
    topology: { 'topology.csi.test/zone': node === 'node-1' ? 'a' : 'b' },
    backend,
  })
  await until(`driver on ${node}`, async () => (await c.client.get(csiNodes, '', node).catch(() => undefined))?.spec.drivers?.length === 1)
  return { node, driver, stop: () => inName.stop() }
}

/** Every order of what is in the list. */
export const orders = <T>(of: readonly T[]): T[][] =>
  of.length < 2 ? [[...of]] : of.flatMap(first => orders(of.filter(x => x !== first)).map(rest => [first, ...rest]))

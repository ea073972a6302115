/** A real scheduler and a real binder: pods and volumes meet on a node. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { natsTransport } from '#shared/bus/api-client.ts'
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { events, nodes, persistentVolumeClaims, persistentVolumes, pods, storageClasses } from '#shared/api/kinds.ts'
import { newClient } from '#shared/client/rest.ts'
import { defaultConfiguration } from '#control-plane/scheduler/config/configuration.ts'
import { runScheduler } from '#control-plane/scheduler/scheduler.ts'
import { quiet, startControl, startNode, until, type Control } from '../controllers/setup.ts'

let control: Control
const stop = new AbortController()
let scheduling: Promise<void>
const host = 'kubernetes.io/hostname'
beforeAll(async () => {
  control = await startControl()
  await control.control()
  for (const name of ['n1', 'n2']) {
    const node = await startNode(control.client, name, { binds: false, labels: { [host]: name } })
    stop.signal.addEventListener('abort', () => node.stop())
    await control.client.patch(nodes, '', name, 'merge', { status: { allocatable: { cpu: '8', memory: '8Gi', pods: '110' } } }, 'status')
  }
  const transport = natsTransport(await control.api.nats.connect('system:kube-scheduler'))
  scheduling = runScheduler(
    { client: newClient(transport, { userAgent: 'kube-scheduler' }), log: quiet, ...defaultConfiguration },
    stop.signal,
  )
}, 60_000)
afterAll(async () => {
  stop.abort()
  await scheduling
  await control?.stop()
}, 30_000)

const volume = (name: string, on: string, storageClassName: string): PersistentVolume => ({
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: { name },
  spec: {
    capacity: { storage: '1Gi' },
    accessModes: ['ReadWriteOnce'],
    storageClassName,
    local: { path: '/none' },
    nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: host, operator: 'In', values: [on] }] }] } },
  },
})
const claim = (namespace: string, name: string, storageClassName: string): PersistentVolumeClaim => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name, namespace },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, storageClassName },
})
const pod = (name: string, claimName: string): Pod =>
  ({
    metadata: { name },
    spec: { containers: [{ name: 'c', image: 'x' }], volumes: [{ name: 'data', persistentVolumeClaim: { claimName } }] },
  }) as unknown as Pod
const classOf = (name: string, provisioner: string) =>
  control.client.create(storageClasses, '', {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name },
    provisioner,
    volumeBindingMode: 'WaitForFirstConsumer',
  })
const bound = (namespace: string, name: string) =>
  until(`${name} to have a node`, async () => (await control.client.get(pods, namespace, name)).spec.nodeName || undefined)

test('each pod gets a volume of its own, and the node of that', async () => {
  const ns = await control.namespace('found')
  await classOf('by-hand', 'kubernetes.io/no-provisioner')
  const names = Array.from({ length: 10 }, (_, i) => `p${i}`)
  await Promise.all(
    names.map((name, i) => control.client.create(persistentVolumes, '', volume(`found-${name}`, i % 2 ? 'n1' : 'n2', 'by-hand'))),
  )
  await until(
    'the volumes',
    async () => (await control.client.list(persistentVolumes, '')).items.every(v => v.status?.phase === 'Available') || undefined,
  )
  await Promise.all(names.map(name => control.client.create(persistentVolumeClaims, ns, claim(ns, name, 'by-hand'))))
  await Promise.all(names.map(name => control.client.create(pods, ns, pod(name, name))))
  const used = new Set<string>()
  for (const name of names) {
    const node = await bound(ns, name)
    const { spec, status } = await control.client.get(persistentVolumeClaims, ns, name)
    expect(status?.phase).toBe('Bound')
    used.add(spec.volumeName ?? '')
    const found = await control.client.get(persistentVolumes, '', spec.volumeName ?? '')
    expect(found.spec.nodeAffinity?.required?.nodeSelectorTerms?.[0]?.matchExpressions?.[0]?.values).toEqual([node])
  }
  expect(used.size).toBe(names.length)
  // There is none left for one more, until one comes.
  await control.client.create(persistentVolumeClaims, ns, claim(ns, 'more', 'by-hand'))
  await control.client.create(pods, ns, pod('more', 'more'))
  const told = await until('the reason', async () => {
    const { items } = await control.client.list(events, ns, { fieldSelector: 'involvedObject.name=more,reason=FailedScheduling' })
    return items[0]?.message
  })
  expect(told).toContain("0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.")
  await control.client.create(persistentVolumes, '', volume('late', 'n2', 'by-hand'))
  expect(await bound(ns, 'more')).toBe('n2')
}, 60_000)

test('a volume is made for the node; a provisioner that cannot make it there sends the pod elsewhere', async () => {
  const ns = await control.namespace('made')
  await classOf('made', 'example.com/made')
  await control.client.create(persistentVolumeClaims, ns, claim(ns, 'data', 'made'))
  await control.client.create(pods, ns, pod('p', 'data'))
  const asked = (not?: string) =>
    until('the provisioner to be asked', async () => {
      const found = await control.client.get(persistentVolumeClaims, ns, 'data')
      const { 'volume.kubernetes.io/selected-node': node, 'volume.kubernetes.io/storage-provisioner': who } =
        found.metadata.annotations ?? {}
      return node && who === 'example.com/made' && node !== not ? { claim: found, node } : undefined
    })
  const first = await asked()
  await control.client.patch(nodes, '', first.node, 'merge', { spec: { unschedulable: true } })
  await control.client.patch(persistentVolumeClaims, ns, 'data', 'merge', {
    metadata: { annotations: { 'volume.kubernetes.io/selected-node': null } },
  })
  const second = await asked(first.node)
  expect((await control.client.get(pods, ns, 'p')).spec.nodeName).toBeUndefined()
  const made = volume('made-1', second.node, 'made')
  made.metadata.annotations = { 'pv.kubernetes.io/provisioned-by': 'example.com/made' }
  made.spec.claimRef = { kind: 'PersistentVolumeClaim', namespace: ns, name: 'data', uid: second.claim.metadata.uid }
  await control.client.create(persistentVolumes, '', made)
  expect(await bound(ns, 'p')).toBe(second.node)
  await control.client.patch(nodes, '', first.node, 'merge', { spec: { unschedulable: null } })
}, 60_000)

test('many pods that share a claim all come to its volume', async () => {
  const ns = await control.namespace('shared')
  await classOf('shared', 'kubernetes.io/no-provisioner')
  await control.client.create(persistentVolumes, '', volume('shared-1', 'n1', 'shared'))
  await control.client.create(persistentVolumeClaims, ns, claim(ns, 'data', 'shared'))
  const names = Array.from({ length: 30 }, (_, i) => `s${i}`)
  await Promise.all(names.map(name => control.client.create(pods, ns, pod(name, 'data'))))
  for (const name of names) expect(await bound(ns, name)).toBe('n1')
  // Nobody is told that others were faster.
  const { items } = await control.client.list(events, ns, { fieldSelector: 'reason=FailedScheduling' })
  expect(items.map(e => e.message)).toEqual([])
}, 60_000)

/** Our two CSI drivers in a whole cluster, with kubectl: disks of one node at a time, directories of all; the work of sidecars is ours. */
import { readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../../fixtures/cluster.ts'
import { sharedCluster, type SharedCluster } from '../../fixtures/shared-cluster.ts'

const project = path.resolve(import.meta.dirname, '../../..')
const data = '/var/lib/coxswain/csi'
let cluster: SharedCluster
let kubectl: SharedCluster['kubectl']
beforeAll(async () => {
  cluster = await sharedCluster()
  kubectl = cluster.kubectl
  await kubectl('apply', '-f', path.join(project, 'drivers/manifests'))
  for (const driver of ['block', 'shared'])
    await kubectl('-n', 'kube-system', 'rollout', 'status', `daemonset/csi-driver-${driver}`, '--timeout=60s')
  await eventually(async () => {
    const text = await kubectl('get', 'csinodes', '-o', 'jsonpath={range .items[*]}{.spec.drivers[*].name}{"\\n"}{end}')
    return (
      text
        .trim()
        .split('\n')
        .filter(line => line.includes('block.csi') && line.includes('shared.csi')).length === 3
    )
  }, 'every node has both drivers')
}, 180_000)
afterAll(async () => {
  await kubectl?.('delete', 'pods,pvc', '--all', '--timeout=60s').catch(() => {})
  await kubectl?.('delete', '-f', path.join(project, 'drivers/manifests'), '--timeout=60s').catch(() => {})
  await cluster?.stop()
}, 180_000)

const apply = (manifest: object): Promise<string> => cluster.apply(JSON.stringify(manifest))
const claim = (name: string, storageClassName: string, mode: string, storage = '64Mi', more: object = {}) =>
  apply({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name },
    spec: { accessModes: [mode], storageClassName, resources: { requests: { storage } }, ...more },
  })
const pod = (name: string, claimName: string, script: string, more: object = {}, container: object = {}) =>
  apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: 'c',
          image: 'busybox',
          command: ['sh', '-c', `${script} && touch /ok && exec sleep 10000`],
          volumeMounts: [{ name: 'v', mountPath: '/v' }],
          readinessProbe: { exec: { command: ['test', '-e', '/ok'] }, periodSeconds: 1 },
          ...container,
        },
      ],
      volumes: [{ name: 'v', persistentVolumeClaim: { claimName } }],
      ...more,
    },
  })
const ready = (name: string) => kubectl('wait', '--for=condition=Ready', `pod/${name}`, '--timeout=60s')
const field = (what: string, jsonpath: string) => kubectl('get', ...what.split(' '), '-o', `jsonpath=${jsonpath}`)
// By the scheduler, for which disks wait.
const onNode = (node: string) => ({ nodeSelector: { 'kubernetes.io/hostname': node } })
const loops = async () =>
  (await execa('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'])).stdout.split('\n').filter(l => l.includes(data))

test('a disk is made for its first pod, keeps its data, and follows its pod to another node', async () => {
  await claim('disk', 'block', 'ReadWriteOnce')
  await pod('writer', 'disk', 'df -T /v | grep -q ext4 && echo hello >/v/word && sync', onNode('node-1'))
  await ready('writer')
  const volume = await field('pvc disk', '{.spec.volumeName}')
  const attached = await field('volumeattachments', '{.items[*].spec.nodeName} {.items[*].status.attached}')
  expect(attached).toBe('node-1 true')
  expect(await field('node node-1', '{.status.volumesAttached[*].name}')).toBe(`kubernetes.io/csi/block.csi.coxswain.io^${volume}`)
  // One node at a time.
  await pod('reader', 'disk', 'grep hello /v/word', onNode('node-2'))
  const why = `Multi-Attach error for volume "${volume}" Volume is already used by pod(s) writer`
  await eventually(async () => (await kubectl('describe', 'pod', 'reader')).includes(why), 'the other pod is told why it waits')
  await kubectl('delete', 'pod', 'writer')
  await ready('reader')
  expect(await field('volumeattachments', '{.items[*].spec.nodeName}')).toBe('node-2')
}, 120_000)

/** CAP_SYS_RESOURCE: without it the kernel resizes no file system that is mounted. */
const mayResize = (BigInt(`0x${/CapEff:\s*(\w+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]}`) >> 24n) & 1n

test('a disk grows, where the machine allows it while it is in use', async () => {
  await kubectl('patch', 'pvc', 'disk', '-p', '{"spec":{"resources":{"requests":{"storage":"128Mi"}}}}')
  if (!mayResize) {
    const why = 'FileSystemResizePending'
    await eventually(async () => (await field('pvc disk', '{.status.conditions[*].type}')) === why, 'the claim to wait for another pod')
    await kubectl('delete', 'pod', 'reader')
    await pod('reader', 'disk', 'grep hello /v/word')
    await ready('reader')
  }
  await eventually(async () => (await field('pvc disk', '{.status.capacity.storage}')) === '128Mi', 'the claim to have grown')
  const size = await kubectl('exec', 'reader', '--', 'sh', '-c', 'df -m /v | tail -1')
  expect(Number(size.split(/\s+/)[1])).toBeGreaterThan(100)
  expect(await field('pvc disk', '{.status.conditions}')).toBe('')
}, 120_000)

test('a disk is cloned while it is in use; a raw one is a device', async () => {
  await kubectl('exec', 'reader', '--', 'sh', '-c', 'seq 100000 >/v/numbers && sync')
  await claim('clone', 'block', 'ReadWriteOnce', '256Mi', { dataSource: { kind: 'PersistentVolumeClaim', name: 'disk' } })
  await pod('cloned', 'clone', 'seq 100000 | cmp - /v/numbers')
  await ready('cloned')
  await claim('raw', 'block', 'ReadWriteOnce', '64Mi', { volumeMode: 'Block' })
  await pod(
    'raw',
    'raw',
    'dd if=/dev/zero of=/dev/xvda bs=1M count=64 2>/dev/null',
    {},
    {
      volumeMounts: [],
      volumeDevices: [{ name: 'v', devicePath: '/dev/xvda' }],
    },
  )
  await ready('raw')
}, 120_000)

test('a disk that is written is snapshot, and restored', async () => {
  const snapshotClass = { metadata: { name: 'block-snapshots' }, driver: 'block.csi.coxswain.io', deletionPolicy: 'Delete' }
  await apply({ apiVersion: 'snapshot.storage.k8s.io/v1', kind: 'VolumeSnapshotClass', ...snapshotClass })
  await apply({
    apiVersion: 'snapshot.storage.k8s.io/v1',
    kind: 'VolumeSnapshot',
    metadata: { name: 'then' },
    spec: { volumeSnapshotClassName: 'block-snapshots', source: { persistentVolumeClaimName: 'disk' } },
  })
  await kubectl('wait', '--for=jsonpath={.status.readyToUse}=true', 'volumesnapshot/then', '--timeout=60s')
  await kubectl('exec', 'reader', '--', 'rm', '/v/numbers')
  const dataSource = { apiGroup: 'snapshot.storage.k8s.io', kind: 'VolumeSnapshot', name: 'then' }
  await claim('restored', 'block', 'ReadWriteOnce', '128Mi', { dataSource })
  await pod('restored', 'restored', 'seq 100000 | cmp - /v/numbers')
  await ready('restored')
  await kubectl('delete', 'volumesnapshot', 'then', '--timeout=60s')
  expect(await readdir(path.join(data, 'block/snapshots'))).toEqual([])
}, 120_000)

test('a directory is shared by pods of all nodes', async () => {
  await claim('files', 'shared', 'ReadWriteMany')
  for (const n of [1, 2, 3]) await pod(`web-${n}`, 'files', `echo ${n} >/v/${n}`, onNode(`node-${n}`))
  for (const n of [1, 2, 3]) await ready(`web-${n}`)
  expect((await kubectl('exec', 'web-1', '--', 'sh', '-c', 'cat /v/*')).trim().split('\n')).toEqual(['1', '2', '3'])
}, 120_000)

test('nothing is left when all is deleted', async () => {
  await kubectl('delete', 'pod', '--all', '--timeout=60s')
  await kubectl('delete', 'pvc', '--all', '--timeout=60s')
  const left = async () => [
    await field('pv', '{.items[?(@.spec.csi.driver)].metadata.name}'),
    await field('volumeattachments', '{.items[*].metadata.name}'),
  ]
  await eventually(async () => (await left()).join('') === '', 'no volume of the drivers to be left')
  expect(await loops()).toEqual([])
  for (const kind of ['block/volumes', 'shared/volumes']) expect(await readdir(path.join(data, kind)).catch(() => [])).toEqual([])
}, 120_000)

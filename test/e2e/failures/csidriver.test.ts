/** A CSI driver whose process hangs on one node: volumes are made and attached by way of the others, and its own pods wait until it is back. */
import { readFileSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { timeoutAnnotation } from '#control-plane/controller-manager/csi/timeout.ts'
import { csiNodes, persistentVolumes, pods, volumeAttachments } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { startCluster, type ClusterFixture } from '../../fixtures/cluster.ts'
import { clientOf, eventually, isReady, processes, row } from './setup.ts'

let cluster: ClusterFixture
let client: Client
let data: string
beforeAll(async () => {
  data = await mkdtemp('/var/tmp/cox-driver-')
  cluster = await startCluster({ nodes: 2, flags: ['--zones', '1'] })
  client = clientOf(cluster)
  const manifest = path.join(import.meta.dirname, '../../../drivers/manifests/block.yaml')
  const short = `    ${timeoutAnnotation}: 5s\nspec:\n  attachRequired`
  await cluster.apply(readFileSync(manifest, 'utf8').replaceAll('/var/lib/coxswain/csi', data).replace('spec:\n  attachRequired', short))
  await cluster.kubectl('-n', 'kube-system', 'rollout', 'status', 'daemonset/csi-driver-block', '--timeout=50s')
  const registered = async () => (await client.list(csiNodes, '')).items.filter(n => n.spec.drivers?.length === 1).length === 2
  await eventually(registered, 'the kubelets know the driver')
}, 150_000)
afterAll(async () => {
  await cluster?.stop()
  await rm(data, { recursive: true, force: true })
}, 60_000)

/** A claim, and a pod on a node that uses it. */
const disk = (name: string, node: string, storageClassName: string): object[] => [
  {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name },
    spec: { storageClassName, accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '16Mi' } } },
  },
  {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      nodeSelector: { 'kubernetes.io/hostname': node },
      terminationGracePeriodSeconds: 1,
      containers: [{ name: 'main', image: 'busybox', command: ['sleep', '1000000'], volumeMounts: [{ name: 'data', mountPath: '/data' }] }],
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName: name } }],
    },
  },
]

row('the process of a CSI driver hangs on the node that is asked first', 400_000, async round => {
  const [here, there, local] = ['here', 'there', 'local'].map(name => `${name}-${round}`) as [string, string, string]
  const onNode1 = async () =>
    processes(
      (await cluster.ps()).filter(r => r.node === 'node-1'),
      pod => pod.startsWith('csi-driver-block'),
    )
  const driver = Number((await eventually(async () => (await onNode1())[0], 'the driver of node-1 runs')).split(' ')[1])
  const ready = async (name: string): Promise<boolean> => isReady(await client.get(pods, 'default', name))
  process.kill(driver, 'SIGSTOP')
  try {
    const items = [...disk(here, 'node-1', 'block'), ...disk(there, 'node-2', 'block'), ...disk(local, 'node-1', 'standard')]
    await cluster.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items }))
    await eventually(() => ready(local), 'another driver’s pod on that node runs', 60_000)
    await eventually(() => ready(there), 'the pod elsewhere runs', 60_000)
    // Attached to it, and not there.
    await eventually(
      async () => (await client.list(volumeAttachments, '')).items.filter(a => a.status?.attached).length === 2,
      'the disk of the other pod to be attached',
      60_000,
    )
    expect(await ready(here)).toBe(false)
  } finally {
    process.kill(driver, 'SIGCONT')
  }
  await eventually(() => ready(here), 'the pod of that node runs', 120_000)
  await cluster.kubectl('delete', 'pod,pvc', here, there, local, '--timeout=100s')
  await eventually(async () => (await client.list(persistentVolumes, '')).items.length === 0, 'no volume to be left', 60_000)
  expect((await readdir(path.join(data, 'block/volumes'))).filter(name => name !== 'images')).toEqual([])
})

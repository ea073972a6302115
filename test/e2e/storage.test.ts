/** Volumes of a whole cluster, as charts and StatefulSets ask for them: made, kept through everything, and removed. */
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { eventually, startCluster, type ClusterFixture } from '../fixtures/cluster.ts'

vi.setConfig({ testTimeout: 120_000 })
let cluster: ClusterFixture
let kubectl: ClusterFixture['kubectl']
beforeAll(async () => {
  cluster = await startCluster({ nodes: 2 })
  kubectl = cluster.kubectl
}, 120_000)
afterAll(() => cluster?.stop(), 60_000)

const json = async <T>(...args: string[]): Promise<T> => JSON.parse(await kubectl('get', ...args, '-o', 'json')) as T
interface Pod {
  metadata: { name: string; uid: string }
  spec: { nodeName: string }
}
/** Names of all directories that are volumes. */
const directories = async (): Promise<string[]> =>
  (await Promise.all(['node-1', 'node-2'].map(node => readdir(path.join(cluster.dir, 'nodes', node, 'local-volumes')).catch(() => []))))
    .flat()
    .filter(name => name.startsWith('pvc-'))
const log = (pod: string): Promise<string[]> => kubectl('exec', pod, '--', 'cat', '/data/log').then(text => text.trim().split('\n'))
const ready = (): Promise<string> => kubectl('rollout', 'status', 'statefulset/store', '--timeout=90s')

const store = `
apiVersion: v1
kind: Service
metadata: {name: store}
spec: {clusterIP: None, selector: {app: store}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: store}
spec:
  serviceName: store
  replicas: 2
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Retain, whenScaled: Delete}
  selector: {matchLabels: {app: store}}
  template:
    metadata: {labels: {app: store}}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {runAsUser: 1000, fsGroup: 1000}
      containers:
      - name: main
        image: busybox
        command: [sh, -c, 'echo $HOSTNAME started >> /data/log; exec sleep 1000000']
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec:
      accessModes: [ReadWriteOnce]
      resources: {requests: {storage: 10Mi}}
`

test('a node has the directories that drivers mount, from its start', async () => {
  const there = await readdir(path.join(cluster.dir, 'nodes/node-1'))
  expect(there).toEqual(expect.arrayContaining(['pods', 'plugins', 'plugins_registry']))
})

test('a StatefulSet’s claims get volumes of the default class, where its pods are', async () => {
  expect(await kubectl('get', 'storageclass', 'standard')).toMatch(/standard \(default\) +coxswain.io\/local +Delete +WaitForFirstConsumer/)
  await cluster.apply(store)
  await ready()
  expect(await kubectl('get', 'pvc', 'data-store-0')).toMatch(/data-store-0 +Bound +pvc-\S+ +10Mi +RWO +standard/)
  expect((await directories()).length).toBe(2)
  expect(await log('store-0')).toEqual(['store-0 started'])
  const described = await kubectl('describe', 'pvc', 'data-store-0')
  for (const text of [
    'WaitForFirstConsumer',
    'ProvisioningSucceeded',
    'Used By:       store-0',
    'volume.kubernetes.io/selected-node: node-',
  ])
    expect(described).toContain(text)
})

test('what is in them survives the pod, the node-agent and the whole cluster; pods come back to their node', async () => {
  const before = await json<Pod>('pod', 'store-0')
  await kubectl('delete', 'pod', 'store-0')
  await ready()
  const after = await json<Pod>('pod', 'store-0')
  expect(after.metadata.uid).not.toBe(before.metadata.uid)
  expect(after.spec.nodeName).toBe(before.spec.nodeName)
  expect(await log('store-0')).toEqual(['store-0 started', 'store-0 started'])

  const agent = (await cluster.ps()).find(r => r.component === 'node-agent' && r.node === after.spec.nodeName)!
  process.kill(agent.pid, 'SIGKILL')
  await eventually(
    async () => (await cluster.ps()).some(r => r.component === 'node-agent' && r.node === agent.node && r.pid !== agent.pid),
    'another agent',
  )
  // It goes on with the volume that the pod has.
  await eventually(async () => (await cluster.tryKubectl('exec', 'store-0', '--', 'cat', '/data/log')).code === 0, 'the new agent')
  expect((await json<Pod>('pod', 'store-0')).metadata.uid).toBe(after.metadata.uid)
  expect(await log('store-0')).toEqual(['store-0 started', 'store-0 started'])

  await cluster.down()
  await cluster.up()
  await eventually(async () => (await log('store-0')).length === 3, 'the pod of the restarted cluster')
  expect(await kubectl('get', 'pvc', '-o', 'jsonpath={.items[*].status.phase}')).toBe('Bound Bound')
})

test('they go with their claims: with a scaled-down pod where the set says so, and when they are deleted', async () => {
  const second = await kubectl('get', 'pvc', 'data-store-1', '-o', 'jsonpath={.spec.volumeName}')
  await kubectl('scale', 'statefulset', 'store', '--replicas=1')
  await eventually(async () => !(await directories()).includes(second), 'the directory of the pod that is gone')
  expect((await cluster.tryKubectl('get', 'pv', second)).stderr).toContain('not found')
  // One that is in use stays.
  await kubectl('delete', 'pvc', 'data-store-0', '--wait=false')
  expect(await kubectl('get', 'pvc', 'data-store-0')).toContain('Terminating')
  expect(await log('store-0')).toHaveLength(3)
  await kubectl('delete', 'statefulset,service', 'store')
  await eventually(async () => (await directories()).length === 0, 'no directory to be left')
  expect(await kubectl('get', 'pvc,pv', '-o', 'name')).toBe('')
})

test('what a directory cannot be is told', async () => {
  await cluster.apply(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: shared}
spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: huge}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Ei}}}
---
apiVersion: v1
kind: Pod
metadata: {name: wants}
spec:
  containers: [{name: main, image: busybox, command: [sleep, "1000000"], volumeMounts: [{name: a, mountPath: /a}, {name: b, mountPath: /b}]}]
  volumes: [{name: a, persistentVolumeClaim: {claimName: shared}}, {name: b, persistentVolumeClaim: {claimName: huge}}]
`)
  const event = (name: string, text: string): Promise<boolean> =>
    eventually(
      async () =>
        (await kubectl('get', 'events', '--field-selector', `involvedObject.name=${name},reason=ProvisioningFailed`)).includes(text),
      `${name}: ${text}`,
    )
  await event('shared', 'access mode ReadWriteMany is not supported')
  await event('huge', 'bytes')
  await kubectl('delete', 'pod', 'wants', '--grace-period=0', '--force')
  await kubectl('delete', 'pvc', '--all')
})

test('a class may hold its volumes to their capacity', async () => {
  await cluster.apply(`
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: limited}
provisioner: coxswain.io/local
volumeBindingMode: WaitForFirstConsumer
parameters: {enforceCapacity: "true"}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: limited}
spec: {storageClassName: limited, accessModes: [ReadWriteOnce], resources: {requests: {storage: 8Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: limited}
spec:
  containers: [{name: main, image: busybox, command: [sleep, "1000000"], volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: limited}}]
`)
  await kubectl('wait', '--for=condition=Ready', 'pod/limited', '--timeout=60s')
  const write = (file: string, megabytes: number) =>
    cluster.tryKubectl('exec', 'limited', '--', 'dd', 'if=/dev/zero', `of=/data/${file}`, 'bs=1M', `count=${megabytes}`)
  expect((await write('fits', 4)).code).toBe(0)
  expect((await write('more', 8)).stderr).toContain('No space left on device')
  // Pulling the node's plug takes its mounts along.
  const { spec } = await json<Pod>('pod', 'limited')
  await cluster.cox('node', 'kill', spec.nodeName)
  expect(await cluster.cox('node', 'start', spec.nodeName)).toMatchObject({ code: 0 })
  await eventually(
    async () =>
      (await cluster.tryKubectl('exec', 'limited', '--', 'sh', '-c', 'stat -c %s /data/fits')).stdout.trim() === String(4 * 1024 * 1024),
    'what was written, after the node came back',
  )
  await kubectl('delete', 'pod', 'limited', '--grace-period=1')
  await kubectl('delete', 'pvc', 'limited')
  await eventually(async () => (await directories()).length === 0, 'no directory to be left')
  await kubectl('delete', 'storageclass', 'limited')
})

test('a claim of volumeMode Block is a device of its node, which keeps what is on it', async () => {
  await cluster.apply(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: raw}
spec: {volumeMode: Block, accessModes: [ReadWriteOnce], resources: {requests: {storage: 8Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: raw}
spec:
  containers: [{name: main, image: busybox, command: [sleep, "1000000"], volumeDevices: [{name: data, devicePath: /dev/xvda}]}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: raw}}]
`)
  await kubectl('wait', '--for=condition=Ready', 'pod/raw', '--timeout=60s')
  expect(await kubectl('exec', 'raw', '--', 'blockdev', '--getsize64', '/dev/xvda')).toBe(String(8 * 1024 * 1024))
  await kubectl('exec', 'raw', '--', 'sh', '-c', 'echo kept | dd of=/dev/xvda bs=4096 conv=sync,fsync')
  const { spec } = await json<Pod>('pod', 'raw')
  await cluster.cox('node', 'kill', spec.nodeName)
  expect(await cluster.cox('node', 'start', spec.nodeName)).toMatchObject({ code: 0 })
  await eventually(
    async () => (await cluster.tryKubectl('exec', 'raw', '--', 'head', '-c', '4', '/dev/xvda')).stdout === 'kept',
    'what was written, after the node came back',
  )
  await kubectl('delete', 'pod', 'raw', '--grace-period=1')
  await kubectl('delete', 'pvc', 'raw')
  await eventually(async () => (await directories()).length === 0, 'no directory to be left')
  expect(
    (await execa('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'])).stdout.split('\n').filter(l => l.includes(cluster.dir)),
  ).toEqual([])
})

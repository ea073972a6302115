/**
 * A disk that is full, under nats-server, under a node and under the machine's images: clear errors and conditions, what runs runs on, all
 * is well when there is space again.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, expect } from 'vitest'
import { deployments, nodes, pods } from '#shared/api/kinds.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { ContainerStatus } from '#shared/api/core/podspec/containerstatus.ts'
import type { Client } from '#shared/client/client.ts'
import { listMounts, mount, unmount } from '#shared/linux/mount.ts'
import { stateDir } from '#control-plane/cli/state.ts'
import { startCluster, type ClusterFixture } from '../../fixtures/cluster.ts'
import { busyboxLayer, dockerArchive } from '../../fixtures/images.ts'
import { pushImage, startRegistry, type TestRegistry } from '../../fixtures/registry.ts'
import { clientOf, eventually, isReady, processes, row, signal, traffic, untilAllIsWell } from './setup.ts'

/** A node that is short of something evicts all other pods. */
const critical = { priorityClassName: 'system-cluster-critical' }

let cluster: ClusterFixture
let client: Client
let address = ''
let registry: TestRegistry
/** Of the machine's store, and one that comes from a registry. */
const stored = 'disk/busybox:1'
const shellImage = { layers: [busyboxLayer()], config: { Env: ['PATH=/bin'] } }
const small = async (dir: string, size: string): Promise<void> => {
  await mkdir(dir, { recursive: true })
  await mount('tmpfs', 'cox-e2e-disk', dir, [`size=${size}`])
}
beforeAll(async () => {
  cluster = await startCluster({
    nodes: 2,
    prepare: async dir => {
      await small(path.join(dir, 'nats'), '64m')
      await small(path.join(dir, 'nodes/node-1'), '64m')
      await small(stateDir(dir).images, '64m')
    },
  })
  client = clientOf(cluster)
  registry = await startRegistry()
  await pushImage(registry, 'disk/busybox', '2', shellImage)
  const archive = path.join(cluster.dir, 'stored.tar')
  await writeFile(archive, dockerArchive(stored, shellImage))
  expect((await cluster.cox('image', 'load', archive)).code).toBe(0)
  const containers = [{ name: 'echoserver', image: 'registry.k8s.io/echoserver:1.10', ports: [{ containerPort: 8080 }] }]
  const template = { metadata: { labels: { app: 'web' } }, spec: { ...critical, containers } }
  await client.create(deployments, 'default', {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', labels: { app: 'web' } },
    spec: { replicas: 2, selector: { matchLabels: { app: 'web' } }, template },
  } as never)
  await cluster.kubectl('expose', 'deployment', 'web', '--port=80', '--target-port=8080')
  await untilAllIsWell(cluster, client, 'web', 2)
  address = await cluster.kubectl('get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIP}')
}, 150_000)
afterAll(async () => {
  await registry?.close()
  if (!cluster) return
  await cluster.down()
  await unmount((await listMounts()).map(m => m.target).filter(t => t.startsWith(cluster.dir)))
  await cluster.stop()
}, 60_000)

/** Fills the disk of a directory to the last byte, whatever was given back since the last time. */
const fill = (dir: string): Promise<unknown> =>
  execa('dd', ['if=/dev/zero', `of=${path.join(dir, 'filling')}`, 'bs=64k', 'oflag=append', 'conv=notrunc'], { reject: false })
const makeSpace = (dir: string): Promise<void> => rm(path.join(dir, 'filling'), { force: true })
const serving = async (): Promise<string[]> => processes(await cluster.ps(), pod => pod.startsWith('web-'))

row('the disk under nats-server is full', 180_000, async round => {
  const before = await serving()
  const served = traffic(`http://${address}/`)
  await cluster.kubectl('create', 'configmap', `before-${round}`, '--from-literal=a=1')
  const disk = path.join(cluster.dir, 'nats')
  await fill(disk)
  try {
    const refused = await eventually(async () => {
      const ran = await cluster.tryKubectl('create', 'configmap', `full-${round}-${Date.now()}`, `--from-literal=a=${'x'.repeat(10_000)}`)
      return ran.code !== 0 && ran.stderr
    }, 'a write is refused')
    expect(refused).toMatch(/no space/i)
    for (let i = 0; i < 20; i++) {
      await cluster.kubectl('get', 'configmap', `before-${round}`)
      await cluster.kubectl('get', 'pods')
    }
  } finally {
    await makeSpace(disk)
  }
  await eventually(async () => (await cluster.tryKubectl('create', 'configmap', `after-${round}`)).code === 0, 'writes work again')
  await cluster.kubectl('get', 'configmap', `before-${round}`)
  await served.stop()
  expect(served.failures).toEqual([])
  await untilAllIsWell(cluster, client, 'web', 2)
  expect(await serving()).toEqual(before)
})

/** One container of a shell; its exec probe would end it if commands could not be run in it. */
const shell = (name: string, script: string, spec: object = {}, container: object = {}): Promise<unknown> =>
  client.create(pods, 'default', {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      terminationGracePeriodSeconds: 0,
      nodeName: 'node-1',
      ...spec,
      containers: [
        {
          name: 'main',
          image: stored,
          command: ['sh', '-c', script],
          livenessProbe: { exec: { command: ['true'] }, periodSeconds: 1, failureThreshold: 2 },
          ...container,
        },
      ],
    },
  } as never)
const pod = (name: string): Promise<Pod> => client.get(pods, 'default', name)
const main = async (name: string): Promise<ContainerStatus | undefined> => (await pod(name)).status?.containerStatuses?.[0]
const until = (name: string, is: (pod: Pod) => unknown, what: string): Promise<unknown> =>
  eventually(async () => Boolean(is(await pod(name))), `${name}: ${what}`)
const node = (): Promise<Node> => client.get(nodes, '', 'node-1')
const pressure = async (): Promise<string | undefined> => (await node()).status?.conditions?.find(c => c.type === 'DiskPressure')?.status
const told = async (name: string, text: RegExp): Promise<unknown> =>
  eventually(async () => text.test(await cluster.kubectl('describe', 'pod', name)), `events of ${name} say ${text}`)

row('the disk under a node is full', 180_000, async round => {
  const disk = path.join(cluster.dir, 'nodes/node-1')
  const [talks, waits, ends, doomed, refused, unscheduled] = ['talks', 'waits', 'ends', 'doomed', 'refused', 'unscheduled'].map(
    name => `${name}-${round}`,
  ) as [string, string, string, string, string, string]
  const sleeping = 'sleep 100000'
  await Promise.all([
    shell(talks, 'i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done', critical),
    // Admitted while there is space, and started when there is none.
    shell(waits, sleeping, critical, { env: [{ name: 'LATE', valueFrom: { configMapKeyRef: { name: waits, key: 'late' } } }] }),
    shell(ends, 'trap "exit 7" TERM; while :; do sleep 0.1; done', { ...critical, restartPolicy: 'Never' }),
    shell(doomed, sleeping),
  ])
  for (const name of [talks, ends, doomed]) await until(name, isReady, 'runs')
  await until(
    waits,
    p => p.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'CreateContainerConfigError',
    'waits for its ConfigMap',
  )
  const untouched = async (): Promise<string[]> => processes(await cluster.ps(), name => name.startsWith('web-') || name === talks)
  const before = await untouched()
  const served = traffic(`http://${address}/`)
  await fill(disk)
  try {
    await eventually(async () => (await pressure()) === 'True', 'DiskPressure')
    await eventually(
      async () => (await node()).spec.taints?.some(t => t.key === 'node.kubernetes.io/disk-pressure' && t.effect === 'NoSchedule'),
      'the taint',
    )
    await until(
      doomed,
      p =>
        p.status?.phase === 'Failed' && p.status.reason === 'Evicted' && /low on resource: ephemeral-storage/.test(p.status.message ?? ''),
      'is evicted',
    )
    // What it had written is gone.
    await fill(disk)
    await shell(refused, sleeping)
    await until(
      refused,
      p => p.status?.phase === 'Failed' && p.status.reason === 'Evicted' && /DiskPressure/.test(p.status.message ?? ''),
      'is refused',
    )
    await shell(unscheduled, sleeping, { nodeName: undefined, nodeSelector: { 'kubernetes.io/hostname': 'node-1' } })
    await told(unscheduled, /FailedScheduling.*untolerated taint/)
    await cluster.kubectl('create', 'configmap', waits, '--from-literal=late=1')
    await until(waits, p => p.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'CreateContainerError', 'cannot be created')
    await told(waits, /Failed.*no space left on device/)
    await signal(cluster, r => r.component === 'container' && r.pod === ends && /trap/.test(r.command), ends, 'SIGTERM')
    await until(ends, p => p.status?.phase === 'Failed', 'has ended')
    expect((await main(ends))?.state?.terminated?.exitCode).toBe(7)
    await client.delete(pods, 'default', doomed)
    await eventually(async () => !(await client.list(pods, 'default')).items.some(p => p.metadata.name === doomed), `${doomed} is gone`)
    await fill(disk)
    const agent = await signal(cluster, r => r.component === 'node-agent' && r.node === 'node-1', 'the node-agent')
    await eventually(
      async () => (await cluster.ps()).some(r => r.component === 'node-agent' && r.node === 'node-1' && r.pid !== agent.pid),
      'the node-agent is back',
    )
    await eventually(async () => (await cluster.tryKubectl('exec', talks, '--', 'true')).code === 0, 'it serves')
    expect(await untouched()).toEqual(before)
  } finally {
    await makeSpace(disk)
  }
  await eventually(async () => (await pressure()) === 'False', 'no DiskPressure')
  for (const name of [waits, unscheduled, talks]) await until(name, isReady, 'runs')
  for (const name of [waits, unscheduled, talks]) expect((await main(name))?.restartCount, name).toBe(0)
  const last = async (): Promise<number> => Number(/line (\d+)\n*$/.exec(await cluster.kubectl('logs', '--tail=1', talks))?.[1])
  const heard = await eventually(last, 'the log goes on')
  await eventually(async () => (await last()) > heard, 'the log goes on')
  await served.stop()
  expect(served.failures).toEqual([])
  expect(await untouched()).toEqual(before)
  await Promise.all([talks, waits, ends, refused, unscheduled].map(name => client.delete(pods, 'default', name)))
  await untilAllIsWell(cluster, client, 'web', 2)
})

row('the disk of the images is full', 180_000, async round => {
  const [runs, pulls] = ['runs', 'pulls'].map(name => `${name}-${round}`) as [string, string]
  const { images } = stateDir(cluster.dir)
  await shell(runs, 'sleep 100000', critical)
  await until(runs, isReady, 'runs')
  const before = processes(await cluster.ps(), name => name === runs)
  await fill(images)
  try {
    await eventually(async () => (await pressure()) === 'True', 'DiskPressure')
    await shell(pulls, 'sleep 100000', critical, { image: `${registry.host}/disk/busybox:2`, imagePullPolicy: 'Always' })
    await until(
      pulls,
      p => ['ErrImagePull', 'ImagePullBackOff'].includes(p.status?.containerStatuses?.[0]?.state?.waiting?.reason ?? ''),
      'has no image',
    )
    await told(pulls, /Failed to pull image .*no space left on device/)
  } finally {
    await makeSpace(images)
  }
  await until(pulls, isReady, 'runs')
  await eventually(async () => (await pressure()) === 'False', 'no DiskPressure')
  expect((await main(pulls))?.restartCount).toBe(0)
  expect(processes(await cluster.ps(), name => name === runs)).toEqual(before)
  await Promise.all([runs, pulls].map(name => client.delete(pods, 'default', name)))
  await untilAllIsWell(cluster, client, 'web', 2)
})

/**
 * Claims that come and go while drivers, kubelets, controllers and nodes are killed: what is in volumes stays, and when all is deleted
 * nothing is left of them: no loop device, mount, directory, attachment or finalizer. `npm run soak -- 20
 * test/e2e/failures/volumes.test.ts` are 200 kills.
 */
import { readFileSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, expect } from 'vitest'
import { persistentVolumeClaims, persistentVolumes, pods, volumeAttachments } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { startCluster, type ClusterFixture } from '../../fixtures/cluster.ts'
import { clientOf, eventually, isReady, podsOf, row, signal } from './setup.ts'

const kills = 10
const names = ['node-1', 'node-2', 'node-3']
let cluster: ClusterFixture
let client: Client
let data: string
beforeAll(async () => {
  data = await mkdtemp('/var/tmp/cox-volumes-')
  // The driver is killed too often for the back-off of containers that crash: after five rounds it is minutes.
  const kubeletConfig = path.join(data, 'kubelet.yaml')
  await writeFile(
    kubeletConfig,
    'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\ncrashLoopBackOff: {maxContainerRestartPeriod: 2s}\n',
  )
  cluster = await startCluster({ nodes: names.length, flags: ['--kubelet-config', kubeletConfig] })
  client = clientOf(cluster)
  const manifest = path.join(import.meta.dirname, '../../../drivers/manifests/block.yaml')
  await cluster.apply(readFileSync(manifest, 'utf8').replaceAll('/var/lib/coxswain/csi', data))
  await cluster.kubectl('-n', 'kube-system', 'rollout', 'status', 'daemonset/csi-driver-block', '--timeout=50s')
}, 150_000)
afterAll(async () => {
  await cluster?.stop()
  await rm(data, { recursive: true, force: true })
}, 60_000)

/** The same numbers for the same round. */
function draw(seed: number): () => number {
  let state = seed * 2654435761
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
const statefulSet = (name: string, storageClassName: string) => ({
  apiVersion: 'apps/v1',
  kind: 'StatefulSet',
  metadata: { name },
  spec: {
    serviceName: name,
    replicas: 2,
    podManagementPolicy: 'Parallel',
    persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Delete', whenScaled: 'Delete' },
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: {
        terminationGracePeriodSeconds: 1,
        containers: [
          {
            name: 'main',
            image: 'busybox',
            command: ['sh', '-c', 'echo $HOSTNAME >>/data/log; sync; exec sleep 1000000'],
            volumeMounts: [{ name: 'data', mountPath: '/data' }],
          },
        ],
      },
    },
    volumeClaimTemplates: [
      {
        metadata: { name: 'data' },
        spec: { storageClassName, accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '16Mi' } } },
      },
    ],
  },
})
const strikes: { [what: string]: (random: () => number) => Promise<void> } = {
  driver: async random => {
    const all = (await cluster.ps()).filter(r => r.component === 'container' && r.pod?.startsWith('csi-driver-block'))
    const one = all[Math.floor(random() * all.length)]
    if (one) process.kill(one.pid, 'SIGKILL')
  },
  kubelet: async random => void (await signal(cluster, r => r.component === 'node-agent' && r.node === names[Math.floor(random() * 3)]!, 'a node-agent').catch(() => {})), // prettier-ignore
  manager: async () => void (await signal(cluster, r => r.component === 'kube-controller-manager', 'kube-controller-manager')),
  scheduler: async () => void (await signal(cluster, r => r.component === 'kube-scheduler', 'kube-scheduler')),
  node: async random => {
    const node = names[Math.floor(random() * 3)]!
    await cluster.cox('node', 'kill', node)
    await cluster.cox('node', 'start', node)
  },
}
const order = ['driver', 'kubelet', 'manager', 'driver', 'kubelet', 'manager', 'scheduler', 'driver', 'kubelet', 'node']
const scale = (name: string, replicas: number) => cluster.kubectl('scale', 'statefulset', name, `--replicas=${replicas}`)

/** All that volumes leave on the machine and in the API. */
async function left(): Promise<string[]> {
  const agents = (await cluster.ps()).filter(r => r.component === 'node-agent')
  const mounts = await Promise.all(agents.map(async a => (await readFile(`/proc/${a.pid}/mountinfo`, 'utf8').catch(() => '')).split('\n')))
  const within = async (place: string): Promise<string[]> => (await readdir(place).catch(() => [])).map(name => path.join(place, name))
  const objects = await Promise.all(
    [persistentVolumes, persistentVolumeClaims, volumeAttachments].map(async kind =>
      (await client.list(kind as typeof persistentVolumes, '')).items.map(o => `${kind.kind} ${JSON.stringify(o.metadata)}`),
    ),
  )
  const places = names.flatMap(node => {
    const at = path.join(cluster.dir, 'nodes', node)
    return [path.join(at, 'plugins/kubernetes.io~csi'), path.join(at, 'local-volumes')]
  })
  return [
    ...objects.flat(),
    ...mounts.flat().filter(l => l.includes('kubernetes.io~csi')),
    ...(await Promise.all([...places, path.join(data, 'block/volumes')].map(within))).flat().filter(p => !p.endsWith('/images')),
    ...(await execa('losetup', ['--list', '--noheadings', '--output', 'NAME,BACK-FILE'])).stdout.split('\n').filter(l => l.includes(data)),
  ]
}

row(`claims come and go while drivers, kubelets, controllers and nodes are killed, ${kills} times`, 360_000, async round => {
  const random = draw(round)
  const [disks, directories] = [`disks-${round}`, `dirs-${round}`]
  await cluster.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [statefulSet(disks, 'block'), statefulSet(directories, 'standard')] })) // prettier-ignore
  // As the round draws: what is struck last comes first in another round.
  const turns = order.slice(0, kills).map(what => ({ what, at: random() })).sort((a, b) => a.at - b.at) // prettier-ignore
  for (const { what } of turns) {
    await scale(random() < 0.5 ? disks : directories, 1 + Math.floor(random() * 3))
    await new Promise(resolve => setTimeout(resolve, random() * 1500))
    await strikes[what]!(random)
  }
  for (const set of [disks, directories]) await scale(set, 2)
  await eventually(
    async () => {
      for (const set of [disks, directories]) {
        const all = await podsOf(client, set)
        expect(all.filter(isReady).map(p => p.metadata.name).sort()).toEqual([`${set}-0`, `${set}-1`]) // prettier-ignore
        expect(all).toHaveLength(2)
      }
      return true
    },
    'all pods run',
    150_000,
  )
  for (const pod of [`${disks}-0`, `${disks}-1`, `${directories}-0`]) {
    // The node-agent that was killed last may not serve yet: pods stay Ready without it.
    const { stdout } = await eventually(async () => {
      const ran = await cluster.tryKubectl('exec', pod, '--', 'cat', '/data/log')
      if (ran.code !== 0) throw new Error(ran.stderr)
      return ran
    }, `the log of ${pod}`)
    expect(new Set(stdout.trim().split('\n'))).toEqual(new Set([pod]))
  }
  await cluster.kubectl('delete', 'statefulset', disks, directories, '--timeout=50s')
  await eventually(async () => (await client.list(pods, 'default')).items.length === 0, 'no pod to be left', 90_000)
  await eventually(
    async () => {
      expect(await left()).toEqual([])
      return true
    },
    'nothing to be left',
    120_000,
  )
})

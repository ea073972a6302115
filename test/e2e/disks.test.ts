/**
 * Applications on the disks of our block driver, and pods on directories of the shared one, whose nodes are lost: what was acknowledged is
 * there, and of two nodes one writes. Four nodes in three zones, so that one zone has two.
 */
import { readFileSync } from 'node:fs'
import { mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import path from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { eventually, startCluster, type ClusterFixture } from '../fixtures/cluster.ts'

vi.setConfig({ testTimeout: 240_000 })
const project = path.resolve(import.meta.dirname, '../..')
let cluster: ClusterFixture
let kubectl: ClusterFixture['kubectl']
/** The drivers' data: other tests use those of the machine. */
let data: string
const manifest = (file: string): string => readFileSync(path.join(project, file), 'utf8').replaceAll('/var/lib/coxswain/csi', data)
const drivers = ['block', 'shared', 'snapshots'].map(name => `drivers/manifests/${name}.yaml`)

beforeAll(async () => {
  data = await mkdtemp('/var/tmp/cox-disks-')
  cluster = await startCluster({ nodes: 4, flags: ['--zones', '3'] })
  kubectl = cluster.kubectl
  for (const file of drivers) await cluster.apply(manifest(file))
  for (const driver of ['block', 'shared'])
    await kubectl('-n', 'kube-system', 'rollout', 'status', `daemonset/csi-driver-${driver}`, '--timeout=90s')
}, 240_000)
afterAll(async () => {
  await cluster?.stop()
  // A device goes with its last mount.
  await vi.waitUntil(async () => (await loops()).length === 0, { timeout: 20_000 })
  await rm(data, { recursive: true, force: true })
}, 120_000)

const loops = async (): Promise<string[]> =>
  (await execa('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'])).stdout.split('\n').filter(l => l.includes(data))
const field = (what: string, jsonpath: string) => kubectl('get', ...what.split(' '), '-o', `jsonpath=${jsonpath}`)
const nodeOf = (pod: string) => field(`pod ${pod}`, '{.spec.nodeName}')
async function rolledOut(what: string): Promise<void> {
  const ran = await cluster.tryKubectl('rollout', 'status', what, '--timeout=50s')
  if (ran.code !== 0) throw new Error(`${what}: ${ran.stderr}\n${await kubectl('describe', 'pods,pvc')}`)
}
const sql = (pod: string, text: string): Promise<string> =>
  kubectl('exec', pod, '-c', 'postgres', '--', 'psql', '-U', 'postgres', '-h', 'localhost', '-qAtc', text).then(out => out.trim())
const outOfService = 'node.kubernetes.io/out-of-service'
const lost = (node: string) => kubectl('taint', 'node', node, `${outOfService}=lost:NoExecute`)
/** It runs again, and may be used. */
async function found(node: string): Promise<void> {
  await kubectl('wait', '--for=condition=Ready', `node/${node}`, '--timeout=60s')
  await kubectl('taint', 'node', node, `${outOfService}-`)
  await eventually(async () => !(await field(`node ${node}`, '{.spec.taints}')), 'no taint to be left')
}
const notReady = (node: string) => kubectl('wait', '--for=condition=Ready=Unknown', `node/${node}`, '--timeout=60s')
const elsewhere = (pod: string, node: string) =>
  eventually(async () => (await field(`pod ${pod}`, '{.spec.nodeName} {.status.conditions[?(@.type=="Ready")].status}')).endsWith(' True') && (await nodeOf(pod)) !== node, `${pod} on another node than ${node}`, 120_000) // prettier-ignore

test('each pod of a StatefulSet over three zones has a disk of its zone, and comes back to it when its node is lost', async () => {
  await cluster.apply(`
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: spread}
spec:
  serviceName: spread
  replicas: 3
  podManagementPolicy: Parallel
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete}
  selector: {matchLabels: {app: spread}}
  template:
    metadata: {labels: {app: spread}}
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: spread}}}
      containers:
      - name: main
        image: busybox
        command: [sh, -c, 'echo $NODE >>/data/nodes; sync; exec sleep 1000000']
        env: [{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {storageClassName: block, accessModes: [ReadWriteOnce], resources: {requests: {storage: 32Mi}}}
`)
  await rolledOut('statefulset/spread')
  const pods = (await field('pods -l app=spread', '{range .items[*]}{.metadata.name} {.spec.nodeName}{"\\n"}{end}')).trim().split('\n').map(l => l.split(' ')) // prettier-ignore
  // One of each zone: node-1 and node-4 are of one.
  const [name = '', node = ''] = pods.find(([, n]) => n === 'node-1' || n === 'node-4')!
  expect(pods.map(([, n]) => n).filter(n => n === 'node-2' || n === 'node-3')).toHaveLength(2)
  const other = node === 'node-1' ? 'node-4' : 'node-1'
  await cluster.cox('node', 'kill', node)
  await notReady(node)
  await lost(node)
  await elsewhere(name, node)
  expect(await nodeOf(name)).toBe(other)
  expect((await kubectl('exec', name, '--', 'cat', '/data/nodes')).trim().split('\n')).toEqual([node, other])
  await cluster.cox('node', 'start', node)
  await found(node)
  await kubectl('delete', 'statefulset', 'spread', '--timeout=60s')
})

test('a database that is written is snapshot and restored; its node is cut off: all that it acknowledged is there, and nobody else writes', async () => {
  const postgres = manifest('examples/csi/postgres.yaml')
  // The zone of two nodes.
  await kubectl('cordon', 'node-2')
  await kubectl('cordon', 'node-3')
  await cluster.apply(postgres)
  await rolledOut('statefulset/db')
  await sql('db-0', 'create table numbers (n int primary key)')
  let acknowledged = 0
  let writing = true
  const writer = (async () => {
    while (writing) {
      const from = acknowledged + 1
      const ran = await cluster.tryKubectl(
        ...['exec', 'db-0', '-c', 'postgres', '--', 'psql', '-U', 'postgres', '-h', 'localhost', '-qAtc'],
        `insert into numbers select generate_series(${from}, ${from + 19}) on conflict do nothing`,
      )
      if (ran.code === 0) acknowledged += 20
    }
  })()
  await eventually(() => acknowledged >= 60, 'some writes')
  const before = acknowledged
  await cluster.apply(`
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshotClass
metadata: {name: block}
driver: block.csi.coxswain.io
deletionPolicy: Delete
---
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: {name: then}
spec: {volumeSnapshotClassName: block, source: {persistentVolumeClaimName: data-db-0}}
`)
  await kubectl('wait', '--for=jsonpath={.status.readyToUse}=true', 'volumesnapshot/then', '--timeout=90s')
  const after = acknowledged + 20
  const restored = postgres
    .split('\n---\n')
    .at(-1)!
    .replaceAll(/\bdb\b/g, 'copy')
    .replaceAll('name: copy, key', 'name: db, key')
    .replace('    spec:\n        storageClassName', '    spec:\n        storageClassName')
    .replace('resources: {requests', 'dataSource: {apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: then}\n        resources: {requests') // prettier-ignore
  await cluster.apply(restored)
  await rolledOut('statefulset/copy')
  const whole = `select count(*), max(n), md5(string_agg(n::text, ',' order by n)) from numbers`
  const [count = 0, max = 0, sum] = (await sql('copy-0', whole)).split('|').map((text, i) => (i < 2 ? Number(text) : text)) as [number, number, string] // prettier-ignore
  const expected = createHash('md5').update(Array.from({ length: max }, (_, i) => i + 1).join(',')).digest('hex') // prettier-ignore
  expect([count, sum]).toEqual([max, expected])
  expect(max).toBeGreaterThanOrEqual(before)
  expect(max).toBeLessThanOrEqual(after)
  await kubectl('delete', 'statefulset/copy', 'volumesnapshot/then', '--timeout=60s')

  // It runs on, cut off, and takes itself for the database.
  const node = await nodeOf('db-0')
  const own = (await cluster.ps()).filter(r => r.component === 'container' && r.node === node && r.pod?.includes('db-0'))
  // Not a probe's command, nor what starts one: those are about to be gone.
  const server = own.find(r => r.command.startsWith('postgres -c'))
  if (!server) throw new Error(`no server among ${JSON.stringify(own)}`)
  // Through the old database's own mount, whatever the API thinks of it, and whether it lives on once it can't write.
  const mount = await open(`/proc/${server.pid}/root/var/lib/postgresql/data`)
  async function write(file: string): Promise<void> {
    const handle = await open(`/proc/self/fd/${mount.fd}/${file}`, 'w')
    try {
      await handle.writeFile('x')
      await handle.sync()
    } finally {
      await handle.close()
    }
  }
  await write('mine')
  await cluster.cox('link', 'cut', node)
  await notReady(node)
  writing = false
  await writer
  const known = acknowledged
  await lost(node)
  await elsewhere('db-0', node)
  await expect(write('late')).rejects.toThrow(/EIO|EROFS/)
  await mount.close()
  expect(Number(await sql('db-0', `select count(*) from numbers where n <= ${known}`))).toBe(known)
  expect(await kubectl('exec', 'db-0', '-c', 'postgres', '--', 'ls', '/var/lib/postgresql/data')).not.toContain('late')
  await sql('db-0', 'insert into numbers values (-1)')
  await cluster.cox('link', 'heal', node)
  await found(node)
  // What the old node lets go of is not the new one's.
  await eventually(async () => !(await cluster.ps()).some(r => r.component === 'container' && r.node === node && r.pod?.includes('db-0')), 'the old database to be gone') // prettier-ignore
  await sql('db-0', 'insert into numbers values (-2)')
  expect(await field('volumeattachments', '{.items[*].spec.nodeName}')).toBe(await nodeOf('db-0'))
  await kubectl('delete', 'pod', 'db-0')
  await rolledOut('statefulset/db')
  expect(Number(await sql('db-0', 'select count(*) from numbers where n < 0'))).toBe(2)
  await kubectl('delete', 'statefulset/db', 'service/db', 'secret/db', '--timeout=60s')
})

test('a Redis whose node is pulled out has every key that it acknowledged', async () => {
  const redis = manifest('examples/redis.yaml').replace('accessModes: [ReadWriteOncePod]', 'storageClassName: block\n      accessModes: [ReadWriteOncePod]') // prettier-ignore
  await cluster.apply(redis)
  await rolledOut('statefulset/keeper')
  const cli = (...args: string[]) => kubectl('exec', 'keeper-0', '--', 'redis-cli', ...args)
  for (let i = 1; i <= 20; i++) expect((await cli('set', `key-${i}`, String(i))).trim()).toBe('OK')
  const node = await nodeOf('keeper-0')
  await cluster.cox('node', 'kill', node)
  await notReady(node)
  await lost(node)
  await elsewhere('keeper-0', node)
  expect((await cli('dbsize')).trim()).toBe('20')
  expect((await cli('get', 'key-20')).trim()).toBe('20')
  await cluster.cox('node', 'start', node)
  await found(node)
  await kubectl('delete', 'statefulset/keeper', 'service/keeper', '--timeout=60s')
  await kubectl('uncordon', 'node-2')
  await kubectl('uncordon', 'node-3')
})

test('three web pods serve one folder of uploads, also those that replace one whose node is lost', async () => {
  await cluster.apply(manifest('examples/csi/shared.yaml'))
  await rolledOut('deployment/uploads')
  const pods = async () => (await field('pods -l app=uploads', '{range .items[?(@.status.phase=="Running")]}{.metadata.name} {.status.podIP} {.spec.nodeName}{"\\n"}{end}')).trim().split('\n').map(l => l.split(' ')) // prettier-ignore
  const [first] = await pods()
  await kubectl('exec', first![0]!, '--', 'sh', '-c', 'seq 1000 >/uploads/numbers.txt')
  const serve = async () => {
    for (const [pod, ip] of await pods())
      expect((await kubectl('exec', pod!, '--', 'wget', '-qO-', `http://${ip}:8080/numbers.txt`)).trim().split('\n')).toHaveLength(1000)
  }
  await serve()
  const node = first![2]!
  await cluster.cox('node', 'kill', node)
  await notReady(node)
  await lost(node)
  await eventually(async () => {
    const now = await pods()
    return now.length === 3 && now.every(p => p[2] !== node)
  }, 'three pods on other nodes')
  await rolledOut('deployment/uploads')
  await serve()
  expect((await readFile(path.join(data, 'shared/volumes', (await readdir(path.join(data, 'shared/volumes')))[0]!, 'data/numbers.txt'), 'utf8')).length).toBeGreaterThan(3000) // prettier-ignore
  await cluster.cox('node', 'start', node)
  await found(node)
  await kubectl('delete', 'deployment/uploads', 'pvc/uploads', '--timeout=60s')
})

test('nothing is left', async () => {
  await kubectl('delete', 'pvc', '--all', '--timeout=60s')
  await eventually(async () => (await field('pv,volumeattachments', '{.items[*].metadata.name}')) === '', 'no volume and no attachment')
  for (const kind of ['block/volumes', 'block/snapshots', 'shared/volumes']) expect(await readdir(path.join(data, kind)).catch(() => [])).toEqual([]) // prettier-ignore
  expect(await loops()).toEqual([])
})

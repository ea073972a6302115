/** The recipes of examples/README.md, step by step, in a cluster of their own: they label, fill and drain its nodes. */
import path from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually, startCluster, type ClusterFixture } from '../fixtures/cluster.ts'

const example = (name: string): string => path.resolve(import.meta.dirname, '../../examples', `${name}.yaml`)
let cluster: ClusterFixture
let kubectl: ClusterFixture['kubectl']

beforeAll(async () => {
  cluster = await startCluster()
  kubectl = cluster.kubectl
  // Looked at later: metrics take their time.
  await kubectl('apply', '-f', example('hpa'))
  await kubectl('apply', '-f', example('hpa-load'))
}, 120_000)
afterAll(() => cluster?.stop(), 60_000)

const apply = (name: string): Promise<string> => kubectl('apply', '-f', example(name))
const remove = (name: string): Promise<string> => kubectl('delete', '-f', example(name), '--wait=false')
const rolledOut = (what: string): Promise<string> => kubectl('rollout', 'status', what, '--timeout=90s')
const field = (what: string, name: string, jsonpath: string): Promise<string> => kubectl('get', what, name, '-o', `jsonpath={${jsonpath}}`)
const curl = async (url: string): Promise<string> =>
  (await execa('curl', ['-sf', '-m', '5', url], { reject: false, timeout: 10_000 })).stdout.trim()
/** What a Service answers. */
const visit = async (service: string): Promise<(path?: string) => Promise<string>> => {
  const ip = await field('service', service, '.spec.clusterIP')
  const port = await field('service', service, '.spec.ports[0].port')
  return (at = '/') => curl(`http://${ip}:${port}${at}`)
}
const podsOf = async (selector: string): Promise<{ name: string; node: string }[]> =>
  (await kubectl('get', 'pods', '-l', selector, '--no-headers', '-o', 'custom-columns=N:.metadata.name,O:.spec.nodeName'))
    .split('\n')
    .filter(Boolean)
    .map(line => line.trim().split(/ +/) as [string, string])
    .map(([name, node]) => ({ name, node }))

test('rolling update: somebody answers all the time', async () => {
  await apply('rolling-update')
  await rolledOut('deployment/shop')
  const shop = await visit('shop')
  await eventually(async () => (await shop()).startsWith('shop 1'), 'the first version')
  await kubectl('set', 'env', 'deployment/shop', 'VERSION=2')
  const rollout = rolledOut('deployment/shop')
  let isRolling = true
  const answers: string[] = []
  const asking = (async () => {
    while (isRolling) answers.push(await shop())
  })()
  await rollout.finally(() => (isRolling = false))
  await asking
  expect(answers.filter(a => !/^shop [12] on shop-/.test(a))).toEqual([])
  await eventually(async () => (await shop()).startsWith('shop 2'), 'the second version')
  expect(await kubectl('rollout', 'history', 'deployment/shop')).toMatch(/^2 /m)
  await kubectl('rollout', 'undo', 'deployment/shop')
  await rolledOut('deployment/shop')
  await eventually(async () => (await shop()).startsWith('shop 1'), 'the first version again')
  await remove('rolling-update')
}, 120_000)

test('blue/green: the selector decides, at once and back', async () => {
  await apply('blue-green')
  await rolledOut('deployment/store-blue')
  await rolledOut('deployment/store-green')
  const [store, preview] = [await visit('store'), await visit('store-preview')]
  await eventually(async () => (await store()) === 'blue' && (await preview()) === 'green', 'blue, and green in the preview')
  for (const color of ['green', 'blue']) {
    await kubectl('patch', 'service', 'store', '-p', `{"spec":{"selector":{"color":"${color}"}}}`)
    await eventually(async () => (await store()) === color, color)
    expect(await Promise.all(Array.from({ length: 10 }, () => store()))).toEqual(Array(10).fill(color))
  }
  await remove('blue-green')
}, 120_000)

test('canary: both versions answer; then the new one alone', async () => {
  await apply('canary')
  await rolledOut('deployment/menu-stable')
  await rolledOut('deployment/menu-canary')
  const menu = await visit('menu')
  const seen = new Set<string>()
  await eventually(async () => seen.add(await menu()).has('canary') && seen.has('stable'), 'answers of both')
  await kubectl('scale', 'deployment', 'menu-canary', '--replicas=3')
  await rolledOut('deployment/menu-canary')
  await kubectl('scale', 'deployment', 'menu-stable', '--replicas=0')
  await eventually(
    async () => (await Promise.all(Array.from({ length: 10 }, () => menu()))).every(a => a === 'canary'),
    'answers of the new version alone',
  )
  await remove('canary')
}, 120_000)

test('dark launch: the new version is asked everything, and answers nobody', async () => {
  await apply('dark-launch')
  for (const name of ['orders-v1', 'orders-v2', 'orders-gate']) await rolledOut(`deployment/${name}`)
  const orders = await visit('orders')
  await eventually(async () => (await orders('/order/0')) === 'v1', 'the gate')
  const paths = Array.from({ length: 20 }, (_, i) => `/order/${i + 1}`)
  expect(await Promise.all(paths.map(orders))).toEqual(Array(20).fill('v1'))
  const log = async (version: string) => (await kubectl('logs', `deployment/orders-${version}`)).split('\n').map(line => line.trim())
  const copies = paths.map(p => `GET ${p} (a copy)`)
  await eventually(async () => {
    const seen = await log('v2')
    return copies.every(copy => seen.includes(copy))
  }, 'a copy of each')
  const real = await log('v1')
  expect(paths.filter(p => !real.includes(`GET ${p}`))).toEqual([])
  expect(real.join()).not.toContain('a copy')
  await remove('dark-launch')
}, 120_000)

test('a queue of work: each thing is done once, and the job ends when there is none left', async () => {
  await apply('work-queue')
  await rolledOut('deployment/queue')
  const redis = (...args: string[]): Promise<string> => kubectl('exec', 'deployment/queue', '--', 'redis-cli', ...args)
  const things = Array.from({ length: 12 }, (_, i) => `thing-${i}`)
  await redis('RPUSH', 'todo', ...things)
  await apply('work-queue-job')
  await kubectl('wait', '--for=condition=complete', 'job/workers', '--timeout=90s')
  const done = (await redis('LRANGE', 'done', '0', '-1')).trim().split('\n')
  expect(done.toSorted()).toEqual(things.toSorted())
  expect(await field('job', 'workers', '.status.succeeded')).toBe('3')
  await remove('work-queue-job')
  await remove('work-queue')
}, 120_000)

const crunchers = async (): Promise<number> => Number((await field('deployment', 'cruncher', '.status.readyReplicas')) || 0)

test('an autoscaler gives pods to the load ...', async () => {
  // How many depends on what else the machine has to do.
  await eventually(async () => (await crunchers()) > 1, 'more pods', 180_000)
  expect(await kubectl('describe', 'hpa', 'cruncher')).toMatch(
    /SuccessfulRescale .*cpu resource utilization \(percentage of request\) above target/,
  )
  await kubectl('delete', '-f', example('hpa-load'))
}, 200_000)

test('devices: each pod has one of its own, and who finds none waits', async () => {
  await apply('devices-driver')
  await kubectl('rollout', 'status', 'daemonset/dra-driver', '-n', 'kube-system', '--timeout=90s')
  const running = async () =>
    (await kubectl('get', 'pods', '-l', 'app=mounters', '--no-headers')).split('\n').filter(l => l.includes('Running')).length
  await eventually(
    async () => (await kubectl('get', 'resourceslices', '-o', 'name')).split('\n').filter(Boolean).length === 3,
    'a slice of each node',
  )
  await apply('devices')
  await eventually(async () => (await running()) === 3, 'three of four pods', 60_000)
  await expect(kubectl('get', 'resourceclaims')).resolves.toMatch(/allocated,reserved/)
  const waiting = (await kubectl('get', 'pods', '-l', 'app=mounters', '--field-selector', 'status.phase=Pending', '-o', 'name')).trim()
  expect(await kubectl('describe', waiting)).toContain('cannot allocate all claims')
  const nodes = (await podsOf('app=mounters')).map(p => p.node)
  expect(new Set(nodes).size).toBe(4)
  await eventually(async () => /opened \/dev\/fuse/.test(await kubectl('logs', '-l', 'app=mounters', '--prefix')), 'the device is opened')
  await kubectl('scale', 'deployment', 'mounters', '--replicas=3')
  await rolledOut('deployment/mounters')
  await remove('devices')
  await eventually(async () => (await kubectl('get', 'resourceclaims', '-o', 'name')) === '', 'all is given back')
  await kubectl('delete', '-f', example('devices-driver'), '--timeout=60s')
}, 180_000)

test('a drain waits for the budget', async () => {
  await apply('drain')
  await rolledOut('deployment/keeper')
  const [first] = await podsOf('app=keeper')
  const node = first!.node
  let least = 3
  let isDraining = true
  const watching = (async () => {
    while (isDraining) least = Math.min(least, Number((await field('deployment', 'keeper', '.status.readyReplicas')) || 0))
  })()
  const drained = await kubectl('drain', node, '--ignore-daemonsets', '--delete-emptydir-data', '--timeout=60s').finally(
    () => (isDraining = false),
  )
  await watching
  expect(drained).toContain('drained')
  expect(least).toBeGreaterThanOrEqual(2)
  expect((await podsOf('app=keeper')).filter(p => p.node === node)).toEqual([])
  expect(await kubectl('get', 'node', node, '--no-headers')).toContain('SchedulingDisabled')
  await kubectl('uncordon', node)
  // Two may not be disrupted at a time.
  await kubectl('patch', 'pdb', 'keeper', '--type=merge', '-p', '{"spec":{"minAvailable":3}}')
  await eventually(async () => (await field('pdb', 'keeper', '.status.disruptionsAllowed')) === '0', 'a budget that allows none')
  const [held] = await podsOf('app=keeper')
  const refused = await cluster.tryKubectl('drain', held!.node, '--ignore-daemonsets', '--delete-emptydir-data', '--timeout=3s')
  expect(refused.code).not.toBe(0)
  expect(refused.stderr).toContain("Cannot evict pod as it would violate the pod's disruption budget")
  await kubectl('uncordon', held!.node)
  await remove('drain')
}, 150_000)

test('logs are collected on every node', async () => {
  await apply('log-collector')
  await rolledOut('daemonset/log-collector')
  await kubectl('run', 'talker', '--image=busybox', '--', 'sh', '-c', 'while true; do echo hello from a talker; sleep 1; done')
  await kubectl('wait', '--for=condition=ready', 'pod/talker', '--timeout=60s')
  const node = await field('pod', 'talker', '.spec.nodeName')
  await eventually(async () => {
    const collector = (await podsOf('app=log-collector')).find(p => p.node === node)!
    return (await kubectl('logs', collector.name)).includes(`${node} talker/talker: hello from a talker`)
  }, 'its lines')
  await kubectl('delete', 'pod', 'talker', '--grace-period=1', '--wait=false')
  await remove('log-collector')
}, 120_000)

test('who is more important takes a place', async () => {
  await apply('priority')
  await rolledOut('deployment/standby')
  await apply('priority-pod')
  await kubectl('wait', '--for=condition=ready', 'pod/first', '--timeout=60s')
  expect(await kubectl('get', 'events', '--field-selector=reason=Preempted')).toMatch(/pod\/standby-.* Preempted by pod/)
  const waiting = await kubectl('get', 'pods', '-l', 'app=standby', '--field-selector=status.phase=Pending', '-o', 'name')
  expect(waiting.trim().split('\n')).toHaveLength(1)
  await remove('priority-pod')
  await rolledOut('deployment/standby')
  await remove('priority')
}, 120_000)

test('pods are even over zones', async () => {
  const zones = { 'node-1': 'a', 'node-2': 'b', 'node-3': 'b' }
  for (const [node, zone] of Object.entries(zones))
    await kubectl('label', '--overwrite', 'node', node, `topology.kubernetes.io/zone=${zone}`)
  await apply('topology-spread')
  await rolledOut('deployment/even')
  const inA = (await podsOf('app=even')).filter(p => zones[p.node as keyof typeof zones] === 'a')
  expect(inA).toHaveLength(3)
  await remove('topology-spread')
}, 120_000)

test('a PostgreSQL and its replica', async () => {
  await apply('postgres')
  await rolledOut('statefulset/postgres')
  const sql = async (pod: string, text: string): Promise<string> =>
    (await kubectl('exec', pod, '--', 'psql', '-U', 'postgres', '-h', 'localhost', '-Atc', text)).trim()
  await sql('postgres-0', 'create table visits (who text)')
  await sql('postgres-0', "insert into visits values ('jane'), ('joe')")
  const onReplica = (count: string) =>
    eventually(
      async () =>
        (
          await cluster.tryKubectl(
            'exec',
            'postgres-1',
            '--',
            'psql',
            '-U',
            'postgres',
            '-h',
            'localhost',
            '-Atc',
            'select count(*) from visits',
          )
        ).stdout.trim() === count,
      `${count} rows on the replica`,
    )
  await onReplica('2')
  expect(await sql('postgres-1', 'select pg_is_in_recovery()')).toBe('t')
  expect(
    (await cluster.tryKubectl('exec', 'postgres-1', '--', 'psql', '-U', 'postgres', '-h', 'localhost', '-c', 'drop table visits')).stderr,
  ).toContain('read-only')
  await kubectl('delete', 'pod', 'postgres-1')
  await sql('postgres-0', "insert into visits values ('kim')")
  await rolledOut('statefulset/postgres')
  await onReplica('3')
  // What was acknowledged is there, though the process had no time to end well; the pod comes back to its volume.
  const place = await field('pod', 'postgres-0', '.spec.nodeName')
  await sql('postgres-0', "insert into visits values ('jim')")
  await kubectl('delete', 'pod', 'postgres-0', '--grace-period=0', '--force')
  await rolledOut('statefulset/postgres')
  expect(await field('pod', 'postgres-0', '.spec.nodeName')).toBe(place)
  expect(await sql('postgres-0', 'select count(*) from visits')).toBe('4')
  await onReplica('4')
  await remove('postgres')
  await kubectl('delete', 'pvc', '-l', 'app=postgres', '--wait=false')
}, 180_000)

test('a Redis keeps every change that it acknowledged', async () => {
  await apply('redis')
  await rolledOut('statefulset/keeper')
  const redis = async (...args: string[]): Promise<string> => (await kubectl('exec', 'keeper-0', '--', 'redis-cli', ...args)).trim()
  for (const count of ['1', '2', '3']) expect(await redis('incr', 'count')).toBe(count)
  const server = (await cluster.ps()).find(r => r.component === 'container' && r.pod === 'keeper-0')!
  process.kill(server.pid, 'SIGKILL')
  await eventually(async () => (await field('pod', 'keeper-0', '.status.containerStatuses[0].restartCount')) === '1', 'the restart')
  await eventually(
    async () => (await cluster.tryKubectl('exec', 'keeper-0', '--', 'redis-cli', 'get', 'count')).stdout.trim() === '3',
    'the count',
  )
  await kubectl('delete', 'pod', 'keeper-0')
  await rolledOut('statefulset/keeper')
  expect(await redis('get', 'count')).toBe('3')
  await remove('redis')
  await eventually(async () => (await kubectl('get', 'pvc', '-l', 'app=keeper', '-o', 'name')) === '', 'the claim to go with its set')
}, 120_000)

test('... and takes them away when it is over', async () => {
  await eventually(async () => (await crunchers()) === 1, 'one pod', 180_000)
  expect(await kubectl('describe', 'hpa', 'cruncher')).toContain('All metrics below target')
}, 200_000)

/** Two API servers, two of each leader: any one can die or hang, and neither its clients nor the registers that they share take harm. */
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import { configMaps, leases, pods } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { startInformer } from '#shared/client/reflector.ts'
import { logger } from '#shared/component/log.ts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ProcessRow } from '#control-plane/cli/ps.ts'
import { busClient, httpsClient, type ClosableClient } from '../../fixtures/clients.ts'
import { eventually, startCluster, type ClusterFixture } from '../../fixtures/cluster.ts'
import { findViolation } from '../../linearizability/check.ts'
import { describeViolation, History } from '../../linearizability/history.ts'
import { useRegisters } from '../../linearizability/registers.ts'
import { delay, patience, row } from './setup.ts'

/** LINEARIZABILITY_SECONDS=600 for a long look. */
const seconds = Number(process.env['LINEARIZABILITY_SECONDS'] || 10)
const quiet = logger('test')
quiet.level = 'silent'

let cluster: ClusterFixture
let https: ClosableClient
let bus: ClosableClient
const open: ClosableClient[] = []
const opened = async (client: Promise<ClosableClient>): Promise<ClosableClient> => {
  open.push(await client)
  return client
}
beforeAll(async () => {
  cluster = await startCluster({ nodes: 1, flags: ['--apiservers', '2', '--controller-managers', '2', '--schedulers', '2'] })
  https = await opened(httpsClient(cluster, { timeoutMs: 10_000 }))
  bus = await opened(busClient(cluster, { timeoutMs: 10_000 }))
}, 90_000)
afterAll(async () => {
  await Promise.all(open.map(c => c.close()))
  await cluster?.stop()
}, 60_000)

const controlPlane = async (component: string): Promise<ProcessRow[]> => (await cluster.ps()).filter(r => r.component === component)
const processOf = async (name: string): Promise<ProcessRow> =>
  eventually(async () => (await cluster.ps()).find(r => r.name === name), `${name} runs`)
const leaderOf = async (component: string): Promise<ProcessRow> =>
  eventually(async () => (await controlPlane(component)).find(r => r.leader), `${component} has a leader`)
const holder = async (component: string): Promise<string> =>
  (await bus.client.get(leases, 'kube-system', component)).spec?.holderIdentity ?? ''

/** 200 writes a second, half of them over each transport; one object a writer, whose value only its writer counts up. */
function startLoad(namespace: string) {
  const stop = new AbortController()
  const written = new Map<string, number>()
  /** For each write how often it failed before it was done, with the last reason. */
  const retried: { transport: string; times: number; why: string }[] = []
  let count = 0
  async function writer(transport: string, client: Client, name: string): Promise<void> {
    for (let n = 1; !stop.signal.aborted; n++) {
      const next = delay(100)
      const object = { metadata: { name, namespace }, data: { n: String(n) } } as unknown as ConfigMap
      for (let times = 0, why = ''; ; times++) {
        try {
          await (n === 1
            ? client
                .create(configMaps, namespace, object)
                .catch((e: { reason?: string }) => (e.reason === 'AlreadyExists' ? undefined : Promise.reject(e)))
            : client.update(configMaps, object))
          if (times > 0) retried.push({ transport, times, why })
          break
        } catch (e) {
          if (stop.signal.aborted) return
          why = (e as Error).message
          await delay(20)
        }
      }
      written.set(name, n)
      count++
      await next
    }
  }
  const work = Promise.all(
    Array.from({ length: 10 }, (_, i) => [writer('https', https.client, `https-${i}`), writer('bus', bus.client, `bus-${i}`)]).flat(),
  )
  return {
    written,
    retried,
    count: () => count,
    stop: async () => {
      stop.abort()
      await work
    },
  }
}

/** Everything that an informer is told of ConfigMaps, object by object. */
function follow(client: Client, namespace: string, signal: AbortSignal) {
  const seen = new Map<string, number[]>()
  const informer = startInformer(client, configMaps, { namespace, log: quiet }, signal)
  informer.subscribe(({ type, object }) => {
    if (type === 'DELETED' || object.data?.['n'] === undefined) return
    const { name = '' } = object.metadata
    seen.set(name, [...(seen.get(name) ?? []), Number(object.data['n'])])
  })
  return { synced: informer.synced, seen }
}

test('each has a name of its own; one of each kind leads', async () => {
  await leaderOf('kube-scheduler')
  await leaderOf('kube-controller-manager')
  const rows = await cluster.ps()
  const names = rows.flatMap(r => (r.name ? [r.name] : []))
  expect(names).toEqual([
    'nats-server',
    'kube-apiserver',
    'kube-apiserver-2',
    'kube-controller-manager',
    'kube-controller-manager-2',
    'kube-scheduler',
    'kube-scheduler-2',
    'cloud-controller-manager',
  ])
  expect(rows.filter(r => r.leader).map(r => r.component)).toEqual([
    'kube-controller-manager',
    'kube-scheduler',
    'cloud-controller-manager',
  ])
  expect((await cluster.cox('logs', 'kube-apiserver-2')).stdout).toContain('"component":"kube-apiserver"')
})

row(
  'any one dies under 200 writes a second: clients retry at most what was in flight, watches go on without a gap, others lead',
  120_000,
  async round => {
    const namespace = `load-${round}`
    await cluster.kubectl('create', 'namespace', namespace)
    const end = new AbortController()
    const followers = [follow(https.client, namespace, end.signal), follow(bus.client, namespace, end.signal)]
    await Promise.all(followers.map(f => f.synced))
    const load = startLoad(namespace)
    const more = async (): Promise<void> => {
      const before = load.count()
      await eventually(() => load.count() > before + 100, 'writes go on')
    }
    await more()
    for (const component of ['kube-scheduler', 'kube-controller-manager']) {
      const leader = await leaderOf(component)
      const former = await holder(component)
      process.kill(leader.pid, 'SIGKILL')
      await eventually(async () => ![former, ''].includes(await holder(component)), `another ${component} leads`, 3_000 * patience)
      await more()
    }
    for (const [i, name] of ['kube-apiserver', 'kube-apiserver-2'].entries()) {
      const { pid } = await processOf(name)
      process.kill(pid, 'SIGKILL')
      await more()
      await eventually(async () => (await processOf(name)).pid !== pid, `${name} is back`)
      // It serves again before the other dies.
      const alone = await opened(httpsClient(cluster, { timeoutMs: 5_000 }, i + 1))
      await eventually(() => alone.client.get(leases, 'kube-system', 'kube-scheduler'), `${name} serves`)
      await more()
    }
    await cluster.kubectl('create', 'deployment', 'after', '-n', namespace, '--image=busybox', '--', 'sleep', '100000')
    await cluster.kubectl('rollout', 'status', 'deployment/after', '-n', namespace, '--timeout=60s')
    await more()
    await load.stop()
    expect(load.retried.filter(r => r.times > 5)).toEqual([])
    for (const why of new Set(load.retried.map(r => r.why)))
      expect(why).toMatch(/ECONNRE|socket hang up|socket disconnected|the API server is gone|no API server speaks/)
    for (const { seen } of followers) {
      await eventually(() => [...load.written].every(([name, n]) => seen.get(name)?.at(-1) === n), 'the last writes arrive')
      for (const [name, n] of load.written) expect(seen.get(name), name).toEqual(Array.from({ length: n }, (_, i) => i + 1))
    }
    end.abort()
    await cluster.kubectl('delete', 'namespace', namespace, '--wait=false')
  },
)

row('leaders and an API server that hang are replaced; leaders that wake up find others in their place and leave', 150_000, async () => {
  const hung = [await leaderOf('kube-scheduler'), await leaderOf('kube-controller-manager')]
  const former = await Promise.all(hung.map(r => holder(r.component)))
  const apiserver = await processOf('kube-apiserver-2')
  // The controller manager is caught in the middle of making pods.
  const made = new Set<string>()
  const end = new AbortController()
  const informer = startInformer(bus.client, pods, { namespace: 'default', labelSelector: 'app=many', log: quiet }, end.signal)
  informer.subscribe(e => made.add(e.object.metadata.uid ?? ''))
  await informer.synced
  await cluster.kubectl('create', 'deployment', 'many', '--image=registry.k8s.io/pause:3.10', '--replicas=8')
  await eventually(() => made.size > 0, 'the first pod')
  for (const { pid } of [...hung, apiserver]) process.kill(pid, 'SIGSTOP')
  await eventually(
    async () => (await Promise.all(hung.map(r => holder(r.component)))).every((now, i) => now !== former[i]),
    'others lead',
    30_000,
  )
  await cluster.kubectl('rollout', 'status', 'deployment/many', '--timeout=60s')
  await eventually(async () => (await processOf('kube-apiserver-2')).pid !== apiserver.pid, 'the API server that hangs is started again')
  for (const { pid } of hung) process.kill(pid, 'SIGCONT')
  for (const { name = '', pid } of hung) await eventually(async () => (await processOf(name)).pid !== pid, `the former ${name} leaves`)
  await cluster.kubectl('rollout', 'status', 'deployment/many', '--timeout=60s')
  end.abort()
  // An answer to the paused one may have been lost with the API server: one more pod for each request of its workers, and nothing for what
  // it wanted to do when it woke up.
  expect(made.size).toBeLessThanOrEqual(12)
  expect(
    (await bus.client.list(pods, 'default', { labelSelector: 'app=many' })).items.filter(p => !p.metadata.deletionTimestamp),
  ).toHaveLength(8)
  await cluster.kubectl('delete', 'deployment', 'many')
  await cluster.kubectl('wait', '--for=delete', 'pod', '-l', 'app=many', '--timeout=60s')
})

row('a register is a register, whatever dies', 60_000 + seconds * 2000, async round => {
  const namespace = `registers-${round}`
  await cluster.kubectl('create', 'namespace', namespace)
  const history = new History()
  const stop = new AbortController()
  const registers = ['a', 'b', 'c']
  const before = open.length
  const settings = { timeoutMs: 5_000 }
  const waysOf = async () => ({
    bus: (await opened(busClient(cluster, settings))).client,
    https: (await opened(httpsClient(cluster, settings))).client,
    'the first': (await opened(httpsClient(cluster, settings, 1))).client,
    'the second': (await opened(httpsClient(cluster, settings, 2))).client,
  })
  const ways = await Promise.all(Array.from({ length: 8 }, waysOf))
  const work = Promise.all(ways.map((w, i) => useRegisters(`c${i}`, w, namespace, registers, history, stop.signal)))
  const signal = async (name: string, what: NodeJS.Signals): Promise<void> => {
    const { pid } = await processOf(name)
    process.kill(pid, what)
    if (what !== 'SIGSTOP') return
    await delay(1500)
    process.kill(pid, 'SIGCONT')
  }
  const more = async (): Promise<void> => {
    const sofar = history.operations.length
    await eventually(() => history.operations.length > sofar + 200, 'requests go on')
  }
  const until = performance.now() + seconds * 1000
  do {
    for (const [name, what] of [
      ['kube-apiserver', 'SIGKILL'],
      ['nats-server', 'SIGKILL'],
      ['kube-apiserver-2', 'SIGSTOP'],
      ['kube-apiserver-2', 'SIGKILL'],
      ['nats-server', 'SIGSTOP'],
    ] as const) {
      await more()
      await signal(name, what)
    }
    await more()
  } while (performance.now() < until)
  stop.abort()
  await work
  const violation = findViolation(history.operations)
  expect(violation && describeViolation(violation)).toBeUndefined()
  const outcomes = history.operations.map(o => (o.action.kind === 'read' ? 'read' : o.action.outcome))
  for (const outcome of ['read', 'done', 'refused', 'unknown']) expect(outcomes, outcome).toContain(outcome)
  await Promise.all(open.splice(before).map(c => c.close()))
})

test('a restart with other counts changes them', async () => {
  await cluster.down()
  expect((await cluster.cox('up', '--detach', '--schedulers', '1', '--apiservers', '1')).code).toBe(0)
  const names = async () => (await cluster.ps()).flatMap(r => (r.name ? [r.name] : []))
  const fewer = [
    'nats-server',
    'kube-apiserver',
    'kube-controller-manager',
    'kube-controller-manager-2',
    'kube-scheduler',
    'cloud-controller-manager',
  ]
  expect(await names()).toEqual(fewer)
  // The same when it is not stopped but its supervisor dies, and what lives is adopted.
  process.kill((await cluster.ps()).find(r => r.component === 'cox')!.pid, 'SIGKILL')
  await eventually(async () => !(await cluster.ps()).some(r => r.component === 'cox'), 'the supervisor is gone')
  expect((await cluster.cox('up', '--detach', '--controller-managers', '1')).code).toBe(0)
  expect(await names()).toEqual(fewer.filter(n => n !== 'kube-controller-manager-2'))
}, 120_000)

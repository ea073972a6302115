/** The scheduler in this process on a real API server: what happens between a decision and a bound pod, and what comes back. */
import { Registry } from 'prom-client'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { natsTransport } from '#shared/bus/api-client.ts'
import type { Transport } from '#shared/bus/transport.ts'
import type { Event } from '#shared/api/core/event.ts'
import type { Namespace } from '#shared/api/core/namespace.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { PriorityClass } from '#shared/api/scheduling/priorityclass.ts'
import type { ServiceAccount } from '#shared/api/core/serviceaccount.ts'
import { events, namespaces, nodes, podDisruptionBudgets, pods, priorityClasses, serviceAccounts } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { newClient } from '#shared/client/rest.ts'
import { logger } from '#shared/component/log.ts'
import { StatusError } from '#shared/machinery/status.ts'
import { failure, unschedulable, type Handle, type PluginFactory } from '#control-plane/scheduler/framework.ts'
import { defaultPlugins } from '#control-plane/scheduler/plugins/registry.ts'
import type { ProfileConfig } from '#control-plane/scheduler/profile.ts'
import { runScheduler } from '#control-plane/scheduler/scheduler.ts'
import { startTestApiServer, type ApiServerFixture } from '../../fixtures/apiserver.ts'

const log = logger('test')
log.level = process.env['LOG_LEVEL'] ?? 'silent'
let api: ApiServerFixture
let client: Client
let transport: Transport
let namespace = ''
let registry = new Registry()
let resources = new Registry()
let made = 0
let stop = new AbortController()
let done: Promise<void> = Promise.resolve()

beforeAll(async () => {
  api = await startTestApiServer()
  client = newClient(natsTransport(await api.nats.connect('system:admin')), { userAgent: 'test' })
  transport = natsTransport(await api.nats.connect('system:kube-scheduler'))
})
afterAll(() => api?.stop())
afterEach(async () => {
  stop.abort()
  await done
  stop = new AbortController()
  for (const node of (await client.list(nodes, '')).items) await client.delete(nodes, '', node.metadata.name ?? '')
  for (const { metadata } of (await client.list(pods, namespace)).items)
    await client.delete(pods, namespace, metadata.name ?? '', { gracePeriodSeconds: 0 })
})

/** Starts the scheduler in a new namespace; `through` sees and changes its requests. */
async function start(profiles: ProfileConfig[], through: (transport: Transport) => Transport = t => t): Promise<void> {
  namespace = `ns-${++made}`
  await client.create(namespaces, '', { metadata: { name: namespace } } as Namespace)
  await client.create(serviceAccounts, namespace, { metadata: { name: 'default' } } as ServiceAccount)
  registry = new Registry()
  resources = new Registry()
  done = runScheduler(
    { client: newClient(through(transport), { userAgent: 'kube-scheduler' }), log, profiles, registry, resources },
    stop.signal,
  )
}
const profile = (more: PluginFactory[] = [], schedulerName = 'default-scheduler'): ProfileConfig => ({
  schedulerName,
  plugins: [...more.map(plugin => ({ plugin })), ...defaultPlugins],
})
async function addNode(name: string, cpu = '4'): Promise<void> {
  await client.create(nodes, '', { metadata: { name } } as Node)
  // Admission taints what is not ready yet.
  await client.patch(nodes, '', name, 'merge', { spec: { taints: null } })
  await client.patch(nodes, '', name, 'strategic', { status: { allocatable: { cpu, memory: '8Gi', pods: '110' } } }, 'status')
}
const addPod = (name: string, spec: Partial<Pod['spec']> = {}): Promise<Pod> =>
  client.create(pods, namespace, {
    metadata: { name },
    spec: { containers: [{ name: 'c', image: 'pause', resources: { requests: { cpu: '1' } } }], ...spec },
  } as Pod)
const asking = (cpu: string): Partial<Pod['spec']> => ({
  containers: [{ name: 'c', image: 'pause', resources: { requests: { cpu } } }] as Pod['spec']['containers'],
})
const nodeOf = async (name: string): Promise<string | undefined> => (await client.get(pods, namespace, name)).spec.nodeName
const bound = (name: string, node: string) => expect.poll(() => nodeOf(name)).toBe(node)
const conditionOf = async (name: string) =>
  (await client.get(pods, namespace, name)).status?.conditions?.find(c => c.type === 'PodScheduled')
const eventsOf = async (name: string): Promise<Event[]> =>
  (await client.list(events, namespace, { fieldSelector: `involvedObject.name=${name}` })).items

test('binds, says so, and says why it does not; a change that helps brings the pod back', async () => {
  await start([profile()])
  await addPod('a')
  await expect
    .poll(() => conditionOf('a'))
    .toMatchObject({
      status: 'False',
      reason: 'Unschedulable',
      message: 'no nodes available to schedule pods',
    })
  await addNode('n1', '1')
  await bound('a', 'n1')
  await expect
    .poll(async () => (await eventsOf('a')).map(e => [e.reason, e.source?.component]))
    .toEqual(
      expect.arrayContaining([
        ['FailedScheduling', 'default-scheduler'],
        ['Scheduled', 'default-scheduler'],
      ]),
    )
  await addPod('b')
  await expect
    .poll(async () => (await conditionOf('b'))?.message)
    .toBe(
      '0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.',
    )
  await client.delete(pods, namespace, 'a', { gracePeriodSeconds: 0 })
  await bound('b', 'n1')
  const counted = (line: string) => expect.poll(() => registry.metrics()).toContain(line)
  await counted('scheduler_schedule_attempts_total{profile="default-scheduler",result="scheduled"} 2\n')
  await counted('scheduler_schedule_attempts_total{profile="default-scheduler",result="unschedulable"} ')
  await counted('scheduler_pod_scheduling_attempts_count 2\n')
  await counted('scheduler_event_handling_duration_seconds_count{event="NodeAdd"} ')
  await counted('scheduler_goroutines{operation="binding"} 0\n')
  const of = `namespace="${namespace}",pod="b",node="n1",scheduler="default-scheduler",priority="0",resource="cpu",unit="cores"`
  await expect.poll(() => resources.metrics()).toContain(`kube_pod_resource_request{${of}} 1\n`)
  await counted('scheduler_pending_pods{queue="unschedulable"} 0\n')
  await counted('scheduler_pending_pods{queue="gated"} 0\n')
  await counted('scheduler_queue_incoming_pods_total{event="UnschedulablePodAdd",queue="active"} 2\n')
  await counted('scheduler_queue_incoming_pods_total{event="ScheduleAttemptFailure",queue="unschedulable"} ')
  await counted('scheduler_queue_incoming_pods_total{event="AssignedPodDelete",queue="')
  for (const point of ['PreFilter', 'Filter', 'PostFilter', 'Reserve', 'Permit', 'PreBind', 'Bind', 'PostBind'])
    await counted(
      `scheduler_framework_extension_point_duration_seconds_count{extension_point="${point}",profile="default-scheduler",status="`,
    )
  await counted('scheduler_cache_size{type="nodes"} 1\n')
})

test('gated pods wait until their gates are gone', async () => {
  await start([profile()])
  await addNode('n1')
  await addPod('gated', { schedulingGates: [{ name: 'example.com/wait' }] })
  await addPod('free')
  await bound('free', 'n1')
  expect(await nodeOf('gated')).toBeUndefined()
  await client.patch(pods, namespace, 'gated', 'merge', { spec: { schedulingGates: [] } })
  await bound('gated', 'n1')
})

test('each profile schedules the pods of its name, with its own plugins and events', async () => {
  const notN1: PluginFactory = () => ({
    name: 'NotN1',
    filter: (_, __, node) => (node.name === 'n1' ? unschedulable('not n1') : undefined),
  })
  await start([profile(), profile([notN1], 'other')])
  await addNode('n1')
  await addPod('picky', { schedulerName: 'other' })
  await addPod('nobodys', { schedulerName: 'unknown' })
  await addPod('easy')
  await bound('easy', 'n1')
  await expect.poll(async () => (await conditionOf('picky'))?.message).toContain('1 not n1')
  await addNode('n2')
  await bound('picky', 'n2')
  await expect.poll(async () => (await eventsOf('picky')).map(e => e.source?.component)).toContain('other')
  expect(await conditionOf('nobodys')).toBeUndefined()
})

test('Permit holds a pod on its node until the plugin allows it; its place is taken meanwhile; a rejection gives it back', async () => {
  let handle!: Handle
  const calls: string[] = []
  const wait: PluginFactory = h => {
    handle = h
    return {
      name: 'Gang',
      events: [],
      reserve: (_, pod) => void calls.push(`reserve ${pod.pod.metadata.name}`),
      unreserve: (_, pod) => void calls.push(`unreserve ${pod.pod.metadata.name}`),
      permit: (_, pod) => (pod.pod.metadata.name?.startsWith('gang') ? { code: 'Wait', reasons: [], timeoutMs: 60_000 } : undefined),
      postBind: (_, pod) => void calls.push(`bound ${pod.pod.metadata.name}`),
    }
  }
  await start([profile([wait])])
  await addNode('n1', '2')
  const first = await addPod('gang-1')
  const second = await addPod('gang-2')
  await expect
    .poll(() => [...handle.waitingPods.all()].map(w => w.pod.uid).sort())
    .toEqual([first.metadata.uid, second.metadata.uid].sort())
  const expected = async (name: string) => (await client.get(pods, namespace, name)).status?.nominatedNodeName
  await expect.poll(() => Promise.all(['gang-1', 'gang-2'].map(expected))).toEqual(['n1', 'n1'])
  // There is no room beside those that wait.
  await addPod('third')
  await expect.poll(async () => (await conditionOf('third'))?.message).toContain('Insufficient cpu')
  handle.waitingPods.get(first.metadata.uid ?? '')?.allow('Gang')
  await bound('gang-1', 'n1')
  expect(await expected('gang-1')).toBeUndefined()
  expect(await nodeOf('gang-2')).toBeUndefined()
  handle.waitingPods.get(second.metadata.uid ?? '')?.reject('Gang', 'the gang is not complete')
  await expect.poll(async () => (await conditionOf('gang-2'))?.message).toBe('0/1 nodes are available: 1 the gang is not complete.')
  await bound('third', 'n1')
  expect(calls).toEqual(expect.arrayContaining(['bound gang-1', 'unreserve gang-2', 'bound third']))
  expect(calls).not.toContain('unreserve gang-1')
  await expect.poll(() => expected('gang-2')).toBeUndefined()
})

test('what PreBind could not do is tried again, and nobody else gets confused', async () => {
  let failures = 2
  const flaky: PluginFactory = () => ({
    name: 'Flaky',
    events: [],
    async preBind(_, pod) {
      await new Promise(resolve => setImmediate(resolve))
      return pod.pod.metadata.name === 'unlucky' && failures-- > 0 ? unschedulable('the disk is not there yet') : undefined
    },
  })
  await start([profile([flaky])])
  await addNode('n1')
  await addPod('unlucky')
  await addPod('lucky')
  await bound('lucky', 'n1')
  await bound('unlucky', 'n1')
  expect(failures).toBeLessThan(0)
  await expect
    .poll(async () => (await eventsOf('unlucky')).filter(e => e.reason === 'FailedScheduling').map(e => e.message))
    .toEqual(['running PreBind plugin "Flaky": the disk is not there yet'])
})

test('a node set of PreFilter is all that Filter is asked about', async () => {
  const asked = new Set<string>()
  const watching: PluginFactory = () => ({ name: 'Watching', events: [], filter: (_, __, node) => void asked.add(node.name) })
  await start([profile([watching])])
  for (const name of ['n1', 'n2', 'n3']) await addNode(name)
  const onlyOn = (name: string): Partial<Pod['spec']> => ({
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [name] }] }],
        },
      },
    },
  })
  await addPod('daemon', onlyOn('n2'))
  await bound('daemon', 'n2')
  expect([...asked]).toEqual(['n2'])
  await addPod('lost', onlyOn('n9'))
  await expect
    .poll(async () => (await conditionOf('lost'))?.message)
    .toBe(
      "0/3 nodes are available: 3 node(s) didn't satisfy plugin(s) [NodeAffinity]. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
    )
})

test('an API server that has no time is asked again, without an event; at most a hundred bindings are under way', async () => {
  let refused = 0
  let running = 0
  let most = 0
  await start([profile()], inner => ({
    close: () => inner.close(),
    async request(request) {
      if (!request.path.endsWith('/binding')) return inner.request(request)
      most = Math.max(most, ++running)
      try {
        if (refused++ < 50) throw new StatusError(429, 'TooManyRequests', 'Too many requests, please try again later.')
        return await inner.request(request)
      } finally {
        running--
      }
    },
  }))
  for (let i = 0; i < 4; i++) await addNode(`n${i}`, '100')
  const count = 300
  await Promise.all(Array.from({ length: count }, (_, i) => addPod(`p${i}`, asking('10m'))))
  await expect
    .poll(async () => (await client.list(pods, namespace)).items.filter(p => p.spec.nodeName).length, { timeout: 30_000 })
    .toBe(count)
  expect(refused).toBe(count + 50)
  expect(most).toBeLessThanOrEqual(100)
  await expect
    .poll(async () => (await client.list(events, namespace)).items.filter(e => e.reason === 'Scheduled').length, { timeout: 30_000 })
    .toBe(count)
  expect((await client.list(events, namespace)).items.filter(e => e.reason === 'FailedScheduling')).toEqual([])
}, 90_000)

test('a binding whose answer was lost is not done twice, nor is the pod given away', async () => {
  let lost = 0
  await start([profile()], inner => ({
    close: () => inner.close(),
    async request(request) {
      const answer = await inner.request(request)
      if (request.path.endsWith('/binding') && lost++ === 0) throw new StatusError(504, 'Timeout', 'request did not complete')
      return answer
    },
  }))
  await addNode('n1')
  await addPod('a')
  await bound('a', 'n1')
  await expect.poll(async () => (await eventsOf('a')).map(e => e.reason)).toEqual(['Scheduled'])
  expect(lost).toBe(2)
})

test('heartbeats of nodes wake nobody; what helps does', async () => {
  let attempts = 0
  const counting: PluginFactory = () => ({
    name: 'Counting',
    events: [],
    preFilter: (_, pod) => void (pod.pod.metadata.name === 'big' && attempts++),
  })
  await start([profile([counting])])
  await addNode('n1', '1')
  await addPod('big', asking('2'))
  await expect.poll(async () => (await conditionOf('big'))?.reason).toBe('Unschedulable')
  const beat = (second: number) =>
    client.patch(
      nodes,
      '',
      'n1',
      'strategic',
      { status: { conditions: [{ type: 'Ready', status: 'True', lastHeartbeatTime: `2026-01-01T00:00:0${second}Z` }] } },
      'status',
    )
  // The first one is a new condition.
  for (let second = 0; second < 5; second++) await beat(second)
  await client.patch(nodes, '', 'n1', 'strategic', { status: { allocatable: { cpu: '2' } } }, 'status')
  await bound('big', 'n1')
  expect(attempts).toBe(2)
})

test('long work on many pods leaves turns of the event loop for the lease, watches and bindings', async () => {
  let turn = 0
  let counting = true
  const next = (): void => void (turn++, counting && setImmediate(next))
  const turns: number[] = []
  // Longer than the scheduler may go on without a break.
  const slow: PluginFactory = () => ({
    name: 'Slow',
    events: [],
    preFilter(_, pod) {
      if (!pod.pod.metadata.name?.startsWith('slow')) return undefined
      turns.push(turn)
      for (const until = performance.now() + 8; performance.now() < until;);
      return undefined
    },
  })
  await start([profile([slow])])
  await Promise.all(Array.from({ length: 30 }, (_, i) => addPod(`slow-${i}`, asking('10m'))))
  next()
  turns.length = 0
  await addNode('n1', '100')
  await expect.poll(async () => (await client.list(pods, namespace)).items.every(p => p.spec.nodeName)).toBe(true)
  counting = false
  expect(turns.length).toBeGreaterThanOrEqual(30)
  expect(new Set(turns).size).toBe(turns.length)
})

test('a pod of higher priority takes the place of others: they are told why, and it waits for their end', async () => {
  await start([profile()])
  await addNode('n1', '2')
  await addNode('n2', '2')
  await client.create(priorityClasses, '', { metadata: { name: 'urgent' }, value: 1000 } as PriorityClass)
  for (const name of ['low-1', 'low-2', 'low-3', 'low-4']) await addPod(name)
  await expect.poll(async () => (await client.list(pods, namespace)).items.every(p => p.spec.nodeName)).toBe(true)
  // A budget keeps those of one node.
  const guarded = (await client.list(pods, namespace)).items.filter(p => p.spec.nodeName === 'n1')
  for (const { metadata } of guarded)
    await client.patch(pods, namespace, metadata.name ?? '', 'merge', { metadata: { labels: { app: 'db' } } })
  const selector = { matchLabels: { app: 'db' } }
  await client.create(podDisruptionBudgets, namespace, {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: 'db' },
    spec: { minAvailable: 2, selector },
  })

  const urgent = await addPod('urgent', { ...asking('2'), priorityClassName: 'urgent' })
  const victims = (await client.list(pods, namespace)).items.filter(p => p.spec.nodeName === 'n2').map(p => p.metadata.name ?? '')
  expect(victims).toHaveLength(2)
  for (const name of victims) {
    await expect.poll(async () => (await client.get(pods, namespace, name)).metadata.deletionTimestamp).toBeDefined()
    expect((await client.get(pods, namespace, name)).status?.conditions).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          type: 'DisruptionTarget',
          status: 'True',
          reason: 'PreemptionByScheduler',
          message: 'default-scheduler: preempting to accommodate a higher priority pod',
        }),
      ]),
    )
    await expect
      .poll(async () => (await eventsOf(name)).filter(e => e.reason === 'Preempted').map(e => e.message))
      .toEqual([`Preempted by pod ${urgent.metadata.uid} on node n2`])
  }
  await expect.poll(async () => (await client.get(pods, namespace, 'urgent')).status?.nominatedNodeName).toBe('n2')
  const told = async () => (await eventsOf('urgent')).filter(e => e.reason === 'FailedScheduling').map(e => e.message)
  await expect.poll(told).toContain('0/2 nodes are available: 2 Insufficient cpu.')
  // What they leave is not given to another one.
  await addPod('small')
  await expect.poll(async () => (await conditionOf('small'))?.message).toContain('2 Insufficient cpu')
  for (const name of victims) await client.delete(pods, namespace, name, { gracePeriodSeconds: 0 })
  await bound('urgent', 'n2')
  expect(await nodeOf('small')).toBeUndefined()
  for (const { metadata } of guarded)
    expect((await client.get(pods, namespace, metadata.name ?? '')).metadata.deletionTimestamp).toBeUndefined()
  await client.delete(priorityClasses, '', 'urgent')
})

test('a nomination is taken back for a pod that is more important still', async () => {
  await start([profile()])
  await addNode('n1', '1')
  for (const [name, value] of [
    ['urgent', 1000],
    ['utmost', 2000],
  ] as const)
    // prettier-ignore
    await client.create(priorityClasses, '', { metadata: { name }, value } as PriorityClass)
  await addPod('low')
  await bound('low', 'n1')
  await addPod('first', { priorityClassName: 'urgent' })
  await expect.poll(async () => (await client.get(pods, namespace, 'first')).status?.nominatedNodeName).toBe('n1')
  await addPod('second', { priorityClassName: 'utmost' })
  await client.delete(pods, namespace, 'low', { gracePeriodSeconds: 0 })
  await bound('second', 'n1')
  expect(await nodeOf('first')).toBeUndefined()
  for (const name of ['urgent', 'utmost']) await client.delete(priorityClasses, '', name)
})

test('a nomination ends when there is no node any more, or when its pod cannot be bound', async () => {
  let refuses = false
  const refusing: PluginFactory = () => ({ name: 'Refusing', preBind: async () => (refuses ? failure('refused') : undefined) })
  await start([profile([refusing])])
  await addNode('n1', '1')
  await client.create(priorityClasses, '', { metadata: { name: 'urgent' }, value: 1000 } as PriorityClass)
  await addPod('low')
  await bound('low', 'n1')
  await addPod('first', { priorityClassName: 'urgent' })
  const nominated = async () => (await client.get(pods, namespace, 'first')).status?.nominatedNodeName
  await expect.poll(nominated).toBe('n1')
  await client.delete(nodes, '', 'n1')
  await client.delete(pods, namespace, 'low', { gracePeriodSeconds: 0 })
  await expect.poll(async () => (await conditionOf('first'))?.message).toContain('no nodes available')
  await expect.poll(nominated).toBeUndefined()

  await addNode('n1', '1')
  await bound('first', 'n1')
  await client.delete(pods, namespace, 'first', { gracePeriodSeconds: 0 })
  await addPod('low')
  await bound('low', 'n1')
  await addPod('first', { priorityClassName: 'urgent' })
  await expect.poll(nominated).toBe('n1')
  refuses = true
  await client.delete(pods, namespace, 'low', { gracePeriodSeconds: 0 })
  await expect.poll(async () => (await conditionOf('first'))?.reason).toBe('SchedulerError')
  await expect.poll(nominated).toBeUndefined()
  refuses = false
  await bound('first', 'n1')
  await client.delete(priorityClasses, '', 'urgent')
})

test('who had to leave room to a nominated pod is tried again when it is nominated there no more', async () => {
  await start([profile()])
  await addNode('n1', '1')
  await client.create(priorityClasses, '', { metadata: { name: 'nominated' }, value: 100 } as PriorityClass)
  await addPod('nominated', { priorityClassName: 'nominated', schedulingGates: [{ name: 'example.com/g' }] })
  await client.patch(pods, namespace, 'nominated', 'merge', { status: { nominatedNodeName: 'n1' } }, 'status')
  await addPod('low')
  await expect.poll(async () => (await conditionOf('low'))?.message).toContain('1 Insufficient cpu')
  await client.patch(pods, namespace, 'nominated', 'merge', { status: { nominatedNodeName: null } }, 'status')
  await bound('low', 'n1')
  await client.delete(priorityClasses, '', 'nominated')
})

test('the place of a pod that is deleted while it is being bound is free for others at once', async () => {
  const begun = new Set<string>()
  const holding: PluginFactory = () => ({
    name: 'Holding',
    preBind: (_, { pod }) => {
      begun.add(pod.metadata.name ?? '')
      return pod.metadata.name === 'held'
        ? new Promise(resolve => stop.signal.addEventListener('abort', () => resolve(undefined)))
        : Promise.resolve(undefined)
    },
  })
  await start([profile([holding])])
  await addNode('n1', '1')
  await addPod('held')
  await expect.poll(() => begun.has('held')).toBe(true)
  await addPod('next')
  await expect.poll(async () => (await conditionOf('next'))?.message).toContain('1 Insufficient cpu')
  await client.delete(pods, namespace, 'held', { gracePeriodSeconds: 0 })
  await bound('next', 'n1')
})

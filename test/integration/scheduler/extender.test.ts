/** A scheduler that is configured by a file: two profiles, and an extender that is a real HTTP server. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { natsTransport } from '#shared/bus/api-client.ts'
import type { Transport } from '#shared/bus/transport.ts'
import type { Namespace } from '#shared/api/core/namespace.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { PriorityClass } from '#shared/api/scheduling/priorityclass.ts'
import type { ServiceAccount } from '#shared/api/core/serviceaccount.ts'
import { events, namespaces, nodes, pods, priorityClasses, serviceAccounts } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { newClient } from '#shared/client/rest.ts'
import { logger } from '#shared/component/log.ts'
import { configurationOf } from '#control-plane/scheduler/config/configuration.ts'
import { runScheduler } from '#control-plane/scheduler/scheduler.ts'
import { startTestApiServer, type ApiServerFixture } from '../../fixtures/apiserver.ts'

const log = logger('test')
log.level = process.env['LOG_LEVEL'] ?? 'silent'
let api: ApiServerFixture
let client: Client
let transport: Transport
let server: Server
let url = ''
/** By verb: what the extender answers, given what it is asked. Undefined leaves the scheduler without an answer. */
let answers: Record<string, (asked: Asked) => unknown> = {}
let seen: { verb: string; asked: Asked }[] = []
let namespace = ''
let made = 0
let stop = new AbortController()
let done: Promise<void> = Promise.resolve()

interface Asked {
  Pod: Pod
  Nodes: { items: Node[] } | null
  NodeNames: string[] | null
  NodeNameToVictims: Record<string, { Pods: Pod[] }> | null
  PodName: string
  Node: string
}

beforeAll(async () => {
  api = await startTestApiServer()
  client = newClient(natsTransport(await api.nats.connect('system:admin')), { userAgent: 'test' })
  transport = natsTransport(await api.nats.connect('system:kube-scheduler'))
  server = createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (c: Buffer) => chunks.push(c))
    req.on('end', () => {
      const asked = JSON.parse(Buffer.concat(chunks).toString()) as Asked
      const verb = (req.url ?? '').slice(1)
      seen.push({ verb, asked })
      const answer = answers[verb]?.(asked)
      if (answer !== undefined) res.end(JSON.stringify(answer))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(async () => {
  server?.closeAllConnections()
  server?.close()
  await api?.stop()
})
beforeEach(() => {
  answers = {}
  seen = []
})
afterEach(async () => {
  stop.abort()
  await done
  stop = new AbortController()
  for (const node of (await client.list(nodes, '')).items) await client.delete(nodes, '', node.metadata.name ?? '')
  for (const { metadata } of (await client.list(pods, '')).items)
    await client.delete(pods, metadata.namespace ?? '', metadata.name ?? '', { gracePeriodSeconds: 0 })
})

async function start(text: string): Promise<void> {
  namespace = `ns-${++made}`
  await client.create(namespaces, '', { metadata: { name: namespace } } as Namespace)
  await client.create(serviceAccounts, namespace, { metadata: { name: 'default' } } as ServiceAccount)
  const config = configurationOf(`apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n${text}`)
  done = runScheduler({ client: newClient(transport, { userAgent: 'kube-scheduler' }), log, ...config }, stop.signal)
}
async function addNode(name: string, cpu = '4'): Promise<void> {
  await client.create(nodes, '', { metadata: { name } } as Node)
  await client.patch(nodes, '', name, 'merge', { spec: { taints: null } })
  await client.patch(nodes, '', name, 'strategic', { status: { allocatable: { cpu, memory: '8Gi', pods: '110' } } }, 'status')
}
const addPod = (name: string, spec: Partial<Pod['spec']> = {}): Promise<Pod> =>
  client.create(pods, namespace, {
    metadata: { name },
    spec: { containers: [{ name: 'c', image: 'pause', args: ['x'], resources: { requests: { cpu: '1' } } }], ...spec },
  } as Pod)
const nodeOf = async (name: string): Promise<string | undefined> => (await client.get(pods, namespace, name)).spec.nodeName
const bound = (name: string, node: string) => expect.poll(() => nodeOf(name)).toBe(node)
const message = async (name: string) =>
  (await client.get(pods, namespace, name)).status?.conditions?.find(c => c.type === 'PodScheduled')?.message
const namesOf = ({ Nodes }: Asked) => (Nodes?.items ?? []).map(n => n.metadata.name ?? '')

test('two profiles: one spreads, one fills', async () => {
  await start(`
profiles:
- schedulerName: default-scheduler
- schedulerName: filling
  plugins: {score: {disabled: [{name: NodeResourcesBalancedAllocation}]}}
  pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: MostAllocated}}}]`)
  await addNode('n1')
  await addNode('n2')
  await addPod('a')
  await expect.poll(() => nodeOf('a')).toBeDefined()
  const first = (await nodeOf('a'))!
  const other = first === 'n1' ? 'n2' : 'n1'
  await addPod('b', { schedulerName: 'filling' })
  await bound('b', first)
  await addPod('c')
  await bound('c', other)
  await expect
    .poll(async () => (await client.list(events, namespace)).items.filter(e => e.reason === 'Scheduled').map(e => e.source?.component))
    .toEqual(expect.arrayContaining(['filling', 'default-scheduler']))
})

test('an extender turns nodes down and prefers others; what it says is in the message', async () => {
  await start(`extenders: [{urlPrefix: '${url}/', filterVerb: filter, prioritizeVerb: prioritize, weight: 5}]`)
  answers['filter'] = asked => {
    const left = asked.Nodes!.items.filter(n => n.metadata.name !== 'n1')
    return { Nodes: { items: left }, FailedNodes: namesOf(asked).includes('n1') ? { n1: 'the extender does not like it' } : {} }
  }
  answers['prioritize'] = asked => namesOf(asked).map(host => ({ host, score: host === 'n3' ? 10 : 0 }))
  await addNode('n1')
  await addPod('a')
  await expect.poll(() => message('a')).toMatch(/^0\/1 nodes are available: 1 the extender does not like it\./)
  // Any change may help whom an extender turned down.
  await addNode('n2')
  await bound('a', 'n2')
  await addNode('n3')
  await addPod('b')
  await bound('b', 'n3')
  expect(seen[0]!.asked.Pod.spec.containers[0]!.args).toEqual(['x'])
})

test('one that fails holds pods up, unless it may be ignored', async () => {
  const extender = (more: string) => `extenders: [{urlPrefix: '${url}', filterVerb: filter, httpTimeout: 200ms${more}}]`
  await start(`podInitialBackoffSeconds: 1\n${extender('')}`)
  await addNode('n1')
  await addPod('a')
  await expect.poll(() => message('a')).toContain(`Post "${url}/filter": no answer within 200 ms`)
  answers['filter'] = () => ({ Error: 'no' })
  await expect.poll(() => message('a'), { timeout: 10_000 }).toBe('no')
  stop.abort()
  await done
  stop = new AbortController()
  answers = {}
  await start(extender(', ignorable: true'))
  await addPod('b')
  await bound('b', 'n1')
}, 30_000)

test('it binds, for pods that ask for what it manages, by names of nodes', async () => {
  await start(`
extenders:
- {urlPrefix: '${url}', filterVerb: filter, bindVerb: bind, nodeCacheCapable: true, managedResources: [{name: example.com/foo, ignoredByScheduler: true}]}`)
  answers['filter'] = ({ NodeNames }) => ({ nodenames: NodeNames })
  answers['bind'] = ({ PodName, Node: node }) => {
    const target = { apiVersion: 'v1', kind: 'Node', name: node }
    void client.post(pods, namespace, PodName, 'binding', { apiVersion: 'v1', kind: 'Binding', metadata: { name: PodName }, target })
    return {}
  }
  await addNode('n1')
  await addPod('plain')
  await bound('plain', 'n1')
  expect(seen).toEqual([])
  const foo = { 'example.com/foo': '1' }
  await addPod('managed', {
    containers: [{ name: 'c', image: 'pause', resources: { requests: foo, limits: foo } }] as Pod['spec']['containers'],
  })
  await bound('managed', 'n1')
  expect(seen.map(s => s.verb)).toEqual(['filter', 'bind'])
  expect(seen[0]!.asked).toMatchObject({ Nodes: null, NodeNames: ['n1'] })
})

test('it chooses where pods are preempted', async () => {
  await start(`extenders: [{urlPrefix: '${url}', preemptVerb: preempt}]`)
  answers['preempt'] = ({ NodeNameToVictims: victims }) => ({
    NodeNameToMetaVictims: { n2: { Pods: victims!['n2']!.Pods.map(p => ({ UID: p.metadata.uid })) } },
  })
  await client.create(priorityClasses, '', { metadata: { name: `high-${namespace}` }, value: 1000 } as PriorityClass)
  for (const n of ['n1', 'n2', 'n3']) {
    await addNode(n, '1')
    await addPod(`on-${n}`)
  }
  await expect.poll(() => Promise.all(['on-n1', 'on-n2', 'on-n3'].map(async n => Boolean(await nodeOf(n))))).toEqual([true, true, true])
  await addPod('important', { priorityClassName: `high-${namespace}` })
  await expect.poll(async () => (await client.get(pods, namespace, 'important')).status?.nominatedNodeName).toBe('n2')
  expect(seen.map(s => s.verb)).toEqual(['preempt'])
  expect(Object.keys(seen[0]!.asked.NodeNameToVictims!).sort()).toEqual(['n1', 'n2', 'n3'])
})

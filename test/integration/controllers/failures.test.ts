import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import { configMaps, events, leases, nodes, pods, replicaSets } from '#shared/api/kinds.ts'
import { natsTransport } from '#shared/bus/api-client.ts'
import { leaderElect } from '#shared/client/leaderelection.ts'
import { fenced, Leadership } from '#shared/client/leadership.ts'
import { newClient } from '#shared/client/rest.ts'
import { startInformer } from '#shared/client/reflector.ts'
import { quiet, startControl, startNode, until, type Control } from './setup.ts'

let c: Control
let nodesRunning: { stop(): void }[] = []
beforeEach(async () => {
  c = await startControl()
})
afterEach(async () => {
  for (const n of nodesRunning.splice(0)) n.stop()
  await c?.stop()
})
const node = async (name: string, options: Parameters<typeof startNode>[2] = {}) => {
  const n = await startNode(c.client, name, options)
  nodesRunning.push(n)
  return n
}
const replicaSet = (name: string, replicas: number, tolerations: object[] = []) =>
  ({
    metadata: { name },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { tolerations, terminationGracePeriodSeconds: 1, containers: [{ name: 'c', image: 'i' }] },
      },
    },
  }) as never

test('stopping and starting controllers in the middle makes no pod twice', async () => {
  await c.namespace('twice')
  const made = new Set<string>()
  const stop = new AbortController()
  startInformer(c.client, pods, { namespace: 'twice', log: quiet }, stop.signal).subscribe(e => made.add(e.object.metadata.uid!))
  await c.client.create(replicaSets, 'twice', replicaSet('web', 40))
  // Each of them gets a little further; the last one finishes.
  for (const enough of [1, 7, 20]) {
    const end = await c.control()
    await until(`${enough} pods`, () => made.size >= enough)
    await end()
  }
  await c.control()
  await until('all pods', async () => (await c.client.get(replicaSets, 'twice', 'web')).status?.replicas === 40)
  expect(made.size).toBe(40)
  expect((await c.client.list(pods, 'twice')).items).toHaveLength(40)
  stop.abort()
})

test('a replica set settles although the nats-server is killed under it', async () => {
  await c.namespace('crash')
  await c.control()
  await c.client.create(replicaSets, 'crash', replicaSet('web', 60))
  await until('some pods', async () => (await c.client.list(pods, 'crash')).items.length > 5)
  await c.api.nats.kill()
  await c.api.nats.restart()
  await until('all pods', async () => (await c.client.get(replicaSets, 'crash', 'web')).status?.replicas === 60, 25_000)
  expect((await c.client.list(pods, 'crash')).items.filter((p: Pod) => !p.metadata.deletionTimestamp)).toHaveLength(60)
})

test('a node that falls silent is tainted, its pods are not ready, and are evicted when they tolerate that no longer', async () => {
  const good = await node('good', { binds: false })
  const bad = await node('bad')
  await c.namespace('nodes')
  await c.control({ nodeMonitorGracePeriodMs: 2_000, nodeMonitorPeriodMs: 300 })
  const tolerate = (tolerationSeconds: number) =>
    ['not-ready', 'unreachable'].map(k => ({ key: `node.kubernetes.io/${k}`, operator: 'Exists', effect: 'NoExecute', tolerationSeconds }))
  await c.client.create(replicaSets, 'nodes', replicaSet('patient', 1, tolerate(600)))
  await c.client.create(replicaSets, 'nodes', replicaSet('hasty', 1, tolerate(0)))
  const pod = async (name: string) => (await c.client.list(pods, 'nodes', { labelSelector: `app=${name}` })).items[0]
  const ready = (p: Pod | undefined) => p?.status?.conditions?.find(x => x.type === 'Ready')?.status
  await until('both pods to be ready', async () => ready(await pod('patient')) === 'True' && ready(await pod('hasty')) === 'True')
  bad.stop()
  const silent = await until('the node to be tainted', async () => {
    const n = await c.client.get(nodes, '', 'bad')
    return n.spec.taints?.some(t => t.effect === 'NoExecute') && n
  })
  expect(silent.spec.taints!.map(t => `${t.key}:${t.effect}`)).toEqual([
    'node.kubernetes.io/unreachable:NoSchedule',
    'node.kubernetes.io/unreachable:NoExecute',
  ])
  expect(silent.status!.conditions!.map(x => `${x.type} ${x.status} ${x.reason}`)).toEqual(
    ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure'].map(t => `${t} Unknown NodeStatusUnknown`),
  )
  await until('the pod to be not ready', async () => ready(await pod('patient')) === 'False')
  const hasty = await until('the eviction', async () =>
    (await c.client.list(pods, 'nodes', { labelSelector: 'app=hasty' })).items.find(p => p.metadata.deletionTimestamp),
  )
  expect(hasty.status!.conditions!.find(x => x.type === 'DisruptionTarget')).toMatchObject({
    reason: 'DeletionByTaintManager',
    message: 'Taint manager: deleting due to NoExecute taint',
  })
  expect((await pod('patient'))!.metadata.deletionTimestamp).toBeUndefined()
  const told = await until('the events', async () => {
    const { items } = await c.client.list(events, '')
    const texts = items.map(e => `${e.reason}: ${e.message}`)
    return (
      texts.includes('NodeNotReady: Node bad status is now: NodeNotReady') && texts.includes('NodeNotReady: Node is not ready') && texts
    )
  })
  expect(told).toContain('RegisteredNode: Node bad event: Registered Node bad in Controller')
  expect(told).toContain(`TaintManagerEviction: Marking for deletion Pod nodes/${hasty.metadata.name}`)

  // Now the other one goes too: with nothing left it is more likely that we are cut off than that all are dead.
  good.stop()
  await until('the taints that evict to be taken back', async () => {
    const all = (await c.client.list(nodes, '')).items
    return all.every(
      n => n.status!.conditions!.find(x => x.type === 'Ready')!.status === 'Unknown' && !n.spec.taints?.some(t => t.effect === 'NoExecute'),
    )
  })
})

test('an outage of the bus gives every node a fresh grace', async () => {
  await node('one', { renewMs: 200 })
  await node('two', { renewMs: 200 })
  await c.control({ nodeMonitorGracePeriodMs: 2_500, nodeMonitorPeriodMs: 300 })
  await until('two nodes without the taint of a new one', async () => {
    const { items } = await c.client.list(nodes, '')
    return items.length === 2 && items.every(n => !n.spec.taints?.length)
  })
  const stop = new AbortController()
  const seen: string[] = []
  const informer = startInformer(c.client, nodes, { log: quiet }, stop.signal)
  await informer.synced
  informer.subscribe(e =>
    seen.push(e.object.status?.conditions?.find(x => x.type === 'Ready')?.status ?? '', ...(e.object.spec.taints ?? []).map(t => t.key)),
  )
  await c.api.nats.kill()
  // Longer than the grace.
  await new Promise(resolve => setTimeout(resolve, 3_500))
  await c.api.nats.restart()
  const renewed = async () => (await c.client.get(leases, 'kube-node-lease', 'two')).spec?.renewTime
  const before = await until('the API to be back', renewed, 25_000)
  await until('leases to be renewed', async () => (await renewed()) !== before)
  stop.abort()
  expect(new Set(seen)).toEqual(new Set(['True']))
})

test('one candidate leads; another takes over when it stops, and counts as a transition', async () => {
  const client = await c.managerClient()
  const led: string[] = []
  const leaderships = new Map<string, Leadership>()
  const candidate = (identity: string, signal: AbortSignal) => {
    const leadership = new Leadership()
    leaderships.set(identity, leadership)
    const times = { leaseDurationMs: 2000, renewDeadlineMs: 1500, retryPeriodMs: 100 }
    return leaderElect(
      {
        client,
        namespace: 'kube-system',
        name: 'thing',
        identity,
        leadership,
        ...times,
        log: quiet,
        onStartedLeading: () => void led.push(identity),
      },
      signal,
    )
  }
  const [a, b] = [new AbortController(), new AbortController()]
  const first = candidate('a', a.signal)
  await until('a to lead', () => led.includes('a'))
  const second = candidate('b', b.signal)
  const lease = await until('a renewal', async () => {
    const l = await client.get(leases, 'kube-system', 'thing')
    return l.spec?.renewTime !== l.spec?.acquireTime && l
  })
  expect(led).toEqual(['a'])
  expect(lease.spec).toMatchObject({ holderIdentity: 'a', leaseDurationSeconds: 2, leaseTransitions: 0 })
  a.abort()
  expect(await first).toBe('stopped')
  await until('b to lead', () => led.includes('b'))
  expect((await client.get(leases, 'kube-system', 'thing')).spec).toMatchObject({ holderIdentity: 'b' })

  // A leader that cannot renew in time holds back, and goes on when it finds that nobody has led meanwhile.
  const leadership = leaderships.get('b')!
  const transport = fenced(natsTransport(await c.api.nats.connect('system:admin')), leadership)
  const write = (name: string, timeoutMs: number) =>
    newClient(transport, { timeoutMs }).create(configMaps, 'default', { metadata: { name } } as never)
  await c.api.nats.kill()
  await until('b to hold back', () => !leadership.held)
  const heldBack = write('held-back', 20_000)
  await c.api.nats.restart()
  await heldBack
  expect(leadership.held).toBe(true)
  expect((await client.get(leases, 'kube-system', 'thing')).spec).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1 })

  // One that finds another in its place has lost, and what it still wanted to write stays unwritten.
  const now = await client.get(leases, 'kube-system', 'thing')
  await c.client.patch(leases, 'kube-system', 'thing', 'merge', { spec: { ...now.spec, holderIdentity: 'c' } })
  expect(await second).toBe('lost')
  await until('its time to pass', () => !leadership.held)
  await expect(write('too-late', 100)).rejects.toMatchObject({ code: 503 })
  await expect(client.get(configMaps, 'default', 'too-late')).rejects.toMatchObject({ code: 404 })
})

test('a deputy leads while none that is preferred does, and gives the lease back to one that comes', async () => {
  const client = await c.managerClient()
  const led: string[] = []
  const candidate = (identity: string, preference: 'preferred' | 'deputy') => {
    const stop = new AbortController()
    const times = { leaseDurationMs: 2000, renewDeadlineMs: 1500, retryPeriodMs: 100 }
    const common = { client, namespace: 'kube-system', name: 'preferring', identity, preference, leadership: new Leadership(), log: quiet }
    const outcome = leaderElect({ ...common, ...times, onStartedLeading: () => void led.push(identity) }, stop.signal)
    return { outcome, stop: () => stop.abort() }
  }
  const deputy = candidate('deputy', 'deputy')
  await until('the deputy to lead', () => led.includes('deputy'))
  const first = candidate('first', 'preferred')
  expect(await deputy.outcome).toBe('given')
  await until('the first to lead', () => led.includes('first'))
  // It asks no more, and none of its like asks it.
  const [second, again] = [candidate('second', 'preferred'), candidate('again', 'deputy')]
  const lease = await until('the second to ask', async () => {
    const l = await client.get(leases, 'kube-system', 'preferring')
    return l.metadata.annotations?.['coxswain.io/preferred-holder'] === 'second' && l
  })
  expect(lease.spec).toMatchObject({ holderIdentity: 'first', leaseTransitions: 1 })
  second.stop()
  await second.outcome
  first.stop()
  expect(await first.outcome).toBe('stopped')
  await until('the other deputy to lead', () => led.includes('again'))
  expect(led).toEqual(['deputy', 'first', 'again'])
  expect((await client.get(leases, 'kube-system', 'preferring')).metadata.annotations).toBeUndefined()
  again.stop()
  expect(await again.outcome).toBe('stopped')
})

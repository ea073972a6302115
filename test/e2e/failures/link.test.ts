/** A node's link: cut, deaf, dumb, or bad. Its pods run on; when it is whole again, what was deleted meanwhile ends and nothing stays wrong. */
import { afterAll, beforeAll, expect } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Client } from '#shared/client/client.ts'
import { startCluster, type ClusterFixture } from '../../fixtures/cluster.ts'
import { clientOf, delay, eventually, patience, podsOf, processes, row, traffic, untilAllIsWell } from './setup.ts'

const name = 'node-2'
const badMs = 20_000
let cluster: ClusterFixture
let client: Client
let address = ''
beforeAll(async () => {
  cluster = await startCluster({ nodes: 3 })
  client = clientOf(cluster)
  await cluster.kubectl('create', 'deployment', 'web', '--image=registry.k8s.io/echoserver:1.10', '--replicas=6', '--port=8080')
  await cluster.kubectl('expose', 'deployment', 'web', '--port=80', '--target-port=8080')
  await untilAllIsWell(cluster, client, 'web', 6)
  address = await cluster.kubectl('get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIP}')
}, 150_000)
afterAll(() => cluster?.stop(), 60_000)

const link = async (...args: string[]): Promise<void> => {
  const ran = await cluster.cox('link', ...args)
  expect(ran.code, ran.stderr).toBe(0)
}
/** New pods on the node, so that each round finds some there. */
async function spread(): Promise<Pod[]> {
  const there = (all: Pod[]): Pod[] => all.filter(p => p.spec.nodeName === name)
  for (;;) {
    await untilAllIsWell(cluster, client, 'web', 6)
    const found = there(await podsOf(client, 'web'))
    if (found.length > 0) return found
    await cluster.kubectl('rollout', 'restart', 'deployment', 'web')
    await cluster.kubectl('rollout', 'status', 'deployment', 'web', '--timeout=60s')
  }
}
const onNode = async (): Promise<string[]> => processes((await cluster.ps()).filter(r => r.node === name), pod => pod.startsWith('web-'))

/** Back after a cut long enough for the node's pods to be replaced. */
async function healed(): Promise<void> {
  const deleted = (await podsOf(client, 'web')).filter(p => p.metadata.deletionTimestamp).map(p => p.metadata.uid)
  expect(deleted.length).toBeGreaterThan(0)
  await link('heal', name)
  // The process gets its TERM as soon as the node hears of it, and this server ends at once.
  await eventually(async () => (await onNode()).length === 0, 'what was deleted has ended', patience * 2_000)
  await untilAllIsWell(cluster, client, 'web', 6)
  const served = traffic(`http://${address}/`)
  await delay(1000)
  await served.stop()
  expect(served.failures).toEqual([])
}

for (const [what, args] of [
  ['cut', ['cut', name]],
  ['one way: the node is not heard', ['cut', name, '--direction', 'out']],
  ['one way: the node does not hear', ['cut', name, '--direction', 'in']],
] as const) {
  row(`the link of a node, ${what}`, 240_000, async () => {
    await spread()
    const before = await onNode()
    await link(...args)
    await delay(badMs)
    expect(await onNode()).toEqual(before)
    // The rest has replaced them.
    await eventually(async () => (await podsOf(client, 'web')).filter(p => p.spec.nodeName !== name && !p.metadata.deletionTimestamp && p.status?.phase === 'Running').length === 6, 'replaced')
    await healed()
  })
}

row('the link of a node loses 30 % and is 200 ms late', 240_000, async () => {
  await spread()
  const before = await onNode()
  await link('degrade', name, '--loss', '30', '--delay', '200')
  await delay(badMs)
  const during = await onNode()
  // It may have counted as silent, and heard of it: then its pods end. It never starts one again.
  expect(during.filter(p => !before.includes(p))).toEqual([])
  await link('heal', name)
  await untilAllIsWell(cluster, client, 'web', 6)
  const restarts = (await podsOf(client, 'web')).flatMap(p => p.status?.containerStatuses?.map(c => c.restartCount) ?? [])
  expect(restarts).toEqual([0, 0, 0, 0, 0, 0])
})

/**
 * The links of two nodes at a time: cut, deaf, dumb, or bad. Their pods run on; when the links are whole again, what was deleted meanwhile
 * ends and nothing stays wrong.
 */
import { afterAll, beforeAll, expect } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Client } from '#shared/client/client.ts'
import type { ClusterFixture } from '../../fixtures/cluster.ts'
import { delay, eventually, patience, podsOf, processes, row, startWeb, traffic, untilAllIsWell } from './setup.ts'

const [one, other] = ['node-2', 'node-3']
const badMs = 20_000
const replicas = 8
let cluster: ClusterFixture
let client: Client
let address = ''
beforeAll(async () => {
  // More than half of the nodes must be Ready, or nobody is evicted.
  ;({ cluster, client, address } = await startWeb({ nodes: 4, replicas }))
}, 150_000)
afterAll(() => cluster?.stop(), 60_000)

const link = async (...args: string[]): Promise<void> => {
  const ran = await cluster.cox('link', ...args)
  expect(ran.code, ran.stderr).toBe(0)
}
const podsOn = (all: Pod[], node: string): Pod[] => all.filter(p => p.spec.nodeName === node)
/** New pods on both nodes, so that each round finds some there. */
async function spread(): Promise<void> {
  for (;;) {
    await untilAllIsWell(cluster, client, 'web', replicas)
    const all = await podsOf(client, 'web')
    if ([one, other].every(node => podsOn(all, node).length > 0)) return
    await cluster.kubectl('rollout', 'restart', 'deployment', 'web')
    await cluster.kubectl('rollout', 'status', 'deployment', 'web', '--timeout=60s')
  }
}
const running = async (...nodes: string[]): Promise<string[]> =>
  processes(
    (await cluster.ps()).filter(r => nodes.includes(r.node ?? '')),
    pod => pod.startsWith('web-'),
  )
/** The rest has replaced the pods of these nodes. */
const replaced = (...nodes: string[]): Promise<boolean> =>
  eventually(async () => {
    const all = await podsOf(client, 'web')
    expect(nodes.flatMap(node => podsOn(all, node)).filter(p => !p.metadata.deletionTimestamp)).toEqual([])
    expect(all.filter(p => !p.metadata.deletionTimestamp && p.status?.phase === 'Running')).toHaveLength(replicas)
    return true
  }, 'replaced')

/** Whole again after a cut long enough for the nodes' pods to be replaced. */
async function healed(...nodes: string[]): Promise<void> {
  await Promise.all(nodes.map(node => link('heal', node)))
  // The process gets its TERM as soon as the node hears of it, and this server ends at once.
  await Promise.all(
    nodes.map(node =>
      eventually(async () => (await running(node)).length === 0, `what was deleted on ${node} has ended`, patience * 2_000),
    ),
  )
}
async function allIsWell(): Promise<void> {
  await untilAllIsWell(cluster, client, 'web', replicas)
  const served = traffic(`http://${address}/`)
  await delay(1000)
  await served.stop()
  expect(served.failures).toEqual([])
}

row('one way: a node is not heard, another does not hear', 240_000, async () => {
  await spread()
  const before = await running(one, other)
  await link('cut', one, '--direction', 'out')
  await link('cut', other, '--direction', 'in')
  await delay(badMs)
  expect(await running(one, other)).toEqual(before)
  await replaced(one, other)
  await healed(one, other)
  await allIsWell()
})

row('the link of a node is cut, that of another loses 30 % and is 200 ms late', 240_000, async () => {
  await spread()
  const [before, beforeBad] = [await running(one), await running(other)]
  const names = new Set(podsOn(await podsOf(client, 'web'), other).map(p => p.metadata.name))
  await link('cut', one)
  await link('degrade', other, '--loss', '30', '--delay', '200')
  await delay(badMs)
  expect(await running(one)).toEqual(before)
  // The bad one may have counted as silent, and heard of it: then its pods end. It never starts one of them again.
  const again = (await running(other)).filter(p => names.has(p.split('/')[0]) && !beforeBad.includes(p))
  expect(again).toEqual([])
  await replaced(one)
  await healed(one)
  await link('heal', other)
  await allIsWell()
  const restarts = (await podsOf(client, 'web')).flatMap(p => p.status?.containerStatuses?.map(c => c.restartCount) ?? [])
  expect(restarts).toEqual(Array.from({ length: replicas }, () => 0))
})

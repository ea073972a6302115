/** Paused for 30 s instead of killed: others take over, and who wakes up does no harm. */
import { afterAll, beforeAll, expect } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import { pods } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import type { ProcessRow } from '#control-plane/cli/ps.ts'
import type { ClusterFixture } from '../../fixtures/cluster.ts'
import { delay, eventually, patience, podsOf, processes, row, signal, startWeb, traffic, untilAllIsWell, untilReady } from './setup.ts'

const pausedMs = 30_000
let cluster: ClusterFixture
let client: Client
let address = ''
beforeAll(async () => {
  ;({ cluster, client, address } = await startWeb({ nodes: 3, replicas: 6, flags: ['--controller-managers', '2', '--schedulers', '2'] }))
}, 150_000)
afterAll(() => cluster?.stop(), 60_000)

/** Pauses processes for 30 s, at least; `meanwhile` runs as they sleep. */
async function pause(which: ((row: ProcessRow) => boolean)[], what: string, meanwhile: () => Promise<void>): Promise<void> {
  const paused: ProcessRow[] = []
  try {
    for (const one of which) paused.push(await signal(cluster, one, what, 'SIGSTOP'))
    await Promise.all([delay(pausedMs), meanwhile()])
  } finally {
    for (const { pid } of paused) {
      try {
        process.kill(pid, 'SIGCONT')
      } catch {
        // The supervisor has replaced it.
      }
    }
  }
}
const serving = async (): Promise<string[]> => processes(await cluster.ps(), pod => pod.startsWith('web-'))
const noop = async (): Promise<void> => {}

row(
  'the leaders, the supervisor, a node-init and a node-agent are paused: the others take over, the pods of the agent serve on and are replaced, who wakes up does no harm',
  240_000,
  async round => {
    const name = 'node-2'
    await cluster.kubectl('rollout', 'restart', 'deployment', 'web')
    await cluster.kubectl('rollout', 'status', 'deployment', 'web', '--timeout=60s')
    await untilAllIsWell(cluster, client, 'web', 6)
    const mine = (await podsOf(client, 'web')).filter(p => p.spec.nodeName === name)
    expect(mine.length).toBeGreaterThan(0)
    const url = `http://${mine[0]?.status?.podIP}:8080/`
    // Without a probe a pod is Ready before its server listens.
    await eventually(async () => (await fetch(url)).ok, `${mine[0]?.metadata.name} answers`)
    const served = traffic(url, 100)
    const app = `during-${round}`
    // Every pod that is ever made for it, and every node that one is bound to.
    const made = new Map<string, Set<string>>()
    const stop = new AbortController()
    const follow = async (): Promise<void> => {
      const list = await client.list(pods, 'default')
      for await (const event of client.watch(
        pods,
        'default',
        { labelSelector: `app=${app}`, resourceVersion: list.metadata.resourceVersion ?? '', timeoutSeconds: 600 },
        stop.signal,
      )) {
        if (event.type === 'BOOKMARK') continue
        const { metadata, spec } = event.object as Pod
        const nodes = made.get(metadata.uid ?? '') ?? made.set(metadata.uid ?? '', new Set()).get(metadata.uid ?? '')
        if (spec.nodeName) nodes?.add(spec.nodeName)
      }
    }
    const following = follow()
    const leads = (component: string) => (r: ProcessRow) => r.component === component && r.leader === true
    const ofNode = (component: string, node: string) => (r: ProcessRow) => r.component === component && r.node === node
    await pause(
      [
        leads('kube-controller-manager'),
        leads('kube-scheduler'),
        r => r.component === 'cox',
        ofNode('node-init', 'node-3'),
        ofNode('node-agent', name),
      ],
      'a process to pause',
      async () => {
        await eventually(
          async () => (await podsOf(client, 'web')).filter(p => p.spec.nodeName !== name && !p.metadata.deletionTimestamp).length === 6,
          'replaced',
        )
        await served.stop()
        await cluster.kubectl('create', 'deployment', app, '--image=registry.k8s.io/pause:3.10', '--replicas=3')
        await untilReady(client, app, 3, patience * 6_000)
      },
    )
    expect(served.failures).toEqual([])
    await eventually(
      async () =>
        processes(
          (await cluster.ps()).filter(r => r.node === name),
          pod => mine.some(p => p.metadata.name === pod),
        ).length === 0,
      'what was deleted has ended',
      patience * 2_000,
    )
    // The leaders that were have found out: they ended, and are standing by again.
    for (const component of ['kube-controller-manager', 'kube-scheduler'])
      await eventually(async () => {
        const rows = (await cluster.ps()).filter(r => r.component === component)
        return rows.length === 2 && rows.filter(r => r.leader).length === 1
      }, `one leader of two: ${component}`)
    await untilReady(client, app, 3)
    stop.abort()
    await following
    expect([...made.values()].map(nodes => nodes.size)).toEqual([1, 1, 1])
    await cluster.kubectl('delete', 'deployment', app)
    await eventually(async () => (await podsOf(client, app)).length === 0, 'its pods are gone')
    await untilAllIsWell(cluster, client, 'web', 6)
  },
)

for (const component of ['nats-server', 'kube-apiserver']) {
  row(`${component} is paused: pods and Services never notice, nobody is evicted`, 240_000, async () => {
    const before = await serving()
    const served = traffic(`http://${address}/`, 100)
    await pause([r => r.component === component], component, noop)
    await eventually(
      async () => (await cluster.tryKubectl('annotate', 'service', 'web', '--overwrite', `woken=${Date.now()}`)).code === 0,
      'writes work again',
    )
    await served.stop()
    expect(served.failures).toEqual([])
    await untilAllIsWell(cluster, client, 'web', 6)
    expect(await serving()).toEqual(before)
  })
}

/**
 * A node loses its plug under traffic: requests from another node soon fail no more, its pods are replaced, it comes back clean and is used
 * again.
 */
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { nodes, pods } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import type { ClusterFixture } from '../../fixtures/cluster.ts'
import { eventually, patience, podsOf, isReady, row, signal, startWeb, untilAllIsWell } from './setup.ts'

let cluster: ClusterFixture
let client: Client
/** A request each 20 ms; of those that fail, a line with the time at which they were sent. */
const asks = `
const http = require('http')
setInterval(() => {
  const at = Date.now()
  const failed = why => console.log('failed', at, why)
  const request = http.get({ host: process.env.HOST, timeout: 3000, agent: false }, r => r.resume().on('error', e => failed(e.message)))
  request.on('timeout', () => request.destroy(new Error('no answer'))).on('error', e => failed(e.message))
}, 20)
setInterval(() => console.log('alive', Date.now()), 500)`

beforeAll(async () => {
  // A pod that is told to end still gets requests until every node has heard of it.
  const web = await startWeb({ nodes: 3, replicas: 6, container: { lifecycle: { preStop: { sleep: { seconds: 2 } } } } })
  ;({ cluster, client } = web)
  const main = { name: 'main', image: 'node', command: ['node', '-e', asks], env: [{ name: 'HOST', value: web.address }] }
  await client.create(pods, 'default', {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'asking' },
    spec: { nodeName: 'node-3', terminationGracePeriodSeconds: 0, containers: [main] },
  } as never)
  await eventually(async () => isReady(await client.get(pods, 'default', 'asking')), 'the client runs')
}, 150_000)
afterAll(() => cluster?.stop(), 60_000)

/** When the client's requests failed, and the last time it said that it lives; ms since the epoch. */
async function asked(since: number): Promise<{ failures: number[]; until: number }> {
  const lines = (await cluster.kubectl('logs', 'asking', '--tail=20000')).split('\n').map(l => l.split(' '))
  const times = (what: string): number[] => lines.filter(l => l[0] === what).map(l => Number(l[1]))
  return { failures: times('failed').filter(t => t >= since), until: Math.max(...times('alive')) }
}

row('a node killed under traffic', 300_000, async round => {
  const name = `node-${1 + (round % 2)}`
  const former = (await podsOf(client, 'web')).filter(p => p.spec.nodeName === name).map(p => p.metadata.uid ?? '')
  expect(former.length).toBeGreaterThan(0)
  await signal(cluster, r => r.component === 'node-init' && r.node === name, name)
  const killed = Date.now()

  await eventually(
    async () => (await podsOf(client, 'web')).filter(p => p.spec.nodeName !== name && isReady(p)).length === 6,
    '6 replicas are Ready elsewhere',
    patience * 15_000,
  )
  const quiet = 5000
  await eventually(
    async () => {
      const { failures, until } = await asked(killed)
      return until - (failures.at(-1) ?? killed) > quiet
    },
    'requests fail no more',
    patience * 5_000 + quiet,
  )
  expect((await asked(killed)).failures.at(-1) ?? killed).toBeLessThan(killed + patience * 5_000)

  // None that is sent from now on fails: neither to what comes, nor to what goes.
  const started = Date.now()
  expect((await cluster.cox('node', 'start', name)).stdout).toContain(`node ${name} is Ready`)
  await cluster.kubectl('scale', 'deployment', 'web', '--replicas=9')
  await untilAllIsWell(cluster, client, 'web', 9)
  expect((await client.get(nodes, '', name)).spec.taints ?? []).toEqual([])
  const now = (await client.list(pods, '')).items.filter(p => p.spec.nodeName === name).map(p => p.metadata.uid ?? '')
  expect(now.length).toBeGreaterThan(0)
  for (const uid of former) expect(now).not.toContain(uid)
  // What is on its disk, and which cgroups it has, is of this life.
  await eventually(async () => {
    expect((await readdir(path.join(cluster.dir, 'nodes', name, 'pods'))).sort()).toEqual([...now].sort())
    return true
  }, 'only directories of pods that are there')
  await cluster.kubectl('scale', 'deployment', 'web', '--replicas=6')
  await untilAllIsWell(cluster, client, 'web', 6)
  const end = Date.now()
  await eventually(async () => (await asked(started)).until > end, 'the client has said what failed')
  expect((await asked(started)).failures).toEqual([])
})

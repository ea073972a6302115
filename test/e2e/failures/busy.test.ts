/** A busy machine: a hundred pods come and go at once while other work takes all processors, and nobody misses a heartbeat. */
import { spawn, type ChildProcess } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import type { Deployment } from '#shared/api/apps/deployment.ts'
import { deployments, leases, nodes, pods, serviceAccounts } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { startCluster, type ClusterFixture } from '../../fixtures/cluster.ts'
import { clientOf, eventually, row } from './setup.ts'

const count = 100
const leaders = ['kube-controller-manager', 'kube-scheduler']
let cluster: ClusterFixture
let client: Client
const others: ChildProcess[] = []
beforeAll(async () => {
  cluster = await startCluster({ nodes: 3 })
  client = clientOf(cluster)
}, 60_000)
afterAll(async () => {
  for (const child of others) child.kill('SIGKILL')
  await cluster?.stop()
}, 60_000)

const leadership = () =>
  Promise.all(
    leaders.map(async name => {
      const { spec } = await client.get(leases, 'kube-system', name)
      return `${spec.holderIdentity} ${spec.leaseTransitions}`
    }),
  )
/** How often a leader has said that it could not renew its lease in time. */
const suspended = async () =>
  (await Promise.all(leaders.map(name => readFile(path.join(cluster.dir, 'logs', `${name}.log`), 'utf8'))))
    .join('')
    .split('could not renew the lease in time').length - 1

row('a hundred pods are made and deleted at once on a busy machine: no lease is lost, no node falls silent', 300_000, async () => {
  await eventually(() => client.get(serviceAccounts, 'default', 'default'), 'the service account')
  const led = await eventually(async () => {
    const now = await leadership()
    return now.every(l => !l.startsWith('undefined') && !l.startsWith(' ')) && now
  }, 'leaders')
  const before = await suspended()
  const silent = new Set<string>()
  const stop = new AbortController()
  const { metadata } = await client.list(nodes, '')
  const following = (async () => {
    for await (const event of client.watch(nodes, '', { resourceVersion: metadata.resourceVersion ?? '' }, stop.signal)) {
      if (event.type === 'BOOKMARK') continue
      if (event.object.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'Unknown')) silent.add(event.object.metadata.name!)
    }
  })().catch((e: unknown) => {
    if (!stop.signal.aborted) throw e
  })
  for (let i = 0; i < availableParallelism(); i++)
    others.push(spawn(process.execPath, ['-e', 'for(;;);'], { stdio: 'ignore', detached: true }))
  const labels = { app: 'many' }
  const spec = { terminationGracePeriodSeconds: 1, containers: [{ name: 'c', image: 'busybox', command: ['sleep', '1000000'] }] }
  await client.create(deployments, 'default', {
    metadata: { name: 'many' },
    spec: { replicas: count, selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
  } as unknown as Deployment)
  await eventually(
    async () => (await client.get(deployments, 'default', 'many')).status?.availableReplicas === count,
    `${count} pods run`,
    120_000,
  )
  await client.delete(deployments, 'default', 'many')
  await eventually(async () => (await client.list(pods, 'default')).items.length === 0, 'all pods are gone', 120_000)
  expect(await leadership()).toEqual(led)
  expect(await suspended()).toBe(before)
  expect([...silent]).toEqual([])
  stop.abort()
  await following
})

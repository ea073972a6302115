/**
 * A node-agent killed at any moment: its pods serve on, it comes back, adopts them, restarts nothing, loses no exit code and no log line.
 */
import { afterAll, beforeAll, expect } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import { pods } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { startCluster, type ClusterFixture } from '../../fixtures/cluster.ts'
import { clientOf, delay, eventually, isReady, processes, row, signal, traffic } from './setup.ts'

let cluster: ClusterFixture
let client: Client
beforeAll(async () => {
  cluster = await startCluster({ nodes: 1 })
  client = clientOf(cluster)
  await client.create(pods, 'default', pod('steady', { image: 'registry.k8s.io/echoserver:1.10' }))
  await eventually(async () => isReady(await client.get(pods, 'default', 'steady')), 'steady is Ready')
}, 150_000)
afterAll(() => cluster?.stop(), 60_000)

const pod = (name: string, container: object, spec: object = {}, labels = {}): Pod =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels },
    spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', ...container }], ...spec },
  }) as unknown as Pod
const lines = 60
/** Prints its lines over a second or so, then exits with `code`. */
const job = (name: string, round: number, code: number): Pod =>
  pod(
    name,
    { image: 'busybox', command: ['sh', '-c', `i=0; while [ $i -lt ${lines} ]; do echo $i; i=$((i+1)); sleep 0.02; done; exit ${code}`] },
    { restartPolicy: 'Never' },
    { round: String(round) },
  )

row('node-agent killed at any moment, pods starting and stopping', 240_000, async round => {
  const steady = await client.get(pods, 'default', 'steady')
  const before = processes(await cluster.ps(), name => name === 'steady')
  expect(before.length).toBeGreaterThan(0)
  const served = traffic(`http://${steady.status?.podIP}:8080/`)
  const names = Array.from({ length: 16 }, (_, i) => `job-${round}-${i}`)
  const passing = Array.from({ length: 8 }, (_, i) => `passing-${round}-${i}`)
  const work = async (): Promise<void> => {
    for (const [i, name] of names.entries()) {
      await client.create(pods, 'default', job(name, round, i))
      const short = passing[i >> 1] ?? ''
      if (i % 2 === 0) await client.create(pods, 'default', pod(short, { image: 'busybox', command: ['sleep', '100000'] }))
      // Some are deleted while they start, others while they run.
      else await client.delete(pods, 'default', passing[Math.max(0, (i >> 1) - (i % 3))] ?? '').catch(() => {})
      await delay(Math.random() * 800)
    }
    for (const name of passing) await client.delete(pods, 'default', name).catch(() => {})
  }
  const kills = async (): Promise<void> => {
    for (let last = 0, i = 0; i < 4; i++) {
      await delay(Math.random() * 1500)
      last = (await signal(cluster, r => r.component === 'node-agent' && r.pid !== last, 'a new node-agent')).pid
    }
  }
  await Promise.all([work(), kills()])

  const done = await eventually(async () => {
    const { items } = await client.list(pods, 'default', { labelSelector: `round=${round}` })
    return items.every(p => p.status?.phase === 'Succeeded' || p.status?.phase === 'Failed') ? items : undefined
  }, 'every job has ended')
  const code = (p: Pod) => [
    p.metadata.name,
    p.status?.containerStatuses?.[0]?.state?.terminated?.exitCode,
    p.status?.containerStatuses?.[0]?.restartCount,
  ]
  expect(done.map(code).sort()).toEqual(names.map((name, i) => [name, i, 0]).sort())
  // Its last kill may have been a moment ago.
  const log = await eventually(async () => {
    const ran = await cluster.tryKubectl('logs', '-l', `round=${round}`, '--tail=-1', '--prefix')
    return ran.code === 0 && ran.stdout.split('\n')
  }, 'logs')
  for (const name of names)
    expect(
      log.filter(l => l.startsWith(`[pod/${name}/`)).map(l => l.split(' ')[1]),
      name,
    ).toEqual(Array.from({ length: lines }, (_, i) => String(i)))
  await eventually(
    async () => (await client.list(pods, 'default')).items.every(p => !p.metadata.name?.startsWith('passing-')),
    'the pods that were deleted are gone',
  )
  await served.stop()
  expect(served.sent).toBeGreaterThan(100)
  expect(served.failures).toEqual([])
  await client.deleteCollection(pods, 'default', { labelSelector: `round=${round}` })
  const rows = await cluster.ps()
  expect(processes(rows, name => name === 'steady')).toEqual(before)
  expect(rows.filter(r => r.pod?.startsWith('passing-'))).toEqual([])
  expect((await client.get(pods, 'default', 'steady')).status?.containerStatuses?.[0]?.restartCount).toBe(0)
})

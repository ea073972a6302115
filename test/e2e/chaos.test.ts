/** `cox chaos` against a cluster whose users never rest: it finds nothing, and nothing is left behind. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Report } from '#control-plane/cli/chaos/report.ts'
import { actionKinds, sequence } from '#control-plane/cli/chaos/sequence.ts'
import { churn } from '../fixtures/churn.ts'
import { eventually, startCluster, type ClusterFixture } from '../fixtures/cluster.ts'
import { everything, inventory } from '../fixtures/inventory.ts'

let cluster: ClusterFixture
beforeAll(async () => {
  cluster = await startCluster()
  // A node's first pod makes what all pods share, and networks in advance for the next ones.
  const warm = ['node-1', 'node-2', 'node-3'].map(node => [`warm-${node}`, { spec: { nodeName: node } }] as const)
  await Promise.all(
    warm.map(([name, overrides]) =>
      cluster.kubectl('run', name, '--image=busybox', '--restart=Never', '--overrides', JSON.stringify(overrides), '--', 'true'),
    ),
  )
  for (const [name] of warm) await cluster.kubectl('wait', `pod/${name}`, '--for=jsonpath={.status.phase}=Succeeded', '--timeout=60s')
  await cluster.kubectl('delete', 'pods', '--all')
}, 150_000)
afterAll(() => cluster?.stop(), 60_000)

test('a short chaos with a fixed seed while Deployments come, grow, roll and go', async () => {
  // Everything has its turn early in this one.
  const seed = 870
  let before: string[] = []
  await eventually(async () => {
    const last = before
    before = await everything(cluster)
    return before.some(thing => thing.includes(': veth')) && JSON.stringify(last) === JSON.stringify(before)
  }, 'the networks of all nodes are made')
  const enough = new AbortController()
  const working = churn(cluster, enough.signal)
  const ran = await cluster.cox('chaos', '--seed', String(seed), '--duration', '40s', '--interval', '500ms', '-o', 'json')
  enough.abort()
  const steps = await working
  const report = JSON.parse(ran.stdout) as Report
  expect(report.violations, ran.stderr).toEqual([])
  expect(ran.code).toBe(0)
  // It has done what the seed says, and has really looked.
  expect(report.actions.map(a => a.action)).toEqual(
    sequence(seed, actionKinds)
      .take(report.actions.length)
      .map(s => s.kind)
      .toArray(),
  )
  expect(report.actions.length).toBeGreaterThan(3)
  expect(
    report.actions.every(a => a.worksAfter !== null && a.wholeAfter !== null),
    JSON.stringify(report.actions),
  ).toBe(true)
  expect(report.writes.acknowledged).toBeGreaterThan(50)
  expect(report.changes).toBeGreaterThan(100)
  expect(steps).toBeGreaterThan(5)
  await eventually(
    async () => {
      const after = await everything(cluster)
      const [left, lacking] = [after.filter(thing => !before.includes(thing)), before.filter(thing => !after.includes(thing))]
      if (left.length + lacking.length > 0) throw new Error(`left behind: ${left.join('\n')}\nlacking: ${lacking.join('\n')}`)
      return true
    },
    'nothing is left behind',
    30_000,
  )
  await cluster.down()
  const after = await inventory(cluster.dir, cluster.index)
  for (const part of ['processes', 'links', 'routes', 'mounts', 'cgroups', 'rules']) expect(after[part], part).toEqual([])
}, 300_000)

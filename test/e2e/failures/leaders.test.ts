/** The leaders of two of each die again and again while workloads of every sort change: counts end right, nothing runs twice. */
import { afterAll, beforeAll, expect } from 'vitest'
import type { Job } from '#shared/api/batch/job.ts'
import { jobs } from '#shared/api/kinds.ts'
import type { Report } from '#control-plane/cli/chaos/report.ts'
import { eventually, startCluster, type ClusterFixture } from '../../fixtures/cluster.ts'
import { churnWorkloads } from '../../fixtures/workloadchurn.ts'
import { clientOf, patience, row } from './setup.ts'

/**
 * LEADERS_SECONDS=450 LEADERS=controller-manager LEADERS_INTERVAL=6s for a long look at one of them: one that is killed more often is
 * started again later and later, and is not there when the next leader is.
 */
const seconds = Number(process.env['LEADERS_SECONDS'] || 20)
/** Of one run of chaos, whose end is waited for. */
const atOnce = 40
const interval = process.env['LEADERS_INTERVAL'] || '500ms'
const which = process.env['LEADERS'] || 'controller-manager,scheduler,cloud-controller-manager'

let cluster: ClusterFixture
beforeAll(async () => {
  cluster = await startCluster({ nodes: 2, flags: ['--controller-managers', '2', '--schedulers', '2', '--cloud-controller-managers', '2'] })
}, 90_000)
afterAll(() => cluster?.stop(), 60_000)

row('leaders are killed while all sorts of workloads change', (seconds + 180) * 1000, async () => {
  const enough = new AbortController()
  const working = churnWorkloads(cluster, enough.signal)
  const reports: Report[] = []
  for (let left = seconds; left > 0; left -= atOnce) {
    const ran = await cluster.cox(
      'chaos',
      '--only',
      which,
      '--duration',
      `${Math.min(left, atOnce)}s`,
      '--interval',
      interval,
      '-o',
      'json',
    )
    expect(ran.stdout, ran.stderr).not.toBe('')
    const report = JSON.parse(ran.stdout) as Report
    if (process.env['LEADERS_SECONDS']) console.log(summary(report.actions))
    expect(report.violations, ran.stderr).toEqual([])
    reports.push(report)
  }
  enough.abort()
  const made = await working
  const actions = reports.flatMap(r => r.actions)
  expect(actions.length).toBeGreaterThan(1)
  for (const { target, worksAfter } of actions) expect(worksAfter ?? Infinity, target).toBeLessThan(3 * patience)
  // Each Job ends with what it was asked for.
  const client = clientOf(cluster)
  const own = await eventually(
    async () => {
      const { items } = await client.list<Job>(jobs, 'default', { labelSelector: 'churn=yes' })
      const named = items.filter(j => j.metadata.name?.startsWith('job-'))
      return named.length >= made && named.every(j => j.status?.conditions?.some(c => c.type === 'Complete')) && named
    },
    'all jobs to end',
    60_000,
  )
  expect(own.map(j => j.status?.succeeded)).toEqual(own.map(() => 3))
  const kinds = 'deployments,statefulsets,daemonsets,cronjobs,jobs'
  await cluster.kubectl('delete', kinds, '-l', 'churn=yes', '--timeout=60s')
})

function summary(actions: Report['actions']): string {
  const took = actions.map(a => a.worksAfter ?? Infinity).sort((a, b) => a - b)
  return `${actions.length} kills of ${which}: another leads after ${took[took.length >> 1]} s (median), ${took.at(-1)} s (slowest)`
}

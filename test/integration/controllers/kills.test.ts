/** The controller manager is killed, again and again, while it runs jobs, a cron job, a stateful set and a daemon set. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import { cronJobs, daemonSets, jobs, pods, serviceAccounts, statefulSets } from '#shared/api/kinds.ts'
import { startInformer } from '#shared/client/reflector.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { quiet, startControl, startNode, until, type Control } from './setup.ts'

const main = fileURLToPath(new URL('../../../control-plane/controller-manager/main.ts', import.meta.url))
let c: Control
let node: { stop(): void } | undefined
let child: ChildProcess | undefined
const stop = new AbortController()
beforeAll(async () => {
  c = await startControl()
})
afterAll(async () => {
  stop.abort()
  child?.kill('SIGKILL')
  node?.stop()
  await c?.stop()
})

async function start(): Promise<ChildProcess> {
  const quick = ['--leader-elect-lease-duration', '2s', '--leader-elect-renew-deadline', '1500ms', '--leader-elect-retry-period', '200ms']
  const creds = await c.api.nats.creds('system:kube-controller-manager')
  return spawn(process.execPath, [main, '--nats-url', c.api.nats.url, '--creds', creds, ...quick], { stdio: 'ignore' })
}
async function kill(victim: ChildProcess): Promise<void> {
  const gone = once(victim, 'exit')
  victim.kill('SIGKILL')
  await gone
}

const ns = 'default'
const template = (app: string, restartPolicy?: string) => ({
  metadata: { labels: { app } },
  spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'c', image: 'i' }], ...(restartPolicy ? { restartPolicy } : {}) },
})
const selector = (app: string) => ({ matchLabels: { app } })
const ofJob = (pod: Pod): boolean => pod.metadata.ownerReferences?.[0]?.kind === 'Job'
const isReady = (p: Pod): boolean => !p.metadata.deletionTimestamp && p.status?.phase === 'Running'
const completions = 24

test('nothing is lost and nothing is done twice', { timeout: 120_000 }, async () => {
  node = await startNode(c.client, 'node-1', { ready: pod => !ofJob(pod) })
  const informer = startInformer(c.client, pods, { namespace: ns, log: quiet }, stop.signal)
  await informer.synced
  const made = new Map<string, Set<string>>()
  let events = 0
  let wrong = ''
  let most = 0
  informer.subscribe(({ type, object: pod }) => {
    events++
    const { name = '', uid = '', labels = {} } = pod.metadata
    const app = labels['app'] ?? ''
    made.set(app, (made.get(app) ?? new Set()).add(uid))
    if (ofJob(pod) && type !== 'DELETED' && pod.spec.nodeName && pod.status?.phase === 'Pending') {
      const status = { phase: 'Succeeded', conditions: [{ type: 'Ready', status: 'False', lastTransitionTime: formatTime() }] }
      c.client.patch(pods, ns, name, 'strategic', { status }, 'status').catch(() => {})
    }
    const all = informer.list()
    most = Math.max(most, all.filter(p => p.metadata.labels?.['app'] === 'plain' && p.status?.phase === 'Pending').length)
    if (type !== 'ADDED' || app !== 'web') return
    const before = (p: Pod) => p.metadata.labels?.['app'] === 'web' && Number(p.metadata.name!.slice(4)) < Number(name.slice(4))
    const late = all.filter(before).find(p => !isReady(p))
    if (late) wrong ||= `${name} was made before ${late.metadata.name} was ready`
  })

  child = await start()
  await until('the service account', () => c.client.get(serviceAccounts, ns, 'default'))
  const job = { completions, parallelism: 3 }
  const create = (kind: Parameters<typeof c.client.create>[0], name: string, spec: object) =>
    c.client.create(kind, ns, { metadata: { name }, spec } as never)
  await create(jobs, 'plain', { ...job, template: template('plain', 'Never') })
  await create(jobs, 'indexed', { ...job, completionMode: 'Indexed', template: template('indexed', 'Never') })
  await create(statefulSets, 'web', { replicas: 3, serviceName: 'web', selector: selector('web'), template: template('web') })
  await create(daemonSets, 'logs', { selector: selector('logs'), template: template('logs') })
  const due = new Date(Math.floor(Date.now() / 60_000) * 60_000 - 120_000)
  const jobTemplate = { spec: { template: template('cron', 'Never') } }
  const schedule = `${due.getUTCMinutes()} ${due.getUTCHours()} * * *`
  await create(cronJobs, 'tick', { schedule, timeZone: 'UTC', suspend: true, jobTemplate })
  const lastScheduleTime = formatTime(new Date(due.getTime() - 86_400_000))
  await c.client.patch(cronJobs, ns, 'tick', 'merge', { status: { lastScheduleTime } }, 'status')
  await c.client.patch(cronJobs, ns, 'tick', 'merge', { spec: { suspend: false } })

  for (const [round, further] of [3, 10, 20, 31, 45].entries()) {
    const enough = events + further
    await until('something to happen', () => events >= enough, 20_000)
    await kill(child)
    const image = `i${round}`
    await c.client.patch(statefulSets, ns, 'web', 'strategic', { spec: { template: { spec: { containers: [{ name: 'c', image }] } } } })
    child = await start()
  }
  const ended = (name: string) =>
    until(
      `the end of ${name}`,
      async () => {
        const { status } = await c.client.get(jobs, ns, name)
        return status?.conditions?.some(x => x.type === 'Complete' && x.status === 'True') && status
      },
      40_000,
    )
  for (const name of ['plain', 'indexed', `tick-${due.getTime() / 60_000}`]) {
    const wanted = name.startsWith('tick') ? 1 : completions
    expect(await ended(name)).toMatchObject({ succeeded: wanted, uncountedTerminatedPods: {} })
    expect(made.get(name.startsWith('tick') ? 'cron' : name)?.size).toBe(wanted)
  }
  expect((await c.client.get(jobs, ns, 'indexed')).status?.completedIndexes).toBe(`0-${completions - 1}`)
  expect(most).toBeLessThanOrEqual(job.parallelism)
  expect((await c.client.list(jobs, ns)).items).toHaveLength(3)
  await until(
    'the last image everywhere',
    async () => {
      const { status } = await c.client.get(statefulSets, ns, 'web')
      return status?.updatedReplicas === 3 && status.readyReplicas === 3 && status.currentRevision === status.updateRevision
    },
    40_000,
  )
  expect(wrong).toBe('')
  expect(made.get('logs')?.size).toBe(1)
  await until('finalizers to go', () => informer.list().every(p => !p.metadata.finalizers?.length))
})

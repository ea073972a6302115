import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Job, JobStatus } from '#shared/api/batch/job.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { events, jobs, pods } from '#shared/api/kinds.ts'
import { startInformer } from '#shared/client/reflector.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { quiet, startControl, startNode, until, type Control } from './setup.ts'

let c: Control
let node: { stop(): void }
beforeAll(async () => {
  c = await startControl()
  await c.control()
  node = await startNode(c.client, 'node-1')
})
afterAll(async () => {
  node?.stop()
  await c?.stop()
})

const create = (ns: string, spec: object, name = 'work'): Promise<Job> =>
  c.client.create(jobs, ns, {
    metadata: { name },
    spec: {
      template: { spec: { restartPolicy: 'Never', terminationGracePeriodSeconds: 1, containers: [{ name: 'c', image: 'i' }] } },
      ...spec,
    },
  } as unknown as Job)
const status = async (ns: string, name = 'work'): Promise<JobStatus> => (await c.client.get(jobs, ns, name)).status ?? {}
const podsOf = async (ns: string): Promise<Pod[]> => (await c.client.list(pods, ns)).items
const running = async (ns: string): Promise<Pod[]> =>
  (await podsOf(ns)).filter(p => p.status?.phase === 'Running' && !p.metadata.deletionTimestamp)
const have = (ns: string, n: number): Promise<Pod[]> =>
  until(`${n} running pods in ${ns}`, async () => {
    const found = await running(ns)
    return found.length === n && found
  })
const index = (pod: Pod): string => pod.metadata.annotations?.['batch.kubernetes.io/job-completion-index'] ?? ''
/** What a kubelet says of a pod whose container ended. `ago`: as many seconds before now, so that it is replaced without a pause. */
const end = (pod: Pod, exitCode: number, ago = 0): Promise<Pod> =>
  c.client.patch(
    pods,
    pod.metadata.namespace!,
    pod.metadata.name!,
    'strategic',
    {
      status: {
        phase: exitCode === 0 ? 'Succeeded' : 'Failed',
        conditions: [{ type: 'Ready', status: 'False', lastTransitionTime: formatTime() }],
        containerStatuses: [
          {
            name: 'c',
            ready: false,
            restartCount: 0,
            image: 'i',
            imageID: '',
            state: { terminated: { exitCode, startedAt: formatTime(), finishedAt: formatTime(new Date(Date.now() - ago * 1000)) } },
          },
        ],
      },
    },
    'status',
  )
const conditions = (s: JobStatus): string[] => (s.conditions ?? []).map(x => `${x.type} ${x.status} ${x.reason ?? ''}`)
const ended = (ns: string, type: 'Complete' | 'Failed', name = 'work'): Promise<JobStatus> =>
  until(`${type} in ${ns}`, async () => {
    const s = await status(ns, name)
    return s.conditions?.some(x => x.type === type && x.status === 'True') && s
  })
const told = (ns: string, text: string): Promise<boolean | undefined> =>
  until(`the event ${text}`, async () => (await c.client.list(events, ns)).items.some(e => `${e.reason} ${e.message}`.startsWith(text)))

test('a job runs its pods, counts them, and is complete', async () => {
  const ns = await c.namespace('complete')
  const stop = new AbortController()
  const seen: string[] = []
  let most = 0
  startInformer(c.client, jobs, { namespace: ns, log: quiet }, stop.signal).subscribe(e => {
    most = Math.max(most, e.object.status?.active ?? 0)
    for (const x of conditions(e.object.status ?? {})) if (!seen.includes(x)) seen.push(x)
  })
  await create(ns, { completions: 5, parallelism: 2 })
  for (let done = 0; done < 5; done++) {
    const [pod] = await have(ns, Math.min(2, 5 - done))
    expect(pod!.metadata.finalizers).toEqual(['batch.kubernetes.io/job-tracking'])
    await until('ready pods', async () => (await status(ns)).ready === Math.min(2, 5 - done))
    await end(pod!, 0)
  }
  const s = await ended(ns, 'Complete')
  expect(s).toMatchObject({ succeeded: 5, ready: 0, terminating: 0, uncountedTerminatedPods: {} })
  expect(s.active).toBeUndefined()
  expect(s.completionTime).toBeDefined()
  expect(seen).toEqual(['SuccessCriteriaMet True CompletionsReached', 'Complete True CompletionsReached'])
  expect(most).toBe(2)
  await until('finalizers to go', async () => (await podsOf(ns)).every(p => !p.metadata.finalizers))
  await told(ns, 'SuccessfulCreate Created pod: work-')
  await told(ns, 'Completed Job completed')
  stop.abort()
})

test('failures are replaced after a pause and at last end the job; what runs then is deleted', async () => {
  const ns = await c.namespace('backoff')
  await create(ns, { parallelism: 2, completions: 2, backoffLimit: 1 })
  const [first] = await have(ns, 2)
  // Just now: no replacement for ten seconds.
  await end(first!, 1)
  await until('the failure to be counted', async () => (await status(ns)).failed === 1)
  expect(await running(ns)).toHaveLength(1)
  const [second] = await running(ns)
  await c.client.delete(pods, ns, second!.metadata.name!)
  const s = await ended(ns, 'Failed')
  expect(conditions(s)).toEqual(['FailureTarget True BackoffLimitExceeded', 'Failed True BackoffLimitExceeded'])
  expect(s).toMatchObject({ failed: 2, terminating: 0, ready: 0 })
  await told(ns, 'BackoffLimitExceeded Job has reached the specified backoff limit')
})

test('an active deadline ends it, with its pods', async () => {
  const ns = await c.namespace('deadline')
  await create(ns, { parallelism: 2, completions: 2, activeDeadlineSeconds: 2 })
  await have(ns, 2)
  expect(conditions(await ended(ns, 'Failed'))).toEqual(['FailureTarget True DeadlineExceeded', 'Failed True DeadlineExceeded'])
  await until('the pods to go', async () => (await podsOf(ns)).length === 0)
})

describe('an indexed job', () => {
  test('has a pod for each index, fails some and grows', async () => {
    const ns = await c.namespace('indexed')
    await create(ns, { completionMode: 'Indexed', completions: 3, parallelism: 3, backoffLimitPerIndex: 1 })
    const found = await have(ns, 3)
    expect(found.map(index).sort()).toEqual(['0', '1', '2'])
    const of = (pods: Pod[], i: string) => pods.find(p => index(p) === i)!
    expect(of(found, '1')).toMatchObject({
      spec: { hostname: 'work-1' },
      metadata: { labels: { 'batch.kubernetes.io/job-completion-index': '1' }, generateName: 'work-1-' },
    })
    await end(of(found, '0'), 0)
    await end(of(found, '1'), 1, 60)
    await until('index 0 to be counted', async () => (await status(ns)).completedIndexes === '0')
    const again = await have(ns, 2)
    expect(of(again, '1').metadata.annotations).toMatchObject({ 'batch.kubernetes.io/job-index-failure-count': '1' })
    await end(of(again, '1'), 1)
    await until('index 1 to have failed', async () => (await status(ns)).failedIndexes === '1')
    await c.client.patch(jobs, ns, 'work', 'merge', { spec: { completions: 4, parallelism: 4 } })
    const rest = await have(ns, 2)
    expect(rest.map(index).sort()).toEqual(['2', '3'])
    for (const pod of rest) await end(pod, 0)
    const s = await ended(ns, 'Failed')
    expect(conditions(s)).toEqual(['FailureTarget True FailedIndexes', 'Failed True FailedIndexes'])
    expect(s).toMatchObject({ completedIndexes: '0,2,3', failedIndexes: '1', succeeded: 3, failed: 2 })
  })
  test('has succeeded when its policy says so', async () => {
    const ns = await c.namespace('success-policy')
    await create(ns, { completionMode: 'Indexed', completions: 4, parallelism: 4, successPolicy: { rules: [{ succeededIndexes: '2' }] } })
    const found = await have(ns, 4)
    await end(
      found.find(p => index(p) === '2')!,
      0,
    )
    const s = await ended(ns, 'Complete')
    expect(conditions(s)).toEqual(['SuccessCriteriaMet True SuccessPolicy', 'Complete True SuccessPolicy'])
    expect(s).toMatchObject({ succeeded: 1, completedIndexes: '2', terminating: 0 })
    expect(s.failed).toBeUndefined()
    await until('the other pods to go', async () => (await podsOf(ns)).length === 1)
  })
})

test('a failure policy ignores, counts and fails', async () => {
  const ns = await c.namespace('failure-policy')
  const onExitCodes = (...values: number[]) => ({ operator: 'In', values })
  await create(ns, {
    backoffLimit: 0,
    podFailurePolicy: {
      rules: [
        { action: 'Ignore', onExitCodes: onExitCodes(3) },
        { action: 'FailJob', onExitCodes: onExitCodes(42) },
      ],
    },
  })
  const [ignored] = await have(ns, 1)
  await end(ignored!, 3, 60)
  const next = await until('another pod', async () => (await running(ns)).find(p => p.metadata.uid !== ignored!.metadata.uid))
  expect((await status(ns)).failed).toBeUndefined()
  await end(next, 42)
  const s = await ended(ns, 'Failed')
  expect(conditions(s)).toEqual(['FailureTarget True PodFailurePolicy', 'Failed True PodFailurePolicy'])
  expect(s.conditions![1]!.message).toBe(
    `Container c for pod ${ns}/${next.metadata.name} failed with exit code 42 matching FailJob rule at index 1`,
  )
})

test('a suspended job has no pods; resumed it goes on and counts its time anew', async () => {
  const ns = await c.namespace('suspend')
  await create(ns, { parallelism: 2, completions: 2, suspend: true })
  await until('the condition', async () => conditions(await status(ns)).includes('Suspended True JobSuspended'))
  expect((await status(ns)).startTime).toBeUndefined()
  // While it has never run, where it runs may change.
  await c.client.patch(jobs, ns, 'work', 'strategic', { spec: { template: { spec: { nodeSelector: { zone: 'a' } } } } })
  await c.client.patch(jobs, ns, 'work', 'merge', { spec: { suspend: false } })
  const found = await have(ns, 2)
  expect(found[0]!.spec.nodeSelector).toEqual({ zone: 'a' })
  await until('the condition', async () => conditions(await status(ns)).includes('Suspended False JobResumed'))
  await c.client.patch(jobs, ns, 'work', 'merge', { spec: { suspend: true } })
  await until('the pods to go', async () => (await podsOf(ns)).length === 0 && !(await status(ns)).active)
  expect((await status(ns)).failed).toBeUndefined()
  // Its time counts from when it went on.
  const long = formatTime(new Date(Date.now() - 3600_000))
  await c.client.patch(jobs, ns, 'work', 'merge', { status: { startTime: long } }, 'status')
  await c.client.patch(jobs, ns, 'work', 'merge', { spec: { suspend: false, activeDeadlineSeconds: 600 } })
  await have(ns, 2)
  await until('a new beginning', async () => (await status(ns)).startTime !== long)
  expect(conditions(await status(ns))).toEqual(['Suspended False JobResumed'])
  await told(ns, 'Suspended Job suspended')
  await told(ns, 'Resumed Job resumed')
})

test('pods are adopted with the finalizer, released without it, and lose it when the job is gone', async () => {
  const ns = await c.namespace('adopt')
  const { spec } = await create(ns, { parallelism: 2, completions: 2 })
  const [pod, other] = await have(ns, 2)
  const labels = { ...pod!.metadata.labels, 'batch.kubernetes.io/controller-uid': null }
  await c.client.patch(pods, ns, pod!.metadata.name!, 'merge', { metadata: { labels } })
  await until('the release', async () => {
    const { metadata } = await c.client.get(pods, ns, pod!.metadata.name!)
    return !metadata.ownerReferences && !metadata.finalizers
  })
  await have(ns, 3)
  await c.client.patch(pods, ns, pod!.metadata.name!, 'merge', { metadata: { labels: pod!.metadata.labels } })
  await until('the adoption', async () => {
    const all = await running(ns)
    return all.length === 2 && all.every(p => p.metadata.ownerReferences?.[0]?.controller && p.metadata.finalizers?.length === 1)
  })
  expect(spec.selector?.matchLabels).toBeDefined()
  await c.client.delete(jobs, ns, 'work', { propagationPolicy: 'Orphan' })
  await until('finalizers to go', async () => (await podsOf(ns)).every(p => !p.metadata.finalizers && !p.metadata.ownerReferences))
  expect((await podsOf(ns)).some(p => p.metadata.uid === other!.metadata.uid || p.metadata.uid === pod!.metadata.uid)).toBe(true)
})

test('a job of another controller is left alone', async () => {
  const ns = await c.namespace('managed')
  await create(ns, { managedBy: 'acme.io/runner' }, 'theirs')
  await create(ns, {}, 'ours')
  await have(ns, 1)
  expect(await status(ns, 'theirs')).toEqual({})
})

test('a job that has ended goes after its time, with its pods', async () => {
  const ns = await c.namespace('ttl')
  await create(ns, { ttlSecondsAfterFinished: 1 })
  const [pod] = await have(ns, 1)
  await end(pod!, 0)
  await until('the job to go', async () => (await c.client.list(jobs, ns)).items.length === 0 && (await podsOf(ns)).length === 0)
})

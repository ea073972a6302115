/** Jobs whose pods nobody runs: what upstream's own tests of the job controller do to them, step by step. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Job, JobStatus } from '#shared/api/batch/job.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { jobs, pods } from '#shared/api/kinds.ts'
import { startControl, until, type Control } from './setup.ts'

let c: Control
beforeAll(async () => {
  c = await startControl()
  await c.control()
})
afterAll(() => c?.stop())

const blocks = 'fake.example.com/blockDeletion'
const tracking = 'batch.kubernetes.io/job-tracking'
const create = (ns: string, spec: object, pod: object = {}, metadata: object = {}): Promise<Job> => {
  const template = { metadata, spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'i' }], ...pod } }
  return c.client.create(jobs, ns, { metadata: { name: 'job' }, spec: { template, ...spec } } as unknown as Job)
}
const podsOf = async (ns: string): Promise<Pod[]> => (await c.client.list(pods, ns)).items
const ended = (p: Pod): boolean => p.status?.phase === 'Succeeded' || p.status?.phase === 'Failed'
const activeOf = async (ns: string): Promise<Pod[]> => (await podsOf(ns)).filter(p => !p.metadata.deletionTimestamp && !ended(p))
const indexOf = (p: Pod): string => p.metadata.annotations?.['batch.kubernetes.io/job-completion-index'] ?? ''
/** An hour ago, so that it is replaced at once. */
const finishedAt = '2020-01-01T00:00:00Z'
const end = (pod: Pod, phase: 'Succeeded' | 'Failed'): Promise<Pod> => {
  const terminated = { exitCode: phase === 'Failed' ? 1 : 0, finishedAt, startedAt: finishedAt }
  const containerStatuses = [{ name: 'c', ready: false, restartCount: 0, image: '', imageID: '', state: { terminated } }]
  return c.client.patch(pods, pod.metadata.namespace!, pod.metadata.name!, 'merge', { status: { phase, containerStatuses } }, 'status')
}
const numbers = ({ active = 0, succeeded = 0, failed = 0, terminating, completedIndexes = '' }: JobStatus) => ({
  active,
  succeeded,
  failed,
  terminating,
  completedIndexes,
})
type Numbers = ReturnType<typeof numbers>
/** Waits for the job to say so. */
async function comesTo(ns: string, expected: Partial<Numbers>): Promise<void> {
  const wanted: Numbers = { active: 0, succeeded: 0, failed: 0, terminating: 0, completedIndexes: '', ...expected }
  await expect.poll(async () => numbers((await c.client.get(jobs, ns, 'job')).status ?? {}), { timeout: 15_000 }).toEqual(wanted)
}
const holds = (ns: string, type: string): Promise<boolean | undefined> =>
  until(`${type} in ${ns}`, async () =>
    (await c.client.get(jobs, ns, 'job')).status?.conditions?.some(x => x.type === type && x.status === 'True'),
  )

test.each(['Indexed', 'NonIndexed'] as const)(
  '%s: pods that are deleted and do not go are replaced when they have failed',
  async completionMode => {
    const ns = await c.namespace(`replaced-${completionMode}`.toLowerCase())
    const spec = { parallelism: 2, completions: 2, completionMode, podReplacementPolicy: 'Failed' }
    await create(ns, spec, { nodeName: 'foo' }, { finalizers: [blocks] })
    await comesTo(ns, { active: 2 })
    const first = await podsOf(ns)
    for (const p of first) await c.client.delete(pods, ns, p.metadata.name!)
    await comesTo(ns, { terminating: 2 })
    for (const p of first) await end(p, 'Failed')
    await comesTo(ns, { active: 2, failed: 2 })
    for (const p of await podsOf(ns)) await c.client.patch(pods, ns, p.metadata.name!, 'merge', { metadata: { finalizers: null } })
  },
)

describe('an indexed job that is made larger and smaller', () => {
  const resize = (ns: string, n: number) => c.client.patch(jobs, ns, 'job', 'merge', { spec: { completions: n, parallelism: n } })
  const endIndex = async (ns: string, index: string, phase: 'Succeeded' | 'Failed') => {
    const pod = await until(`the pod of index ${index}`, async () => (await activeOf(ns)).find(p => indexOf(p) === index))
    await end(pod, phase)
  }
  const start = async (name: string): Promise<string> => {
    const ns = await c.namespace(name)
    await create(ns, { parallelism: 3, completions: 3, completionMode: 'Indexed' })
    await comesTo(ns, { active: 3 })
    return ns
  }
  test('larger', async () => {
    const ns = await start('larger')
    await resize(ns, 4)
    for (const i of ['0', '1', '2', '3']) await endIndex(ns, i, 'Succeeded')
    await comesTo(ns, { succeeded: 4, completedIndexes: '0-3' })
    await holds(ns, 'Complete')
  })
  test('smaller: what failed beyond still counts, what succeeded there does not', async () => {
    const ns = await start('smaller')
    await endIndex(ns, '1', 'Succeeded')
    await endIndex(ns, '2', 'Failed')
    await comesTo(ns, { active: 2, succeeded: 1, failed: 1, completedIndexes: '1' })
    await resize(ns, 1)
    await endIndex(ns, '0', 'Succeeded')
    await comesTo(ns, { succeeded: 1, failed: 1, completedIndexes: '0' })
    await holds(ns, 'Complete')
  })
  test('smaller and larger again: an index that had succeeded is done once more', async () => {
    const ns = await start('both')
    await endIndex(ns, '2', 'Succeeded')
    await comesTo(ns, { active: 2, succeeded: 1, completedIndexes: '2' })
    await resize(ns, 2)
    await comesTo(ns, { active: 2 })
    await resize(ns, 3)
    for (const i of ['0', '1', '2']) await endIndex(ns, i, 'Succeeded')
    await comesTo(ns, { succeeded: 3, completedIndexes: '0-2' })
    await holds(ns, 'Complete')
  })
  test('to nothing: it is complete', async () => {
    const ns = await start('nothing')
    await resize(ns, 0)
    await holds(ns, 'Complete')
    await comesTo(ns, {})
  })
})

test('a suspended job that wants nothing is complete', async () => {
  const ns = await c.namespace('idle')
  await create(ns, { completions: 0, suspend: true })
  await holds(ns, 'Complete')
})

test('of a hundred pods one fails as soon as it is there: the job fails, and none keeps its finalizer', async () => {
  const ns = await c.namespace('hundred')
  await create(ns, { parallelism: 100, completions: 100, completionMode: 'Indexed', backoffLimit: 0 })
  await end(await until('a pod', async () => (await activeOf(ns))[0]), 'Failed')
  await holds(ns, 'Failed')
  const { status } = await c.client.get(jobs, ns, 'job')
  expect(status?.conditions?.map(x => `${x.type} ${x.reason}`)).toEqual([
    'FailureTarget BackoffLimitExceeded',
    'Failed BackoffLimitExceeded',
  ])
  await until('finalizers to go', async () => (await podsOf(ns)).every(p => !p.metadata.finalizers?.includes(tracking)))
})

test('one pod fails, the rest succeeds, the controller is killed: the job has failed', async () => {
  const ns = await c.namespace('interrupted')
  await create(ns, { parallelism: 10, completions: 10, backoffLimit: 0 }, { nodeName: 'foo' })
  await comesTo(ns, { active: 10 })
  const [bad, ...good] = await activeOf(ns)
  await end(bad!, 'Failed')
  await Promise.all(good.map(p => end(p, 'Succeeded').catch(() => {})))
  await c.stopControllers()
  await c.control()
  for (const p of await podsOf(ns)) await c.client.delete(pods, ns, p.metadata.name!, { gracePeriodSeconds: 0 }).catch(() => {})
  await holds(ns, 'Failed')
})

test.each(['Orphan', 'Background', 'Foreground'] as const)(
  'a job that is deleted (%s) leaves no finalizer behind',
  async propagationPolicy => {
    const ns = await c.namespace(`deleted-${propagationPolicy.toLowerCase()}`)
    await create(ns, { parallelism: 2 })
    await comesTo(ns, { active: 2 })
    await c.client.delete(jobs, ns, 'job', { propagationPolicy })
    await until('finalizers to go', async () => (await podsOf(ns)).every(p => !p.metadata.finalizers?.length))
    if (propagationPolicy === 'Orphan') expect(await podsOf(ns)).toHaveLength(2)
    else await until('the pods to go', async () => (await podsOf(ns)).length === 0)
  },
)

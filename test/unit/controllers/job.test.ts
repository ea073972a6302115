import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Job, JobStatus } from '#shared/api/batch/job.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { finishedAt, untilNextPod, untilRetry } from '#control-plane/controller-manager/job/backoff.ts'
import { newCondition, withCondition } from '#control-plane/controller-manager/job/conditions.ts'
import { allCounted, count, settle } from '#control-plane/controller-manager/job/counting.ts'
import { ruling } from '#control-plane/controller-manager/job/failurepolicy.ts'
import {
  common,
  firstMissing,
  formatIntervals,
  has,
  intervalsOf,
  merge,
  parseIntervals,
  total,
} from '#control-plane/controller-manager/job/intervals.ts'
import { observe } from '#control-plane/controller-manager/job/observe.ts'
import { plan } from '#control-plane/controller-manager/job/plan.ts'
import { indexOf, trackingFinalizer } from '#control-plane/controller-manager/job/pods.ts'
import { withNumbers, withSuspension } from '#control-plane/controller-manager/job/status.ts'
import { successPolicyMet } from '#control-plane/controller-manager/job/successpolicy.ts'
import { newPod } from '#control-plane/controller-manager/job/template.ts'
import { completed, finalCondition, isComplete, verdict } from '#control-plane/controller-manager/job/verdict.ts'
import { expiresAt } from '#control-plane/controller-manager/ttlafterfinished.ts'

const now = Date.parse('2026-01-01T12:00:00Z')
const at = (secondsAgo: number): string => new Date(now - secondsAgo * 1000).toISOString().replace('.000', '')

const job = (spec: object = {}, status: JobStatus = {}): Job =>
  ({
    metadata: { name: 'work', namespace: 'ns', uid: 'job-uid' },
    spec: {
      parallelism: 1,
      completions: 1,
      backoffLimit: 6,
      completionMode: 'NonIndexed',
      podReplacementPolicy: 'TerminatingOrFailed',
      template: { spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'busybox' }] } },
      ...spec,
    },
    status,
  }) as unknown as Job
interface Shape {
  phase?: string
  index?: number
  failures?: number
  tracked?: boolean
  terminating?: boolean
  code?: number
  ready?: boolean
  conditions?: { type: string; status: string }[]
  /** Seconds. */
  ended?: number
}
const pod = (name: string, shape: Shape = {}): Pod =>
  ({
    metadata: {
      name,
      uid: name,
      namespace: 'ns',
      creationTimestamp: at(3600),
      finalizers: shape.tracked === false ? [] : [trackingFinalizer],
      ...(shape.terminating ? { deletionTimestamp: at(0), deletionGracePeriodSeconds: 30 } : {}),
      annotations: {
        ...(shape.index === undefined ? {} : { 'batch.kubernetes.io/job-completion-index': String(shape.index) }),
        ...(shape.failures === undefined ? {} : { 'batch.kubernetes.io/job-index-failure-count': String(shape.failures) }),
      },
    },
    spec: { containers: [], nodeName: 'n' },
    status: {
      phase: shape.phase ?? 'Running',
      conditions: [...(shape.conditions ?? []), ...(shape.ready ? [{ type: 'Ready', status: 'True' }] : [])],
      containerStatuses:
        shape.code === undefined && shape.ended === undefined
          ? []
          : [{ name: 'main', restartCount: 0, state: { terminated: { exitCode: shape.code ?? 0, finishedAt: at(shape.ended ?? 3000) } } }],
    },
  }) as unknown as Pod
const phases = (n: number, phase: string, more: Shape = {}): Pod[] =>
  Array.from({ length: n }, (_, i) => pod(`${phase}-${i}`, { phase, ended: 3000, ...more }))
const planned = (j: Job, pods: Pod[]) => plan(j, observe(j, pods), now)

describe('intervals', () => {
  test('are read and written as upstream does', () => {
    expect(formatIntervals(intervalsOf([7, 1, 3, 4, 5, 9, 10]))).toBe('1,3-5,7,9,10')
    expect(parseIntervals('1,3-5,7,9,10', 10)).toEqual([
      { first: 1, last: 1 },
      { first: 3, last: 5 },
      { first: 7, last: 7 },
      { first: 9, last: 9 },
    ])
    expect(parseIntervals('x,2-y,4', 10)).toEqual([{ first: 4, last: 4 }])
    expect(parseIntervals('2-8', 5)).toEqual([{ first: 2, last: 4 }])
  })
  const indexes = fc.uniqueArray(fc.nat(30))
  test('are sets of numbers', () => {
    fc.assert(
      fc.property(indexes, indexes, fc.nat(10), fc.nat(35), (a, b, n, completions) => {
        const [x, y] = [intervalsOf(a), intervalsOf(b)]
        const union = merge(x, y)
        expect(total(union)).toBe(new Set([...a, ...b]).size)
        expect(common(x, y)).toBe(a.filter(i => b.includes(i)).length)
        for (let i = 0; i <= 31; i++) expect(has(union, i)).toBe(a.includes(i) || b.includes(i))
        expect(parseIntervals(formatIntervals(union), 31)).toEqual(union)
        const free = Array.from({ length: completions }, (_, i) => i).filter(i => !a.includes(i))
        expect(firstMissing(x, n, completions)).toEqual(free.slice(0, n))
      }),
    )
  })
})

describe('pods', () => {
  test('as many run as parallelism allows and as are missing', () => {
    expect(planned(job({ parallelism: 3, completions: 10 }), []).create).toHaveLength(3)
    expect(planned(job({ parallelism: 3, completions: 10 }, { succeeded: 8 }), [pod('a')]).create).toHaveLength(1)
    expect(planned(job({ parallelism: 3, completions: 10 }, { succeeded: 10 }), []).create).toHaveLength(0)
    expect(planned(job({ parallelism: 1000, completions: 1000 }), []).create).toHaveLength(500)
    expect(
      planned(job({ parallelism: 1, completions: 5 }), [pod('a'), pod('b', { ready: true })]).remove.map(p => p.metadata.name),
    ).toEqual(['a'])
  })
  test('without completions none is added after the first success', () => {
    const j = job({ parallelism: 3, completions: undefined })
    expect(planned(j, [pod('a')]).create).toHaveLength(2)
    expect(planned(j, [pod('a'), pod('s', { phase: 'Succeeded' })])).toMatchObject({ create: [], remove: [] })
    expect(isComplete(j, { succeeded: 1 }, 1)).toBe(false)
    expect(isComplete(j, { succeeded: 1 }, 0)).toBe(true)
  })
  test('a suspended job has none', () => {
    expect(planned(job({ parallelism: 2, suspend: true }), [pod('a'), pod('b')])).toMatchObject({ create: [], remove: [{}, {}] })
  })
  test('those that fail are replaced later and later', () => {
    const j = job({ completions: 3 })
    expect(planned(j, [pod('a', { phase: 'Failed', code: 1, ended: 4 })])).toMatchObject({ create: [], waitMs: 6000 })
    expect(planned(j, [pod('a', { phase: 'Failed', code: 1, ended: 15 }), pod('b', { phase: 'Failed', code: 1, ended: 5 })])).toMatchObject(
      {
        waitMs: 15_000,
      },
    )
    expect(planned(j, [pod('a', { phase: 'Failed', code: 1, ended: 11 })]).create).toHaveLength(1)
    // A success in between starts anew.
    const [failed, succeeded] = [pod('a', { phase: 'Failed', code: 1, ended: 5 }), pod('b', { phase: 'Succeeded', ended: 4 })]
    expect(planned(j, [failed, succeeded]).create).toHaveLength(1)
    expect(untilRetry(30, now, now)).toBe(600_000)
    expect(untilNextPod([], [], now)).toBe(0)
  })
  test('a deleted one ended when its grace began', () => {
    expect(finishedAt(pod('a', { terminating: true }))).toBe(now - 30_000)
  })
  test('terminating ones are replaced at once or when they have failed', () => {
    const gone = pod('a', { terminating: true })
    expect(planned(job(), [gone]).create).toHaveLength(1)
    expect(planned(job({ podReplacementPolicy: 'Failed' }), [gone]).create).toHaveLength(0)
    expect(observe(job(), [gone])).toMatchObject({ failed: 1, terminating: 1 })
    expect(observe(job({ podReplacementPolicy: 'Failed' }), [gone])).toMatchObject({ failed: 0, terminating: 1 })
  })
  const indexed = { completionMode: 'Indexed', completions: 5, parallelism: 5 }
  test('an indexed job has one pod for each index', () => {
    const pods = [pod('a', { index: 1 }), pod('b', { index: 3, phase: 'Succeeded' })]
    expect(planned(job(indexed, { completedIndexes: '0' }), pods).create).toEqual([2, 4])
    const twice = [pod('a', { index: 1, ready: true }), pod('b', { index: 1 }), pod('c', { index: 7 }), pod('d')]
    expect(planned(job(indexed), twice).remove.map(p => p.metadata.name)).toEqual(['c', 'd', 'b'])
  })
  test('failures are counted by index', () => {
    const j = job({ ...indexed, backoffLimitPerIndex: 1 })
    const first = pod('a', { index: 2, failures: 0, phase: 'Failed', code: 1, ended: 60 })
    expect(planned(j, [first]).create).toEqual([0, 1, 2, 3, 4])
    expect(newPod(j, 2, first).metadata.annotations).toMatchObject({ 'batch.kubernetes.io/job-index-failure-count': '1' })
    const seen = observe(j, [pod('b', { index: 2, failures: 1, phase: 'Failed', code: 1, ended: 60 })])
    expect(formatIntervals(seen.indexes!.failed!)).toBe('2')
    expect(plan(j, seen, now).create).toEqual([0, 1, 3, 4])
    // The other indexes do not wait for one that failed just now.
    expect(planned(j, [pod('a', { index: 2, failures: 0, phase: 'Failed', code: 1, ended: 1 })])).toMatchObject({
      create: [0, 1, 3, 4],
      waitMs: 9000,
    })
  })
  test('one of an index knows it', () => {
    const made = newPod(job({ ...indexed, backoffLimitPerIndex: 1 }), 4, undefined)
    expect(made).toMatchObject({
      metadata: {
        generateName: 'work-4-',
        finalizers: [trackingFinalizer],
        labels: { 'batch.kubernetes.io/job-completion-index': '4' },
        annotations: { 'batch.kubernetes.io/job-completion-index': '4', 'batch.kubernetes.io/job-index-failure-count': '0' },
        ownerReferences: [{ kind: 'Job', uid: 'job-uid', controller: true }],
      },
      spec: { hostname: 'work-4' },
    })
    expect(made.spec.containers[0]!.env).toEqual([
      {
        name: 'JOB_COMPLETION_INDEX',
        valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: "metadata.labels['batch.kubernetes.io/job-completion-index']" } },
      },
    ])
    const long = job(indexed)
    long.metadata.name = 'x'.repeat(63)
    expect(newPod(long, 12, undefined).metadata.generateName).toBe(`${'x'.repeat(54)}-12-`)
    expect(newPod(job(), undefined, undefined).metadata).toMatchObject({ generateName: 'work-', finalizers: [trackingFinalizer] })
  })
})

const shape = fc.record({
  phase: fc.constantFrom('Pending', 'Running', 'Succeeded', 'Failed'),
  index: fc.option(fc.nat(6), { nil: undefined }),
  tracked: fc.boolean(),
  terminating: fc.boolean(),
  failures: fc.nat(2),
})
const specs = fc.record({
  parallelism: fc.nat(6),
  completions: fc.integer({ min: 1, max: 6 }),
  completionMode: fc.constantFrom('Indexed', 'NonIndexed'),
  podReplacementPolicy: fc.constantFrom('Failed', 'TerminatingOrFailed'),
  suspend: fc.boolean(),
})
test('never more active pods than parallelism and missing completions, never two of an index', () => {
  fc.assert(
    fc.property(specs, fc.array(shape, { maxLength: 10 }), (spec, shapes) => {
      const j = job(spec)
      const pods = shapes.map((s, i) => pod(`p${i}`, s as Shape))
      const seen = observe(j, pods)
      const { remove, create } = plan(j, seen, now)
      const left = seen.active.filter(p => !remove.includes(p))
      const want = spec.suspend ? 0 : Math.max(0, Math.min(spec.parallelism, spec.completions - seen.succeeded))
      expect(left.length + create.length).toBeLessThanOrEqual(want)
      expect(remove.length > 0 && create.length > 0).toBe(false)
      if (spec.completionMode !== 'Indexed') return
      const indexes = [...left.map(indexOf), ...create]
      expect(new Set(indexes).size).toBe(indexes.length)
      for (const i of indexes) {
        expect(i).toBeLessThan(spec.completions)
        if (create.includes(i)) expect(has(seen.indexes!.succeeded, i!)).toBe(false)
      }
    }),
  )
})

/** What the controller does with pods and status in one round; stops where `crash` says. */
function round(j: Job, pods: Pod[], crash: 'before' | 'after' | 'never'): JobStatus {
  const seen = observe(j, pods)
  const counting = count(j, seen, { ...j.status }, undefined)
  if (crash === 'before') return counting.status
  for (const p of counting.release) p.metadata.finalizers = []
  if (crash === 'after') return counting.status
  return settle(counting.status, new Set(pods.filter(p => p.metadata.finalizers?.length).map(p => p.metadata.uid!)))
}
test('every pod that ended is counted once, wherever the controller is killed', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('Indexed', 'NonIndexed'),
      fc.array(fc.constantFrom('Succeeded', 'Failed', 'Running'), { maxLength: 12 }),
      fc.array(fc.constantFrom('before' as const, 'after' as const, 'never' as const), { maxLength: 5 }),
      fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }),
      (completionMode, ends, crashes, vanishes) => {
        const j = job({ completionMode, completions: 100, parallelism: 100 })
        let pods = ends.map((phase, index) => pod(`p${index}`, { phase, index }))
        for (const crash of [...crashes, 'never' as const, 'never' as const]) {
          j.status = round(j, pods, crash)
          // Without its finalizer a pod may go at any time.
          pods = pods.filter((p, i) => p.metadata.finalizers!.length > 0 || !vanishes[i % vanishes.length])
        }
        const of = (phase: string) => ends.filter(e => e === phase).length
        expect(allCounted(j.status!)).toBe(true)
        expect([j.status!.succeeded ?? 0, j.status!.failed ?? 0]).toEqual([of('Succeeded'), of('Failed')])
        if (completionMode === 'Indexed')
          expect(j.status!.completedIndexes).toBe(formatIntervals(intervalsOf(ends.flatMap((e, i) => (e === 'Succeeded' ? [i] : [])))))
      },
    ),
  )
})
test('a status names at most 500 pods', () => {
  const j = job({ completions: 2000, parallelism: 2000 })
  const counting = count(j, observe(j, phases(1200, 'Succeeded')), {}, undefined)
  expect(counting).toMatchObject({ all: false })
  expect(counting.release).toHaveLength(500)
  expect(counting.status.uncountedTerminatedPods?.succeeded).toHaveLength(500)
})
test('of a job that failed what still runs counts as failed, of one that succeeded it does not', () => {
  const j = job({ parallelism: 2, completions: 2 })
  const seen = observe(j, [pod('a'), pod('b')])
  expect(count(j, seen, {}, newCondition('FailureTarget', 'True', 'x', '', now)).status.uncountedTerminatedPods).toEqual({
    failed: ['a', 'b'],
  })
  expect(count(j, seen, {}, completed(now)).status.uncountedTerminatedPods).toEqual({})
})

describe('the end', () => {
  const reason = (j: Job, pods: Pod[]) => verdict(j, observe(j, pods), now)?.reason
  test('limits', () => {
    expect(reason(job({ backoffLimit: 1 }), phases(1, 'Failed'))).toBeUndefined()
    expect(reason(job({ backoffLimit: 1 }), phases(2, 'Failed'))).toBe('BackoffLimitExceeded')
    expect(reason(job({ activeDeadlineSeconds: 60 }, { startTime: at(59) }), [])).toBeUndefined()
    expect(reason(job({ activeDeadlineSeconds: 60 }, { startTime: at(60) }), [])).toBe('DeadlineExceeded')
    expect(reason(job({ activeDeadlineSeconds: 60, suspend: true }, { startTime: at(60) }), [])).toBeUndefined()
  })
  test('restarts in place count', () => {
    const restarting = pod('a')
    restarting.status!.containerStatuses = [{ name: 'main', restartCount: 3 } as never]
    const template = { spec: { restartPolicy: 'OnFailure', containers: [] } }
    expect(reason(job({ backoffLimit: 3, template }), [restarting])).toBe('BackoffLimitExceeded')
    expect(reason(job({ backoffLimit: 4, template }), [restarting])).toBeUndefined()
    expect(reason(job({ backoffLimit: 3 }), [restarting])).toBeUndefined()
  })
  test('indexes', () => {
    const j = job({ completionMode: 'Indexed', completions: 3, parallelism: 3, backoffLimitPerIndex: 0, backoffLimit: 100 })
    const [good, bad] = [pod('g', { index: 0, phase: 'Succeeded' }), pod('b', { index: 1, phase: 'Failed', failures: 0 })]
    expect(reason(j, [good, bad])).toBeUndefined()
    expect(reason(j, [good, bad, pod('c', { index: 2, phase: 'Failed', failures: 0 })])).toBe('FailedIndexes')
    expect(reason(job({ ...j.spec, maxFailedIndexes: 0 }), [good, bad])).toBe('MaxFailedIndexesExceeded')
  })
  test('a success policy', () => {
    const j = (rules: object[]) => job({ completionMode: 'Indexed', completions: 5, successPolicy: { rules } })
    const done = intervalsOf([1, 3, 4])
    expect(successPolicyMet(j([{ succeededIndexes: '0-2' }, { succeededIndexes: '3,4' }]), done)).toBe('Matched rules at index 1')
    expect(successPolicyMet(j([{ succeededIndexes: '0-2' }]), done)).toBeUndefined()
    expect(successPolicyMet(j([{ succeededIndexes: '0-3', succeededCount: 2 }]), done)).toBe('Matched rules at index 0')
    expect(successPolicyMet(j([{ succeededCount: 4 }]), done)).toBeUndefined()
    expect(successPolicyMet(j([{ succeededCount: 3 }]), done)).toBe('Matched rules at index 0')
  })
  test('the last condition repeats the one before', () => {
    expect(finalCondition(completed(now), now)).toMatchObject({ type: 'Complete', reason: 'CompletionsReached' })
    expect(finalCondition(newCondition('FailureTarget', 'True', 'DeadlineExceeded', 'm', now), now)).toMatchObject({
      type: 'Failed',
      reason: 'DeadlineExceeded',
      message: 'm',
    })
  })
  test('an expired one goes', () => {
    const ended = { conditions: [newCondition('Complete', 'True', '', '', now)] }
    expect(expiresAt(job({ ttlSecondsAfterFinished: 5 }, ended))).toBe(now + 5000)
    expect(expiresAt(job({}, ended))).toBeUndefined()
    expect(expiresAt(job({ ttlSecondsAfterFinished: 5 }))).toBeUndefined()
  })
})

describe('a failure policy', () => {
  const j = (rules: object[]) => job({ podFailurePolicy: { rules }, podReplacementPolicy: 'Failed' })
  const failed = pod('f', { phase: 'Failed', code: 42, conditions: [{ type: 'DisruptionTarget', status: 'True' }] })
  const onExitCodes = (operator: string, ...values: number[]) => ({ operator, values })
  test.each<[object[], object]>([
    [[{ action: 'Ignore', onExitCodes: onExitCodes('In', 42) }], { action: 'Ignore', counts: false }],
    [[{ action: 'Ignore', onExitCodes: onExitCodes('In', 41) }], { counts: true }],
    [[{ action: 'Ignore', onExitCodes: { containerName: 'other', ...onExitCodes('In', 42) } }], { counts: true }],
    [[{ action: 'Count', onExitCodes: onExitCodes('NotIn', 41) }], { action: 'Count', counts: true }],
    [
      [{ action: 'FailJob', onExitCodes: onExitCodes('In', 42) }],
      { action: 'FailJob', message: 'Container main for pod ns/f failed with exit code 42 matching FailJob rule at index 0' },
    ],
    [
      [
        { action: 'Ignore', onExitCodes: onExitCodes('In', 1) },
        { action: 'FailJob', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
      ],
      { action: 'FailJob', message: 'Pod ns/f has condition DisruptionTarget matching FailJob rule at index 1' },
    ],
  ])('%j', (rules, expected) => {
    expect(ruling(j(rules), failed)).toMatchObject(expected)
  })
  test('what is ignored does not count, what fails the job does at once', () => {
    const ignoring = j([{ action: 'Ignore', onExitCodes: onExitCodes('In', 42) }])
    expect(observe(ignoring, [failed]).failed).toBe(0)
    expect(count(ignoring, observe(ignoring, [failed]), {}, undefined)).toMatchObject({
      release: [failed],
      status: { uncountedTerminatedPods: {} },
    })
    const failing = j([{ action: 'FailJob', onExitCodes: onExitCodes('In', 42) }])
    expect(verdict(failing, observe(failing, [failed]), now)).toMatchObject({ type: 'FailureTarget', reason: 'PodFailurePolicy' })
  })
})

test('a suspension is told, and the deadline counts from its end', () => {
  const numbers = { active: 0, ready: 0, terminating: 0 }
  const suspended = job({ suspend: true })
  const first = withSuspension(suspended, withNumbers(suspended, numbers, now), now)
  expect(first).toMatchObject({
    changed: 'Suspended',
    status: { conditions: [{ type: 'Suspended', status: 'True', reason: 'JobSuspended' }] },
  })
  expect(first.status.startTime).toBeUndefined()
  const resumed = job({ suspend: false }, first.status)
  const second = withSuspension(resumed, withNumbers(resumed, numbers, now + 5000), now + 5000)
  expect(second).toMatchObject({
    changed: 'Resumed',
    status: { startTime: at(-5), conditions: [{ type: 'Suspended', status: 'False', reason: 'JobResumed' }] },
  })
  expect(withSuspension(job({ suspend: false }, second.status), second.status, now).changed).toBeUndefined()
  expect(withCondition([], newCondition('Suspended', 'False', 'JobResumed', '', now))).toEqual([])
})

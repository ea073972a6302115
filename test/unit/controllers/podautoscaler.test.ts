/** How many pods metrics ask for, and what becomes of the wish: upstream's tables (replica_calculator_test.go, horizontal_test.go). */
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { amount } from '#control-plane/controller-manager/podautoscaler/proposal.ts'
import { normalize, scaled, type History, type Wish } from '#control-plane/controller-manager/podautoscaler/normalize.ts'
import {
  replicasByAverage,
  replicasByRatio,
  replicasByShare,
  replicasByUtilization,
  type Measured,
  type PodMetric,
} from '#control-plane/controller-manager/podautoscaler/replicas.ts'

const now = Date.parse('2026-01-01T12:00:00Z')
const minute = 60_000

interface Case {
  current: number
  /** In thousandths, of the first pods. */
  levels: number[]
  ready?: boolean[]
  phases?: string[]
  /** Started just now. */
  hot?: boolean[]
  deleted?: boolean[]
  requests?: string[]
  containers?: number
  podLevel?: string
}
function measured({
  current,
  levels,
  ready = [],
  phases = [],
  hot = [],
  deleted = [],
  requests = [],
  containers = 1,
  podLevel,
}: Case): Measured {
  const count = Math.max(current, ready.length, phases.length, deleted.length)
  const pods = Array.from({ length: count }, (_, i) => {
    const start = formatTime(new Date(hot[i] ? now : now - 3 * minute))
    const resources = { requests: { cpu: requests[i] ?? '1' } }
    return {
      metadata: { name: `pod-${i}`, ...(deleted[i] ? { deletionTimestamp: start } : {}) },
      spec: {
        containers: Array.from({ length: containers }, (_, c) => ({ name: `c${c}`, resources })),
        ...(podLevel ? { resources: { requests: { cpu: podLevel } } } : {}),
      },
      status: {
        phase: phases[i] ?? 'Running',
        startTime: start,
        conditions: [{ type: 'Ready', status: ready[i] === false ? 'False' : 'True', lastTransitionTime: start }],
      },
    } as unknown as LeanPod
  })
  const metrics = new Map(levels.map((value, i): [string, PodMetric] => [`pod-${i}`, { value, at: now, windowMs: minute }]))
  const readiness = { cpuInitializationMs: 2 * minute, initialReadinessMs: 10_000, now }
  return { current, pods, metrics, resource: 'cpu', tolerances: { up: 0.1, down: 0.1 }, readiness }
}

describe('by utilization', () => {
  test.each<[string, number, Case, number, number, number]>([
    // What, target in percent, pods, replicas, utilization, average.
    ['more', 30, { current: 3, levels: [300, 500, 700] }, 5, 50, 500],
    ['more, less for an unready one', 30, { current: 3, levels: [300, 500, 700], ready: [false, true, true] }, 4, 60, 600],
    ['no more for many unready ones', 30, { current: 3, levels: [400, 500, 700], ready: [true, false, false] }, 3, 40, 400],
    ['more, less for one that starts', 30, { current: 3, levels: [300, 500, 700], hot: [true, false, false] }, 4, 60, 600],
    ['failed ones do not count', 30, { current: 2, levels: [500, 700], phases: ['Running', 'Running', 'Failed', 'Failed'] }, 4, 60, 600],
    ['terminating ones do not count', 30, { current: 2, levels: [500, 700], deleted: [false, false, true, true] }, 4, 60, 600],
    ['fewer', 50, { current: 5, levels: [100, 300, 500, 250, 250] }, 3, 28, 280],
    ['within the tolerance', 100, { current: 3, levels: [1010, 1030, 1020], requests: ['0.9', '1.0', '1.1'] }, 3, 102, 1020],
    ['fewer though some are missing', 100, { current: 4, levels: [400, 95] }, 3, 24, 247],
    ['as many, one missing, on target', 100, { current: 2, levels: [1000] }, 2, 100, 1000],
    ['as many, one missing, above', 100, { current: 2, levels: [1900] }, 2, 190, 1900],
    ['as many, one missing, below', 100, { current: 2, levels: [600] }, 2, 60, 600],
    ['as many, one missing, one unready', 50, { current: 3, levels: [100, 450], ready: [false, true, true] }, 3, 45, 450],
    ['more, one missing, one unready', 50, { current: 3, levels: [100, 2000], ready: [false, true, true] }, 4, 200, 2000],
    ['fewer, one missing, one unready', 50, { current: 4, levels: [100, 100, 100], ready: [false, true, true, true] }, 3, 10, 100],
    ['a missing one uses the target when that is above what it requests', 200, { current: 3, levels: [500, 500] }, 2, 50, 500],
    ['what the pod requests as a whole', 50, { current: 2, levels: [1000, 1000], podLevel: '1', containers: 3 }, 4, 100, 1000],
  ])('%s', (_, target, given, replicas, utilization, average) => {
    expect(replicasByUtilization(measured(given), target)).toMatchObject({ replicas, utilization, average })
  })

  test('of one container', () => {
    expect(replicasByUtilization(measured({ current: 3, levels: [300, 500, 700], containers: 2 }), 30, 'c0').replicas).toBe(5)
    expect(() => replicasByUtilization(measured({ current: 1, levels: [1] }), 30, 'other')).toThrow(
      'container other not found in Pod pod-0',
    )
  })

  test('what is lacking', () => {
    expect(() => replicasByUtilization(measured({ current: 0, levels: [] }), 30)).toThrow('no pods returned by selector while calculating')
    expect(() => replicasByUtilization(measured({ current: 2, levels: [] }), 30)).toThrow('did not receive metrics for targeted pods')
    const without = measured({ current: 1, levels: [100] })
    without.pods[0]!.spec.containers[0]!.resources = {}
    expect(() => replicasByUtilization(without, 30)).toThrow('missing request for cpu in container c0 of Pod pod-0')
  })

  test('a pod that became unready long after its start counts', () => {
    const { pods, ...rest } = measured({ current: 2, levels: [900, 900], ready: [true, false] })
    pods[1]!.status!.conditions![0]!.lastTransitionTime = formatTime(new Date(now - minute))
    expect(replicasByUtilization({ ...rest, pods }, 30).replicas).toBe(6)
  })

  test('tolerances are of each direction', () => {
    const at = (level: number, up: number, down: number) =>
      replicasByUtilization({ ...measured({ current: 10, levels: Array<number>(10).fill(level) }), tolerances: { up, down } }, 50).replicas
    expect([at(540, 0.1, 0), at(540, 0.05, 0), at(460, 0, 0.1), at(460, 0, 0.05)]).toEqual([10, 11, 10, 10])
    expect([at(460, 0.1, 0.01), at(400, 0.1, 0.3), at(400, 0.3, 0.1)]).toEqual([10, 10, 8])
  })
})

test('what is used is shown as upstream shows it: memory in whole Ki', () => {
  expect(amount('cpu', 250)).toBe('250m')
  expect(amount('memory', 71_421_952_000)).toBe('69748Ki')
  expect(amount('memory', 69_748_500_333)).toBe('68113Ki')
  expect(amount('memory', 3 * 2 ** 20 * 1000)).toBe('3Mi')
})

test('by an average', () => {
  const plain = (given: Case) => ({ ...measured(given), resource: 'qps' })
  expect(replicasByAverage(plain({ current: 3, levels: [20000, 10000, 30000] }), 15000)).toMatchObject({ replicas: 4, average: 20000 })
  // What is no use of cpu counts as soon as it is there.
  expect(replicasByAverage(plain({ current: 3, levels: [50000, 10000, 30000], ready: [true, true, false] }), 15000).replicas).toBe(6)
  expect(replicasByAverage(plain({ current: 5, levels: [12000, 12000, 12000, 12000, 12000] }), 20000).replicas).toBe(3)
})

test('by a value that is of no pod', () => {
  const given = measured({ current: 3, levels: [], ready: [true, true, false] })
  expect(replicasByRatio(given, 2)).toBe(4)
  expect(replicasByRatio(given, 1.05)).toBe(3)
  expect(replicasByRatio({ ...given, current: 0 }, 2.1)).toBe(3)
  expect(replicasByRatio({ ...given, current: 0 }, 0)).toBe(0)
  expect(replicasByShare(3, 8600, 2150, given.tolerances)).toEqual({ replicas: 4, average: 2867 })
  expect(replicasByShare(4, 8600, 2150, given.tolerances)).toEqual({ replicas: 4, average: 2150 })
  expect(replicasByShare(0, 4000, 2000, given.tolerances)).toMatchObject({ replicas: 2 })
})

const none: History = { recommendations: [], ups: [], downs: [] }
const wish = (given: Partial<Wish>): Wish => ({
  behavior: undefined,
  min: 1,
  max: 100,
  current: 10,
  wanted: 10,
  history: none,
  downscaleMs: 300_000,
  now,
  ...given,
})
type Rules = NonNullable<NonNullable<Wish['behavior']>['scaleUp']>
const ago = (seconds: number, replicas: number) => ({ replicas, at: now - seconds * 1000 })
const usual: Rules = { selectPolicy: 'Max', stabilizationWindowSeconds: 0, policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }] }
const behaves = (scaleUp: Partial<Rules>, scaleDown: Partial<Rules> = {}): Wish['behavior'] => ({
  scaleUp: { ...usual, ...scaleUp },
  scaleDown: { ...usual, ...scaleDown },
})

describe('without a behaviour', () => {
  test.each<[string, Partial<Wish>, number, string, string]>([
    ['as many', {}, 10, 'ReadyForNewScale', 'DesiredWithinRange'],
    ['twice as many at most', { wanted: 50 }, 20, 'ReadyForNewScale', 'ScaleUpLimit'],
    ['four at least', { current: 1, wanted: 50 }, 4, 'ReadyForNewScale', 'ScaleUpLimit'],
    ['the greatest number', { wanted: 50, max: 12 }, 12, 'ReadyForNewScale', 'TooManyReplicas'],
    ['the least number', { wanted: 1, min: 5 }, 5, 'ReadyForNewScale', 'TooFewReplicas'],
    [
      'held by a wish of late',
      { wanted: 3, history: { ...none, recommendations: [ago(200, 8)] } },
      8,
      'ScaleDownStabilized',
      'DesiredWithinRange',
    ],
    [
      'not by one of long ago',
      { wanted: 3, history: { ...none, recommendations: [ago(301, 8)] } },
      3,
      'ReadyForNewScale',
      'DesiredWithinRange',
    ],
  ])('%s', (_, given, replicas, able, limited) => {
    expect(normalize(wish(given))).toMatchObject({ replicas, able: { reason: able }, limited: { reason: limited } })
  })
})

describe('with a behaviour', () => {
  const pods = (value: number, periodSeconds = 60): Rules['policies'] => [{ type: 'Pods', value, periodSeconds }]
  const percent = (value: number, periodSeconds = 60): Rules['policies'] => [{ type: 'Percent', value, periodSeconds }]
  const both = [...pods(4)!, ...percent(100)!]
  test.each<[string, Partial<Wish>, number, string, string]>([
    ['so many pods', { wanted: 50, behavior: behaves({ policies: pods(3) }) }, 13, 'ReadyForNewScale', 'ScaleUpLimit'],
    [
      'percent, rounded up',
      { current: 11, wanted: 50, behavior: behaves({ policies: percent(10) }) },
      13,
      'ReadyForNewScale',
      'ScaleUpLimit',
    ],
    ['the policy for most', { wanted: 50, behavior: behaves({ policies: both }) }, 20, 'ReadyForNewScale', 'ScaleUpLimit'],
    [
      'the policy for least',
      { wanted: 50, behavior: behaves({ policies: both, selectPolicy: 'Min' }) },
      14,
      'ReadyForNewScale',
      'ScaleUpLimit',
    ],
    ['never', { wanted: 50, behavior: behaves({ selectPolicy: 'Disabled' }) }, 10, 'ReadyForNewScale', 'ScaleUpLimit'],
    [
      'what was added in the period counts',
      { wanted: 50, behavior: behaves({ policies: pods(3) }), history: { ...none, ups: [{ change: 2, at: now - 30_000 }] } },
      11,
      'ReadyForNewScale',
      'ScaleUpLimit',
    ],
    [
      'what was taken away gives it back',
      { wanted: 50, behavior: behaves({ policies: pods(3) }), history: { ...none, downs: [{ change: 2, at: now - 30_000 }] } },
      15,
      'ReadyForNewScale',
      'ScaleUpLimit',
    ],
    ['so many pods fewer', { wanted: 1, behavior: behaves({}, { policies: pods(3) }) }, 7, 'ReadyForNewScale', 'ScaleDownLimit'],
    [
      'percent fewer, rounded down',
      { current: 11, wanted: 1, behavior: behaves({}, { policies: percent(20) }) },
      8,
      'ReadyForNewScale',
      'ScaleDownLimit',
    ],
    [
      'the least change down',
      { wanted: 1, behavior: behaves({}, { policies: both, selectPolicy: 'Min' }) },
      6,
      'ReadyForNewScale',
      'ScaleDownLimit',
    ],
    [
      'bounds before policies',
      { wanted: 1, min: 9, behavior: behaves({}, { policies: pods(3) }) },
      9,
      'ReadyForNewScale',
      'TooFewReplicas',
    ],
    [
      'up waits for the window',
      { wanted: 15, behavior: behaves({ stabilizationWindowSeconds: 60 }), history: { ...none, recommendations: [ago(30, 12)] } },
      12,
      'ScaleUpStabilized',
      'DesiredWithinRange',
    ],
    [
      'down waits for the window',
      { wanted: 5, behavior: behaves({}, { stabilizationWindowSeconds: 60 }), history: { ...none, recommendations: [ago(30, 12)] } },
      10,
      'ScaleDownStabilized',
      'DesiredWithinRange',
    ],
  ])('%s', (_, given, replicas, able, limited) => {
    expect(normalize(wish(given))).toMatchObject({ replicas, able: { reason: able }, limited: { reason: limited } })
  })
})

test('wishes of any shape stay within bounds, go no way that nobody wished, and follow in the end', () => {
  const rules = fc.record({
    selectPolicy: fc.constantFrom('Max', 'Min'),
    stabilizationWindowSeconds: fc.integer({ min: 0, max: 120 }),
    policies: fc.array(
      fc.record({
        type: fc.constantFrom('Pods', 'Percent'),
        value: fc.integer({ min: 1, max: 300 }),
        periodSeconds: fc.integer({ min: 1, max: 120 }),
      }),
      { minLength: 1, maxLength: 3 },
    ),
  })
  const behavior = fc.option(fc.record({ scaleUp: rules, scaleDown: rules }), { nil: undefined })
  fc.assert(
    fc.property(behavior, fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 30 }), (given, wishes) => {
      let [history, current, at]: [History, number, number] = [none, 10, now]
      const step = (wanted: number): void => {
        at += 15_000
        const made = normalize(wish({ behavior: given as Wish['behavior'], min: 2, max: 40, current, wanted, history, now: at }))
        expect(made.replicas).toBeGreaterThanOrEqual(2)
        expect(made.replicas).toBeLessThanOrEqual(40)
        const wishesOfLate = made.recommendations.map(r => r.replicas)
        if (made.replicas > current) expect(Math.max(...wishesOfLate)).toBeGreaterThan(current)
        if (made.replicas < current) expect(Math.min(...wishesOfLate)).toBeLessThan(current)
        history = { ...history, recommendations: made.recommendations }
        if (made.replicas !== current) history = scaled(history, given as Wish['behavior'], current, made.replicas, at)
        current = made.replicas
      }
      wishes.forEach(step)
      // Nothing stays as fast as it came: a steady wish is granted as far as rounding lets it.
      for (let i = 0; i < 400; i++) step(33)
      expect(current).toBeGreaterThanOrEqual(33)
      // What is remembered is bounded by the windows.
      expect(history.recommendations.length).toBeLessThanOrEqual(22)
      expect(history.ups.length + history.downs.length).toBeLessThanOrEqual(20)
    }),
    { numRuns: 200 },
  )
})

import { describe, expect, test } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import type { PodDisruptionBudget } from '#shared/api/policy/poddisruptionbudget.ts'
import type { ClusterCache } from '#control-plane/scheduler/cache.ts'
import { newDiagnosis } from '#control-plane/scheduler/fiterror.ts'
import type { PostFilterResult } from '#control-plane/scheduler/framework.ts'
import { Nominator } from '#control-plane/scheduler/nominator.ts'
import { podInfo } from '#control-plane/scheduler/podinfo.ts'
import type { SharedHandle } from '#control-plane/scheduler/profile.ts'
import { schedule } from '#control-plane/scheduler/schedule.ts'
import { splitByBudgets } from '#control-plane/scheduler/preemption/budgets.ts'
import { asking, assume, cluster, node, pod } from './objects.ts'
import { informersOf, testProfile } from './profile.ts'

const budget = (labels: Record<string, string>, disruptionsAllowed: number, more: object = {}): PodDisruptionBudget =>
  ({
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: 'b', namespace: 'default' },
    spec: { selector: { matchLabels: labels } },
    status: { disruptionsAllowed, ...more },
  }) as PodDisruptionBudget

/** What PostFilter answers, and the names of those it deletes. */
async function preempt(p: Pod, cache: ClusterCache, budgets: PodDisruptionBudget[] = [], nominator = new Nominator()) {
  const deleted: string[] = []
  const snapshot = cache.snapshot()
  const client = {
    patch: async () => ({}),
    delete: async (_: unknown, __: string, name: string) => void deleted.push(name),
  }
  const log = { info: () => {}, warn: () => {} }
  const handle = {
    snapshot: () => snapshot,
    informer: informersOf(...budgets),
    nominator,
    client,
    events: { event: () => {} },
    log,
    activate: () => {},
  }
  const profile = testProfile(handle as unknown as Partial<SharedHandle>)
  const decision = schedule(podInfo(p), snapshot, profile)
  expect(decision.node).toBeUndefined()
  const diagnosis = decision.node === undefined ? decision.diagnosis : newDiagnosis(0)
  const preemption = profile.postFilter.find(plugin => plugin.name === 'DefaultPreemption')!
  const result = (await preemption.postFilter(decision.state, podInfo(p), diagnosis)) as PostFilterResult
  await new Promise(resolve => setImmediate(resolve))
  return { node: result.nominatedNode, message: result.status?.reasons.join(), deleted: deleted.sort(), profile }
}
const running = (cpu: string, priority: number, startTime = '2026-01-01T00:00:00Z', labels?: Record<string, string>): Pod => ({
  ...pod({ ...asking(cpu), priority }, undefined, labels),
  status: { startTime },
})
const urgent = (cpu: string, more: Partial<Pod['spec']> = {}): Pod => pod({ ...asking(cpu), priority: 100, ...more })

describe('preemption', () => {
  test('takes as few pods as will do, the least important ones', async () => {
    const cache = cluster(node('a'))
    const [low, middle, old, high] = [
      running('500m', 1),
      running('500m', 5),
      running('500m', 1, '2025-01-01T00:00:00Z'),
      running('500m', 100),
    ]
    for (const p of [low, middle, old, high]) assume(cache, p, 'a')
    expect(await preempt(urgent('500m'), cache)).toMatchObject({ node: 'a', deleted: [low.metadata.name] })
    expect(await preempt(urgent('1'), cache)).toMatchObject({ node: 'a', deleted: [low.metadata.name, old.metadata.name].sort() })
    expect(await preempt(urgent('2'), cache)).toMatchObject({
      node: '',
      message: 'preemption: 0/1 nodes are available: 1 Insufficient cpu.',
    })
  })
  test('goes where the loss is smallest', async () => {
    const cache = cluster(node('a'), node('b'), node('c'))
    assume(cache, running('2', 9), 'a')
    const [first, second] = [running('1', 3), running('1', 3)]
    for (const p of [first, second]) assume(cache, p, 'b')
    const one = running('2', 3)
    assume(cache, one, 'c')
    expect(await preempt(urgent('2'), cache)).toMatchObject({ node: 'c', deleted: [one.metadata.name] })
    // For half a node, b loses one pod that is as important as that of c, and as many.
    const young = running('2', 3, '2026-06-01T00:00:00Z')
    const cache2 = cluster(node('b'), node('c'))
    assume(cache2, running('2', 3), 'b')
    assume(cache2, young, 'c')
    expect(await preempt(urgent('1'), cache2)).toMatchObject({ node: 'c', deleted: [young.metadata.name] })
  })
  test('keeps budgets where it can', async () => {
    const cache = cluster(node('a'), node('b'))
    const guarded = running('2', 1, undefined, { app: 'db' })
    const free = running('2', 50)
    assume(cache, guarded, 'a')
    assume(cache, free, 'b')
    expect(await preempt(urgent('1'), cache, [budget({ app: 'db' }, 0)])).toMatchObject({ node: 'b', deleted: [free.metadata.name] })
    expect(await preempt(urgent('1'), cache, [budget({ app: 'db' }, 1)])).toMatchObject({ node: 'a' })
    const alone = cluster(node('a'))
    assume(alone, guarded, 'a')
    expect(await preempt(urgent('1'), alone, [budget({ app: 'db' }, 0)])).toMatchObject({ node: 'a' })
  })
  test('budgets are used up pod by pod; those of other namespaces and evictions under way do not count', () => {
    const pods = [1, 2, 3].map(() => podInfo(running('1', 1, undefined, { app: 'db' })))
    const names = (all: readonly { pod: { metadata: { name?: string | undefined } } }[]) => all.map(p => p.pod.metadata.name)
    expect(names(splitByBudgets(pods, [budget({ app: 'db' }, 2)]).violating)).toEqual(names(pods.slice(2)))
    const elsewhere = { ...budget({ app: 'db' }, 0), metadata: { name: 'b', namespace: 'other' } }
    expect(splitByBudgets(pods, [elsewhere]).violating).toEqual([])
    const under = budget({ app: 'db' }, 0, { disruptedPods: { [pods[0]!.pod.metadata.name!]: '2026-01-01T00:00:00Z' } })
    expect(names(splitByBudgets(pods, [under]).others)).toEqual(names(pods.slice(0, 1)))
  })
  test('not for a pod that must not, nor where its victims are still ending, nor where nothing helps', async () => {
    const cache = cluster(node('a'), node('b', { unschedulable: true }))
    const low = running('2', 1)
    assume(cache, low, 'a')
    expect(await preempt(urgent('1', { preemptionPolicy: 'Never' }), cache)).toMatchObject({
      node: undefined,
      deleted: [],
      message: 'preemption: not eligible due to preemptionPolicy=Never.',
    })
    const waiting = urgent('1')
    const nominator = new Nominator()
    nominator.set(podInfo(waiting), 'a')
    const ending = {
      ...low,
      spec: { ...low.spec, nodeName: 'a' },
      metadata: { ...low.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' },
    }
    ending.status = { conditions: [{ type: 'DisruptionTarget', status: 'True', reason: 'PreemptionByScheduler' }] }
    cache.setPod(ending)
    expect(await preempt(waiting, cache, [], nominator)).toMatchObject({
      node: undefined,
      deleted: [],
      message: 'preemption: not eligible due to a terminating pod on the nominated node.',
    })
    expect(await preempt(pod({ ...asking('1'), nodeSelector: { no: 'where' }, priority: 100 }), cache)).toMatchObject({
      node: '',
      message: 'preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.',
    })
  })
  test('frees ports and anti-affinity too', async () => {
    const cache = cluster(node('a'))
    const avoiding = running('100m', 1)
    avoiding.spec.affinity = {
      podAntiAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [
          { labelSelector: { matchLabels: { app: 'web' } }, topologyKey: 'kubernetes.io/hostname' },
        ],
      },
    }
    assume(cache, avoiding, 'a')
    const web = urgent('100m')
    web.metadata.labels = { app: 'web' }
    expect(await preempt(web, cache)).toMatchObject({ node: 'a', deleted: [avoiding.metadata.name] })
  })
})

import { describe, expect, test } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import { newBatch, signatureOf } from '#control-plane/scheduler/batch.ts'
import type { ClusterCache } from '#control-plane/scheduler/cache.ts'
import { defaultPlugins } from '#control-plane/scheduler/plugins/registry.ts'
import { podTopologySpread } from '#control-plane/scheduler/plugins/pod-topology-spread.ts'
import type { Handle } from '#control-plane/scheduler/framework.ts'
import { podInfo } from '#control-plane/scheduler/podinfo.ts'
import type { Profile } from '#control-plane/scheduler/profile.ts'
import { schedule } from '#control-plane/scheduler/schedule.ts'
import { asking, assume, cluster, node, pod } from './objects.ts'
import { informersOf, testProfile } from './profile.ts'

const spread = podTopologySpread({ defaultingType: 'List', defaultConstraints: [] })
const named = defaultPlugins.map(p => ({ ...p, name: p.plugin({ informer: informersOf(), snapshot: () => cluster().snapshot() } as unknown as Handle).name })) // prettier-ignore
/** The default plugins without default constraints. */
const plugins = [...named.filter(p => p.name !== 'PodTopologySpread'), { plugin: spread, weight: 2 }]
const profileOn = (cache: ClusterCache): Profile => testProfile({ snapshot: () => cache.snapshot() }, plugins)
const nodes = (count: number) => Array.from({ length: count }, (_, i) => node(`n${i}`))

/** Schedules pods one after the other, as the scheduler's loop does. */
function run(cache: ClusterCache, profile: Profile, pods: readonly Pod[], cycles = pods.map((_, i) => i)): (string | undefined)[] {
  return pods.map((p, i) => {
    const snapshot = cache.snapshot()
    const { node } = schedule(podInfo(p), snapshot, profile, { start: 0, cycle: cycles[i]! })
    if (node !== undefined) assume(cache, p, node)
    return node
  })
}

describe('pods that are alike and fill a node each', () => {
  test('have their nodes from one search, each another one', () => {
    const cache = cluster(...nodes(6))
    const profile = profileOn(cache)
    const got = run(cache, profile, Array.from({ length: 6 }, () => pod(asking('1500m')))) // prettier-ignore
    expect(new Set(got).size).toBe(6)
    expect(profile.batch.attempts).toEqual({ no_hint: 1, hint_used: 5, hint_not_used: 0 })
  })
  test('get the same nodes as without', () => {
    const sizes = nodes(5).map((n, i) => ({ ...n, status: { ...n.status, allocatable: { ...n.status?.allocatable, cpu: String(2 + i) } } }))
    const wanted = Array.from({ length: 4 }, () => pod({ ...asking('1900m') }))
    // All but the smallest have room for more: nobody knows that the next is the best.
    const [a, b] = [cluster(...sizes), cluster(...sizes)]
    const batched = run(a, profileOn(a), wanted)
    const alone = wanted.map(p => {
      const { node } = schedule(podInfo(p), b.snapshot(), profileOn(b), { start: 0 })
      if (node) assume(b, p, node)
      return node
    })
    expect(batched).toEqual(alone)
  })
  test('of which another pod comes between, or that come late, or of which one found nothing, are searched for anew', () => {
    const cache = cluster(...nodes(8))
    const profile = profileOn(cache)
    const big = () => pod(asking('1500m'))
    run(cache, profile, [big(), pod(asking('1400m')), big()])
    expect(profile.batch.attempts.hint_used).toBe(0)
    run(cache, profile, [big()], [9])
    expect(profile.batch.attempts.hint_used).toBe(0)
    run(cache, profile, [big()], [10])
    expect(profile.batch.attempts.hint_used).toBe(1)
  })
})

test('a hint is a hint: a node that was filled by others meanwhile is passed over', () => {
  const cache = cluster(...nodes(3))
  const profile = profileOn(cache)
  const [first] = run(cache, profile, [pod(asking('1500m'))])
  const others = ['n0', 'n1', 'n2'].filter(n => n !== first)
  for (const n of others.slice(1)) assume(cache, pod(asking('1500m')), n)
  expect(run(cache, profile, [pod(asking('1500m'))], [1])).toEqual([others[0]])
})

test('the nodes of a search are used for half a second', () => {
  let now = 0
  const batch = newBatch(() => now)
  batch.decided('s', 1, 'a', () => ['c', 'b'])
  now = 500
  expect(batch.hint('s', 2, () => false)).toBe('b')
  batch.decided('s', 2, 'b')
  now = 501
  expect(batch.hint('s', 3, () => false)).toBeUndefined()
})

describe('what is alike', () => {
  const { signers } = profileOn(cluster())
  const sign = (p: Pod): string | undefined => signatureOf(podInfo(p), signers)
  test('is what no plugin can tell apart', () => {
    expect(sign(pod(asking('1')))).toBeDefined()
    expect(sign(pod(asking('1')))).toBe(sign(pod(asking('1'))))
    const differs: Partial<Pod['spec']>[] = [
      asking('2'),
      { ...asking('1'), nodeSelector: { a: 'b' } },
      { ...asking('1'), tolerations: [{ operator: 'Exists' }] },
      { ...asking('1'), priority: 7 },
      { containers: [{ ...asking('1').containers![0]!, image: 'other' }] },
      { containers: [{ ...asking('1').containers![0]!, ports: [{ containerPort: 80, hostPort: 80 }] }] } as never,
    ]
    expect(new Set([sign(pod(asking('1'))), ...differs.map(spec => sign(pod(spec)))]).size).toBe(differs.length + 1)
  })
  test.each<[string, Partial<Pod['spec']>]>([
    ['volumes', { volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'c' } }] }],
    ['resource claims', { resourceClaims: [{ name: 'r', resourceClaimName: 'c' }] }],
    ['constraints', { topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'ScheduleAnyway' }] }],
    ['affinity', { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'zone', labelSelector: {} }] } } }],
  ])('pods with %s are like no others', (_, spec) => expect(sign(pod({ ...asking('1'), ...spec }))).toBeUndefined()) // prettier-ignore
  test('by the default profile no pod is, for its default constraints count where others are', () =>
    expect(testProfile({ snapshot: () => cluster().snapshot() }).signers).toBeUndefined())
})

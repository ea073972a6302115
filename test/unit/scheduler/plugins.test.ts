import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import type { ClusterCache } from '#control-plane/scheduler/cache.ts'
import { Action, podChanges } from '#control-plane/scheduler/clusterevent.ts'
import { fitErrorMessage } from '#control-plane/scheduler/fiterror.ts'
import { podInfo } from '#control-plane/scheduler/podinfo.ts'
import { defaultPlugins } from '#control-plane/scheduler/plugins/registry.ts'
import { imageLocality } from '#control-plane/scheduler/plugins/image-locality.ts'
import { interPodAffinity } from '#control-plane/scheduler/plugins/inter-pod-affinity.ts'
import { nodeResourcesBalancedAllocation } from '#control-plane/scheduler/plugins/node-resources-balanced-allocation.ts'
import { podTopologySpread } from '#control-plane/scheduler/plugins/pod-topology-spread.ts'
import { defaultBinder } from '#control-plane/scheduler/plugins/default-binder.ts'
import { podSet } from '#control-plane/scheduler/podset.ts'
import { schedule } from '#control-plane/scheduler/schedule.ts'
import type { PluginConfig, SharedHandle } from '#control-plane/scheduler/profile.ts'
import { selectorOfLabels } from '#shared/machinery/labels.ts'
import { asking, assume, cluster, node, pod, zoned } from './objects.ts'
import { informersOf, testProfile } from './profile.ts'

const zone = 'topology.kubernetes.io/zone'
const host = 'kubernetes.io/hostname'
const web = { app: 'web' }
const ofWeb = { matchLabels: web }

/** The node, or why none; among equals the first. */
function outcome(p: Pod, cache: ClusterCache, plugins = defaultPlugins, handle: Partial<SharedHandle> = {}): string {
  const snapshot = cache.snapshot()
  const decision = schedule(podInfo(p), snapshot, testProfile({ snapshot: () => snapshot, ...handle }, plugins), {
    start: 0,
    tieBreak: () => 0,
  })
  return decision.node ?? fitErrorMessage(decision.diagnosis)
}
const alone = (plugin: PluginConfig['plugin']): PluginConfig[] => [{ plugin }, { plugin: defaultBinder }]

describe('topology spread constraints', () => {
  const spread = (more: object = {}): Pod =>
    pod(
      { topologySpreadConstraints: [{ maxSkew: 1, topologyKey: zone, whenUnsatisfiable: 'DoNotSchedule', labelSelector: ofWeb, ...more }] },
      undefined,
      web,
    )

  test('keep zones even, and wait for a fuller one to empty', () => {
    const cache = cluster(zoned('a1', 'a'), zoned('a2', 'a'), zoned('b1', 'b'))
    const chosen = [1, 2, 3, 4].map(() => {
      const p = spread()
      const where = outcome(p, cache)
      assume(cache, p, where)
      return where[0]
    })
    expect(chosen.filter(z => z === 'a')).toHaveLength(2)
    cache.setNode({ ...zoned('b1', 'b'), spec: { unschedulable: true } })
    const next = spread()
    const zoneA = outcome(next, cache)
    expect(zoneA).toMatch(/^a/)
    assume(cache, next, zoneA)
    expect(outcome(spread(), cache)).toBe(
      "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't match pod topology spread constraints.",
    )
  })
  test('count only nodes that the pod can use, and those with the label', () => {
    const cache = cluster(zoned('a', 'a'), zoned('b', 'b'), node('bare'))
    assume(cache, pod({}, undefined, web), 'a')
    expect(outcome(spread(), cache)).toBe('b')
    const only = spread()
    only.spec.nodeSelector = { [host]: 'a' }
    // Zone b does not count: it is no place for this pod.
    expect(outcome(only, cache)).toBe('a')
    const ignoring = spread({ nodeAffinityPolicy: 'Ignore' })
    ignoring.spec.nodeSelector = { [host]: 'a' }
    expect(outcome(ignoring, cache)).toContain("1 node(s) didn't match pod topology spread constraints")
    const bare = spread()
    bare.spec.nodeSelector = { [host]: 'bare' }
    expect(outcome(bare, cache)).toContain("1 node(s) didn't match pod topology spread constraints (missing required label)")
  })
  test('minDomains, taints, and pods that are going', () => {
    const cache = cluster(zoned('a', 'a'))
    const going = pod({ nodeName: 'a' }, undefined, web)
    going.metadata.deletionTimestamp = '2026-01-01T00:00:00Z'
    cache.setPod(going)
    expect(outcome(spread({ minDomains: 2 }), cache)).toBe('a')
    assume(cache, pod({}, undefined, web), 'a')
    expect(outcome(spread({ minDomains: 2 }), cache)).toContain("didn't match pod topology spread constraints")
    cache.setNode({ ...zoned('b', 'b'), spec: { taints: [{ key: 'k', effect: 'NoSchedule' }] } })
    expect(outcome(spread(), cache)).toContain("1 node(s) didn't match pod topology spread constraints")
    expect(outcome(spread({ nodeTaintsPolicy: 'Honor' }), cache)).toBe('a')
  })
  test('an empty selector selects the pod itself, and counts no other', () => {
    const cache = cluster(zoned('a', 'a'), zoned('b', 'b'))
    for (let i = 0; i < 3; i++) assume(cache, pod({}, undefined, web), 'a')
    expect(outcome(spread({ labelSelector: {} }), cache, alone(podTopologySpread({})))).toBe('a')
    expect(outcome(spread({ labelSelector: undefined }), cache, alone(podTopologySpread({})))).toBe('a')
  })
  test('soft ones prefer the emptier domain but forbid none', () => {
    const soft = (): Pod => spread({ whenUnsatisfiable: 'ScheduleAnyway' })
    const cache = cluster(zoned('a', 'a'), zoned('b', 'b'), node('bare'))
    assume(cache, pod({}, undefined, web), 'a')
    expect(outcome(soft(), cache, alone(podTopologySpread({})))).toBe('b')
    const one = cluster(zoned('a', 'a'))
    for (let i = 0; i < 4; i++) assume(one, pod({}, undefined, web), 'a')
    expect(outcome(soft(), one)).toBe('a')
  })
  test('by default the pods of a controller go to other zones too', () => {
    const cache = cluster(zoned('a1', 'a'), zoned('a2', 'a'), zoned('b1', 'b'))
    assume(cache, pod({}, 'rs'), 'a1')
    expect(outcome(pod({}, 'rs'), cache)).toBe('b1')
  })
})

describe('affinity between pods', () => {
  const term = (labels: Record<string, string>, topologyKey = zone, more: object = {}) => ({
    labelSelector: { matchLabels: labels },
    topologyKey,
    ...more,
  })
  const required = (...terms: object[]) => ({ requiredDuringSchedulingIgnoredDuringExecution: terms })
  const preferred = (weight: number, podAffinityTerm: object) => ({
    preferredDuringSchedulingIgnoredDuringExecution: [{ weight, podAffinityTerm }],
  })
  const wanting = (affinity: object, labels?: Record<string, string>): Pod => pod({ affinity } as Partial<Pod['spec']>, undefined, labels)

  test('near what it asks for; the first of its kind anywhere', () => {
    const cache = cluster(zoned('a', 'a'), zoned('b', 'b'), node('bare'))
    expect(outcome(wanting({ podAffinity: required(term(web)) }), cache)).toBe(
      "0/3 nodes are available: 3 node(s) didn't match pod affinity rules.",
    )
    expect(outcome(wanting({ podAffinity: required(term(web)) }, web), cache)).toBe('a')
    assume(cache, pod({}, undefined, web), 'b')
    expect(outcome(wanting({ podAffinity: required(term(web)) }, web), cache)).toBe('b')
    // Without a selector it is never there, nor is anything to be avoided.
    expect(outcome(wanting({ podAffinity: required({ topologyKey: zone }) }, web), cache)).toContain("didn't match pod affinity rules")
    expect(outcome(wanting({ podAntiAffinity: required({ topologyKey: zone }) }, web), cache)).toBe('a')
    // One pod has to be what all terms ask for.
    assume(cache, pod({}, undefined, { tier: 'front' }), 'b')
    expect(outcome(wanting({ podAffinity: required(term(web), term({ tier: 'front' })) }), cache)).toContain(
      "didn't match pod affinity rules",
    )
    assume(cache, pod({}, undefined, { ...web, tier: 'front' }), 'a')
    expect(outcome(wanting({ podAffinity: required(term(web), term({ tier: 'front' })) }), cache)).toBe('a')
  })
  test('away from what it avoids, and from what avoids it', () => {
    const cache = cluster(zoned('a', 'a'), zoned('b', 'b'))
    const avoiding = wanting({ podAntiAffinity: required(term(web)) })
    assume(cache, pod({}, undefined, web), 'a')
    expect(outcome(avoiding, cache)).toBe('b')
    assume(cache, avoiding, 'b')
    expect(outcome(pod({}, undefined, web), cache)).toBe('a')
    cache.setNode({ ...zoned('a', 'a'), spec: { unschedulable: true } })
    expect(outcome(pod({}, undefined, web), cache)).toBe(
      "0/2 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules, 1 node(s) were unschedulable.",
    )
    assume(cache, pod({}, undefined, web), 'b')
    expect(outcome(wanting({ podAntiAffinity: required(term(web)) }), cache)).toContain("1 node(s) didn't match pod anti-affinity rules")
    cache.deletePod(avoiding)
    expect(outcome(pod({}, undefined, web), cache)).toBe('b')
  })
  test('namespaces by name, by their labels, and all', () => {
    const namespaces = ['default', 'red', 'blue'].map(name => ({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels: { color: name } },
    }))
    const handle = { informer: informersOf(...namespaces) } as unknown as SharedHandle
    const cache = cluster(zoned('a', 'a'), zoned('b', 'b'))
    const other = pod({}, undefined, web)
    other.metadata.namespace = 'red'
    assume(cache, other, 'b')
    const near = (more: object): string => outcome(wanting({ podAffinity: required(term(web, zone, more)) }), cache, defaultPlugins, handle)
    expect(near({})).toContain("didn't match pod affinity rules")
    expect(near({ namespaces: ['red'] })).toBe('b')
    expect(near({ namespaceSelector: { matchLabels: { color: 'red' } } })).toBe('b')
    expect(near({ namespaceSelector: { matchLabels: { color: 'blue' } } })).toContain("didn't match pod affinity rules")
    expect(near({ namespaceSelector: { matchLabels: { color: 'blue' } }, namespaces: ['red'] })).toBe('b')
    expect(near({ namespaceSelector: {} })).toBe('b')
  })
  test('preferences of the pod, and of those that are there', () => {
    const only = alone(interPodAffinity({}))
    const cache = cluster(zoned('a', 'a'), zoned('b', 'b'), zoned('c', 'c'))
    assume(cache, pod({}, undefined, web), 'b')
    expect(outcome(wanting({ podAffinity: preferred(10, term(web)) }), cache, only)).toBe('b')
    expect(outcome(wanting({ podAntiAffinity: preferred(10, term(web)) }), cache, only)).toBe('a')
    assume(cache, wanting({ podAffinity: preferred(50, term({ app: 'db' })) }), 'c')
    expect(outcome(pod({}, undefined, { app: 'db' }), cache, only)).toBe('c')
    assume(cache, wanting({ podAntiAffinity: preferred(60, term({ app: 'db' })) }), 'c')
    expect(outcome(pod({}, undefined, { app: 'db' }), cache, only)).toBe('a')
  })
})

describe('scores', () => {
  const balanced = nodeResourcesBalancedAllocation({ resources: [{ name: 'cpu' }, { name: 'memory' }] })
  test('cpu and memory used alike are better; a pod that asks for nothing has no say', () => {
    const cache = cluster(node('a'), node('b'))
    assume(cache, pod({ containers: [{ name: 'c', image: 'x', resources: { requests: { cpu: '1' } } }] }), 'a')
    const memory = pod({ containers: [{ name: 'c', image: 'x', resources: { requests: { memory: '2Gi' } } }] })
    expect(outcome(memory, cache, alone(balanced))).toBe('a')
    expect(outcome(pod(), cache, alone(balanced))).toBe('a')
    const cpu = pod({ containers: [{ name: 'c', image: 'x', resources: { requests: { cpu: '1', memory: '2Gi' } } }] })
    expect(outcome(cpu, cache, alone(balanced))).toBe('b')
  })
  test('a node that has a large image is better, without a tag too', () => {
    const withImage = node('b')
    withImage.status = { ...withImage.status, images: [{ names: ['registry.example/app:latest'], sizeBytes: 800 * 1024 * 1024 }] }
    const handle = { informer: informersOf(node('a'), withImage) } as unknown as SharedHandle
    const cache = cluster(node('a'), withImage)
    const p = pod({ containers: [{ name: 'c', image: 'registry.example/app' }] } as Partial<Pod['spec']>)
    expect(outcome(p, cache, alone(imageLocality), handle)).toBe('b')
    expect(outcome(pod(), cache, alone(imageLocality), handle)).toBe('a')
  })
})

test('pods of a set are counted rightly, whatever comes and goes', () => {
  const labels = fc.record({ app: fc.constantFrom('x', 'y'), tier: fc.constantFrom('1', '2') })
  const step = fc.record({
    pod: fc.nat(6),
    node: fc.constantFrom('a', 'b'),
    labels,
    namespace: fc.constantFrom('n1', 'n2'),
    gone: fc.boolean(),
    ends: fc.boolean(),
  })
  const sets = [
    podSet([{ namespaces: ['n1'], selector: selectorOfLabels({ app: 'x' }) }], true),
    podSet([{ namespaces: ['n1', 'n2'], selector: selectorOfLabels({ app: 'x', tier: '1' }) }], false),
    podSet([{ namespaces: undefined, selector: [] }], true),
    podSet([{ namespaces: undefined, selector: [{ key: 'app', operator: 'notin', values: ['x'] }] }, { namespaces: ['n2'], selector: selectorOfLabels({ tier: '2' }) }], false), // prettier-ignore
  ]
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), steps => {
      const cache = cluster(node('a'), node('b'))
      for (const s of steps) {
        const p = pod({ nodeName: s.node }, undefined, s.labels)
        Object.assign(p.metadata, {
          uid: `u${s.pod}`,
          namespace: s.namespace,
          ...(s.ends ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
        })
        if (s.gone) cache.deletePod(p)
        else cache.setPod(p)
        const snapshot = cache.snapshot()
        // Some are asked for from the start, some late.
        const asked = sets.slice(0, 2 + (s.pod % 3))
        for (const set of asked) {
          const fresh = { ...set, key: `${set.key} ${steps.indexOf(s)}` }
          expect([...snapshot.count(set)].sort()).toEqual([...snapshot.count(fresh)].sort())
        }
      }
    }),
  )
})

describe('a pod that is being resized', () => {
  const sized = (cpu: string, had: string, reason?: string, generation = 2): Pod => {
    const p = pod({ ...asking(cpu), nodeName: 'a' })
    const [given, resources] = [{ cpu: had }, { requests: { cpu: had } }]
    const containerStatuses = [{ name: 'c', ready: true, restartCount: 0, image: '', imageID: '', resources, allocatedResources: given }]
    const conditions = reason ? [{ type: 'PodResizePending', status: 'True', reason }] : []
    return { ...p, metadata: { ...p.metadata, uid: 'resized', generation }, status: { phase: 'Running', containerStatuses, conditions } }
  }
  const cacheOf = (...versions: Pod[]): ClusterCache => {
    const cache = cluster(node('a'))
    versions.forEach(p => cache.setPod(p))
    return cache
  }
  const full = '0/1 nodes are available: 1 Insufficient cpu.'

  test('takes what it has until it has less, and what it shall have unless that is infeasible', () => {
    expect(outcome(pod(asking('1')), cacheOf(sized('500m', '1500m')))).toContain(full)
    expect(outcome(pod(asking('1')), cacheOf(sized('1500m', '500m', 'Deferred')))).toContain(full)
    expect(outcome(pod(asking('1')), cacheOf(sized('1500m', '500m', 'Infeasible')))).toBe('a')
  })

  test('frees the rest with the status that says so', () => {
    const [before, after] = [sized('500m', '1500m'), sized('500m', '500m')]
    expect(outcome(pod(asking('1')), cacheOf(before, after))).toBe('a')
    expect(podChanges(after, before) & Action.UpdatePodScaleDown).not.toBe(0)
    const asked = sized('1500m', '1500m', undefined, 1)
    expect(podChanges(before, asked) & Action.UpdatePodScaleDown).toBe(0)
  })
})

test('a pod that asks as a whole is taken to ask for no more; init containers are taken to ask for something, too', () => {
  const asks = (spec: object) => {
    const { nonZeroMilliCPU, nonZeroMemory } = podInfo(pod(spec))
    return [nonZeroMilliCPU, nonZeroMemory / 2 ** 20]
  }
  const bare = { name: 'c', image: 'i' }
  expect(asks({ containers: [bare, bare] })).toEqual([200, 400])
  expect(asks({ containers: [bare, bare], resources: { requests: { cpu: '1' } } })).toEqual([1000, 400])
  expect(asks({ containers: [bare], initContainers: [{ ...bare, restartPolicy: 'Always' }] })).toEqual([200, 400])
  expect(asks({ containers: [bare], initContainers: [{ ...bare, resources: { requests: { cpu: '1' } } }] })).toEqual([1000, 200])
})

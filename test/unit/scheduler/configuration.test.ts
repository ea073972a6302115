/** KubeSchedulerConfiguration: what of it becomes a profile, and what is refused in upstream's words. */
import { describe, expect, test } from 'vitest'
import { configurationOf } from '#control-plane/scheduler/config/configuration.ts'
import { points, type ExtensionPoint } from '#control-plane/scheduler/extensionpoints.ts'
import { nodeResourcesFit } from '#control-plane/scheduler/plugins/node-resources-fit.ts'
import type { Profile } from '#control-plane/scheduler/profile.ts'
import { schedule } from '#control-plane/scheduler/schedule.ts'
import { podInfo } from '#control-plane/scheduler/podinfo.ts'
import { nodeResourcesBalancedAllocation } from '#control-plane/scheduler/plugins/node-resources-balanced-allocation.ts'
import { assume, asking, cluster, node, pod, zoned } from './objects.ts'
import { profileOf, testProfile } from './profile.ts'

const header = 'apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n'
const read = (text: string) => configurationOf(header + text)
const profile = (text: string): Profile => profileOf(read(`profiles:\n- ${text.trim().replaceAll('\n', '\n  ')}`).profiles[0]!)
const at = (p: Profile, point: Exclude<ExtensionPoint, 'preEnqueue' | 'queueSort' | 'preScore'>): string[] =>
  point === 'score' ? p.score.map(s => `${s.plugin.name} ${s.weight}`) : p[point].map(s => s.name)

describe('plugins', () => {
  test('the default profile is upstream’s', () => {
    const p = profileOf(read('').profiles[0]!)
    expect(p.schedulerName).toBe('default-scheduler')
    expect(at(p, 'score')).toEqual([
      'TaintToleration 3',
      'NodeAffinity 2',
      'NodeResourcesFit 1',
      'PodTopologySpread 2',
      'InterPodAffinity 2',
      'DynamicResources 1',
      'NodeResourcesBalancedAllocation 1',
      'ImageLocality 1',
    ])
    const usual = testProfile()
    for (const point of points)
      if (point !== 'preEnqueue' && point !== 'queueSort' && point !== 'preScore') expect(at(p, point), point).toEqual(at(usual, point))
  })
  test('off at one extension point, on with another weight, first where it is named', () => {
    const p = profile(`
plugins:
  filter:
    disabled: [{name: NodePorts}]
  score:
    enabled: [{name: ImageLocality, weight: 7}]
    disabled: [{name: TaintToleration}, {name: NodeAffinity}]`)
    expect(at(p, 'filter')).not.toContain('NodePorts')
    expect(at(p, 'score').slice(0, 2)).toEqual(['ImageLocality 7', 'NodeResourcesFit 1'])
    expect(at(p, 'score').join()).not.toMatch(/TaintToleration|NodeAffinity/)
    expect(p.filter.map(f => f.name)).toContain('TaintToleration')
  })
  test('of all points, and nothing but what is named', () => {
    expect(at(profile(`plugins: {multiPoint: {disabled: [{name: ImageLocality}]}}`), 'score').join()).not.toContain('ImageLocality')
    const few = profile(`
plugins:
  multiPoint:
    enabled: [{name: DefaultBinder}, {name: PrioritySort}, {name: NodeName}, {name: NodeResourcesFit, weight: 5}]
    disabled: [{name: '*'}]
  preFilter: {disabled: [{name: '*'}]}`)
    expect(few.plugins.map(p => p.name)).toEqual(['DefaultBinder', 'PrioritySort', 'NodeName', 'NodeResourcesFit'])
    expect(at(few, 'score')).toEqual(['NodeResourcesFit 5'])
  })
})

describe('arguments', () => {
  const place = (p: Profile, asked: ReturnType<typeof pod>, nodes = cluster(node('a'), node('b'))): string | undefined =>
    schedule(podInfo(asked), nodes.snapshot(), p, { start: 0, tieBreak: () => 0 }).node
  test('MostAllocated fills a node before the next', () => {
    const p = profile(`
pluginConfig:
- name: NodeResourcesFit
  args: {scoringStrategy: {type: MostAllocated}}
plugins: {score: {disabled: [{name: NodeResourcesBalancedAllocation}]}}`)
    const nodes = cluster(node('a'), node('b'))
    assume(nodes, pod(asking('500m')), 'b')
    expect(place(p, pod(asking('500m')), nodes)).toBe('b')
    expect(place(testProfile(), pod(asking('500m')), nodes)).toBe('a')
  })
  test('a shape of utilization', () => {
    const score = (shape: { utilization: number; score: number }[], used: string): number => {
      const strategy = { type: 'RequestedToCapacityRatio', resources: [{ name: 'cpu', weight: 1 }], requestedToCapacityRatio: { shape } }
      const nodes = cluster(node('a'))
      if (used !== '0') assume(nodes, pod(asking(used)), 'a')
      const plugin = nodeResourcesFit({ scoringStrategy: strategy })({} as never)
      return plugin.score!(undefined as never, podInfo(pod(asking('500m'))), nodes.snapshot().nodes[0]!)
    }
    const up = [
      { utilization: 0, score: 0 },
      { utilization: 50, score: 10 },
      { utilization: 100, score: 2 },
    ]
    expect([score(up, '0'), score(up, '500m'), score(up, '1'), score(up, '1500m')]).toEqual([50, 100, 60, 20])
  })
  test('resources of any name, with weights; balance over more than two', () => {
    const big = node('big')
    big.status!.allocatable = { cpu: '4', memory: '4Gi', pods: '10', 'example.com/gpu': '4' }
    const nodes = cluster(big)
    const gpu = podInfo(
      pod({ containers: [{ name: 'c', image: 'x', resources: { requests: { cpu: '1', memory: '1Gi', 'example.com/gpu': '3' } } }] }),
    )
    const at = nodes.snapshot().nodes[0]!
    const strategy = (weight: number) => ({
      type: 'MostAllocated',
      resources: [
        { name: 'example.com/gpu', weight },
        { name: 'cpu', weight: 1 },
      ],
    })
    const most = (weight: number) =>
      nodeResourcesFit({ scoringStrategy: strategy(weight) })({} as never).score!(undefined as never, gpu, at)
    expect([most(1), most(3)]).toEqual([50, 62])
    const three = ['cpu', 'memory', 'example.com/gpu'].map(name => ({ name, weight: 1 }))
    const balanced = nodeResourcesBalancedAllocation({ resources: three })({} as never)
    // The standard deviation of 0.25, 0.25 and 0.75.
    expect(balanced.score!(undefined as never, gpu, at)).toBe(76)
  })
  test('ignored resources are not looked at', () => {
    const asked = () => pod({ containers: [{ name: 'c', image: 'x', resources: { requests: { 'example.com/gpu': '1' } } }] })
    expect(place(testProfile(), asked())).toBeUndefined()
    expect(place(profile(`pluginConfig: [{name: NodeResourcesFit, args: {ignoredResources: [example.com/gpu]}}]`), asked())).toBe('a')
    expect(place(profile(`pluginConfig: [{name: NodeResourcesFit, args: {ignoredResourceGroups: [example.com]}}]`), asked())).toBe('a')
    const managed = read(`extenders: [{urlPrefix: 'http://x', managedResources: [{name: example.com/gpu, ignoredByScheduler: true}]}]`)
    expect(place(profileOf(managed.profiles[0]!), asked())).toBe('a')
  })
  test('added affinity holds for every pod', () => {
    const p = profile(`
pluginConfig:
- name: NodeAffinity
  args:
    addedAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms: [{matchExpressions: [{key: topology.kubernetes.io/zone, operator: In, values: [b]}]}]`)
    expect(place(p, pod(), cluster(zoned('a', 'a'), zoned('b', 'b')))).toBe('b')
    const { diagnosis } = schedule(podInfo(pod()), cluster(zoned('a', 'a')).snapshot(), p) as never as {
      diagnosis: { explicit: Map<string, { reasons: string[] }> }
    }
    expect(diagnosis.explicit.get('a')?.reasons).toEqual(["node(s) didn't match scheduler-enforced node affinity"])
  })
  test('default constraints forbid, for pods of a controller that have none', () => {
    const p = profile(`
pluginConfig:
- name: PodTopologySpread
  args:
    defaultingType: List
    defaultConstraints: [{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule}]`)
    const nodes = cluster(zoned('a', 'a'), zoned('b', 'b'))
    assume(nodes, pod({}, 'web'), 'a')
    expect(place(p, pod({}, 'web'), nodes)).toBe('b')
    assume(nodes, pod({}, 'web'), 'b')
    assume(nodes, pod({}, 'web'), 'b')
    expect(place(p, pod({}, 'web'), nodes)).toBe('a')
    expect(place(p, pod({}, 'other'), cluster(zoned('a', 'a')))).toBe('a')
  })
})

test('times, percentages and leader election', () => {
  const config = read(`
percentageOfNodesToScore: 30
podInitialBackoffSeconds: 2
podMaxBackoffSeconds: 20
parallelism: 4
leaderElection: {leaderElect: false, leaseDuration: 30s}
profiles: [{schedulerName: a}, {schedulerName: b, percentageOfNodesToScore: 50}]`)
  expect(config.backoff).toEqual({ initialMs: 2000, maxMs: 20_000 })
  expect(config.profiles.map(p => [p.schedulerName, p.percentageOfNodesToScore])).toEqual([
    ['a', 30],
    ['b', 50],
  ])
  expect(config.election).toEqual({ leaderElect: false, leaderElectLeaseDuration: 30_000 })
})

test.each([
  ['unknown: 1', 'strict decoding error: unknown field "unknown"'],
  ['profiles: [{plugins: {multipoint: {}}}]', 'strict decoding error: unknown field "profiles[0].plugins.multipoint"'],
  [
    'profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {foo: 1}}]}]',
    'strict decoding error: decoding .profiles[0].pluginConfig[0]: strict decoding error: unknown field "foo"',
  ],
  [
    'profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {kind: PodTopologySpreadArgs, apiVersion: kubescheduler.config.k8s.io/v1}}]}]',
    'args for plugin NodeResourcesFit were not of type NodeResourcesFitArgs.kubescheduler.config.k8s.io, got PodTopologySpreadArgs.kubescheduler.config.k8s.io',
  ],
  [
    'profiles: [{plugins: {filter: {enabled: [{name: Foo}]}}}]',
    'initializing profiles: creating profile for scheduler name default-scheduler: FilterPlugin "Foo" does not exist',
  ],
  ['profiles: [{plugins: {multiPoint: {enabled: [{name: Foo}]}}}]', 'PreEnqueuePlugin "Foo" does not exist'],
  ['parallelism: 0', 'parallelism: Invalid value: 0: should be an integer value greater than zero'],
  ['percentageOfNodesToScore: 101', 'percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]'],
  ['podInitialBackoffSeconds: 0', 'podInitialBackoffSeconds: Invalid value: 0: must be greater than 0'],
  ['podMaxBackoffSeconds: 0', 'podMaxBackoffSeconds: Invalid value: 0: must be greater than or equal to PodInitialBackoffSeconds'],
  ['profiles: [{schedulerName: a}, {schedulerName: a}]', 'profiles[1].schedulerName: Duplicate value: "profiles[0].schedulerName"'],
  ['profiles: [{schedulerName: a}, {}]', 'profiles[1].schedulerName: Required value'],
  [
    'extenders: [{urlPrefix: "http://x", prioritizeVerb: p}]',
    'extenders[0].weight: Invalid value: 0: must have a positive weight applied to it',
  ],
  [
    'extenders: [{urlPrefix: "http://x", bindVerb: b}, {urlPrefix: "http://y", bindVerb: b}]',
    'extenders: Invalid value: "found 2 extenders implementing bind": only one extender can implement bind',
  ],
  [
    'profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: Foo}}}]}]',
    'profiles[0].pluginConfig[0].args.scoringStrategy.type: Unsupported value: "Foo": supported values: "LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"',
  ],
  [
    'profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: LeastAllocated, requestedToCapacityRatio: {}}}}]}]',
    'profiles[0].pluginConfig[0].args.scoringStrategy.shape: Required value: at least one point must be specified',
  ],
  [
    'profiles: [{pluginConfig: [{name: DynamicResources, args: {bindingTimeout: 1m}}]}]',
    'profiles[0].pluginConfig[0].args.bindingTimeout: Forbidden: DRADeviceBindingConditions or DRAResourceClaimDeviceStatus feature gate is disabled',
  ],
  [
    'profiles: [{pluginConfig: [{name: InterPodAffinity, args: {hardPodAffinityWeight: 101}}]}]',
    'profiles[0].pluginConfig[0].args.hardPodAffinityWeight: Invalid value: 101: not in valid range [0, 100]',
  ],
])('%s', (text, message) => {
  expect(() => read(text)).toThrow(message)
})

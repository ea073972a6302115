/** Which changes bring a pod that a plugin turned down back to the queue: upstream's isSchedulableAfter… */
import { describe, expect, test } from 'vitest'
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { nodes, pods } from '#shared/api/kinds.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { Action, nodeChanges, podChanges, resourceOf } from '#control-plane/scheduler/clusterevent.ts'
import { podTopologySpread } from '#control-plane/scheduler/plugins/pod-topology-spread.ts'
import { defaultBinder } from '#control-plane/scheduler/plugins/default-binder.ts'
import { asking, assume, cluster, node, pod, zoned } from './objects.ts'
import { testProfile } from './profile.ts'

const zone = 'topology.kubernetes.io/zone'
const web = { app: 'web' }
const ofWeb = { matchLabels: web }

let cache = cluster()
const profile = testProfile({ snapshot: () => cache.snapshot() })

/** Whether the change wakes the pod that the plugin turned down. Without an old object it was added, without a new one it is deleted. */
function wakes(plugin: string, waiting: Pod, old: KubeObject | undefined, now: KubeObject | undefined, of = profile): boolean {
  const kind = (now ?? old)!.kind === 'Node' ? nodes : pods
  const changes = kind === nodes ? nodeChanges : podChanges
  const action = !old ? Action.Add : !now ? Action.Delete : changes(now as never, old as never)
  const events = of.plugins.find(p => p.name === plugin)!.events!
  return events.some(
    e => resourceOf(e.kind) === resourceOf(kind) && (e.action & action) !== 0 && (e.hint?.(waiting as never, old, now) ?? true),
  )
}
const on = (name: string, p: Pod): Pod => ({ ...p, spec: { ...p.spec, nodeName: name } })
const sized = (amounts: Record<string, string>): Node => ({ ...node('n'), status: { allocatable: { pods: '10', ...amounts } } })
const labelled = (p: Pod, labels: Record<string, string>): Pod => ({ ...p, metadata: { ...p.metadata, labels } })
const tolerating = (p: Pod, key: string): Pod => ({ ...p, spec: { ...p.spec, tolerations: [{ key, operator: 'Exists' }] } })

describe('NodeResourcesFit', () => {
  const waits = pod(asking('2'))
  test('a node that has more of what the pod wants, and enough of it', () => {
    expect(wakes('NodeResourcesFit', waits, undefined, sized({ cpu: '2', memory: '1Gi' }))).toBe(true)
    expect(wakes('NodeResourcesFit', waits, undefined, sized({ cpu: '1', memory: '1Gi' }))).toBe(false)
    expect(wakes('NodeResourcesFit', waits, sized({ cpu: '1', memory: '1Gi' }), sized({ cpu: '2', memory: '1Gi' }))).toBe(true)
    expect(wakes('NodeResourcesFit', waits, sized({ cpu: '2', memory: '1Gi' }), sized({ cpu: '2', memory: '2Gi' }))).toBe(false)
    expect(wakes('NodeResourcesFit', waits, sized({ cpu: '2', pods: '9' }), sized({ cpu: '2', pods: '10' }))).toBe(true)
    expect(wakes('NodeResourcesFit', waits, sized({ cpu: '2', 'a/b': '1' }), sized({ cpu: '2', 'a/b': '2' }))).toBe(false)
  })
  test('another pod that is gone, or leaves some of that', () => {
    const other = (cpu: string, memory: string): Pod =>
      on('n', pod({ containers: [{ name: 'c', image: 'i', resources: { requests: { cpu, memory } } }] }))
    expect(wakes('NodeResourcesFit', waits, other('1', '1Gi'), undefined)).toBe(true)
    expect(wakes('NodeResourcesFit', waits, other('1', '1Gi'), other('500m', '1Gi'))).toBe(true)
    expect(wakes('NodeResourcesFit', waits, other('1', '1Gi'), other('1', '500Mi'))).toBe(false)
    expect(wakes('NodeResourcesFit', waits, waits, { ...waits, spec: { ...waits.spec, ...asking('1') } })).toBe(true)
  })
})

test('TaintToleration and NodeUnschedulable: a node that lets the pod in now, the pod itself when it tolerates more', () => {
  const [tainted, other] = ['a', 'b'].map(key => node('n', { taints: [{ key, effect: 'NoSchedule' }] }))
  const waits = pod()
  expect(wakes('TaintToleration', waits, tainted, node('n'))).toBe(true)
  expect(wakes('TaintToleration', waits, tainted, other)).toBe(false)
  expect(wakes('TaintToleration', tolerating(waits, 'a'), tainted, node('n'))).toBe(false)
  expect(wakes('TaintToleration', waits, undefined, other)).toBe(false)
  expect(wakes('TaintToleration', waits, waits, tolerating(waits, 'a'))).toBe(true)
  const running = on('n', pod())
  expect(wakes('TaintToleration', waits, running, tolerating(running, 'a'))).toBe(false)
  const cordoned = node('n', { unschedulable: true })
  expect(wakes('NodeUnschedulable', waits, cordoned, node('n'))).toBe(true)
  expect(wakes('NodeUnschedulable', waits, tainted, node('n'))).toBe(false)
  const able = tolerating(waits, 'node.kubernetes.io/unschedulable')
  expect(wakes('NodeUnschedulable', able, waits, able)).toBe(true)
  expect(wakes('NodeUnschedulable', able, running, tolerating(running, 'a'))).toBe(false)
})

describe('InterPodAffinity', () => {
  const term = (topologyKey = zone) => ({ labelSelector: ofWeb, topologyKey })
  const wanting = (...terms: object[]): Pod =>
    pod({ affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: terms } } } as Partial<Pod['spec']>)
  const avoiding = (...terms: object[]): Pod =>
    pod({ affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: terms } } } as Partial<Pod['spec']>)
  const webPod = on('n', pod({}, undefined, web))

  test('a pod that becomes what all terms ask for, or is no longer what is avoided', () => {
    expect(wakes('InterPodAffinity', wanting(term()), undefined, webPod)).toBe(true)
    const both = wanting(term(), { labelSelector: { matchLabels: { tier: 'front' } }, topologyKey: zone })
    expect(wakes('InterPodAffinity', both, undefined, webPod)).toBe(false)
    expect(wakes('InterPodAffinity', both, webPod, labelled(webPod, { ...web, tier: 'front' }))).toBe(true)
    expect(wakes('InterPodAffinity', wanting(term()), webPod, labelled(webPod, { ...web, x: 'y' }))).toBe(false)
    expect(wakes('InterPodAffinity', avoiding(term()), webPod, undefined)).toBe(true)
    expect(wakes('InterPodAffinity', avoiding(term()), webPod, labelled(webPod, {}))).toBe(true)
    expect(wakes('InterPodAffinity', avoiding(term()), webPod, labelled(webPod, { ...web, x: 'y' }))).toBe(false)
    expect(wakes('InterPodAffinity', pod({}, undefined, web), on('n', avoiding(term())), undefined)).toBe(true)
    expect(wakes('InterPodAffinity', pod(), on('n', avoiding(term())), undefined)).toBe(false)
  })
  test('a node that joins another domain', () => {
    expect(wakes('InterPodAffinity', wanting(term()), undefined, zoned('n', 'a'))).toBe(true)
    expect(wakes('InterPodAffinity', wanting(term()), undefined, node('n'))).toBe(false)
    expect(wakes('InterPodAffinity', wanting(term()), node('n'), zoned('n', 'a'))).toBe(true)
    expect(wakes('InterPodAffinity', wanting(term()), zoned('n', 'a'), zoned('n', 'b'))).toBe(true)
    expect(wakes('InterPodAffinity', wanting(term()), zoned('n', 'a'), node('n'))).toBe(false)
    expect(wakes('InterPodAffinity', wanting(term()), node('n', {}, { x: 'a' }), node('n', {}, { x: 'b' }))).toBe(false)
    expect(wakes('InterPodAffinity', avoiding(term()), undefined, node('n'))).toBe(true)
    expect(wakes('InterPodAffinity', avoiding(term()), zoned('n', 'a'), node('n'))).toBe(true)
    expect(wakes('InterPodAffinity', avoiding(term()), node('n'), zoned('n', 'a'))).toBe(false)
  })
  test('a node that leaves the domain of a pod that keeps this one out', () => {
    cache = cluster(zoned('a', 'a'))
    const unwanted = pod({}, undefined, web)
    expect(wakes('InterPodAffinity', unwanted, zoned('b', 'a'), zoned('b', 'b'))).toBe(false)
    assume(cache, avoiding(term()), 'a')
    expect(wakes('InterPodAffinity', unwanted, zoned('b', 'a'), zoned('b', 'b'))).toBe(true)
    expect(wakes('InterPodAffinity', unwanted, undefined, node('b'))).toBe(true)
  })
})

describe('PodTopologySpread', () => {
  const constraint = { maxSkew: 1, topologyKey: zone, whenUnsatisfiable: 'DoNotSchedule' }
  const spread = (more: object = {}): Pod =>
    pod({ topologySpreadConstraints: [{ ...constraint, labelSelector: ofWeb, ...more }] }, undefined, web)
  const webPod = on('n', pod({}, undefined, web))
  const elsewhere = { ...webPod, metadata: { ...webPod.metadata, namespace: 'other' } }

  test('a pod that comes to count, or counts no more', () => {
    expect(wakes('PodTopologySpread', spread(), undefined, webPod)).toBe(true)
    expect(wakes('PodTopologySpread', spread(), webPod, undefined)).toBe(true)
    expect(wakes('PodTopologySpread', spread(), undefined, labelled(webPod, {}))).toBe(false)
    expect(wakes('PodTopologySpread', spread(), undefined, elsewhere)).toBe(false)
    expect(wakes('PodTopologySpread', spread(), webPod, labelled(webPod, {}))).toBe(true)
    expect(wakes('PodTopologySpread', spread(), webPod, labelled(webPod, { ...web, x: 'y' }))).toBe(false)
    const own = spread()
    expect(wakes('PodTopologySpread', own, own, labelled(own, {}))).toBe(true)
  })
  test('the pod itself when it tolerates more, where taints count', () => {
    for (const honors of [true, false]) {
      const own = spread(honors ? { nodeTaintsPolicy: 'Honor' } : {})
      expect(wakes('PodTopologySpread', tolerating(own, 'k'), own, tolerating(own, 'k'))).toBe(honors)
    }
  })
  test('a node that takes part', () => {
    const [a, b, bare] = [zoned('n', 'a'), zoned('n', 'b'), node('n')]
    expect(wakes('PodTopologySpread', spread(), undefined, a)).toBe(true)
    expect(wakes('PodTopologySpread', spread(), undefined, bare)).toBe(false)
    expect(wakes('PodTopologySpread', spread(), a, undefined)).toBe(true)
    expect(wakes('PodTopologySpread', spread(), bare, undefined)).toBe(false)
    expect(wakes('PodTopologySpread', spread(), a, b)).toBe(true)
    expect(wakes('PodTopologySpread', spread(), a, bare)).toBe(true)
    expect(wakes('PodTopologySpread', spread(), bare, node('n', {}, { x: 'y' }))).toBe(false)
    expect(wakes('PodTopologySpread', spread(), a, { ...a, metadata: { ...a.metadata, labels: { ...a.metadata.labels, x: 'y' } } })).toBe(
      false,
    )
    expect(wakes('PodTopologySpread', spread(), a, { ...a, spec: { taints: [{ key: 'k', effect: 'NoSchedule' }] } })).toBe(true)
  })
  test('by the constraints of the configuration, pods of the same controller', () => {
    const defaults = podTopologySpread({ defaultingType: 'List', defaultConstraints: [constraint] } as never)
    const configured = testProfile({}, [{ plugin: defaults }, { plugin: defaultBinder }])
    const of = (owner: string): Pod => on('n', pod({}, owner))
    expect(wakes('PodTopologySpread', pod({}, 'rs'), of('rs'), undefined, configured)).toBe(true)
    expect(wakes('PodTopologySpread', pod({}, 'rs'), of('other'), undefined, configured)).toBe(false)
  })
})

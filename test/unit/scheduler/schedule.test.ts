import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { ClusterCache } from '#control-plane/scheduler/cache.ts'
import { fitErrorMessage } from '#control-plane/scheduler/fiterror.ts'
import { podInfo } from '#control-plane/scheduler/podinfo.ts'
import { numFeasibleNodesToFind, schedule } from '#control-plane/scheduler/schedule.ts'
import { testProfile } from './profile.ts'

const node = (name: string, more: Partial<Node['spec']> = {}, labels: Record<string, string> = {}): Node => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels: { 'kubernetes.io/hostname': name, ...labels } },
  spec: { ...more },
  status: { allocatable: { cpu: '2', memory: '4Gi', pods: '10' } },
})
let uid = 0
const pod = (spec: Partial<Pod['spec']> = {}, owner?: string): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: `p${++uid}`,
    namespace: 'default',
    uid: String(uid),
    ...(owner ? { ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: owner, uid: owner, controller: true }] } : {}),
  },
  spec: { containers: [{ name: 'c', image: 'busybox', resources: {} }], ...spec } as Pod['spec'],
})
const asking = (cpu: string): Partial<Pod['spec']> => ({ containers: [{ name: 'c', image: 'busybox', resources: { requests: { cpu } } }] })
const cluster = (...nodes: Node[]): ClusterCache => {
  const cache = new ClusterCache()
  nodes.forEach(n => cache.setNode(n))
  return cache
}
const assume = (cache: ClusterCache, p: Pod, name: string): void => cache.assume(podInfo(p), name)
const chosenFor = (p: Pod, cache: ClusterCache): string | undefined => {
  const snapshot = cache.snapshot()
  return schedule(podInfo(p), snapshot, testProfile({ snapshot: () => snapshot })).node
}
const messageFor = (p: Pod, cache: ClusterCache): string => {
  const snapshot = cache.snapshot()
  const profile = testProfile({ snapshot: () => snapshot })
  const decision = schedule(podInfo(p), snapshot, profile)
  if (decision.node !== undefined) return `fits ${decision.node}`
  const { diagnosis } = decision
  const result = profile.postFilter[0]?.postFilter(decision.state, podInfo(p), diagnosis)
  if (snapshot.nodes.length > 0 && result && !(result instanceof Promise))
    diagnosis.postFilterMessage = result.status?.reasons.join(', ') ?? ''
  return fitErrorMessage(diagnosis)
}

describe('why a pod fits nowhere, in upstream’s words', () => {
  test('no nodes', () => expect(messageFor(pod(), cluster())).toBe('no nodes available to schedule pods'))
  test('more cpu than any node has, and a taint', () =>
    expect(
      messageFor(pod(asking('3')), cluster(node('a'), node('b'), node('c', { taints: [{ key: 'k', value: 'v', effect: 'NoSchedule' }] }))),
    ).toBe(
      '0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.',
    ))
  test('cpu that other pods hold', () => {
    const cache = cluster(node('a'))
    assume(cache, pod(asking('1500m')), 'a')
    expect(messageFor(pod(asking('1')), cache)).toBe(
      '0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.',
    )
  })
  test('cordoned, wrong selector, taken port', () => {
    const cache = cluster(node('a', { unschedulable: true }), node('b'), node('c', {}, { disk: 'ssd' }))
    const wants = {
      nodeSelector: { disk: 'ssd' },
      containers: [{ name: 'c', image: 'x', ports: [{ containerPort: 80, hostPort: 80, protocol: 'TCP' }] }],
    } as Partial<Pod['spec']>
    assume(cache, pod(wants), 'c')
    expect(messageFor(pod(wants), cache)).toBe(
      "0/3 nodes are available: 1 node(s) didn't have free ports for the requested pod ports, 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) were unschedulable. " +
        'preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling.',
    )
  })
})

describe('where a pod goes', () => {
  test('pods that listen on the same port only share a node that gives them addresses of their own', () => {
    const listening = { containers: [{ name: 'c', image: 'x', ports: [{ containerPort: 80, protocol: 'TCP' }] }] } as Partial<Pod['spec']>
    for (const [network, expected] of [
      ['bridge', 'fits a'],
      [
        'host',
        "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
      ],
    ] as const) {
      const cache = cluster(node('a', {}, { 'coxswain.io/network': network }))
      const first = pod(listening)
      assume(cache, first, 'a')
      expect(messageFor(pod(listening), cache), network).toBe(expected)
      expect(
        messageFor(
          pod({ containers: [{ name: 'c', image: 'x', ports: [{ containerPort: 80, protocol: 'UDP' }] }] } as Partial<Pod['spec']>),
          cache,
        ),
      ).toBe('fits a')
    }
    // The label may come after the pod.
    const cache = cluster(node('a'))
    assume(cache, pod(listening), 'a')
    cache.setNode(node('a', {}, { 'coxswain.io/network': 'host' }))
    expect(messageFor(pod(listening), cache)).toContain("didn't have free ports")
  })
  test('replicas spread over the nodes', () => {
    const cache = cluster(node('a'), node('b'), node('c'))
    const where: string[] = []
    for (let i = 0; i < 9; i++) {
      const p = pod({}, 'rs')
      const chosen = chosenFor(p, cache) ?? ''
      assume(cache, p, chosen)
      where.push(chosen)
    }
    for (const n of ['a', 'b', 'c']) expect(where.filter(w => w === n)).toHaveLength(3)
  })
  test('tolerated taints and preferred nodes', () => {
    const cache = cluster(
      node('a', { taints: [{ key: 'k', effect: 'PreferNoSchedule' }] }),
      node('b', { taints: [{ key: 'gpu', effect: 'NoExecute' }] }),
      node('c'),
    )
    expect(chosenFor(pod(), cache)).toBe('c')
    const tolerant = pod({ tolerations: [{ key: 'gpu', operator: 'Exists' }], nodeSelector: { 'kubernetes.io/hostname': 'b' } })
    expect(chosenFor(tolerant, cache)).toBe('b')
  })
  test('never over a node’s capacity, whatever arrives and leaves', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ milli: fc.integer({ min: 0, max: 1500 }), leaves: fc.boolean() }), { maxLength: 60 }), steps => {
        const cache = cluster(node('a'), node('b'))
        const placed: Pod[] = []
        for (const { milli, leaves } of steps) {
          const first = placed[0]
          if (leaves && first) {
            cache.deletePod(first)
            placed.shift()
            continue
          }
          const p = pod(asking(`${milli}m`))
          const chosen = chosenFor(p, cache)
          if (chosen === undefined) continue
          assume(cache, p, chosen)
          placed.push(p)
        }
        for (const info of cache.snapshot().nodes) {
          const sum = [...info.pods.values()].reduce(
            (total, { pod: p }) => total + Number(p.spec.containers[0]?.resources?.requests?.['cpu']?.replace('m', '') ?? 0),
            0,
          )
          expect(info.requested.milliCPU).toBe(sum)
          expect(sum).toBeLessThanOrEqual(2000)
          expect(info.pods.size).toBeLessThanOrEqual(10)
        }
      }),
    )
  })
})

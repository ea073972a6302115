import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import { ClusterCache } from '#control-plane/scheduler/cache.ts'
import { fitErrorMessage, noteOf } from '#control-plane/scheduler/fiterror.ts'
import { stateKey } from '#control-plane/scheduler/cyclestate.ts'
import { skip, unresolvable, type Plugin, type Status } from '#control-plane/scheduler/framework.ts'
import { Nominator } from '#control-plane/scheduler/nominator.ts'
import { defaultPlugins } from '#control-plane/scheduler/plugins/registry.ts'
import { podInfo } from '#control-plane/scheduler/podinfo.ts'
import { numFeasibleNodesToFind, schedule } from '#control-plane/scheduler/schedule.ts'
import { asking, assume, cluster, node, pod } from './objects.ts'
import { testProfile } from './profile.ts'

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
  const results =
    snapshot.nodes.length > 0 ? profile.postFilter.map(plugin => plugin.postFilter(decision.state, podInfo(p), diagnosis)) : []
  diagnosis.postFilterMessage = results
    .flatMap(result => (result instanceof Promise ? [] : (result.status?.reasons ?? [])))
    .filter(Boolean)
    .join(', ')
  return fitErrorMessage(diagnosis)
}

describe('why a pod fits nowhere, in upstream’s words', () => {
  test('no nodes', () => expect(messageFor(pod(), cluster())).toBe('no nodes available to schedule pods'))
  test('more cpu than any node has, and a taint', () =>
    expect(
      messageFor(pod(asking('3')), cluster(node('a'), node('b'), node('c', { taints: [{ key: 'k', value: 'v', effect: 'NoSchedule' }] }))),
    ).toBe(
      '0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.',
    ))
  test('cpu that other pods hold', () => {
    const cache = cluster(node('a'))
    assume(cache, pod(asking('1500m')), 'a')
    expect(messageFor(pod(asking('1')), cache)).toBe(
      '0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.',
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
        'no new claims to deallocate, preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling.',
    )
  })
})

test('an event says what it can of a long message, and that there is more', () => {
  expect(noteOf('x'.repeat(1024))).toBe('x'.repeat(1024))
  expect(noteOf('x'.repeat(1025))).toBe(`${'x'.repeat(1020)} ...`)
})

describe('where a pod goes', () => {
  test('pods that listen on the same port only share a node that gives them addresses of their own', () => {
    const listening = { containers: [{ name: 'c', image: 'x', ports: [{ containerPort: 80, protocol: 'TCP' }] }] } as Partial<Pod['spec']>
    for (const [network, expected] of [
      ['bridge', 'fits a'],
      [
        'host',
        "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
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

describe('the search', () => {
  test('looks for as many nodes that fit as upstream’s', () => {
    for (const [nodes, percentage, expected] of [
      [50, 0, 50],
      [100, 0, 100],
      [240, 0, 117],
      [1000, 0, 420],
      [5000, 0, 500],
      [6000, 0, 300],
      [10_000, 0, 500],
      [1000, 20, 200],
      [1000, 5, 100],
      [50, 5, 50],
    ] as const)
      expect(numFeasibleNodesToFind(nodes, percentage), `${nodes} ${percentage}`).toBe(expected)
  })
  test('begins where the last one ended and reaches every node', () => {
    const cache = cluster(...Array.from({ length: 300 }, (_, i) => node(`n${i}`)))
    const snapshot = cache.snapshot()
    const asked = new Set<string>()
    const watching = {
      plugin: () => ({ name: 'Watching', filter: (_: unknown, __: unknown, n: { name: string }) => void asked.add(n.name) }),
    }
    const profile = testProfile({}, [...defaultPlugins, watching])
    let start = 0
    for (let i = 0; i < 3; i++) {
      const { looked } = schedule(podInfo(pod()), snapshot, profile, { start })
      expect(looked).toBe(numFeasibleNodesToFind(300))
      start = (start + looked) % 300
    }
    expect(asked.size).toBe(300)
  })
  test('sees all zones, whatever order their nodes came in', () => {
    const zone = (z: string) => ({ 'topology.kubernetes.io/zone': z })
    const cache = cluster(node('a1', {}, zone('a')), node('a2', {}, zone('a')), node('b1', {}, zone('b')), node('a3', {}, zone('a')))
    expect(cache.snapshot().nodes.map(n => n.name)).toEqual(['a1', 'b1', 'a2', 'a3'])
    cache.setNode(node('a2', {}, zone('c')))
    expect(cache.snapshot().nodes.map(n => n.name)).toEqual(['a1', 'a2', 'b1', 'a3'])
  })
  test('ends at once when PreFilter rejects the pod, and asks no Filter that PreFilter skips', () => {
    const asked: string[] = []
    const plugin = (name: string, answer: Status | undefined) => ({
      plugin: () => ({ name, preFilter: () => answer, filter: () => void asked.push(name) }),
    })
    const cache = cluster(node('a'), node('b'))
    const profile = testProfile({}, [...defaultPlugins, plugin('Skipped', skip), plugin('Asked', undefined)])
    schedule(podInfo(pod()), cache.snapshot(), profile)
    expect(asked).toEqual(['Asked', 'Asked'])
    const refusing = testProfile({}, [...defaultPlugins, plugin('Refusing', unresolvable('not today'))])
    const decision = schedule(podInfo(pod()), cache.snapshot(), refusing)
    expect(decision.node === undefined && fitErrorMessage(decision.diagnosis)).toBe('0/2 nodes are available: not today.')
    expect(decision.node === undefined && [...decision.diagnosis.rejectedBy]).toEqual(['Refusing'])
  })
  test('tells plugins of nominated pods on a copy of what they know, and asks with and without them', () => {
    class Counter {
      n = 0
      clone(): Counter {
        return Object.assign(new Counter(), { n: this.n })
      }
    }
    const key = stateKey<Counter>('counter')
    const seen: number[] = []
    const counting = {
      plugin: (): Plugin => ({
        name: 'Counting',
        preFilter: state => state.set(key, new Counter()) as undefined,
        addPod: state => void state.get(key)!.n++,
        filter: state => void seen.push(state.get(key)!.n),
      }),
    }
    const nominator = new Nominator()
    const profile = testProfile({ nominator }, [...defaultPlugins, counting])
    nominator.set(podInfo(pod()), 'a')
    schedule(podInfo(pod()), cluster(node('a'), node('b')).snapshot(), profile)
    expect(seen).toEqual([1, 0, 0])
  })
  test('leaves room for pods that are nominated to a node, unless they are less important; tries a pod’s own node first', () => {
    const cache = cluster(node('a'), node('b'))
    assume(cache, pod(asking('1500m')), 'b')
    const nominator = new Nominator()
    const profile = testProfile({ nominator })
    nominator.set(podInfo(pod({ ...asking('1500m'), priority: 5 })), 'a')
    const chosen = (priority: number) => schedule(podInfo(pod({ ...asking('1'), priority })), cache.snapshot(), profile).node
    expect(chosen(0)).toBeUndefined()
    expect(chosen(5)).toBeUndefined()
    expect(chosen(6)).toBe('a')
    const own = pod({ ...asking('100m'), priority: 9 })
    own.status = { nominatedNodeName: 'b' }
    // The other one is emptier.
    expect(schedule(podInfo(own), cache.snapshot(), profile).node).toBe('b')
  })
})

describe('a snapshot', () => {
  test('shows its nodes as they were, whatever becomes of them, until the next one; a clone leaves the original alone', () => {
    const cache = cluster(node('a'), node('b'))
    const first = cache.snapshot()
    const seen = first.get('a')!
    assume(cache, pod(asking('1')), 'a')
    expect(seen.requested.milliCPU).toBe(0)
    const now = cache.snapshot().get('a')!
    expect(now.requested.milliCPU).toBe(1000)
    const copy = now.clone()
    for (const uid of copy.pods.keys()) copy.removePod(uid)
    expect([copy.requested.milliCPU, copy.pods.size, now.requested.milliCPU, now.pods.size]).toEqual([0, 0, 1000, 1])
  })
  test('counts what is there, after any number of changes', () => {
    const name = fc.constantFrom('a', 'b', 'c')
    const step = fc.oneof(
      fc.record({ do: fc.constantFrom('assume' as const, 'bound' as const), pod: fc.nat(5), node: name, cpu: fc.nat(3), owner: fc.nat(1) }),
      fc.record({ do: fc.constantFrom('forget' as const, 'delete' as const, 'terminate' as const, 'finish' as const), pod: fc.nat(5) }),
      fc.record({ do: fc.constantFrom('node' as const, 'gone' as const, 'look' as const), node: name }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), steps => {
        const cache = new ClusterCache()
        const nodes = new Set<string>()
        const there = new Map<string, { pod: Pod; node: string; assumed: boolean }>()
        for (const s of steps) {
          if (s.do === 'node') {
            cache.setNode(node(s.node))
            nodes.add(s.node)
          } else if (s.do === 'gone') {
            cache.deleteNode(s.node)
            nodes.delete(s.node)
          } else if (s.do === 'look') cache.snapshot()
          else if (s.do === 'assume' || s.do === 'bound') {
            const uid = `u${s.pod}`
            if (s.do === 'assume' && there.has(uid)) continue
            const made = pod({ ...asking(`${s.cpu}`), nodeName: s.do === 'bound' ? s.node : undefined }, `o${s.owner}`)
            Object.assign(made.metadata, { uid, generation: steps.indexOf(s) })
            if (s.do === 'assume') assume(cache, made, s.node)
            else cache.setPod(made)
            there.set(uid, { pod: made, node: s.node, assumed: s.do === 'assume' })
          } else if ('pod' in s) {
            const uid = `u${s.pod}`
            const known = there.get(uid)
            if (!known) continue
            const bound = { ...known.pod, spec: { ...known.pod.spec, nodeName: known.node } }
            if (s.do === 'forget') {
              expect(cache.forget(uid)).toBe(known.assumed)
              if (known.assumed) there.delete(uid)
            } else if (s.do === 'delete') {
              cache.deletePod(known.pod)
              there.delete(uid)
            } else if (s.do === 'finish') {
              cache.setPod({ ...bound, status: { phase: 'Succeeded' } })
              there.delete(uid)
            } else {
              const ending = { ...bound, metadata: { ...bound.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } }
              cache.setPod(ending)
              there.set(uid, { pod: ending, node: known.node, assumed: false })
            }
          }
        }
        const snapshot = cache.snapshot()
        expect(snapshot.nodes.map(n => n.name).sort()).toEqual([...nodes].sort())
        for (const info of snapshot.nodes) {
          const here = [...there.values()].filter(t => t.node === info.name)
          expect([...info.pods.keys()].sort()).toEqual(here.map(t => t.pod.metadata.uid).sort())
          expect(info.requested.milliCPU).toBe(here.reduce((n, t) => n + podInfo(t.pod).requests.milliCPU, 0))
          for (const owner of ['o0', 'o1']) {
            const siblings = here.filter(t => podInfo(t.pod).owner === owner && !t.pod.metadata.deletionTimestamp)
            expect(snapshot.siblings(owner)?.get(info.name) ?? 0).toBe(siblings.length)
          }
        }
      }),
      { numRuns: 500 },
    )
  })
})

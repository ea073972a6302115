import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { nodes, pods } from '#shared/api/kinds.ts'
import { Action, nodeChanges, resourceOf } from '#control-plane/scheduler/clusterevent.ts'
import { unschedulable } from '#control-plane/scheduler/framework.ts'
import { Heap } from '#control-plane/scheduler/heap.ts'
import { InFlight } from '#control-plane/scheduler/inflight.ts'
import { prioritySort } from '#control-plane/scheduler/plugins/priority-sort.ts'
import { schedulingGates } from '#control-plane/scheduler/plugins/scheduling-gates.ts'
import { defaultBinder } from '#control-plane/scheduler/plugins/default-binder.ts'
import { nodeResourcesFit } from '#control-plane/scheduler/plugins/node-resources-fit.ts'
import { taintToleration } from '#control-plane/scheduler/plugins/taint-toleration.ts'
import { queueSortOf, type PluginConfig } from '#control-plane/scheduler/profile.ts'
import { SchedulingQueue, type QueuedPod, type QueueOptions } from '#control-plane/scheduler/queue.ts'
import { testProfile } from './profile.ts'

const pod = (uid: string, more: { priority?: number; gates?: string[]; cpu?: string; labels?: Record<string, string> } = {}): Pod =>
  ({
    metadata: { name: uid, namespace: 'default', uid, labels: more.labels ?? {} },
    spec: {
      priority: more.priority ?? 0,
      schedulingGates: (more.gates ?? []).map(name => ({ name })),
      containers: [{ name: 'c', image: 'x', resources: { requests: { cpu: more.cpu ?? '1' } } }],
    },
  }) as unknown as Pod
const node = (cpu: string, heartbeat = '0'): Node =>
  ({
    metadata: { name: 'n' },
    status: {
      allocatable: { cpu, pods: '10', memory: '1Gi' },
      conditions: [{ type: 'Ready', status: 'True', lastHeartbeatTime: heartbeat }],
    },
  }) as unknown as Node

const plugins: PluginConfig[] = [prioritySort, schedulingGates, taintToleration, nodeResourcesFit({}), defaultBinder].map(plugin => ({
  plugin,
}))

/** A queue with a clock of its own. */
function newQueue(more: PluginConfig[] = [], incoming?: QueueOptions['incoming']) {
  const profile = testProfile({}, [...more, ...plugins])
  const clock = { now: 1 }
  const queue = new SchedulingQueue({
    profiles: new Map([[profile.schedulerName, profile]]),
    less: queueSortOf([profile]),
    wake: () => {},
    now: () => clock.now,
    ...(incoming ? { incoming } : {}),
  })
  return { queue, clock }
}
const fit = new Set(['NodeResourcesFit'])
const podResource = resourceOf(pods)
const podGone = { resource: podResource, action: Action.Delete, old: pod('gone') }

describe('a heap', () => {
  test('gives its items in order, whatever is pushed, changed and taken out of the middle', () => {
    const step = fc.record({ key: fc.nat(20).map(String), value: fc.nat(100), remove: fc.boolean() })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), steps => {
        const heap = new Heap<{ key: string; value: number }>(
          i => i.key,
          (a, b) => a.value < b.value,
        )
        const model = new Map<string, number>()
        for (const { key, value, remove } of steps) {
          if (remove) {
            expect(heap.delete(key)?.value).toBe(model.get(key))
            model.delete(key)
          } else {
            heap.push({ key, value })
            model.set(key, value)
          }
          expect(heap.size).toBe(model.size)
          expect(heap.peek()?.value ?? Infinity).toBe(Math.min(Infinity, ...model.values()))
        }
        const out: number[] = []
        for (let next = heap.pop(); next; next = heap.pop()) out.push(next.value)
        expect(out).toEqual([...model.values()].sort((a, b) => a - b))
      }),
    )
  })
})

describe('the scheduling queue', () => {
  test('holds each pod in exactly one place, until it is bound or gone', () => {
    const uid = fc.nat(6).map(n => `p${n}`)
    const step = fc.oneof(
      fc.record({ do: fc.constant('add' as const), uid, priority: fc.nat(3), gated: fc.boolean() }),
      fc.record({ do: fc.constant('remove' as const), uid }),
      fc.record({ do: fc.constant('pop' as const) }),
      fc.record({ do: fc.constantFrom('unschedulable' as const, 'failed' as const, 'bound' as const, 'decided' as const), nth: fc.nat(6) }),
      fc.record({ do: fc.constant('happened' as const), action: fc.constantFrom(Action.Delete, Action.Add, Action.UpdateOther) }),
      fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(1, 1500, 20_000, 400_000) }),
      fc.record({ do: fc.constant('activate' as const), uid }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), steps => {
        const { queue, clock } = newQueue()
        const waiting = new Set<string>()
        const flying: QueuedPod[] = []
        for (const s of steps) {
          clock.now++
          if (s.do === 'add') {
            queue.add(pod(s.uid, { priority: s.priority, gates: s.gated ? ['g'] : [] }))
            waiting.add(s.uid)
          } else if (s.do === 'remove') {
            queue.remove(s.uid)
            waiting.delete(s.uid)
          } else if (s.do === 'pop') {
            const next = queue.pop()
            if (next) flying.push(next)
          } else if (s.do === 'happened') queue.happened({ resource: podResource, action: s.action, old: pod('other') })
          else if (s.do === 'wait') {
            clock.now += s.ms
            queue.release()
          } else if (s.do === 'activate') queue.activate([s.uid])
          else {
            const [queued] = flying.splice(s.nth % Math.max(1, flying.length), 1)
            if (!queued) continue
            if (s.do === 'unschedulable') queue.unschedulable(queued, fit)
            else if (s.do === 'failed') queue.failed(queued)
            else if (s.do === 'decided') {
              queue.decided(queued.info.uid)
              flying.push(queued)
            } else {
              queue.done(queued.info.uid)
              waiting.delete(queued.info.uid)
            }
          }
          const { active, backoff, unschedulable: rejected, gated, inFlight } = queue.sizes
          expect(active + backoff + rejected + gated + inFlight).toBe(
            new Set([...waiting, ...flying.map(q => q.info.uid)].filter(u => queue.placeOf(u))).size,
          )
          for (const u of waiting) if (!flying.some(q => q.info.uid === u)) expect(queue.placeOf(u), u).toBeDefined()
        }
        queue.close()
      }),
      { numRuns: 500 },
    )
  })

  test('pops by priority, then by age', () => {
    const { queue, clock } = newQueue()
    for (const [uid, priority] of [
      ['a', 0],
      ['b', 5],
      ['c', 0],
      ['d', 5],
    ] as const) {
      clock.now++
      queue.add(pod(uid, { priority }))
    }
    expect([queue.pop(), queue.pop(), queue.pop(), queue.pop(), queue.pop()].map(q => q?.info.uid)).toEqual(['b', 'd', 'a', 'c', undefined])
    queue.close()
  })

  test('a change that helps and came in flight is not missed; one that came before is not counted', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('before' as const, 'within' as const, 'other' as const), { maxLength: 20 }), order => {
        const { queue } = newQueue()
        queue.add(pod('a'))
        for (const when of order) if (when === 'before') queue.happened(podGone)
        const a = queue.pop()!
        for (const when of order) {
          if (when === 'within') queue.happened(podGone)
          if (when === 'other') queue.happened({ resource: podResource, action: Action.Add, object: pod('x') })
        }
        queue.unschedulable(a, fit)
        expect(queue.placeOf('a')).toBe(order.includes('within') ? 'backoff' : 'unschedulable')
        queue.close()
      }),
    )
  })

  test('an update that came in flight is kept, whatever becomes of the attempt', () => {
    for (const how of ['failed', 'unschedulable'] as const) {
      const { queue, clock } = newQueue()
      queue.add(pod('a', { cpu: '4' }))
      const a = queue.pop()!
      queue.add(pod('a', { cpu: '1', labels: { now: 'small' } }))
      if (how === 'failed') queue.failed(a)
      else queue.unschedulable(a, fit)
      // A smaller pod may fit: it does not wait for anything else.
      expect(queue.placeOf('a'), how).toBe('backoff')
      clock.now += 60_000
      queue.release()
      expect(queue.pop()?.info.pod.metadata.labels, how).toEqual({ now: 'small' })
      queue.close()
    }
  })

  test('a pod that went away in flight does not come back', () => {
    for (const how of ['failed', 'unschedulable'] as const) {
      const { queue } = newQueue()
      queue.add(pod('a'))
      const a = queue.pop()!
      queue.remove('a')
      queue[how](a, fit)
      expect(queue.placeOf('a')).toBeUndefined()
      queue.close()
    }
  })

  test('wakes whom the change may help, and nobody for a heartbeat', () => {
    const { queue } = newQueue()
    queue.add(pod('small', { cpu: '1' }))
    queue.add(pod('large', { cpu: '8' }))
    queue.unschedulable(queue.pop()!, fit)
    queue.unschedulable(queue.pop()!, fit)
    const heartbeat = nodeChanges(node('1', '1'), node('1', '2'))
    expect(heartbeat).toBe(0)
    queue.happened({ resource: resourceOf(nodes), action: heartbeat, old: node('1', '1'), object: node('1', '2') })
    expect(queue.sizes).toMatchObject({ unschedulable: 2 })
    const grown = nodeChanges(node('2'), node('1'))
    expect(grown).toBe(Action.UpdateNodeAllocatable)
    queue.happened({ resource: resourceOf(nodes), action: grown, old: node('1'), object: node('2') })
    expect([queue.placeOf('small'), queue.placeOf('large')]).toEqual(['backoff', 'unschedulable'])
    // Another plugin's business.
    queue.happened({ resource: resourceOf(nodes), action: Action.UpdateNodeTaint, old: node('9'), object: node('9') })
    expect(queue.placeOf('large')).toBe('unschedulable')
    queue.close()
  })

  test('backs off longer each time, and takes a rejected pod early when no other waits', () => {
    const { queue, clock } = newQueue()
    queue.add(pod('a'))
    for (const wait of [1000, 2000, 4000, 8000, 10_000, 10_000]) {
      queue.failed(queue.pop()!)
      expect(queue.pop()).toBeUndefined()
      clock.now += wait - 1
      queue.release()
      expect(queue.placeOf('a')).toBe('backoff')
      clock.now += 1
      queue.release()
      expect(queue.placeOf('a')).toBe('active')
    }
    queue.unschedulable(queue.pop()!, fit)
    queue.happened(podGone)
    queue.add(pod('b'))
    expect([queue.pop()?.info.uid, queue.pop()?.info.uid]).toEqual(['b', 'a'])
    queue.close()
  })

  test('how long a pod backs off is said by its rejections, after a failure by those in a row', () => {
    const { queue, clock } = newQueue()
    queue.add(pod('a'))
    const waits = (outcome: 'unschedulable' | 'failed'): number => {
      const queued = queue.pop()!
      if (outcome === 'failed') queue.failed(queued)
      else queue.unschedulable(queued, fit)
      const wait = queued.notBefore - clock.now
      clock.now += wait
      if (outcome === 'failed') queue.release()
      else queue.happened(podGone)
      return wait
    }
    const outcomes = ['unschedulable', 'unschedulable', 'failed', 'failed', 'unschedulable', 'failed'] as const
    expect(outcomes.map(waits)).toEqual([1000, 2000, 1000, 2000, 4000, 1000])
    queue.close()
  })

  test('counts from when a pod became active, and wakes only pods that another one may have kept out', () => {
    const { queue, clock } = newQueue()
    queue.add(pod('gated', { gates: ['g'] }))
    clock.now += 60_000
    queue.add(pod('gated'))
    expect(queue.pop()?.came).toBe(clock.now)
    for (const priority of [1, 2]) queue.add(pod(`p${priority}`, { priority }))
    for (let i = 0; i < 2; i++) queue.unschedulable(queue.pop()!, fit)
    queue.happened(podGone, 1)
    expect(['p1', 'p2'].map(uid => queue.placeOf(uid))).toEqual(['backoff', 'unschedulable'])
    queue.close()
  })

  test('tells why a pod comes to a place, in upstream’s words, and whom plugins turned down', () => {
    const told: string[] = []
    const { queue, clock } = newQueue([], (name, why) => told.push(`${name} ${why}`))
    const reported = (): string[] => told.splice(0)
    queue.add(pod('a'))
    queue.add(pod('gated', { gates: ['g'] }))
    queue.unschedulable(queue.pop()!, fit)
    expect(reported()).toEqual(['active UnschedulablePodAdd', 'unschedulable UnschedulablePodAdd', 'unschedulable ScheduleAttemptFailure'])
    expect(queue.rejected.get('default-scheduler')).toEqual(new Map([['SchedulingGates', 1], ['NodeResourcesFit', 1]])) // prettier-ignore
    queue.happened({ resource: resourceOf(nodes), action: Action.UpdateNodeAllocatable, old: { ...node('0'), kind: 'Node' }, object: { ...node('4'), kind: 'Node' } }) // prettier-ignore
    queue.failed(queue.pop()!)
    clock.now += 1000
    queue.release()
    queue.unschedulable(queue.pop()!, fit)
    queue.happened(podGone)
    queue.add(pod('gated'))
    expect(reported()).toEqual([
      'backoff NodeUpdateNodeAllocatable',
      'active PopFromBackoffQ',
      'backoff ScheduleAttemptFailure',
      'active BackoffComplete',
      'unschedulable ScheduleAttemptFailure',
      'backoff AssignedPodDelete',
      'active UnschedulablePodUpdatePodSchedulingGatesEliminated',
    ])
    queue.close()
  })

  test('tries a pod again after five minutes in which nothing happened', () => {
    const { queue, clock } = newQueue()
    queue.add(pod('a'))
    queue.unschedulable(queue.pop()!, fit)
    clock.now += 299_999
    queue.release()
    expect(queue.placeOf('a')).toBe('unschedulable')
    clock.now += 1
    queue.release()
    expect(queue.placeOf('a')).toBe('active')
    queue.close()
  })

  test('holds gated pods back until their last gate is gone', () => {
    const { queue, clock } = newQueue()
    queue.add(pod('a', { gates: ['x', 'y'] }))
    queue.happened(podGone)
    expect(queue.pop()).toBeUndefined()
    queue.add(pod('a', { gates: ['y'] }))
    clock.now += 600_000
    queue.release()
    expect(queue.pop()).toBeUndefined()
    queue.add(pod('a'))
    expect(queue.pop()?.info.uid).toBe('a')
    queue.close()
  })

  test('a plugin that says nothing of changes is asked after each of them', () => {
    const silent = { plugin: () => ({ name: 'Silent', filter: () => unschedulable('no') }) }
    const profile = testProfile({}, [...plugins, silent])
    const queue = new SchedulingQueue({
      profiles: new Map([[profile.schedulerName, profile]]),
      less: queueSortOf([profile]),
      wake: () => {},
    })
    queue.add(pod('a'))
    queue.unschedulable(queue.pop()!, new Set(['Silent']))
    queue.happened({ resource: 'example.com/things', action: Action.UpdateOther })
    expect(queue.placeOf('a')).toBe('backoff')
    queue.close()
  })

  test('200,000 pods can wait at once', () => {
    const { queue } = newQueue()
    for (let i = 0; i < 200_000; i++) queue.add(pod(`p${i}`))
    for (let next = queue.pop(); next; next = queue.pop()) queue.unschedulable(next, fit)
    expect(queue.sizes).toEqual({ active: 0, backoff: 0, unschedulable: 200_000, gated: 0, inFlight: 0 })
    queue.close()
  }, 120_000)
})

describe('what is in flight', () => {
  test('holds no event that nobody can miss, and not more than it may', () => {
    const flight = new InFlight()
    flight.happened(podGone)
    expect(flight.held).toBe(0)
    flight.start('a')
    flight.start('b')
    for (let i = 0; i < 25_000; i++) flight.happened(podGone)
    expect(flight.held).toBeLessThanOrEqual(10_000)
    // Too long ago to know.
    expect(flight.finish('a')?.events).toBe('all')
    flight.start('c')
    flight.happened(podGone)
    flight.decided('b')
    expect(flight.finish('c')?.events).toEqual([podGone])
    expect(flight.held).toBe(0)
    expect(flight.finish('b')).toEqual({ latest: undefined, gone: false, events: [] })
    expect(flight.finish('b')).toBeUndefined()
  })
  test('a pod that a plugin holds back stays where it is when something else would help it, and comes once it is let go', () => {
    let held = true
    const holding = { plugin: () => ({ name: 'Holding', events: [], preEnqueue: () => (held ? unschedulable('not yet') : undefined) }) }
    held = false
    const { queue } = newQueue([holding])
    queue.add(pod('a'))
    queue.unschedulable(queue.pop()!, fit)
    held = true
    queue.happened(podGone)
    expect([queue.placeOf('a'), queue.pop()]).toEqual(['unschedulable', undefined])
    queue.happened(podGone)
    held = false
    queue.happened(podGone)
    expect(queue.pop()?.info.uid).toBe('a')
  })
})

/** What an eviction manager decides: thresholds, conditions, order, words. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { amountOf, bytesText, parseStatements, parseThresholds, type Signal } from '#shared/kubelet/thresholds.ts'
import { evictionMessage, rankPods } from '#node-agent/kubelet/eviction/rank.ts'
import type { Observation } from '#node-agent/kubelet/eviction/signals.ts'
import { calm, effectiveThresholds, nextState } from '#node-agent/kubelet/eviction/state.ts'
import { container, newPod } from './pods.ts'

const Mi = 2 ** 20
const left = (available: number, capacity = 1000 * Mi, signal: Signal = 'memory.available') =>
  new Map<Signal, Observation>([[signal, { available, capacity }]])

describe('thresholds', () => {
  test('are quantities or shares', () => {
    const hard = parseStatements('memory.available<100Mi,nodefs.available<10%,imagefs.available<0%', '<')
    expect(parseThresholds({ hard })).toEqual([
      { signal: 'memory.available', amount: { value: 100 * Mi, text: '100Mi' }, graceMs: 0 },
      { signal: 'nodefs.available', amount: { share: 0.1 }, graceMs: 0 },
    ])
  })
  test('soft ones have a grace, and any may want more reclaimed', () => {
    const soft = { 'pid.available': '200' }
    expect(parseThresholds({ soft, softGracePeriod: { 'pid.available': '1m30s' }, minimumReclaim: { 'pid.available': '5%' } })).toEqual([
      { signal: 'pid.available', amount: { value: 200, text: '200' }, graceMs: 90_000, minReclaim: { share: 0.05 } },
    ])
  })
  test.each([
    [{ hard: { 'cpu.available': '1' } }, 'unsupported eviction signal cpu.available'],
    [{ hard: { 'memory.available': '-5Mi' } }, 'eviction threshold memory.available must be positive: -5Mi'],
    [{ hard: { 'nodefs.available': '-1%' } }, 'eviction percentage threshold nodefs.available must be >= 0%: -1%'],
    [{ hard: { 'nodefs.available': '101%' } }, 'eviction percentage threshold nodefs.available must be <= 100%: 101%'],
    [{ soft: { 'memory.available': '1Gi' } }, 'grace period must be specified for the soft eviction threshold memory.available'],
    [
      { soft: { 'memory.available': '1Gi' }, softGracePeriod: { 'memory.available': '-1s' } },
      'invalid eviction grace period specified: -1s, must be a positive value',
    ],
    [{ minimumReclaim: { 'memory.available': '-1' } }, 'negative eviction minimum reclaim specified for memory.available'],
  ])('%j is refused', (options, message) => expect(() => parseThresholds(options)).toThrow(message))
  test('a share is a single-precision number', () => expect(amountOf({ share: 0.1 }, 10_000_000_000)).toBe(1_000_000_014))
  test('with a hard threshold of memory goes one for what pods have together, when that is enforced', () => {
    const thresholds = parseThresholds({ hard: { 'memory.available': '100Mi', 'containerfs.available': '10%' } })
    expect(effectiveThresholds(thresholds, true).map(t => t.signal)).toEqual(['memory.available', 'allocatableMemory.available'])
    expect(effectiveThresholds(thresholds, false).map(t => t.signal)).toEqual(['memory.available'])
  })
})

describe('conditions', () => {
  const [soft] = parseThresholds({ soft: { 'memory.available': '100Mi' }, softGracePeriod: { 'memory.available': '10s' } })
  test('come at once, and what they ask for after its grace', () => {
    const first = nextState(calm, [soft!], left(50 * Mi), 1_000, 5_000)
    expect([[...first.pressures], first.reclaim]).toEqual([['MemoryPressure'], []])
    const then = nextState(first.state, [soft!], left(50 * Mi), 11_000, 5_000)
    expect(then.reclaim).toEqual([soft])
    const well = nextState(then.state, [soft!], left(150 * Mi), 12_000, 5_000)
    expect([[...well.pressures], well.reclaim]).toEqual([['MemoryPressure'], []])
    expect([...nextState(well.state, [soft!], left(150 * Mi), 16_000, 5_000).pressures]).toEqual([])
    // The grace begins anew.
    const again = nextState(well.state, [soft!], left(50 * Mi), 13_000, 5_000)
    expect(again.reclaim).toEqual([])
  })
  test('a threshold that was met holds until its minimum is reclaimed', () => {
    const [hard] = parseThresholds({ hard: { 'memory.available': '100Mi' }, minimumReclaim: { 'memory.available': '50Mi' } })
    const low = nextState(calm, [hard!], left(90 * Mi), 0, 0)
    const better = nextState(low.state, [hard!], left(120 * Mi), 1, 0)
    expect(better.reclaim).toEqual([hard])
    const enough = nextState(better.state, [hard!], left(160 * Mi), 2, 0)
    expect(enough.reclaim).toEqual([])
    // Below the minimum, but it never was met since.
    expect(nextState(enough.state, [hard!], left(120 * Mi), 3, 0).reclaim).toEqual([])
  })
  test('memory comes before disks and processes', () => {
    const thresholds = parseThresholds({ hard: { 'nodefs.available': '10%', 'pid.available': '10', 'memory.available': '100Mi' } })
    const seen = new Map([...left(1), ...left(1, 1000, 'nodefs.available'), ...left(1, 1000, 'pid.available')])
    const next = nextState(calm, thresholds, seen, 0, 0)
    expect(next.reclaim.map(t => t.signal)).toEqual(['memory.available', 'nodefs.available', 'pid.available'])
    expect([...next.pressures].sort()).toEqual(['DiskPressure', 'MemoryPressure', 'PIDPressure'])
  })
  test('whatever is observed: nothing is reclaimed without its condition, nor before its grace is over', () =>
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 1, max: 8_000 })), { maxLength: 30 }), looks => {
        let state = calm
        let now = 0
        let since: number | undefined
        for (const [mebi, pause] of looks) {
          now += pause
          since = mebi < 100 ? (since ?? now) : undefined
          const next = nextState(state, [soft!], left(mebi * Mi), now, 5_000)
          state = next.state
          const due = since !== undefined && now - since >= 10_000
          if (next.reclaim.length > 0 !== due || (due && !next.pressures.has('MemoryPressure'))) return false
        }
        return true
      }),
    ))
})

const pod = (name: string, memory: string | undefined, priority = 0) =>
  newPod({ priority, containers: [container('c', memory ? { resources: { requests: { memory } } } : {})] }, { name })
const uses = (name: string, mebi: number, request?: string, priority = 0) => ({
  pod: pod(name, request, priority),
  usage: { memory: { c: mebi * Mi } },
})
const names = (candidates: readonly { pod: { metadata: { name?: string } } }[]) => candidates.map(c => c.pod.metadata.name)

describe('order', () => {
  test('above its requests, then priority, then how far above', () => {
    const all = [
      uses('within', 90, '100Mi'),
      uses('far', 90, '10Mi'),
      uses('near', 20, '10Mi'),
      uses('vip', 900, '10Mi', 5),
      uses('best', 50),
    ]
    expect(names(rankPods(all, 'memory'))).toEqual(['far', 'best', 'near', 'vip', 'within'])
  })
  test('processes: priority, then how many', () => {
    const with0 = (name: string, processes: number, priority = 0) => ({ pod: pod(name, undefined, priority), usage: { processes } })
    expect(names(rankPods([with0('a', 5), with0('b', 50), with0('c', 500, 1)], 'pids'))).toEqual(['b', 'a', 'c'])
  })
  test('of which nobody knows what they use go first', () =>
    expect(names(rankPods([uses('known', 900), { pod: pod('unknown', undefined, 9), usage: {} }], 'memory'))).toEqual(['unknown', 'known']))
  test('a pod never goes before one that it may not outlast', () =>
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(300), fc.nat(300), fc.integer({ min: -2, max: 2 }))), pods => {
        const ranked = rankPods(
          pods.map(([used, asked, priority], i) => uses(String(i), used, `${asked}Mi`, priority)),
          'memory',
        )
        const key = ({ pod: p, usage }: (typeof ranked)[number]): [number, number, number] => {
          const request = Number.parseInt(p.spec.containers[0]!.resources!.requests!['memory']!, 10)
          const above = usage.memory['c']! / Mi - request
          return [above > 0 ? 0 : 1, p.spec.priority ?? 0, -above]
        }
        return ranked.every((c, i) => {
          if (i === 0) return true
          const [a, b] = [key(ranked[i - 1]!), key(c)]
          const at = a.findIndex((n, j) => n !== b[j])
          return at < 0 || a[at]! < b[at]!
        })
      }),
    ))
})

describe('words', () => {
  const thresholds = parseThresholds({ hard: { 'memory.available': '100Mi', 'nodefs.inodesFree': '5%' } })
  test('of memory', () =>
    expect(evictionMessage(uses('p', 60, '50Mi'), 'memory', thresholds, left(40 * Mi))).toEqual({
      message:
        'The node was low on resource: memory. Threshold quantity: 100Mi, available: 40Mi. ' +
        'Container c was using 60Mi, request is 50Mi, has larger consumption of memory. ',
      annotations: { offending_containers: 'c', offending_containers_usage: '60Mi', starved_resource: 'memory' },
    }))
  test('of a pod that has resources of its own', () => {
    const own = newPod({ resources: { requests: { memory: '10Mi' } }, containers: [container('c')] })
    expect(evictionMessage({ pod: own, usage: { memory: { c: 20 * Mi } } }, 'memory', [], new Map()).message).toBe(
      'The node was low on resource: memory. Pod p was using 20Mi, request is 10Mi, has larger consumption of memory. ' +
        'Container c was using 20Mi, request is 0, has larger consumption of memory. ',
    )
  })
  test('of inodes', () =>
    expect(evictionMessage(uses('p', 1), 'inodes', thresholds, left(3, 1000, 'nodefs.inodesFree')).message).toBe(
      'The node was low on resource: inodes. Threshold quantity: 50, available: 3. ',
    ))
  test('amounts are binary where they can be', () =>
    expect([bytesText(104_857_600), bytesText(1000), bytesText(0)]).toEqual(['100Mi', '1k', '0']))
})

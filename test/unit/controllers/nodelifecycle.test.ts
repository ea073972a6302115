import { expect, test } from 'vitest'
import type { Lease } from '#shared/api/coordination/lease.ts'
import type { Node } from '#shared/api/core/node.ts'
import { isSilent, observe, silentConditions } from '#control-plane/controller-manager/nodelifecycle/health.ts'
import { stay } from '#control-plane/controller-manager/nodelifecycle/tainteviction.ts'
import { toleratesTaint } from '#shared/scheduling/taints.ts'
import { disruption, noExecuteKey, noScheduleKeys, withTaints, zoneState } from '#control-plane/controller-manager/nodelifecycle/taints.ts'

const node = (
  name: string,
  ready: string | undefined,
  over: { taints?: object[]; unschedulable?: boolean; zone?: string; heartbeat?: string } = {},
): Node =>
  ({
    metadata: {
      name,
      uid: name,
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: over.zone ? { 'topology.kubernetes.io/zone': over.zone } : {},
    },
    spec: { taints: over.taints, unschedulable: over.unschedulable },
    status: { conditions: ready ? [{ type: 'Ready', status: ready, lastHeartbeatTime: over.heartbeat ?? 't0' }] : [] },
  }) as unknown as Node
const lease = (renewTime: string): Lease => ({ spec: { renewTime } }) as Lease

test('a renewed lease or a heartbeat is a sign of life; silence is counted from when it was noticed', () => {
  let h = observe(undefined, node('a', 'True'), lease('1'), 1000)
  h = observe(h, node('a', 'True'), lease('1'), 30_000)
  expect(h.at).toBe(1000)
  expect([isSilent(h, node('a', 'True'), 50_000, 51_000), isSilent(h, node('a', 'True'), 50_000, 51_001)]).toEqual([false, true])
  expect(observe(h, node('a', 'True'), lease('2'), 40_000).at).toBe(40_000)
  expect(observe(h, node('a', 'True', { heartbeat: 't1' }), lease('1'), 41_000).at).toBe(41_000)
  // A node that never reported gets a minute.
  expect(isSilent({ sign: '', at: 0 }, node('a', undefined), 50_000, 55_000)).toBe(false)
})

test('conditions of a silent node', () => {
  const t = Date.parse('2026-01-02T00:00:00Z')
  const silent = silentConditions(node('a', 'True'), t)
  expect(silent.find(c => c.type === 'Ready')).toEqual({
    type: 'Ready',
    status: 'Unknown',
    reason: 'NodeStatusUnknown',
    message: 'Kubelet stopped posting node status.',
    lastHeartbeatTime: 't0',
    lastTransitionTime: '2026-01-02T00:00:00Z',
  })
  expect(silent.find(c => c.type === 'PIDPressure')).toMatchObject({
    status: 'Unknown',
    reason: 'NodeStatusNeverUpdated',
    message: 'Kubelet never posted node status.',
  })
  const again = { ...node('a', 'True'), status: { conditions: silent } } as Node
  expect(silentConditions(again, t + 1000)).toBe(silent)
})

test('taints follow conditions; those of others stay', () => {
  expect(noScheduleKeys(node('a', 'Unknown', { unschedulable: true }))).toEqual([
    'node.kubernetes.io/unreachable',
    'node.kubernetes.io/unschedulable',
  ])
  expect(noExecuteKey(node('a', 'False'))).toBe('node.kubernetes.io/not-ready')
  expect(noExecuteKey(node('a', undefined))).toBeUndefined()
  const fresh = { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }
  expect([noScheduleKeys(node('a', undefined, { taints: [fresh] })), noScheduleKeys(node('a', 'True', { taints: [fresh] }))]).toEqual([
    [fresh.key],
    [],
  ])
  const own = { key: 'mine', effect: 'NoExecute' }
  const n = node('a', 'Unknown', { taints: [own, { key: 'node.kubernetes.io/not-ready', effect: 'NoExecute' }] })
  const taints = withTaints(n, ['node.kubernetes.io/unreachable'], 'node.kubernetes.io/unreachable', 0)
  expect(taints!.map(t => `${t.key}:${t.effect}`)).toEqual([
    'mine:NoExecute',
    'node.kubernetes.io/unreachable:NoSchedule',
    'node.kubernetes.io/unreachable:NoExecute',
  ])
  const same = { ...n, spec: { taints } } as Node
  expect(withTaints(same, ['node.kubernetes.io/unreachable'], 'node.kubernetes.io/unreachable', 9)).toBe(taints)
  expect(withTaints(same, [], undefined, 9)).toEqual([own])
})

test('zones: one that is dark altogether, one that is half gone, and when everything is', () => {
  const nodes = (...ready: string[]) => ready.map((r, i) => node(`n${i}`, r))
  expect(zoneState(nodes('True', 'True', 'Unknown'))).toBe('Normal')
  expect(zoneState(nodes('True', 'Unknown', 'Unknown'))).toBe('Normal')
  expect(zoneState(nodes('True', 'Unknown', 'Unknown', 'False'))).toBe('PartialDisruption')
  expect(zoneState(nodes('Unknown'))).toBe('FullDisruption')
  expect(disruption(nodes('Unknown', 'Unknown')).total).toBe(true)
  const mixed = disruption([node('a', 'Unknown', { zone: 'x' }), node('b', 'True', { zone: 'y' })])
  expect([mixed.total, mixed.rates.get('/x')]).toEqual([false, 0.1])
  expect(disruption([]).total).toBe(false)
})

test('how long a pod may stay', () => {
  const taint = { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute' }
  const other = { key: 'k', value: 'v', effect: 'NoExecute' }
  const t = (key: string, tolerationSeconds?: number) => ({
    key,
    operator: 'Exists',
    effect: 'NoExecute',
    ...(tolerationSeconds === undefined ? {} : { tolerationSeconds }),
  })
  expect(stay([], [taint])).toBe(0)
  expect(stay([t(taint.key, 300)], [taint])).toBe(300_000)
  expect(stay([t(taint.key)], [taint])).toBeUndefined()
  expect(stay([t(taint.key, 300), t('k', 5)], [taint, other])).toBe(5000)
  expect(stay([t(taint.key, 300)], [taint, other])).toBe(0)
  expect(stay([t('k', -1)], [other])).toBe(0)
  expect(toleratesTaint({ operator: 'Exists' }, other)).toBe(true)
  expect(toleratesTaint({ key: 'k', value: 'v' }, other)).toBe(true)
  expect(toleratesTaint({ key: 'k', operator: 'Equal', value: 'w' }, other)).toBe(false)
  expect(toleratesTaint({ key: 'k', operator: 'Exists', effect: 'NoSchedule' }, other)).toBe(false)
})

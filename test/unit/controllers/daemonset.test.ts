import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ControllerRevision } from '#shared/api/apps/controllerrevision.ts'
import type { DaemonSet } from '#shared/api/apps/daemonset.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { failedPods } from '#control-plane/controller-manager/daemonset/failedpods.ts'
import { manage } from '#control-plane/controller-manager/daemonset/manage.ts'
import { fitsOf, podsByNode } from '#control-plane/controller-manager/daemonset/nodes.ts'
import { daemonSetStatus } from '#control-plane/controller-manager/daemonset/status.ts'
import { isUpdated, newPod, nodeOf, tolerationsOf } from '#control-plane/controller-manager/daemonset/template.ts'
import { rollingUpdate } from '#control-plane/controller-manager/daemonset/update.ts'
import { byRevision, sameData, templatePatch } from '#control-plane/controller-manager/history/revisions.ts'

const now = Date.parse('2026-01-01T12:00:00Z')
const set = (rollingUpdate: object = { maxUnavailable: 1, maxSurge: 0 }, spec: object = {}, template: object = {}): DaemonSet =>
  ({
    metadata: { name: 'logs', namespace: 'ns', uid: 'set', annotations: { 'deprecated.daemonset.template.generation': '2' } },
    spec: {
      selector: { matchLabels: { a: 'b' } },
      template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }], ...template } },
      updateStrategy: { type: 'RollingUpdate', rollingUpdate },
      ...spec,
    },
    status: {},
  }) as unknown as DaemonSet
const node = (name: string, labels: Record<string, string> = {}, taints: object[] = []): Node =>
  ({ metadata: { name, labels }, spec: { taints }, status: {} }) as unknown as Node
interface Shape {
  node: string
  hash?: string
  ready?: boolean
  phase?: string
  terminating?: boolean
  bound?: boolean
  name?: string
}
const pod = ({ node: nodeName, hash = 'new', ready = true, phase = 'Running', terminating, bound = true, name }: Shape): Pod => {
  const made = newPod(set(), nodeName, hash)
  delete made.metadata.labels!['pod-template-generation']
  return {
    ...made,
    metadata: {
      ...made.metadata,
      name: name ?? `${nodeName}-${hash}`,
      ...(terminating ? { deletionTimestamp: '2026-01-01T11:59:59Z' } : {}),
    },
    spec: { ...made.spec, ...(bound ? { nodeName } : {}) },
    status: { phase, conditions: [{ type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: '2026-01-01T11:00:00Z' }] },
  } as Pod
}
const names = (pods: readonly { metadata: { name?: string | undefined } }[]) => pods.map(p => p.metadata.name)
const managed = (ds: DaemonSet, nodes: Node[], pods: Pod[]) => manage(ds, nodes, fitsOf(ds), podsByNode(pods), 'new', now)
const updated = (ds: DaemonSet, nodes: Node[], pods: Pod[]) => rollingUpdate(ds, nodes, fitsOf(ds), podsByNode(pods), 'new', now)

describe('nodes', () => {
  test('fit by selector, affinity, name and taints', () => {
    const fit = (ds: DaemonSet, n: Node) => fitsOf(ds)(n)
    const yes = { run: true, stay: true }
    const no = { run: false, stay: false }
    expect(fit(set(), node('n'))).toEqual(yes)
    expect(fit(set({}, {}, { nodeSelector: { disk: 'ssd' } }), node('n', { disk: 'ssd' }))).toEqual(yes)
    expect(fit(set({}, {}, { nodeSelector: { disk: 'ssd' } }), node('n'))).toEqual(no)
    expect(fit(set({}, {}, { nodeName: 'other' }), node('n'))).toEqual(no)
    const required = { nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator: 'In', values: ['a'] }] }] }
    const affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } }
    expect([fit(set({}, {}, { affinity }), node('n', { zone: 'a' })), fit(set({}, {}, { affinity }), node('n'))]).toEqual([yes, no])
    const taint = (key: string, effect: string) => node('n', {}, [{ key, effect }])
    expect(fit(set(), taint('x', 'NoSchedule'))).toEqual({ run: false, stay: true })
    expect(fit(set(), taint('x', 'NoExecute'))).toEqual(no)
    expect(fit(set(), taint('x', 'PreferNoSchedule'))).toEqual(yes)
    for (const key of ['not-ready', 'unreachable']) expect(fit(set(), taint(`node.kubernetes.io/${key}`, 'NoExecute'))).toEqual(yes)
    expect(fit(set(), taint('node.kubernetes.io/unschedulable', 'NoSchedule'))).toEqual(yes)
    expect(fit(set(), taint('node.kubernetes.io/network-unavailable', 'NoSchedule')).run).toBe(false)
    expect(fit(set({}, {}, { hostNetwork: true }), taint('node.kubernetes.io/network-unavailable', 'NoSchedule')).run).toBe(true)
  })
  test('get a pod that the scheduler binds there', () => {
    const preferred = [{ weight: 1, preference: { matchExpressions: [] } }]
    const ds = set({}, {}, { affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: preferred } } })
    const made = newPod(ds, 'n-1', 'h')
    expect(nodeOf(made)).toBe('n-1')
    expect(made.spec.affinity!.nodeAffinity!.preferredDuringSchedulingIgnoredDuringExecution).toEqual(preferred)
    expect(made.metadata).toMatchObject({
      generateName: 'logs-',
      labels: { a: 'b', 'controller-revision-hash': 'h', 'pod-template-generation': '2' },
      ownerReferences: [{ kind: 'DaemonSet', uid: 'set' }],
    })
    expect(made.spec.tolerations).toHaveLength(6)
    expect(isUpdated(made, ds, 'other')).toBe(true)
  })
  test('tolerations of the template stay, none comes twice', () => {
    const given = [
      { key: 'x', operator: 'Exists' },
      { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 5 },
    ]
    const all = tolerationsOf(set({}, {}, { tolerations: given }))
    expect(all).toHaveLength(7)
    expect(all.slice(0, 2)).toEqual([given[0], { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' }])
  })
})

describe('management', () => {
  const nodes = [node('n1'), node('n2')]
  test('one pod a node, none elsewhere', () => {
    expect(managed(set(), nodes, [])).toMatchObject({ create: ['n1', 'n2'], remove: [] })
    expect(managed(set(), nodes, [pod({ node: 'n1' })])).toMatchObject({ create: ['n2'], remove: [] })
    expect(managed(set(), nodes, [pod({ node: 'n1', terminating: true }), pod({ node: 'n2' })]).create).toEqual([])
    const chosen = set({}, {}, { nodeSelector: { x: 'y' } })
    expect(names(managed(chosen, nodes, [pod({ node: 'n1' })]).remove)).toEqual(['n1-new'])
    const twice = [pod({ node: 'n1', name: 'b' }), pod({ node: 'n1', name: 'a', bound: false }), pod({ node: 'n2' })]
    expect(names(managed(set(), nodes, twice).remove)).toEqual(['a'])
    expect(names(managed(set(), nodes, [pod({ node: 'gone', bound: false }), pod({ node: 'lost' })]).remove)).toEqual(['gone-new'])
  })
  test('those that ended are replaced', () => {
    const { ended, create, remove } = managed(set(), nodes, [pod({ node: 'n1', phase: 'Failed' }), pod({ node: 'n2', phase: 'Succeeded' })])
    expect(ended.map(e => e.node)).toEqual(['n1', 'n2'])
    expect([create, remove]).toEqual([[], []])
  })
  test('with a surge an old pod goes when the new one is available', () => {
    const surging = set({ maxUnavailable: 0, maxSurge: 1 })
    const both = (fresh: boolean, old = true) => [pod({ node: 'n1', ready: fresh }), pod({ node: 'n1', hash: 'old', ready: old })]
    const one = [node('n1')]
    expect(managed(surging, one, both(false)).remove).toEqual([])
    expect(names(managed(surging, one, both(true)).remove)).toEqual(['n1-old'])
    expect(names(managed(surging, one, both(false, false)).remove)).toEqual(['n1-old'])
    expect(managed(surging, one, [pod({ node: 'n1', terminating: true })]).create).toEqual(['n1'])
  })
  test('failed pods are replaced more and more slowly, each place by itself', () => {
    let clock = 0
    const places = failedPods(() => clock)
    expect(places.hold('a')).toBe(0)
    expect(places.hold('a')).toBe(1000)
    clock = 1000
    expect([places.hold('a'), places.hold('b')]).toEqual([0, 0])
    expect(places.hold('a')).toBe(2000)
    clock = 10_000_000
    expect(places.hold('a')).toBe(0)
    expect(places.hold('a')).toBe(1000)
  })
})

describe('a rolling update', () => {
  const nodes = ['n1', 'n2', 'n3', 'n4'].map(n => node(n))
  const old = (n: string, more: Partial<Shape> = {}) => pod({ node: n, hash: 'old', ...more })
  test('takes as many away as may be unavailable', () => {
    expect(updated(set(), nodes, [old('n1'), old('n2'), old('n3'), pod({ node: 'n4' })]).remove).toHaveLength(1)
    expect(updated(set(), nodes, [old('n1'), old('n2'), old('n3'), pod({ node: 'n4', ready: false })]).remove).toEqual([])
    expect(
      updated(
        set({ maxUnavailable: '50%', maxSurge: 0 }),
        nodes,
        nodes.map(n => old(n.metadata.name!)),
      ).remove,
    ).toHaveLength(2)
    // What does not work anyway goes at once.
    const broken = [old('n1', { ready: false }), old('n2', { ready: false }), old('n3'), old('n4')]
    expect(names(updated(set(), nodes, broken).remove)).toEqual(['n1-old', 'n2-old'])
  })
  test('or puts new ones beside as many as may surge', () => {
    const surging = set({ maxUnavailable: 0, maxSurge: 2 })
    const all = nodes.map(n => old(n.metadata.name!))
    expect(updated(surging, nodes, all).create).toEqual(['n1', 'n2'])
    expect(updated(surging, nodes, [...all, pod({ node: 'n3', ready: false })]).create).toEqual(['n1'])
    expect(names(updated(surging, nodes, [...all, pod({ node: 'n3' })]).remove)).toEqual(['n3-old'])
    expect(updated(surging, nodes, [old('n1', { ready: false }), ...all.slice(1)]).create).toEqual(['n1', 'n2', 'n3'])
  })
  const states = fc.array(
    fc.record({ old: fc.constantFrom('none', 'ready', 'unready'), fresh: fc.constantFrom('none', 'ready', 'unready') }),
    { minLength: 1, maxLength: 8 },
  )
  test('never takes more available pods than its limits allow', () => {
    fc.assert(
      fc.property(states, fc.integer({ min: 0, max: 4 }), fc.boolean(), (places, limit, surging) => {
        const ds = surging ? set({ maxUnavailable: 0, maxSurge: limit + 1 }) : set({ maxUnavailable: limit + 1, maxSurge: 0 })
        const all = places.map((_, i) => node(`n${i}`))
        const pods = places.flatMap((p, i) => [
          ...(p.old === 'none' ? [] : [pod({ node: `n${i}`, hash: 'old', ready: p.old === 'ready' })]),
          ...(p.fresh === 'none' ? [] : [pod({ node: `n${i}`, ready: p.fresh === 'ready' })]),
        ])
        const { create, remove } = updated(ds, all, pods)
        const ready = (p: Pod) => p.status!.conditions![0]!.status === 'True'
        const serving = (some: Pod[]) => new Set(some.filter(ready).map(p => p.spec.nodeName)).size
        const [before, after] = [serving(pods), serving(pods.filter(p => !remove.includes(p)))]
        if (surging) {
          expect(after).toBe(before)
          const besideReady = create.filter(n => pods.some(p => p.spec.nodeName === n && ready(p)))
          expect(besideReady.length).toBeLessThanOrEqual(limit + 1)
        } else if (after < before) expect(all.length - after).toBeLessThanOrEqual(limit + 1)
        for (const p of remove) expect(p.metadata.labels!['controller-revision-hash']).toBe('old')
      }),
    )
  })
})

test('the status counts nodes', () => {
  const ds = set({}, {}, { nodeSelector: { x: 'y' } })
  const nodes = [node('n1', { x: 'y' }), node('n2', { x: 'y' }), node('n3', { x: 'y' }), node('n4')]
  const pods = [pod({ node: 'n1' }), pod({ node: 'n2', hash: 'old', ready: false }), pod({ node: 'n4' })]
  expect(daemonSetStatus(ds, nodes, fitsOf(ds), podsByNode(pods), 'new', undefined, now)).toMatchObject({
    desiredNumberScheduled: 3,
    currentNumberScheduled: 2,
    numberMisscheduled: 1,
    numberReady: 1,
    numberAvailable: 1,
    numberUnavailable: 2,
    updatedNumberScheduled: 1,
  })
})

test('revisions are ordered by number, and the same state is found again', () => {
  const revision = (name: string, revision: number) => ({ metadata: { name }, revision }) as ControllerRevision
  expect([revision('b', 3), revision('a', 12), revision('c', 3)].sort(byRevision).map(r => r.metadata.name)).toEqual(['b', 'c', 'a'])
  expect(sameData(templatePatch({ a: 1, b: [2] }), { spec: { template: { b: [2], $patch: 'replace', a: 1 } } })).toBe(true)
})

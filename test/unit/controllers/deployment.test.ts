import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Deployment } from '#shared/api/apps/deployment.ts'
import type { ReplicaSet } from '#shared/api/apps/replicaset.ts'
import {
  desiredReplicas,
  maxRevision,
  sizeAnnotations,
  syncedAnnotations,
} from '#control-plane/controller-manager/deployment/annotations.ts'
import {
  fenceposts,
  maxSurge,
  maxUnavailable,
  newSize,
  scaleAll,
  scaleNew,
  scaleOld,
  sizeOf,
  totalAvailable,
  totalSize,
  type Scaling,
} from '#control-plane/controller-manager/deployment/rolling.ts'
import { isComplete, isTimedOut, rolloutStatus, withCondition } from '#control-plane/controller-manager/deployment/status.ts'
import { findNew, newReplicaSet, sameTemplate } from '#control-plane/controller-manager/deployment/template.ts'

function deployment(replicas: number, maxSurge: number | string, maxUnavailable: number | string): Deployment {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace: 'ns', uid: 'd', generation: 1 },
    spec: {
      replicas,
      progressDeadlineSeconds: 600,
      selector: { matchLabels: { app: 'web' } },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } },
      template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
    },
  } as Deployment
}
let created = 0
const set = (name: string, replicas: number, available = replicas): ReplicaSet =>
  ({
    metadata: { name, namespace: 'ns', uid: name, creationTimestamp: `2026-01-01T00:00:0${created++ % 10}Z` },
    spec: { replicas, selector: {}, template: {} },
    status: { replicas, availableReplicas: available, readyReplicas: available },
  }) as ReplicaSet

test.each([
  [10, '25%', '25%', 3, 2],
  [1, '25%', '25%', 1, 0],
  [10, 0, '5%', 0, 1],
  [3, 0, 0, 0, 1],
  [4, '100%', '100%', 4, 4],
])('of %i replicas, surge %s and unavailable %s are %i and %i', (replicas, surge, unavailable, s, u) => {
  expect(fenceposts(deployment(replicas, surge, unavailable))).toEqual({ surge: s, unavailable: u })
})

const limit = fc.oneof(
  fc.integer({ min: 0, max: 6 }),
  fc.integer({ min: 0, max: 100 }).map(n => `${n}%`),
)

test('a rolling update keeps its limits at every step and always ends, whatever order pods become available in', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 20 }),
      limit,
      limit,
      fc.array(fc.integer({ min: 0, max: 8 }), { maxLength: 3 }),
      fc.infiniteStream(fc.nat(5)),
      (replicas, surge, unavailable, oldSizes, luck) => {
        const d = deployment(replicas, surge, unavailable)
        // The deployment was healthy before: its old sets hold what it wants.
        const old = oldSizes.map((n, i) => set(`old-${i}`, n))
        const present = totalSize(old)
        if (present < replicas) old.push(set('old-rest', replicas - present))
        const newRS = set('new', 0)
        newRS.spec.replicas = newSize(d, old, 0)
        newRS.status!.availableReplicas = 0
        const ceiling = Math.max(replicas + maxSurge(d), present)
        const floor = replicas - maxUnavailable(d)
        const apply = ({ rs, replicas }: Scaling) => {
          rs.spec.replicas = replicas
          // Replica sets give up pods that are not available first.
          rs.status = { ...rs.status!, replicas, availableReplicas: Math.min(rs.status!.availableReplicas!, replicas) }
        }
        const random = luck[Symbol.iterator]()
        let steps = 0
        while (totalSize(old) > 0 || sizeOf(newRS) !== replicas || newRS.status!.availableReplicas !== replicas) {
          if (++steps > 500)
            throw new Error(
              `does not end: new ${sizeOf(newRS)}/${newRS.status!.availableReplicas}, old ${old.map(o => `${sizeOf(o)}/${o.status!.availableReplicas}`).join(' ')}`,
            )
          const up = scaleNew(d, newRS, old)
          if (up) apply(up)
          else scaleOld(d, newRS, old).forEach(apply)
          expect(totalSize([...old, newRS])).toBeLessThanOrEqual(ceiling)
          expect(totalAvailable([...old, newRS])).toBeGreaterThanOrEqual(Math.min(floor, replicas))
          // Some of the new pods become available; now and then none does.
          const ready = Math.min(sizeOf(newRS), newRS.status!.availableReplicas! + (random.next().value as number))
          newRS.status = { ...newRS.status!, replicas: sizeOf(newRS), availableReplicas: ready }
        }
      },
    ),
  )
})

test('scaling during a rolling update gives out exactly the difference, in proportion', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 30 }),
      fc.integer({ min: 1, max: 30 }),
      fc.array(fc.integer({ min: 1, max: 15 }), { minLength: 2, maxLength: 4 }),
      (replicas, before, sizes) => {
        const d = deployment(replicas, '25%', '25%')
        const max = before + maxSurge(deployment(before, '25%', '25%'))
        const sets = sizes.map((n, i) => set(`rs-${i}`, n, 0))
        for (const rs of sets) rs.metadata.annotations = sizeAnnotations(before, max)
        const plan = scaleAll(d, sets[0], sets.slice(1), desiredReplicas)
        expect(plan.every(p => p.replicas >= 0)).toBe(true)
        const wantedTotal = replicas > 0 ? replicas + maxSurge(d) : 0
        const total = plan.reduce((n, p) => n + p.replicas, 0)
        expect(total === wantedTotal || plan.some(p => p.replicas === 0)).toBe(true)
      },
    ),
  )
})

test("upstream's example: from 10 to 15 while 5 old and 8 new pods exist", () => {
  const d = deployment(15, 3, 2)
  const [oldRS, newRS] = [set('old', 5), set('new', 8, 0)]
  for (const rs of [oldRS, newRS]) rs.metadata.annotations = sizeAnnotations(10, 13)
  const sizes = Object.fromEntries(scaleAll(d, newRS, [oldRS], desiredReplicas).map(p => [p.rs.metadata.name, p.replicas]))
  expect(sizes).toEqual({ new: 11, old: 7 })
})

test('a single replica set takes the whole change', () => {
  const only = set('only', 3)
  expect(scaleAll(deployment(7, 1, 1), only, [set('empty', 0)], desiredReplicas)).toEqual([{ rs: only, replicas: 7 }])
})

test('a template is the same but for the hash label, empty lists and what the server fills in', () => {
  const t = (spec: object, labels: object = { app: 'web' }) => ({ metadata: { labels, creationTimestamp: null }, spec }) as never
  const spec = { containers: [{ name: 'c', image: 'i' }] }
  expect(sameTemplate(t(spec), t(spec, { app: 'web', 'pod-template-hash': 'x' }))).toBe(true)
  expect(sameTemplate(t(spec), t({ containers: [{ image: 'i', name: 'c', env: [] }] }))).toBe(true)
  expect(sameTemplate(t(spec), t({ containers: [{ name: 'c', image: 'j' }] }))).toBe(false)
  expect(sameTemplate(t({ ...spec, volumes: [{ name: 'v', emptyDir: {} }] }), t({ ...spec, volumes: [{ name: 'v' }] }))).toBe(false)
})

test('a new replica set carries the hash in name, labels and selector; a collision changes it', () => {
  const d = deployment(3, 1, 1)
  const rs = newReplicaSet(d)
  const hash = rs.metadata.labels!['pod-template-hash']!
  expect(rs.metadata.name).toBe(`web-${hash}`)
  expect(rs.spec.selector.matchLabels).toEqual({ app: 'web', 'pod-template-hash': hash })
  expect(rs.spec.template!.metadata!.labels).toEqual({ app: 'web', 'pod-template-hash': hash })
  expect(hash).toMatch(/^[bcdfghjklmnpqrstvwxz2456789]+$/)
  expect(findNew(d, [set('other', 1), rs])).toBe(rs)
  expect(newReplicaSet({ ...d, status: { collisionCount: 1 } }).metadata.name).not.toBe(rs.metadata.name)
  const long = newReplicaSet({ ...d, metadata: { ...d.metadata, name: 'w'.repeat(253) } }).metadata.name!
  expect(long).toMatch(new RegExp(`^w+-${hash}$`))
  expect(long).toHaveLength(253)
})

test('revisions rise, and those before are remembered', () => {
  const d = {
    ...deployment(1, 1, 1),
    metadata: {
      name: 'web',
      annotations: { note: 'n', 'deployment.kubernetes.io/revision': '7', 'kubectl.kubernetes.io/last-applied-configuration': '{}' },
    },
  } as unknown as Deployment
  const rs = { metadata: { annotations: { 'deployment.kubernetes.io/revision': '1' } } }
  expect(syncedAnnotations(d, rs, 3n)).toEqual({
    note: 'n',
    'deployment.kubernetes.io/revision': '3',
    'deployment.kubernetes.io/revision-history': '1',
  })
  expect(syncedAnnotations(d, { metadata: { annotations: syncedAnnotations(d, rs, 3n) } }, 2n)).toMatchObject({
    'deployment.kubernetes.io/revision': '3',
  })
})

test('revisions beyond 2^53 keep their digits', () => {
  const withRevision = (text: string) =>
    ({ metadata: { annotations: { 'deployment.kubernetes.io/revision': text } } }) as unknown as ReplicaSet
  const sets = ['9007199254740992', '9007199254740993', 'not a number', '9223372036854775808'].map(withRevision)
  expect(maxRevision(sets)).toBe(9007199254740993n)
  const next = syncedAnnotations(deployment(1, 1, 1), sets[1]!, maxRevision(sets) + 1n)
  expect(next).toMatchObject({
    'deployment.kubernetes.io/revision': '9007199254740994',
    'deployment.kubernetes.io/revision-history': '9007199254740993',
  })
})

test('conditions of a rollout: progressing, complete, timed out', () => {
  const t0 = Date.parse('2026-01-01T00:00:00Z')
  const d = deployment(2, 1, 0)
  const newRS = set('new', 2, 1)
  const first = rolloutStatus(d, [newRS], newRS, t0)
  const progressing = first.conditions!.find(c => c.type === 'Progressing')
  expect(progressing).toMatchObject({ status: 'True', reason: 'ReplicaSetUpdated', message: 'ReplicaSet "new" is progressing.' })
  expect(first.conditions!.find(c => c.type === 'Available')).toMatchObject({
    status: 'False',
    reason: 'MinimumReplicasUnavailable',
    message: 'Deployment does not have minimum availability.',
  })
  expect(isTimedOut({ ...d, status: first }, first, t0 + 600_000)).toBe(false)
  const late = rolloutStatus({ ...d, status: first }, [newRS], newRS, t0 + 601_000)
  expect(late.conditions!.find(c => c.type === 'Progressing')).toMatchObject({
    status: 'False',
    reason: 'ProgressDeadlineExceeded',
    message: 'ReplicaSet "new" has timed out progressing.',
  })
  newRS.status!.availableReplicas = 2
  const done = rolloutStatus({ ...d, status: first }, [newRS], newRS, t0 + 5000)
  expect(isComplete(d, done)).toBe(true)
  expect(done.conditions!.find(c => c.type === 'Progressing')).toMatchObject({
    status: 'True',
    reason: 'NewReplicaSetAvailable',
    lastTransitionTime: '2026-01-01T00:00:00Z',
    lastUpdateTime: '2026-01-01T00:00:05Z',
  })
  // Later hiccups of pods are no rollout.
  newRS.status!.availableReplicas = 1
  expect(rolloutStatus({ ...d, status: done }, [newRS], newRS, t0 + 9000).conditions!.find(c => c.type === 'Progressing')).toEqual(
    done.conditions!.find(c => c.type === 'Progressing'),
  )
})

test('a condition moves its transition time with its status only', () => {
  const a = withCondition({}, 'Available', 'True', 'r', 'm', 0)
  expect(withCondition(a, 'Available', 'True', 'r', 'other', 1000)).toBe(a)
  expect(withCondition(a, 'Available', 'True', 'r2', 'm', 1000).conditions![0]).toMatchObject({
    lastTransitionTime: '1970-01-01T00:00:00Z',
    lastUpdateTime: '1970-01-01T00:00:01Z',
  })
  expect(withCondition(a, 'Available', 'False', 'r', 'm', 1000).conditions![0]).toMatchObject({
    lastTransitionTime: '1970-01-01T00:00:01Z',
  })
})

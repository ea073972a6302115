import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { KubeObject, ManagedFieldsEntry } from '#shared/api/meta/objectmeta.ts'
import { difference, intersection, isEmptySet, members, pathText, union, type FieldSet } from '#shared/machinery/managedfields/fieldset.ts'
import { managerName } from '#shared/machinery/managedfields/manager.ts'
import { updateManagedFields } from '#shared/machinery/managedfields/update.ts'
import { applyConfiguration, type Apply } from '#shared/machinery/patch/apply.ts'
import { decodeConfiguration } from '#shared/machinery/patch/configuration.ts'
import { structCodec } from '#shared/machinery/codec.ts'
import { applyDefaults } from '#shared/machinery/defaults.ts'
import { decodeValue } from '#shared/machinery/decode.ts'
import { StatusError } from '#shared/machinery/status.ts'
import { comparable, pods, recorded, resourceOf, storedObject } from './recorded.ts'

const deployment = (): KubeObject => storedObject('deploy')
const codec = structCodec(resourceOf(deployment()).schema)
const write = (
  live: KubeObject | undefined,
  object: KubeObject,
  manager: string,
  now = '2026-01-01T00:00:00Z',
  more: { subresource?: string; reset?: string[][] } = {},
): KubeObject => {
  const next = structuredClone(object)
  updateManagedFields({
    codec: structCodec(resourceOf(object).schema),
    live,
    object: next,
    manager,
    apiVersion: object.apiVersion,
    subresource: more.subresource ?? '',
    reset: more.reset ?? [['f:status']],
    now,
  })
  return next
}
const fieldsOf = (o: KubeObject, manager: string): FieldSet =>
  (o.metadata.managedFields!.find(e => e.manager === manager)?.fieldsV1 ?? {}) as FieldSet
const paths = (set: FieldSet): string[] => [...members(set)].map(pathText)

/** Paths that 1.35 takes for one value, whose insides 1.20 still listed, and the security context that it does not default by value. */
const nowAtomic =
  /\.valueFrom\.\w+\.|\.nodeSelector(\.|$)|\.imagePullSecrets\[|requiredDuringSchedulingIgnoredDuringExecution\.|^\.spec\.securityContext$/

describe('managedFields of recorded pods', () => {
  it.each(pods().map(p => [p.metadata.name!, p] as const))('%s', (_, recordedPod) => {
    const [entry] = recordedPod.metadata.managedFields!
    // What admission added after the fields were recorded is nobody's.
    const pod = structuredClone(recordedPod)
    delete pod.metadata.managedFields
    delete pod.metadata.annotations?.['seccomp.security.alpha.kubernetes.io/pod']
    const spec = pod['spec'] as { priority?: number; preemptionPolicy?: string; tolerations?: { key: string }[] }
    delete spec.priority
    delete spec.preemptionPolicy
    spec.tolerations = spec.tolerations?.filter(t => !t.key.startsWith('node.kubernetes.io/'))
    if (spec.tolerations?.length === 0) delete spec.tolerations
    const [own] = write(undefined, pod, 'unknown', entry!.time).metadata.managedFields!
    expect({ ...own, fieldsV1: {} }).toEqual({ ...entry, fieldsV1: {} })
    const want = paths(entry!.fieldsV1 as FieldSet).filter(path => !nowAtomic.test(path))
    expect(
      paths(own!.fieldsV1 as FieldSet)
        .filter(path => !nowAtomic.test(path))
        .sort(),
    ).toEqual(want.sort())
  })
})

describe('plain writes', () => {
  const created = write(undefined, deployment(), 'first')

  it('give the writer what it changed, and take it from the others', () => {
    const next = structuredClone(created)
    ;(next['spec'] as { replicas: number }).replicas = 9
    next.metadata.labels = { ...next.metadata.labels, added: 'x' }
    delete next.metadata.annotations
    const after = write(created, next, 'second', '2026-02-02T00:00:00Z')
    expect(fieldsOf(after, 'second')).toEqual({ 'f:metadata': { 'f:labels': { 'f:added': {} } }, 'f:spec': { 'f:replicas': {} } })
    expect(paths(fieldsOf(after, 'first'))).not.toContain('.spec.replicas')
    expect(paths(fieldsOf(after, 'first')).some(p => p.startsWith('.metadata.annotations'))).toBe(false)
    expect(after.metadata.managedFields!.map(e => [e.manager, e.time])).toEqual([
      ['first', '2026-01-01T00:00:00Z'],
      ['second', '2026-02-02T00:00:00Z'],
    ])
  })
  it('that change nothing leave everything as it is', () => {
    expect(write(created, created, 'second', '2027-01-01T00:00:00Z')).toEqual(created)
    expect(write(created, created, 'first', '2027-01-01T00:00:00Z')).toEqual(created)
  })
  it('tell list items by their keys', () => {
    const next = structuredClone(created) as KubeObject & { spec: { template: { spec: { containers: object[] } } } }
    next.spec.template.spec.containers.push({ name: 'side', image: 'x' })
    ;(next.spec.template.spec.containers[0] as { image: string }).image = 'other'
    expect(paths(fieldsOf(write(created, next, 'second'), 'second')).sort()).toEqual(
      ['[name="c"].image', '[name="side"]', '[name="side"].image', '[name="side"].name'].map(p => `.spec.template.spec.containers${p}`),
    )
  })
  it('through a subresource have an entry of their own, without what they reset', () => {
    const next = structuredClone(created)
    next['status'] = { replicas: 3, conditions: [{ type: 'Available', status: 'True' }] }
    ;(next['spec'] as { replicas: number }).replicas = 1
    const after = write(created, next, 'first', '2026-02-02T00:00:00Z', { subresource: 'status', reset: [['f:spec']] })
    const entry = after.metadata.managedFields!.find(e => e.subresource === 'status')!
    expect(paths(entry.fieldsV1 as FieldSet).every(p => p.startsWith('.status'))).toBe(true)
    expect(paths(entry.fieldsV1 as FieldSet)).toContain('.status.conditions[type="Available"].status')
    expect(after.metadata.managedFields).toHaveLength(2)
  })
  it('may set or clear managedFields themselves, if these make sense', () => {
    const reset = structuredClone(created)
    reset.metadata.managedFields = [{}]
    expect(write(created, reset, 'x').metadata.managedFields).toBeUndefined()
    const own: ManagedFieldsEntry = {
      manager: 'me',
      operation: 'Update',
      apiVersion: 'apps/v1',
      fieldsType: 'FieldsV1',
      fieldsV1: { 'f:spec': { 'f:replicas': {} } },
    }
    const set = structuredClone(created)
    set.metadata.managedFields = [own]
    expect(write(created, set, 'x').metadata.managedFields).toEqual([own])
    for (const bad of [
      { ...own, operation: 'Delete' },
      { ...own, fieldsV1: { x: {} } },
      { ...own, fieldsV1: { 'k:nojson': {} } },
      { ...own, fieldsV1: { 'f:a': 1 } },
      { ...own, fieldsType: 'V2' },
    ]) {
      const wrong = structuredClone(created)
      wrong.metadata.managedFields = [bad as ManagedFieldsEntry]
      expect(write(created, wrong, 'x').metadata.managedFields).toEqual(created.metadata.managedFields)
    }
  })
  it('by more than ten managers are merged, the oldest first', () => {
    let object = write(undefined, deployment(), 'm0')
    for (let i = 1; i <= 12; i++) {
      const next = structuredClone(object)
      next.metadata.labels = { ...next.metadata.labels, [`l${i}`]: 'x' }
      object = write(object, next, `m${i}`, `2026-03-01T00:00:${String(i).padStart(2, '0')}Z`)
    }
    const entries = object.metadata.managedFields!
    expect(entries).toHaveLength(10)
    expect(entries[0]).toMatchObject({ manager: 'ancient-changes', operation: 'Update', time: '2026-03-01T00:00:03Z' })
    expect(paths(fieldsOf(object, 'ancient-changes'))).toEqual(
      expect.arrayContaining(['.spec.replicas', '.metadata.labels.l1', '.metadata.labels.l3']),
    )
  })
  it('are named by parameter or user agent', () => {
    expect(managerName('me', 'kubectl/v1.35')).toBe('me')
    expect(managerName(null, 'kubectl/v1.35 (linux/amd64)')).toBe('kubectl')
    expect(managerName('', undefined)).toBe('unknown')
    expect(managerName('', 'a\u0000b')).toBe('ab')
    expect(managerName('', 'é'.repeat(100))).toBe('é'.repeat(64))
  })
})

describe('field sets', () => {
  const key = fc.constantFrom('f:a', 'f:b', 'k:{"name":"x"}', 'v:1')
  const set = fc.uniqueArray(fc.array(key, { minLength: 1, maxLength: 3 }), { maxLength: 8, selector: p => p.join('/') }).map(list =>
    list.reduce<FieldSet>(
      (all, path) =>
        union(
          all,
          path.reduceRight<FieldSet>((below, e, i) => ({ [e]: i === path.length - 1 ? {} : below }), {}),
        ),
      {},
    ),
  )
  const text = (s: FieldSet): string[] => [...members(s)].map(p => p.join('/')).sort()
  it('are sets', () => {
    fc.assert(
      fc.property(set, set, (a, b) => {
        const [x, y] = [text(a), text(b)]
        expect(text(union(a, b))).toEqual([...new Set([...x, ...y])].sort())
        expect(text(difference(a, b))).toEqual(x.filter(p => !y.includes(p)))
        expect(text(intersection(a, b))).toEqual(x.filter(p => y.includes(p)))
        expect(isEmptySet(difference(a, a))).toBe(true)
        expect(text(union(difference(a, b), intersection(a, b)))).toEqual(x)
      }),
    )
  })
})

describe('server-side apply', () => {
  const live = write(undefined, deployment(), 'kubectl')
  const apply = (current: KubeObject | undefined, config: object, manager: string, more: Partial<Apply> = {}): KubeObject =>
    applyConfiguration({
      codec,
      live: current,
      config: decodeConfiguration(
        codec,
        Buffer.from(JSON.stringify({ kind: 'Deployment', apiVersion: 'apps/v1', ...config })),
        'Deployment',
        'apps/v1',
      ),
      manager,
      apiVersion: 'apps/v1',
      subresource: '',
      reset: [['f:status']],
      force: false,
      now: '2026-05-05T00:00:00Z',
      ...more,
    }) as KubeObject
  const conflictOf = (run: () => unknown): unknown => {
    try {
      run()
    } catch (e) {
      if (e instanceof StatusError) return e.status
      throw e
    }
    return undefined
  }
  const withReplicas = (replicas: number): object => ({ metadata: { name: 'd1' }, spec: { replicas } })

  it.each(recorded.filter(r => r.id.startsWith('apply')).map(r => [r.id, r] as const))('%s', (id, { body, code, answer }) => {
    const force = id.startsWith('apply/')
    const stored = storedObject(id.split('/')[1]!)
    const resource = resourceOf(stored)
    const own = write(undefined, decodeValue(resource.schema, stored).object as unknown as KubeObject, 'unknown')
    const run = (current: KubeObject, now: string): KubeObject =>
      applyConfiguration({
        codec: structCodec(resource.schema),
        live: current,
        config: decodeConfiguration(structCodec(resource.schema), Buffer.from(body as string), stored.kind, stored.apiVersion),
        manager: force ? 'rec' : 'other',
        apiVersion: stored.apiVersion,
        subresource: '',
        reset: [['f:status']],
        force,
        now,
      }) as KubeObject
    if (code !== 200) return expect(conflictOf(() => run(own, 'x'))).toEqual(answer)
    const result = run(own, '2026-06-06T00:00:00Z')
    applyDefaults(resource.schema, result)
    const want = comparable(answer) as {
      spec?: { tolerations?: { key: string }[] | undefined }
      eventTime?: null
      reportingComponent?: string
      reportingInstance?: string
    }
    // Tolerations of the recording come from admission; the Event's times and reporter are written when unset.
    if (want.spec?.tolerations)
      want.spec.tolerations =
        (want.spec.tolerations.length > 2 && want.spec.tolerations.filter(t => !t.key.startsWith('node.kubernetes.io/'))) || undefined
    if (want.eventTime === null) for (const name of ['eventTime', 'reportingComponent', 'reportingInstance'] as const) delete want[name]
    if (want.spec && want.spec.tolerations === undefined) delete want.spec.tolerations
    expect(comparable(result)).toMatchObject(want)
    expect(run(result, '2027-01-01T00:00:00Z')).toEqual(result)
  })
  it('creates', () => {
    const made = apply(undefined, { metadata: { name: 'n', labels: { a: 'b' } }, spec: { replicas: 2 } }, 'me')
    expect(made).toMatchObject({ metadata: { name: 'n' }, spec: { replicas: 2 } })
    expect(made.metadata.managedFields).toEqual([
      {
        manager: 'me',
        operation: 'Apply',
        apiVersion: 'apps/v1',
        time: '2026-05-05T00:00:00Z',
        fieldsType: 'FieldsV1',
        fieldsV1: { 'f:metadata': { 'f:labels': { 'f:a': {} } }, 'f:spec': { 'f:replicas': {} } },
      },
    ])
  })
  it('conflicts with who set a field to another value, unless forced', () => {
    expect(conflictOf(() => apply(live, withReplicas(7), 'me'))).toMatchObject({
      code: 409,
      reason: 'Conflict',
      message: 'Apply failed with 1 conflict: conflict with "kubectl" using apps/v1: .spec.replicas',
      details: { causes: [{ reason: 'FieldManagerConflict', message: 'conflict with "kubectl" using apps/v1', field: '.spec.replicas' }] },
    })
    const both = { metadata: { labels: { app: 'x' } }, spec: { replicas: 7 } }
    expect(conflictOf(() => apply(live, both, 'me'))).toMatchObject({
      message: 'Apply failed with 2 conflicts: conflicts with "kubectl" using apps/v1:\n- .metadata.labels.app\n- .spec.replicas',
    })
    const forced = apply(live, withReplicas(7), 'me', { force: true })
    expect(paths(fieldsOf(forced, 'kubectl'))).not.toContain('.spec.replicas')
    expect(paths(fieldsOf(forced, 'me'))).toEqual(['.spec.replicas'])
    expect(apply(live, withReplicas(3), 'me').metadata.managedFields).toHaveLength(2)
  })
  it('takes away what the manager no longer names and nobody else has', () => {
    const first = apply(
      live,
      {
        metadata: { labels: { mine: '1', app: 'rec' } },
        spec: { template: { spec: { containers: [{ name: 'side', image: 'i' }], securityContext: { runAsUser: 1 } } } },
      },
      'me',
    )
    expect(first['spec']).toMatchObject({
      template: { spec: { containers: [{ name: 'c' }, { name: 'side' }], securityContext: { runAsUser: 1 } } },
    })
    const second = apply(first, { metadata: { labels: {} } }, 'me')
    expect(second.metadata.labels).toEqual(live.metadata.labels)
    expect(
      (second['spec'] as { template: { spec: { containers: { name: string }[] } } }).template.spec.containers.map(c => c.name),
    ).toEqual(['c'])
    expect(JSON.stringify(second['spec'])).not.toContain('runAsUser')
  })
  it('checks what it is given', () => {
    const failing: [string, number, RegExp][] = [
      ['a: [', 400, /error decoding YAML/],
      ['{"kind":"Deployment","apiVersion":"apps/v2"}', 400, /Specified patch version: apps\/v2, expected: apps\/v1/],
      ['{}', 400, /'Kind' is missing/],
      ['{"kind":"Deployment","apiVersion":"apps/v1","spec":{"foo":1}}', 500, /\.spec\.foo: field not declared in schema/],
      ['{"kind":"Deployment","apiVersion":"apps/v1","spec":{"replicas":"x"}}', 500, /failed to create typed patch object/],
    ]
    for (const [body, code, message] of failing) {
      expect(conflictOf(() => decodeConfiguration(codec, Buffer.from(body), 'Deployment', 'apps/v1'))).toMatchObject({
        code,
        message: expect.stringMatching(message),
      })
    }
    expect(conflictOf(() => apply(live, { metadata: { managedFields: [{}] } }, 'me'))).toMatchObject({
      code: 400,
      message: 'metadata.managedFields must be nil',
    })
    expect(conflictOf(() => apply(live, { spec: { template: { spec: { containers: [{ image: 'x' }] } } } }, 'me'))).toMatchObject({
      code: 500,
      message: expect.stringContaining('omits key field "name"'),
    })
  })
  it('treats an object that nobody manages as set by somebody before', () => {
    const bare = structuredClone(live)
    delete bare.metadata.managedFields
    expect(conflictOf(() => apply(bare, withReplicas(7), 'me'))).toMatchObject({
      message: expect.stringContaining('"before-first-apply" using apps/v1'),
    })
  })
})

/**
 * No object that somebody makes up breaks what is done with it: of every kind, in every version, and by the plugins that look into pods.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AdmissionRequest } from '#control-plane/apiserver/admission/admission.ts'
import { brokenByPod, setDefaults } from '#control-plane/apiserver/admission/limits.ts'
import { checkRequest } from '#control-plane/apiserver/admission/quotacheck.ts'
import { targetOfKind } from '#control-plane/apiserver/admission/target.ts'
import { formatViolations, violations } from '#control-plane/apiserver/podsecurity/policy.ts'
import { limitRange, type LimitRange } from '#shared/api/core/limitrange.ts'
import { pod, type Pod } from '#shared/api/core/pod.ts'
import { resourceQuota, type ResourceQuota } from '#shared/api/core/resourcequota.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { apiVersion, versionsOf, type Resource } from '#shared/api/resource.ts'
import { resources } from '#shared/api/resources.ts'
import { structCodec } from '#shared/machinery/codec.ts'
import { applyDefaults } from '#shared/machinery/defaults.ts'
import { findErrors, Path } from '#shared/machinery/field.ts'
import { decodeBody } from '#shared/machinery/requestbody.ts'
import { StatusError } from '#shared/machinery/status.ts'
import type { ObjectSchema } from '#shared/machinery/schema.ts'
import { evaluatorOf } from '#shared/quota/evaluator.ts'
import { generate, randomOf, type Random } from './generated.ts'

const seeds = fc.noShrink(fc.nat())
/** The same every time, as a test must be; FUZZ_RUNS=10000 looks further. */
const runs = (usual: number) => (process.env['FUZZ_RUNS'] ? { numRuns: Number(process.env['FUZZ_RUNS']) } : { numRuns: usual, seed: 1 })
const root = new Path()

/** As it comes out of the decoder with its defaults; undefined when it is refused. */
function decoded(resource: Resource, version: string, schema: ObjectSchema, random: Random): KubeObject | undefined {
  const body = { ...(generate(schema, random) as object), kind: resource.kind, apiVersion: version }
  try {
    const options = { kind: resource.kind, apiVersion: version, mediaType: 'application/json', fieldValidation: 'Warn' } as const
    const { object } = decodeBody(structCodec(schema), Buffer.from(JSON.stringify(body)), options)
    const whole = object as unknown as KubeObject
    whole.metadata ??= {}
    applyDefaults(schema, whole)
    return whole
  } catch (e) {
    if (e instanceof StatusError) return undefined
    throw e
  }
}

/** Everything that a create and an update do with an object of a kind, and how it is shown. */
async function write(resource: Resource, { metadata: _old, ...rest }: KubeObject, old: KubeObject): Promise<void> {
  const ctx = { subresource: '', dryRun: false }
  const next = { ...structuredClone(rest), metadata: structuredClone(_old) } as KubeObject
  for (const object of [next, old]) resource.defaults?.(object)
  const created = structuredClone(next)
  resource.nameDefaults?.({ ...created, metadata: { ...created.metadata, name: 'a' } })
  resource.prepareForCreate?.(created, ctx)
  const check = (o: KubeObject): void => {
    findErrors(() => [...(resource.validate?.(o, root) ?? []), ...(resource.validateCreate?.(o, root) ?? [])])
  }
  check(created)
  // Warnings are for what is valid.
  if (findErrors(() => resource.validate?.(created, root) ?? []).length === 0) resource.warnings?.(created, undefined)
  resource.prepareForUpdate?.(next, old, ctx)
  findErrors(() => resource.validateUpdate?.(next, old, root, ctx) ?? [])
  for (const column of resource.columns ?? []) String(column.cell(created))
  for (const field of Object.values(resource.fields ?? {})) expect(typeof field(created)).toBe('string')
  for (const { conversion } of versionsOf(resource)) await conversion?.fromHub([created])
}

describe.each(resources.map(r => [`${apiVersion(r)} ${r.kind}`, r] as const))('%s', (_, resource) => {
  it.each(versionsOf(resource).map(v => [apiVersion(v), v] as const))('%s', async (version, { schema, conversion }) => {
    let taken = 0
    await fc.assert(
      fc.asyncProperty(seeds, async seed => {
        const random = randomOf(seed)
        const [a, b] = [decoded(resource, version, schema, random), decoded(resource, version, schema, random)]
        if (!a || !b) return
        taken++
        const [now, old] = conversion ? ((await conversion.toHub([a, b])) as KubeObject[]) : [a, b]
        await write(resource, now!, old!)
      }),
      runs(100),
    )
    expect(taken, 'most are no more than odd').toBeGreaterThan(5)
  })
})

it('what limits, quotas and security standards make of pods', () => {
  const make = <T extends KubeObject>(resource: Resource<T>, random: Random): T | undefined => {
    const made = decoded(resource, 'v1', resource.schema, random) as T | undefined
    if (made) resource.defaults?.(made)
    return (
      made && (findErrors(() => resource.validate?.(made, root) ?? []).every(e => e.reason !== 'FieldValueTypeInvalid') ? made : undefined)
    )
  }
  fc.assert(
    fc.property(seeds, seed => {
      const random = randomOf(seed)
      const [p, range, quota] = [make<Pod>(pod, random), make<LimitRange>(limitRange, random), make<ResourceQuota>(resourceQuota, random)]
      if (!p) return
      p.spec.containers ??= []
      for (const level of ['baseline', 'restricted'] as const)
        for (const version of [0, 20, 30, 'latest'] as const) formatViolations(violations({ level, version }, p.spec, p.metadata))
      if (range) {
        setDefaults(range, p)
        brokenByPod(range, p)
      }
      if (!quota) return
      const a = new AdmissionRequest({
        operation: 'CREATE',
        target: targetOfKind({ group: '', version: 'v1', kind: 'Pod', plural: 'pods' }),
        subresource: '',
        namespace: 'n',
        name: 'p',
        object: p,
        old: undefined,
        by: { user: { name: 'u', groups: [] }, dryRun: false },
      })
      try {
        checkRequest([{ quota, used: quota.status?.used ?? {} }], a, evaluatorOf({ group: '', plural: 'pods' })!, [])
      } catch (e) {
        if (!(e instanceof StatusError)) throw e
      }
    }),
    runs(1000),
  )
})

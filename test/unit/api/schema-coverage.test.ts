import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { versionsOf } from '#shared/api/resource.ts'
import { resources } from '#shared/api/resources.ts'
import type { Field, ObjectSchema, Schema } from '#shared/machinery/schema.ts'
import { fieldsIn, kindFile, type Published } from './published-types.ts'

const kinds: { group: string; version: string; kind: string; schema: ObjectSchema }[] = resources.flatMap(r => [
  ...versionsOf(r).map(v => ({ group: v.group, version: v.version, kind: r.kind, schema: v.schema })),
])

const kindOf = (schema: Schema): string => {
  if (schema.type === 'integer' || schema.type === 'number') return 'number'
  if (schema.type !== 'string') return schema.type
  return schema.format === 'quantity' ? 'quantity' : schema.format === 'date-time' || schema.format === 'micro-time' ? 'time' : 'string'
}

/** What is wrong with a schema, compared with the published type; types are looked at once. */
function compare(schema: Schema, published: Published, path: string, seen: Set<string>): string[] {
  if (kindOf(schema) !== published.kind) return [`${path} is ${kindOf(schema)} instead of ${published.kind}`]
  if (published.kind === 'list' || published.kind === 'map') {
    return compare(schema.type === 'list' ? schema.items : (schema as { values: Schema }).values, published.item, `${path}[]`, seen)
  }
  if (published.kind !== 'object' || seen.has(published.file)) return []
  seen.add(published.file)
  const own = (schema as ObjectSchema).fields as Record<string, Field>
  const wanted = fieldsIn(published.file)
  const wrong = Object.keys(own)
    .filter(name => !wanted.has(name))
    .map(name => `${path}.${name} is not published`)
  for (const [name, field] of wanted) {
    const here = `${path}.${name}`
    const mine = own[name]
    if (!mine) wrong.push(`${here} is missing`)
    else {
      // The package makes apiVersion and kind of top-level types required; the published schema does not.
      if (name !== 'apiVersion' && name !== 'kind' && mine.optional !== field.optional)
        wrong.push(`${here} is ${mine.optional ? 'optional' : 'required'}`)
      wrong.push(...compare(mine.schema, field.type, here, seen))
    }
  }
  return wrong
}

/** Tags, list types, keys and merge keys of every field, as the Go types of v0.35.0 have them: `name=tag;map(keys);merge:key:strategy`. */
const facts = new Map(
  readFileSync(new URL('field-facts.txt', import.meta.url), 'utf8')
    .trim()
    .split('\n')
    .map(
      line =>
        [
          line.slice(0, line.indexOf(' ')),
          line
            .slice(line.indexOf(' ') + 1)
            .replaceAll(';atomic', '')
            .split(' ')
            .filter(Boolean),
        ] as const,
    ),
)

function fact(name: string, field: Field): string {
  let text = `${name}=${field.tag}`
  // Lists are atomic where nothing is said.
  const { schema } = field
  if (schema.type === 'list' && schema.listType && schema.listType !== 'atomic')
    text += `;${schema.listType}${schema.listMapKeys?.length ? `(${schema.listMapKeys.join(',')})` : ''}`
  if (field.mergeKey || field.patchStrategy) text += `;merge:${field.mergeKey ?? ''}:${field.patchStrategy ?? ''}`
  return schema.type === 'map' && schema.atomic ? `${text};map:atomic` : text
}

function objectsIn(schema: Schema, found = new Map<string, ObjectSchema>()): Map<string, ObjectSchema> {
  if (schema.type === 'list') return objectsIn(schema.items, found)
  if (schema.type === 'map') return objectsIn(schema.values, found)
  if (schema.type !== 'object' || found.has(schema.name)) return found
  found.set(schema.name, schema)
  for (const field of Object.values(schema.fields as Record<string, Field>)) objectsIn(field.schema, found)
  return found
}

/** The package describes v1.36; what changed since v1.35 (field-facts.txt has the fields of v1.35). */
const since135 = [
  'HorizontalPodAutoscaler.spec is optional',
  'CronJob.spec is optional',
  'onPodConditions[].status is required',
  'PodDisruptionBudget.status.currentHealthy is required',
  'PodDisruptionBudget.status.desiredHealthy is required',
  'PodDisruptionBudget.status.disruptionsAllowed is required',
  'PodDisruptionBudget.status.expectedPods is required',
  'spec.workloadRef is not published',
  'spec.schedulingGroup is missing',
  'allocatedResourcesStatus[].resources[].message is missing',
  'volumeMounts[].volumeStatus is missing',
  'status.nodeAllocatableResourceClaimStatuses is missing',
  'EndpointSlice.endpoints is required',
  'attributes[].bools is missing',
  'attributes[].ints is missing',
  'attributes[].strings is missing',
  'attributes[].versions is missing',
  'devices[].nodeAllocatableResourceMappings is missing',
  'IPAddress.spec is optional',
  'ValidatingAdmissionPolicyBinding.spec is optional',
  'ValidatingAdmissionPolicyBinding.spec.policyName is optional',
  'ValidatingAdmissionPolicyBinding.spec.validationActions is optional',
  'CSIDriver.spec.preventPodSchedulingIfMissing is missing',
  'PriorityClass.value is required',
]

/** Kinds whose beta version, which v1.35 has, is no longer published. */
const publishedIn = (kind: string): string | undefined => (kind.startsWith('MutatingAdmissionPolicy') ? 'v1' : undefined)

/** Not in upstream's published schema, as its feature gate is off by default. */
const unpublished = ['ClusterTrustBundle']

describe.each(kinds)('$kind of $group/$version', ({ group, version, kind, schema }) => {
  it.skipIf(unpublished.includes(kind))('has every published field with its type', () => {
    expect(
      compare(schema, { kind: 'object', file: kindFile(group, publishedIn(kind) ?? version, kind) }, kind, new Set()).filter(
        w => !since135.some(end => w.endsWith(end)),
      ),
    ).toEqual([])
  })

  it('has the tags, list types and keys of the Go types', () => {
    const wrong: string[] = []
    for (const [name, object] of objectsIn(schema)) {
      const own = Object.entries(object.fields as Record<string, Field>)
        .filter(([field, f]) => f.tag !== 0 || (field !== 'kind' && field !== 'apiVersion'))
        .map(([field, f]) => fact(field, f))
      const wanted = new Set(facts.get(name) ?? ['a type without facts'])
      wrong.push(
        ...own.filter(f => !wanted.has(f)).map(f => `${name}: ${f}`),
        ...[...wanted].filter(f => !own.includes(f)).map(f => `${name}: ${f} expected`),
      )
    }
    expect(wrong).toEqual([])
  })

  it('has a line of documentation for every type and field', () => {
    const without = [...objectsIn(schema).values()].flatMap(o => [
      ...(o.doc ? [] : [o.name]),
      ...Object.entries(o.fields as Record<string, Field>)
        .filter(([, f]) => !f.doc)
        .map(([name]) => `${o.name}.${name}`),
    ])
    expect(without).toEqual([])
  })
})

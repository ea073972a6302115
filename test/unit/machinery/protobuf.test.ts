import { createHash } from 'node:crypto'
import fc, { type Arbitrary } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { resources } from '#shared/api/resources.ts'
import { apiVersion, versionsOf } from '#shared/api/resource.ts'
import { normalize } from '#shared/machinery/encode.ts'
import { encodeMessage, enveloped } from '#shared/machinery/protobuf-encode.ts'
import { decodeProtobuf } from '#shared/machinery/protobuf.ts'
import type { Field, ObjectSchema, Schema } from '#shared/machinery/schema.ts'

const kinds = resources.flatMap(r =>
  versionsOf(r).map(({ group, version, schema }) => ({
    apiVersion: apiVersion({ group, version }),
    kind: r.kind,
    schema,
  })),
)
const encode = (k: (typeof kinds)[number], object: object): Buffer => enveloped(k.apiVersion, k.kind, encodeMessage(k.schema, object))

/**
 * An object whose every field holds what upstream's round-trip test data (k8s.io/api/testdata) has in it: a value made of the field's name
 * or number.
 */
function filled(schema: Schema, name: string, tag: number): unknown {
  switch (schema.type) {
    case 'string':
      if (schema.format === 'byte') return Buffer.from([tag]).toString('base64')
      if (schema.format === 'date-time') return `${2000 + tag}-01-01T01:01:01Z`
      if (schema.format === 'micro-time') return `${2000 + tag}-01-01T01:01:01.${String(tag).padStart(6, '0')}Z`
      return schema.format === 'quantity' ? '0' : `${name}Value`
    case 'int-or-string':
      return `${name}Value`
    case 'integer':
    case 'number':
      return tag
    case 'boolean':
      return true
    case 'any':
      return {}
    case 'list':
      return [filled(schema.items as Schema, name, tag)]
    case 'map':
      return { [`${name}Key`]: filled(schema.values as Schema, name, tag) }
    case 'object':
      return Object.fromEntries(fieldsOf(schema).map(([n, f]) => [n, filled(f.schema as Schema, n, f.tag)]))
  }
}

/** SHA-256 of upstream's v1.35.0 files, shortened. */
const upstream: { [kind: string]: string } = {
  'v1 ConfigMap': '8f1b931b2e425f5c',
  'v1 Endpoints': '443ac034d9793c1e',
  'v1 Event': '5ffea2b263c57ea5',
  'events.k8s.io/v1 Event': 'cd78bb3ba8038280',
  'v1 Namespace': 'd1fabb49631b85c0',
  'v1 Node': '7249211a670cdef2',
  'v1 Pod': 'd0e7ca7be1fdcc97',
  'v1 Secret': 'bdcb33a8e0c20b90',
  'v1 ServiceAccount': '49ab731646acfb0f',
  'v1 Service': 'e608d81bb3627a32',
  'apps/v1 Deployment': 'c0db165901267322',
  'apps/v1 ReplicaSet': '68b192a62e8c926d',
  'coordination.k8s.io/v1 Lease': '388c7d21f5a5109e',
  'discovery.k8s.io/v1 EndpointSlice': '9fa727d8bf11fbb6',
}

/** Objects of a type as the server writes them. `depth` bounds types that contain themselves. */
function arbitrary(schema: Schema, depth: number): Arbitrary<unknown> {
  switch (schema.type) {
    case 'string':
      if (schema.format === 'byte') return fc.uint8Array({ minLength: 1, maxLength: 6 }).map(b => Buffer.from(b).toString('base64'))
      if (schema.format === 'date-time') return seconds
      if (schema.format === 'micro-time')
        return fc.tuple(seconds, fc.nat(999_999)).map(([s, micros]) => `${s.slice(0, 19)}.${String(micros).padStart(6, '0')}Z`)
      if (schema.format === 'quantity') return fc.constantFrom('0', '100m', '1Gi', '12e6')
      if (schema.format === 'duration') return fc.constantFrom('1m30s', '2h0m0s', '1.5s')
      return fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
    case 'int-or-string':
      return fc.oneof(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), fc.string({ maxLength: 5 }))
    case 'integer':
      return schema.format === 'int32' ? fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }) : fc.maxSafeInteger()
    case 'number':
      return fc.double({ noNaN: true, noDefaultInfinity: true })
    case 'boolean':
      return fc.boolean()
    case 'any':
      return fc.dictionary(key, fc.oneof(fc.string(), fc.nat(), fc.boolean()), { maxKeys: 2, noNullPrototype: true })
    case 'list':
      return fc.array(arbitrary(schema.items as Schema, depth), { minLength: 1, maxLength: 2 })
    case 'map':
      return fc.dictionary(key, arbitrary(schema.values as Schema, depth), { minKeys: 1, maxKeys: 3, noNullPrototype: true })
    case 'object': {
      const members = fieldsOf(schema).filter(([, f]) => depth > 0 || !holds(f.schema as Schema))
      return fc.record(
        Object.fromEntries(
          members.map(([name, f]) => [name, fc.option(arbitrary(f.schema as Schema, depth - 1), { nil: undefined, freq: 1 })]),
        ),
      )
    }
  }
}
const key = fc.string({ maxLength: 6 }).filter(k => k !== '__proto__')
const fieldsOf = (schema: ObjectSchema): [string, Field][] =>
  Object.entries(schema.fields as Record<string, Field>).filter(([, f]) => f.tag > 0)
function holds(schema: Schema): boolean {
  return schema.type === 'list'
    ? holds(schema.items as Schema)
    : schema.type === 'map'
      ? holds(schema.values as Schema)
      : schema.type === 'object'
}
const seconds = fc.integer({ min: 1, max: 4_000_000_000 }).map(s => `${new Date(s * 1000).toISOString().slice(0, 19)}Z`)

const zeros: readonly unknown[] = [undefined, null, '', 0, false, '0']
const isZero = (v: unknown): boolean => zeros.includes(v) || (typeof v === 'object' && v !== null && Object.values(v).every(isZero))

/** Where two objects differ in more than this: what Go holds by value is always there in protobuf, as zero when nobody set it. */
function differences(back: unknown, whole: unknown, at: string): string[] {
  const equal =
    Object.is(back, whole) || (isZero(back) && (whole === undefined || whole === '' || (isZero(whole) && typeof whole === 'object')))
  if (equal) return []
  if (typeof back !== 'object' || back === null || typeof whole !== 'object' || whole === null)
    return [`${at}: ${JSON.stringify(back)} for ${JSON.stringify(whole)}`]
  if (Array.isArray(whole) && (back as unknown[]).length !== whole.length)
    return [`${at}: ${(back as unknown[]).length} items for ${whole.length}`]
  const [b, w] = [back as Record<string, unknown>, whole as Record<string, unknown>]
  return [...new Set([...Object.keys(b), ...Object.keys(w)])].flatMap(key => differences(b[key], w[key], `${at}.${key}`))
}

describe('protobuf', () => {
  for (const k of kinds.filter(k => upstream[`${k.apiVersion} ${k.kind}`] !== undefined)) {
    it(`of ${k.apiVersion} ${k.kind} has upstream's bytes`, () => {
      expect(
        createHash('sha256')
          .update(encode(k, filled(k.schema, '', 0) as object))
          .digest('hex')
          .slice(0, 16),
      ).toBe(upstream[`${k.apiVersion} ${k.kind}`])
    })
  }
  it('keeps all that is set, whatever it is', () => {
    for (const k of kinds) {
      fc.assert(
        fc.property(arbitrary(k.schema, 4), object => {
          const whole = normalize(k.schema as ObjectSchema, structuredClone(object) as object)
          const { kind, apiVersion, ...back } = decodeProtobuf(k.schema, encode(k, whole))
          expect([apiVersion, kind]).toEqual([k.apiVersion, k.kind])
          expect(differences(back, whole, k.kind)).toEqual([])
        }),
        { numRuns: 20 },
      )
    }
  })
  it('comes out the same a second time', () => {
    for (const k of kinds) {
      fc.assert(
        fc.property(arbitrary(k.schema, 3), object => {
          const { kind: _, apiVersion: __, ...once } = decodeProtobuf(k.schema, encode(k, object as object))
          expect(encode(k, once).equals(encode(k, object as object))).toBe(true)
        }),
        { numRuns: 10 },
      )
    }
  })
})

describe('what may be a schema or something else', () => {
  const custom = kinds.find(k => k.kind === 'CustomResourceDefinition')!
  const wrap = (openAPIV3Schema: object) =>
    normalize(custom.schema, {
      apiVersion: custom.apiVersion,
      kind: custom.kind,
      metadata: {},
      spec: { group: 'g', names: { plural: 'p', kind: 'K' }, scope: 'Cluster', versions: [{ name: 'v1', schema: { openAPIV3Schema } }] },
      status: {},
    })
  const schemaOf = (object: any) => object.spec.versions[0].schema.openAPIV3Schema
  const message = (bytes: Buffer, tag: number): Buffer => Buffer.concat([Buffer.from([tag * 8 + 2, bytes.length]), bytes])

  it.each([
    { items: { type: 'integer', items: { type: 'string' } } },
    { items: [{ type: 'integer' }, { type: 'string' }] },
    { additionalProperties: { type: 'array', items: { 'x-kubernetes-int-or-string': true } } },
    { additionalProperties: true },
    { additionalProperties: false },
    { properties: { a: { additionalItems: { type: 'string' } } } },
    { dependencies: { a: ['b', 'c'], d: { type: 'string' } } },
  ])('%j comes back', given => {
    expect(schemaOf(decodeProtobuf(custom.schema, encode(custom, wrap(given))))).toMatchObject(given)
    expect(schemaOf(normalize(custom.schema, decodeProtobuf(custom.schema, encode(custom, wrap(given)))))).toEqual(given)
  })

  it('is written as upstream does', () => {
    const text = (schema: object): string => encode(custom, wrap(schema)).toString('hex')
    const type = message(Buffer.from('string'), 5).toString('hex')
    // JSONSchemaPropsOrArray: the schema is field 1. JSONSchemaPropsOrBool: allows is 1, the schema 2.
    expect(text({ items: { type: 'string' } })).toMatch(new RegExp(`c201..0a..0a001200(?:[0-9a-f]{2})*${type}`))
    expect(text({ additionalProperties: { type: 'string' } })).toMatch(new RegExp(`f201..080112..0a001200(?:[0-9a-f]{2})*${type}`))
    expect(text({ additionalProperties: false })).toContain('f201020800')
  })
})

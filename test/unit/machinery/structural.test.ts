import { describe, expect, it } from 'vitest'
import { DecodeError } from '#shared/machinery/decode.ts'
import { findErrors } from '#shared/machinery/field.ts'
import { compare, configured } from '#shared/machinery/managedfields/compare.ts'
import { merge } from '#shared/machinery/patch/apply.ts'
import { structuralCodec } from '#shared/machinery/structural/codec.ts'
import type { JsonSchema } from '#shared/machinery/structural/schema.ts'

const codecOf = (spec: JsonSchema) => structuralCodec({ root: { type: 'object', properties: { spec } } })
const head = { kind: 'Thing', apiVersion: 'example.com/v1', metadata: { name: 'a' } }
/** What becomes of a spec: as it is stored, what was unknown, what is wrong. */
function read(schema: JsonSchema, spec: unknown) {
  const codec = codecOf(schema)
  const { object, unknown } = codec.decode(JSON.stringify({ ...head, spec }))
  codec.applyDefaults(object)
  const errors = codec.validate!(object).map(e => `${e.field}: ${e.message}`)
  return { spec: (object as { spec?: unknown }).spec, unknown, errors }
}
const object = (properties: Record<string, JsonSchema>, more: JsonSchema = {}): JsonSchema => ({ type: 'object', properties, ...more })
const string: JsonSchema = { type: 'string' }
const embedded = object({}, { 'x-kubernetes-embedded-resource': true })
const integer: JsonSchema = { type: 'integer' }
const keyed: JsonSchema = {
  type: 'array',
  items: object({ k: string, n: integer }),
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['k'],
}

describe('pruning', () => {
  it.each<[string, JsonSchema, unknown, unknown, string[]]>([
    ['unknown fields', object({ a: string }), { a: 'x', b: 1, c: {} }, { a: 'x' }, ['spec.b', 'spec.c']],
    ['in lists', { type: 'array', items: object({ a: string }) }, [{ a: 'x', b: 1 }], [{ a: 'x' }], ['spec[0].b']],
    ['maps keep their keys', { type: 'object', additionalProperties: object({ a: string }) }, { k: { b: 1 } }, { k: {} }, ['spec.k.b']],
    [
      'properties beside additional ones',
      object({ a: object({}) }, { additionalProperties: object({ z: string }) }),
      { a: { q: 1 }, b: { z: 'x', y: 1 } },
      { a: {}, b: { z: 'x' } },
      ['spec.a.q', 'spec.b.y'],
    ],
    [
      'what is preserved, except where it is described',
      object({ a: object({ b: string }) }, { 'x-kubernetes-preserve-unknown-fields': true }),
      { x: { y: [1, null] }, a: { b: 'x', c: 1 } },
      { x: { y: [1, null] }, a: { b: 'x' } },
      ['spec.a.c'],
    ],
    [
      'embedded objects keep their type and the metadata that there are',
      object({ a: string }, { 'x-kubernetes-embedded-resource': true }),
      { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', nome: 'p' }, a: 'x', b: 1 },
      { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, a: 'x' },
      ['spec.metadata.nome', 'spec.b'],
    ],
    [
      'empty values stay',
      object({ a: string, l: { type: 'array', items: string }, o: object({}), n: integer }),
      { a: '', l: [], o: {}, n: 0 },
      { a: '', l: [], o: {}, n: 0 },
      [],
    ],
  ])('%s', (_, schema, spec, want, unknown) => {
    const got = read(schema, spec)
    expect(got).toEqual({ spec: want, unknown, errors: [] })
  })
  it('keys that come twice, and metadata by its own rules', () => {
    const text =
      '{"kind":"Thing","apiVersion":"example.com/v1","metadata":{"name":"a","foo":1,"labels":{}},"spec":{"a":"x","a":"y","l":[{"b":1,"b":2}]}}'
    const { object: got, unknown, duplicate } = codecOf({ type: 'object', 'x-kubernetes-preserve-unknown-fields': true }).decode(text)
    expect(duplicate).toEqual(['spec.a', 'spec.l[0].b'])
    expect(unknown).toEqual(['metadata.foo'])
    expect(got).toEqual({ ...head, spec: { a: 'y', l: [{ b: 2 }] } })
    expect(Object.keys(got).slice(0, 3)).toEqual(['kind', 'apiVersion', 'metadata'])
  })
  it.each<[body: string, metadata: unknown, unknown: string[], duplicate: string[]]>([
    ['{"spec":1}', {}, [], []],
    ['{"metadata":null}', {}, [], []],
    ['{"metadata":{"name":"a","labels":{"x":"1","x":"2"}}}', { name: 'a', labels: { x: '2' } }, [], ['metadata.labels.x']],
    ['{"metadata":{"foo":1},"metadata":{"bar":1}}', {}, ['metadata.bar'], ['metadata']],
    ['{"metadata":{"annotations":{},"generation":0,"x":{"y":1,"y":2}}}', {}, ['metadata.x'], ['metadata.x.y']],
  ])('metadata of %s', (body, metadata, unknown, duplicate) => {
    const got = codecOf({}).decode(body)
    expect(got).toMatchObject({ unknown, duplicate })
    expect((got.object as { metadata: unknown }).metadata).toEqual(metadata)
  })
  it('bad syntax is told before a wrong type', () => {
    expect(() => codecOf({}).decode('{"metadata":{"name":1}}')).toThrow('cannot unmarshal number into Go struct field ObjectMeta.name')
    expect(() => codecOf({}).decode('{"metadata":{"name":1},}')).toThrow('invalid character')
  })
})

describe('defaults and nulls', () => {
  const schema = object({
    a: { type: 'string', default: 'x' },
    b: object({ c: { type: 'integer', default: 3 } }, { default: {} }),
    n: { type: 'string', nullable: true },
    m: { type: 'string', nullable: true, default: 'y' },
    p: string,
    l: { type: 'array', items: object({ d: { type: 'boolean', default: true } }) },
  })
  it.each<[unknown, unknown]>([
    [{}, { a: 'x', b: { c: 3 }, m: 'y' }],
    [
      { a: null, n: null, m: null, p: null, l: [{}] },
      { a: 'x', b: { c: 3 }, n: null, m: null, l: [{ d: true }] },
    ],
    [
      { a: '', b: { c: 0 }, m: 'z' },
      { a: '', b: { c: 0 }, m: 'z' },
    ],
  ])('%j', (spec, want) => expect(read(schema, spec)).toEqual({ spec: want, unknown: [], errors: [] }))
  it('a default is not shared', () => {
    const codec = codecOf(schema)
    const [one, two] = [
      codec.decode(JSON.stringify({ ...head, spec: {} })).object,
      codec.decode(JSON.stringify({ ...head, spec: {} })).object,
    ] as { spec: { b: object } }[]
    codec.applyDefaults(one!)
    codec.applyDefaults(two!)
    Object.assign(one!.spec.b, { c: 9 })
    expect(two!.spec.b).toEqual({ c: 3 })
  })
})

// In the words of kube-openapi's validation, as apiextensions-apiserver makes field errors of them.
describe('validation', () => {
  const list = (type: 'set' | 'map'): JsonSchema => ({
    type: 'array',
    items: type === 'set' ? string : object({ k: string, v: string }),
    'x-kubernetes-list-type': type,
    ...(type === 'map' ? { 'x-kubernetes-list-map-keys': ['k'] } : {}),
  })
  it.each<[JsonSchema, unknown, string]>([
    [object({ a: integer }), { a: 'x' }, 'spec.a: Invalid value: "string": spec.a in body must be of type integer: "string"'],
    [object({ a: integer }), { a: 1.5 }, 'spec.a: Invalid value: "number": spec.a in body must be of type integer: "number"'],
    [object({ a: string }), { a: [] }, 'spec.a: Invalid value: "array": spec.a in body must be of type string: "array"'],
    [object({}), 'x', 'spec: Invalid value: "string": spec in body must be of type object: "string"'],
    [{ type: 'array', items: string }, ['a', 1], 'spec[1]: Invalid value: "integer": spec[1] in body must be of type string: "integer"'],
    [
      object({ p: { 'x-kubernetes-int-or-string': true } }),
      { p: true },
      'spec.p: Invalid value: "boolean": spec.p in body must be of type integer,string: "boolean"',
    ],
    [object({ a: string }, { required: ['a'] }), {}, 'spec.a: Required value'],
    [object({ a: { type: 'string', enum: ['b', 'a'] } }), { a: 'c' }, 'spec.a: Unsupported value: "c": supported values: "b", "a"'],
    [object({ a: { type: 'string', pattern: '^a+$' } }), { a: 'b' }, `spec.a: Invalid value: "b": spec.a in body should match '^a+$'`],
    [
      object({ a: { type: 'string', minLength: 2 } }),
      { a: '😀' },
      'spec.a: Invalid value: "😀": spec.a in body should be at least 2 chars long',
    ],
    [object({ a: { type: 'string', maxLength: 1 } }), { a: 'ab' }, 'spec.a: Too long: may not be more than 1 bytes'],
    [
      object({ a: { type: 'integer', minimum: 1 } }),
      { a: 0 },
      'spec.a: Invalid value: 0: spec.a in body should be greater than or equal to 1',
    ],
    [
      object({ a: { type: 'number', maximum: 1, exclusiveMaximum: true } }),
      { a: 1 },
      'spec.a: Invalid value: 1: spec.a in body should be less than 1',
    ],
    [
      object({ a: { type: 'number', multipleOf: 0.1 } }),
      { a: 0.25 },
      'spec.a: Invalid value: 0.25: spec.a in body should be a multiple of 0.1',
    ],
    [{ type: 'array', items: string, minItems: 1 }, [], 'spec: Invalid value: 0: spec in body should have at least 1 items'],
    [{ type: 'array', items: string, maxItems: 1 }, ['a', 'b'], 'spec: Too many: 2: must have at most 1 items'],
    [
      { type: 'object', additionalProperties: string, maxProperties: 1 },
      { a: 'x', b: 'y' },
      'spec: Too many: 2: must have at most 1 items',
    ],
    [
      object({ t: { type: 'string', format: 'date-time' } }),
      { t: 'x' },
      'spec.t: Invalid value: "x": spec.t in body must be of type date-time: "x"',
    ],
    [list('set'), ['a', 'b', 'a'], 'spec[2]: Duplicate value: "a"'],
    [
      list('map'),
      [
        { k: 'a', v: '1' },
        { k: 'a', v: '2' },
      ],
      'spec[1]: Duplicate value: {"k":"a"}',
    ],
    [
      object({ a: string }, { not: { required: ['a'] } }),
      { a: 'x' },
      '<nil>: Invalid value: "": "spec" must not validate the schema (not)',
    ],
    [embedded, { apiVersion: 'v1' }, 'spec.kind: Required value: must not be empty'],
    [embedded, { apiVersion: 'v1', kind: 'A b' }, expect.stringContaining('spec.kind: Invalid value: "A b": may have mixed case')],
    [embedded, { apiVersion: 'a/b/c', kind: 'A' }, 'spec.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c'],
    [
      embedded,
      { apiVersion: 'v1', kind: 'A', metadata: { labels: { 'a b': 'c' } } },
      expect.stringContaining('spec.metadata.labels: Invalid value: "a b"'),
    ],
  ])('%j %j', (schema, spec, error) => expect(read(schema, spec).errors).toEqual([error]))
  it.each<[spec: unknown, message: string]>([
    [{ apiVersion: 1, kind: 'A' }, 'spec.apiVersion: Invalid value: 1: must be a string'],
    [{ apiVersion: 'v1', kind: {} }, 'spec.kind: Invalid value: {}: must be a string'],
    [
      { apiVersion: 'v1', kind: 'A', metadata: [] },
      'spec.metadata: Invalid value: []: json: cannot unmarshal array into Go value of type v1.ObjectMeta',
    ],
    [
      { apiVersion: 'v1', kind: 'A', metadata: { labels: { a: 1 } } },
      'spec.metadata: Invalid value: {"labels":{"a":1}}: json: cannot unmarshal number',
    ],
  ])('does not read an embedded object whose type or metadata are none: %j', (spec, message) =>
    expect(() => read(embedded, spec)).toThrow(message),
  )
  it.each<[what: string, schema: JsonSchema, spec: unknown, errors: string[]]>([
    ['each value that a set has twice, once', list('set'), ['a', 'b', 'a', 'a', 'b'], ['spec[2]: Duplicate value: "a"', 'spec[4]: Duplicate value: "b"']], // prettier-ignore
    [
      'what has no keys in a list of type map',
      { type: 'object', additionalProperties: { ...keyed, items: { ...keyed.items!, type: undefined } } },
      { m: [{ k: 'a' }, 1] },
      ['spec[m][1]: Invalid value: 1: must be an object for an array of list-type map'],
    ],
    [
      'the schema that came closest, of several of which none fits',
      object(
        { a: string, b: string, c: string },
        { oneOf: [{ required: ['a', 'b'] }, { required: ['b'], properties: { c: { minLength: 2 } } }] },
      ),
      { c: 'x' },
      [
        '<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found none valid',
        'spec.b: Required value',
        'spec.c: Invalid value: "x": spec.c in body should be at least 2 chars long',
      ],
    ],
    [
      'nothing of them when several fit where one should',
      object({ a: string, b: string }, { oneOf: [{ required: ['a'] }, { required: ['b'] }] }),
      { a: 'x', b: 'x' },
      ['<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found 2 valid alternatives'],
    ],
    [
      'what all of them say',
      object({ a: string }, { allOf: [{ properties: { a: { minLength: 2 } } }, { required: ['b'] }] }),
      { a: 'x' },
      [
        'spec.a: Invalid value: "x": spec.a in body should be at least 2 chars long',
        'spec.b: Required value',
        '<nil>: Invalid value: "": "spec" must validate all the schemas (allOf). None validated',
      ],
    ],
    [
      'a wrong type, and that it is none of the values',
      object({ a: { type: 'string', enum: ['x'] } }),
      { a: 1 },
      [
        'spec.a: Invalid value: "integer": spec.a in body must be of type string: "integer"',
        'spec.a: Unsupported value: 1: supported values: "x"',
      ],
    ],
    [
      'null where it may be but is none of the values',
      object({ a: { type: 'string', nullable: true, enum: ['x'] } }),
      { a: null },
      ['spec.a: Unsupported value: null: supported values: "x"'],
    ],
    ['a number by the format of a text', object({ a: { type: 'string', format: 'date' } }), { a: 1 }, ['spec.a: Invalid value: "int64": spec.a in body must be of type date: "int64"']], // prettier-ignore
    ['what is too short, not its pattern', object({ a: { type: 'string', minLength: 1, pattern: '^a' } }), { a: '' }, ['spec.a: Invalid value: "": spec.a in body should be at least 1 chars long']], // prettier-ignore
  ])('tells of %s', (_, schema, spec, errors) => expect(read(schema, spec).errors).toEqual(errors))
  it.each<[what: string, schema: JsonSchema, old: unknown, now: unknown, errors: string[]]>([
    ['a field that stays', object({ a: integer, b: integer }), { a: 'x', b: 1 }, { a: 'x', b: 2 }, []],
    ['one that changes', object({ a: integer }), { a: 'x' }, { a: 'y' }, ['spec.a']],
    ['an item of a list without keys', { type: 'array', items: integer }, ['x', 1], ['x', 2], ['spec[0]']],
    ['the whole list', object({ l: { type: 'array', items: integer }, a: integer }), { l: ['x'], a: 1 }, { l: ['x'], a: 2 }, []],
    ['a list of type map in another order', object({ l: keyed }, { required: ['r'] }), { l: [{ k: 'a', n: 'x' }, { k: 'b' }] }, { l: [{ k: 'b' }, { k: 'a', n: 'x' }] }, []], // prettier-ignore
    ['what one of several schemas says', { ...object({ a: string, b: integer }), allOf: [{ properties: { a: { maxLength: 1 } } }] }, { a: 'xx', b: 1 }, { a: 'xx', b: 2 }, ['spec.a', '<nil>']], // prettier-ignore
    ['a part that holds what no schema describes', object({ p: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true, required: ['r'] } }), { p: { u: 1 } }, { p: { u: 1 } }, ['spec.p.r']], // prettier-ignore
    ['one of a list of type map by its keys', keyed, [{ k: 'a', n: 'x' }], [{ k: 'b', n: 1 }, { k: 'a', n: 'x' }], []], // prettier-ignore
    ['what a list of type map has twice, as before', keyed, [{ k: 'a' }, { k: 'a' }], [{ k: 'a' }, { k: 'a' }, { k: 'b' }], []],
    ['and what it has twice now', keyed, [{ k: 'a' }], [{ k: 'a' }, { k: 'a' }], ['spec[1]']],
    ['a field that is still missing from what changes', object({ a: integer }, { required: ['r'] }), { a: 1 }, { a: 2 }, ['spec.r']],
  ])('of a change it does not blame what was wrong before: %s', (_, schema, old, now, errors) => {
    const whole = (spec: unknown) => ({ ...head, spec })
    expect(codecOf(schema).validate!(whole(now), { old: whole(old) }).map(e => e.field)).toEqual(errors)
  })
  it('of many values that fit one of several schemas', () => {
    const schema: JsonSchema = { type: 'array', items: { 'x-kubernetes-int-or-string': true, anyOf: [{ type: 'integer' }, string] } }
    const many = Array.from({ length: 2000 }, (_, i) => (i % 2 ? i : `${i}`))
    expect(findErrors(() => codecOf(schema).validate!({ ...head, spec: many }))).toEqual([])
  })
  it('asks the rules when all else is right, or says that it did not', () => {
    const rule = { reason: 'FieldValueInvalid', field: 'spec.a', message: 'broken' } as const
    const root = { type: 'object', properties: { spec: object({ a: integer }) } } as const
    const codec = structuralCodec({ root, rules: () => () => [rule] })
    expect(codec.validate!({ ...head, spec: { a: 1 } })).toEqual([rule])
    expect(codec.validate!({ ...head, spec: { a: 'x' } }).map(e => e.message)).toEqual([
      expect.stringContaining('must be of type integer'),
      expect.stringContaining('some validation rules were not checked'),
    ])
  })
  it.each<[JsonSchema, unknown]>([
    [object({ a: { type: 'number' } }), { a: 1 }],
    [object({ p: { 'x-kubernetes-int-or-string': true } }), { p: '10%' }],
    [object({ a: { type: 'string', format: 'strange' } }), { a: 'x' }],
    [object({ a: { type: 'number', multipleOf: 0.1 } }), { a: 0.3 }],
  ])('%j takes %j', (schema, spec) => expect(read(schema, spec).errors).toEqual([]))
  it('a body that is no object', () => {
    for (const body of ['[]', 'null', '"x"', '{', '{"kind":1}']) expect(() => codecOf({}).decode(body)).toThrow(DecodeError)
  })
})

describe('as server-side apply sees it', () => {
  const codec = codecOf(
    object({
      ports: {
        type: 'array',
        items: object({ port: integer, name: string }),
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['port'],
      },
      tags: { type: 'array', items: string, 'x-kubernetes-list-type': 'set' },
      plain: { type: 'array', items: string },
      nested: { type: 'array', items: { type: 'array', items: string, 'x-kubernetes-list-type': 'set' } },
      atomic: object({ a: string }, { 'x-kubernetes-map-type': 'atomic' }),
      both: object({ a: string }, { additionalProperties: string }),
      free: object({}),
      kept: object({ a: object({ b: string }) }, { 'x-kubernetes-preserve-unknown-fields': true }),
      any: { 'x-kubernetes-preserve-unknown-fields': true },
      lone: object({ a: string }, { 'x-kubernetes-preserve-unknown-fields': true, 'x-kubernetes-map-type': 'atomic' }),
    }),
  )
  const changed = (before: object, after: object) =>
    compare(codec.shape, { ...head, spec: before }, { ...head, spec: after }).changed['f:spec']
  it('lists and maps merge as the schema says', () => {
    expect(changed({ ports: [{ port: 1 }] }, { ports: [{ port: 1, name: 'x' }] })).toEqual({
      'f:ports': { 'k:{"port":1}': { 'f:name': {} } },
    })
    expect(changed({ tags: ['a'] }, { tags: ['a', 'b'] })).toEqual({ 'f:tags': { 'v:"b"': {} } })
    expect(changed({ plain: ['a'] }, { plain: ['b'] })).toEqual({ 'f:plain': {} })
    expect(changed({ atomic: { a: 'x' } }, { atomic: { a: 'y' } })).toEqual({ 'f:atomic': {} })
    expect(changed({ both: { a: 'x' } }, { both: { a: 'x', b: 'y' } })).toEqual({ 'f:both': { 'f:b': {} } })
  })
  it.each(['free', 'kept', 'any'])('what no schema describes merges by its names, however deep: %s', name => {
    const deep = (c: unknown) => ({ [name]: { x: { y: { c, d: 1 } } } })
    expect(changed(deep(1), deep(2))).toEqual({ [`f:${name}`]: { 'f:x': { 'f:y': { 'f:c': {} } } } })
    expect(changed(deep([1]), deep([2]))).toEqual({ [`f:${name}`]: { 'f:x': { 'f:y': { 'f:c': {} } } } })
    expect(changed(deep({ e: 1 }), deep([2]))).toEqual({ [`f:${name}`]: { 'f:x': { 'f:y': { 'f:c': {} } } } })
    const said = configured(codec.shape, { ...head, spec: deep({ e: 1, f: {} }) })['f:spec']
    const inner = { '.': {}, 'f:c': { '.': {}, 'f:e': {}, 'f:f': {} }, 'f:d': {} }
    expect(said).toEqual({ [`f:${name}`]: { 'f:x': { '.': {}, 'f:y': inner } } })
    expect(merge(codec.shape, { spec: deep({ e: 1 }) }, { spec: { [name]: { x: { y: { c: { g: 2 } } } } } })).toEqual({
      spec: deep({ e: 1, g: 2 }),
    })
    expect(merge(codec.shape, { spec: deep({ e: 1 }) }, { spec: deep([3]) })).toEqual({ spec: deep([3]) })
  })
  it('what is described beside it stays what it is, and atomic maps are one value', () => {
    expect(changed({ kept: { a: { b: 'x' } } }, { kept: { a: { b: 'y' } } })).toEqual({ 'f:kept': { 'f:a': { 'f:b': {} } } })
    expect(configured(codec.shape, { ...head, spec: { kept: { a: { b: 'x' } } } })['f:spec']).toEqual({
      'f:kept': { 'f:a': { 'f:b': {} } },
    })
    expect(changed({ lone: { z: 1 } }, { lone: { z: 2 } })).toEqual({ 'f:lone': {} })
    expect(changed({ any: 1 }, { any: { a: 1 } })).toEqual({ 'f:any': {} })
  })
  it('what is of a wrong type is one value, until validation refuses it', () => {
    expect(changed({ ports: [{ port: 1 }] }, { ports: 'x' })).toEqual({ 'f:ports': {} })
    expect(changed({}, { ports: [null, 1], tags: { a: 1 }, both: [] })).toMatchObject({ 'f:tags': {}, 'f:both': {} })
    expect(() => codec.decode(JSON.stringify({ ...head, spec: { ports: 'x' } }), { partial: true })).toThrow(
      '.spec.ports: expected list, got string',
    )
  })
})

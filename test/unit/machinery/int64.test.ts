/** Integers that a number of JavaScript does not hold go through everything that works on values without a type. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DecodeError } from '#shared/machinery/decode.ts'
import { bigintsWritten, numberOf, ofBigInt, parseJson, parseWide } from '#shared/machinery/int64.ts'
import { compare } from '#shared/machinery/managedfields/compare.ts'
import { jsonPatch } from '#shared/machinery/patch/json.ts'
import { mergePatch } from '#shared/machinery/patch/merge.ts'
import { structuralCodec } from '#shared/machinery/structural/codec.ts'
import type { JsonSchema } from '#shared/machinery/structural/schema.ts'
import { yamlToJson } from '#shared/machinery/yaml.ts'
import { encode, newStored, release } from '../../../control-plane/apiserver/registry/stored.ts'

const head = { kind: 'Thing', apiVersion: 'example.com/v1', metadata: { name: 'a' } }
const codecOf = (spec: JsonSchema) => structuralCodec({ root: { type: 'object', properties: { spec } } })
const anything = codecOf({ type: 'object', 'x-kubernetes-preserve-unknown-fields': true })
/** A body with a spec of this text, and what is wrong with it. */
function read(schema: JsonSchema, spec: string) {
  const codec = codecOf(schema)
  const { object } = codec.decode(`${JSON.stringify(head).slice(0, -1)},"spec":${spec}}`)
  codec.applyDefaults(object)
  return { object, text: JSON.stringify((object as { spec?: unknown }).spec), errors: codec.validate!(object).map(e => e.message) }
}

const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: 2n ** 53n - 3n, max: 2n ** 53n + 3n }),
  fc.bigInt({ min: -5n, max: 5n }),
)
const leaf = fc.oneof(
  int64.map(ofBigInt),
  fc.string(),
  fc.boolean(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(x => x + 0),
)
const values = fc.object({ values: [leaf], key: fc.stringMatching(/^[a-z]{1,4}$/), maxDepth: 3 })

it.each([
  ['9007199254740991', 9007199254740991],
  ['9007199254740992', 9007199254740992n],
  ['9007199254740993', 9007199254740993n],
  ['-9007199254740993', -9007199254740993n],
  ['9223372036854775807', 9223372036854775807n],
  ['-9223372036854775808', -9223372036854775808n],
  // More is a float64, and so is what is not written as an integer.
  ['9223372036854775808', 9223372036854775808],
  ['-9223372036854775809', -9223372036854775808],
  ['9007199254740993.0', 9007199254740992],
  ['1e17', 1e17],
  ['0.1234567890123456789', 0.12345678901234568],
])('%s is read as upstream reads it', (text, value) => {
  expect(numberOf(text)).toBe(value)
  expect(parseJson(text)).toBe(value)
  expect(parseWide(text)).toBe(value)
})

it('a number that no float64 holds is refused', () => {
  expect(() => read({ type: 'object', 'x-kubernetes-preserve-unknown-fields': true }, '{"a":1e400}')).toThrow(
    new DecodeError('json: cannot unmarshal number 1e400 into Go value of type float64'),
  )
})

describe('any values come out as they went in', () => {
  it.each<[string, (text: string) => unknown]>([
    ['parsed', parseJson],
    ['parsed with care', parseWide],
    ['decoded', text => (anything.decode(`{"spec":${text}}`).object as { spec: unknown }).spec],
    ['decoded from a value', text => (anything.decodeValue({ spec: parseJson(text) }).object as { spec: unknown }).spec],
    ['from YAML', text => parseJson(yamlToJson(text).json)],
    ['merged', text => (mergePatch({ spec: {} }, `{"spec":${text}}`) as { spec: unknown }).spec],
    ['patched', text => (jsonPatch({ spec: 1 }, `[{"op":"replace","path":"/spec","value":${text}}]`) as { spec: unknown }).spec],
    [
      'stored',
      text => {
        const stored = newStored('', 'a', 7, encode({ ...head, spec: parseJson(text) } as Parameters<typeof encode>[0]))
        expect(JSON.stringify(stored.object)).toBe(stored.json.toString().trimEnd())
        const first = (stored.object as { spec?: unknown }).spec
        release(stored)
        expect((stored.object as { spec?: unknown }).spec).toEqual(first)
        return first
      },
    ],
  ])('%s', (_, through) => {
    fc.assert(
      fc.property(values, value => {
        const text = JSON.stringify(value)
        expect(JSON.stringify(through(text))).toBe(text)
      }),
    )
  })
})

it('neighbours differ: by patches that test, by comparison', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 2n }), n => {
      const document = { spec: { n } }
      const test = (value: bigint) => jsonPatch(document, `[{"op":"test","path":"/spec/n","value":${value}}]`)
      expect(test(n)).toEqual(document)
      expect(() => test(n + 1n)).toThrow()
      expect(compare(anything.shape, document, { spec: { n: n + 1n } }).changed).toEqual({ 'f:spec': { 'f:n': {} } })
      expect(compare(anything.shape, document, { spec: { n } }).changed).toEqual({})
    }),
  )
})

it('stored bytes say whether they have one', () => {
  const before = bigintsWritten()
  expect(encode({ ...head, spec: { n: 1 } } as Parameters<typeof encode>[0]).at(-1)).toBe(0x7d)
  expect(bigintsWritten()).toBe(before)
  expect(encode({ ...head, spec: { n: 2n ** 60n } } as Parameters<typeof encode>[0]).toString()).toMatch(/1152921504606846976}} $/)
})

const max = Number(2n ** 53n)
describe('validation', () => {
  it.each<[string, JsonSchema, string, string[]]>([
    ['an integer', { type: 'integer' }, '9223372036854775807', []],
    ['a number', { type: 'number' }, '9223372036854775807', []],
    ['int or string', { 'x-kubernetes-int-or-string': true }, '9223372036854775807', []],
    ['no string', { type: 'string' }, '9007199254740993', ['Invalid value: "integer": spec in body must be of type string: "integer"']],
    // Upstream takes no float64 for an integer that may have been rounded.
    ['a float', { type: 'integer' }, '9223372036854776000', ['Invalid value: "number": spec in body must be of type integer: "number"']],
    ['at most', { type: 'integer', maximum: max }, '9007199254740992', []],
    [
      'more than the maximum',
      { type: 'integer', maximum: max },
      '9007199254740993',
      [`Invalid value: 9007199254740993: spec in body should be less than or equal to ${max}`],
    ],
    [
      'less than the minimum',
      { type: 'integer', minimum: -max },
      '-9007199254740993',
      [`Invalid value: -9007199254740993: spec in body should be greater than or equal to ${-max}`],
    ],
    ['a multiple', { type: 'integer', multipleOf: 3 }, '9007199254740993', []],
    [
      'no multiple',
      { type: 'integer', multipleOf: 2 },
      '9007199254740993',
      ['Invalid value: 9007199254740993: spec in body should be a multiple of 2'],
    ],
    ['one of', { enum: [9007199254740993n] }, '9007199254740993', []],
    [
      'none of',
      { enum: [9007199254740993n] },
      '9007199254740992',
      ['Unsupported value: 9007199254740992: supported values: "9007199254740993"'],
    ],
    [
      'a set',
      { type: 'array', items: { type: 'integer' }, 'x-kubernetes-list-type': 'set' },
      '[9007199254740992,9007199254740993,9007199254740993]',
      ['Duplicate value: 9007199254740993'],
    ],
  ])('%s', (_, schema, text, errors) => {
    expect(read(schema, text)).toMatchObject({ text, errors })
  })

  it('defaults are exact', () => {
    const schema: JsonSchema = { type: 'object', properties: { n: { type: 'integer', default: 9007199254740993n } } }
    expect(read(schema, '{}').text).toBe('{"n":9007199254740993}')
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DecodeError, decode } from '#shared/machinery/decode.ts'
import { parseJson } from '#shared/machinery/int64.ts'
import {
  any,
  bool,
  bytes,
  double,
  duration,
  int32,
  int64,
  intOrString,
  list,
  map,
  microTime,
  obj,
  opt,
  quantity,
  req,
  str,
  time,
  type ObjectSchema,
} from '#shared/machinery/schema.ts'

// The annotation breaks the circle that inference cannot.
const part: ObjectSchema = obj('io.k8s.api.test.v1.Part', '', () => ({
  name: req(1, str()),
  size: opt(2, int32()),
  part: opt(3, part),
}))
const thing = obj('io.k8s.api.test.v1.Thing', '', () => ({
  apiVersion: opt(0, str()),
  kind: opt(0, str()),
  metadata: opt(1, map(str())),
  text: opt(1, str()),
  kept: opt(1, str(), { pointer: true }),
  small: opt(2, int32()),
  dropped: opt(2, int32(), { pointer: false }),
  wide: opt(3, int64()),
  ratio: opt(4, double()),
  on: opt(5, bool()),
  free: opt(6, any()),
  names: opt(7, list(str())),
  parts: opt(8, list(part)),
  labels: opt(9, map(str())),
  byName: opt(10, map(part)),
  port: opt(11, intOrString()),
  data: opt(12, map(bytes())),
  at: opt(13, time()),
  exactly: opt(14, microTime()),
  amount: opt(15, quantity()),
  wait: opt(16, duration()),
  needed: req(17, list(part)),
  target: req(18, part),
  choice: req(19, part, { pointer: true }),
  written: opt(20, microTime(), { pointer: false }),
}))
const empty = { needed: [], target: { name: '' }, written: null }
const decoded = (text: string): unknown => decode(thing, text).object
const failure = (text: string): string => {
  try {
    decode(thing, text)
  } catch (e) {
    if (e instanceof DecodeError) return e.message
    throw e
  }
  return 'no error'
}

describe('decoding', () => {
  it('takes null and what omitempty drops for absent, and fills in required fields', () => {
    expect(decoded('{}')).toEqual(empty)
    expect(decoded('null')).toEqual(empty)
    expect(decoded('{"text":null,"names":null,"on":null,"parts":[],"labels":{},"small":null,"needed":null}')).toEqual(empty)
    expect(decoded('{"text":"","kept":"","small":0,"dropped":0,"on":false}')).toEqual({ kept: '', small: 0, on: false, ...empty })
    expect(decoded('{"parts":[null,{"size":1}],"labels":{"a":null}}')).toEqual({
      parts: [{ name: '' }, { name: '', size: 1 }],
      labels: { a: '' },
      ...empty,
    })
  })

  it('puts kind, apiVersion and metadata first', () => {
    expect(Object.keys(decoded('{"text":"x","metadata":{"a":"b"},"apiVersion":"v1","kind":"Thing"}') as object).slice(0, 3)).toEqual([
      'kind',
      'apiVersion',
      'metadata',
    ])
  })

  it('tells unknown and duplicate fields by path', () => {
    const { object, unknown, duplicate } = decode(
      thing,
      '{"foo":{"a":1},"text":"a","text":"b","parts":[{},{"bar":1,"name":"x","name":"y"}],"labels":{"k":"1","k":"2"},"byName":{"z":{"baz":[]}}}',
    )
    expect(unknown).toEqual(['foo', 'parts[1].bar', 'byName.z.baz'])
    expect(duplicate).toEqual(['text', 'parts[1].name', 'labels.k'])
    expect(object).toMatchObject({ text: 'b', parts: [{ name: '' }, { name: 'y' }], labels: { k: '2' } })
    expect(decode(thing, `{${Array.from({ length: 300 }, (_, i) => `"u${i}":1`).join(',')}}`).unknown).toHaveLength(100)
  })

  it('says which field has a wrong type, as Go does', () => {
    expect(failure('{"on":"x"}')).toBe('json: cannot unmarshal string into Go struct field Thing.on of type bool')
    expect(failure('{"parts":[{"part":{"name":1}}]}')).toBe(
      'json: cannot unmarshal number into Go struct field Part.parts.part.name of type string',
    )
    expect(failure('{"parts":{}}')).toBe('json: cannot unmarshal object into Go struct field Thing.parts of type []v1.Part')
    expect(failure('{"labels":{"a":true}}')).toBe('json: cannot unmarshal bool into Go struct field Thing.labels.a of type string')
    expect(failure('{"target":[]}')).toBe('json: cannot unmarshal array into Go struct field Thing.target of type v1.Part')
    expect(failure('[]')).toBe('json: cannot unmarshal array into Go value of type v1.Thing')
  })

  it('keeps integers in their range', () => {
    expect(decoded('{"small":-2147483648,"wide":9007199254740991}')).toMatchObject({ small: -2147483648, wide: 9007199254740991 })
    expect(failure('{"small":4294967296}')).toBe('json: cannot unmarshal number 4294967296 into Go struct field Thing.small of type int32')
    expect(failure('{"small":1.5}')).toContain('number 1.5')
    expect(failure('{"small":1e3}')).toContain('number 1e3')
    expect(failure('{"wide":9223372036854775808}')).toContain('of type int64')
    // Beyond doubles the value is rounded, but what is printed must still be an int64.
    const { wide } = decoded('{"wide":9223372036854775807}') as { wide: number }
    expect(BigInt(JSON.stringify(wide))).toBeLessThan(2n ** 63n)
  })

  it('brings times, bytes and quantities into canonical form', () => {
    expect(
      decoded(
        '{"at":"2026-01-02T03:04:05.678+02:00","exactly":"2026-01-02T03:04:05.1234567Z","amount":0.5,"wait":"1m30s","data":{"a":"AAEC\\n"}}',
      ),
    ).toMatchObject({
      at: '2026-01-02T01:04:05Z',
      exactly: '2026-01-02T03:04:05.123456Z',
      amount: '500m',
      wait: '1m30s',
      data: { a: 'AAEC' },
    })
    expect(decoded('{"amount":"1024Mi","port":"http"}')).toMatchObject({ amount: '1Gi', port: 'http' })
    expect(decoded('{"amount":12,"port":80}')).toMatchObject({ amount: '12', port: 80 })
    for (const bad of [
      '{"at":"yesterday"}',
      '{"at":"2026-02-30T00:00:00Z"}',
      '{"at":1}',
      '{"amount":"1x"}',
      '{"amount":""}',
      '{"amount":true}',
      '{"wait":"1"}',
      '{"data":{"a":"A"}}',
      '{"data":{"a":"????"}}',
      '{"port":true}',
      '{"port":1.5}',
    ]) {
      expect(failure(bad), bad).not.toBe('no error')
    }
  })

  it('words syntax errors as Go does', () => {
    expect(failure('')).toBe('unexpected end of JSON input')
    expect(failure('{not json')).toBe("invalid character 'n' looking for beginning of object key string")
    expect(failure('{"text":"a" "b"}')).toBe("invalid character '\"' after object key:value pair")
    expect(failure('{} x')).toBe("invalid character 'x' after top-level value")
    expect(failure('{"on":trux}')).toBe("invalid character 'x' in literal true (expecting 'e')")
    expect(failure('{"text":"\n"}')).toBe("invalid character '\\n' in string literal")
  })

  it('does not let a body change prototypes', () => {
    const object = decoded('{"labels":{"__proto__":"x"},"free":{"__proto__":{"polluted":1}}}') as { labels: object; free: object }
    expect(Object.getPrototypeOf(object.labels)).toBe(Object.prototype)
    expect(JSON.stringify(object.labels)).toBe('{"__proto__":"x"}')
    expect(({} as { polluted?: number }).polluted).toBeUndefined()
  })

  it('refuses deep nesting instead of overflowing the stack', () => {
    expect(failure(`{"free":${'['.repeat(100_000)}`)).toBe("invalid character '[' exceeded max depth")
    expect(failure(`${'{"target":{"part":'}${'{"part":'.repeat(100_000)}`)).toBe("invalid character '{' exceeded max depth")
  })

  it('reads every JSON value as JSON.parse does, but for what only a bigint holds', () => {
    fc.assert(
      fc.property(fc.jsonValue(), value => {
        expect((decode(thing, JSON.stringify({ free: { value } })).object as { free: unknown }).free).toEqual(
          parseJson(JSON.stringify({ value })),
        )
      }),
    )
  })

  it('accepts exactly the texts that JSON.parse accepts', () => {
    const piece = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '\\',
      '"a"',
      '1',
      '-',
      '0',
      '.5',
      'e1',
      'true',
      'null',
      ' ',
      '\n',
      '\\u00e9',
      '"free"',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), pieces => {
        const text = `{"free":[${pieces.join('')}]}`
        let valid = true
        try {
          JSON.parse(text)
        } catch {
          valid = false
        }
        expect(failure(text) === 'no error', text).toBe(valid)
      }),
      { numRuns: 3000 },
    )
  })

  it('keeps what a partial body says and adds nothing', () => {
    expect(decode(thing, '{"text":"","dropped":0,"parts":[]}', { partial: true }).object).toEqual({ text: '', dropped: 0, parts: [] })
  })
})

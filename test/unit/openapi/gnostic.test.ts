import { describe, expect, it } from 'vitest'
import { resources } from '#shared/api/resources.ts'
import { formOf } from '#control-plane/apiserver/openapi/accept.ts'
import { encodeGnostic } from '#control-plane/apiserver/openapi/gnostic.ts'
import { encodeGnosticV3 } from '#control-plane/apiserver/openapi/gnosticv3.ts'
import { openApi } from '#control-plane/apiserver/openapi/openapi.ts'

/** Reads the fields of a message that only has strings and messages. */
function* fields(data: Buffer): Generator<{ tag: number; value: Buffer }> {
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = data[at++]!
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }
  while (at < data.length) {
    const key = varint()
    expect(key % 8).toBe(2)
    const length = varint()
    yield { tag: Math.floor(key / 8), value: data.subarray(at, (at += length)) }
  }
  expect(at).toBe(data.length)
}
/** Nobody else waits. */
const go = () => undefined
const named = (entry: Buffer): string => [...fields(entry)].find(f => f.tag === 1)!.value.toString()

describe('OpenAPI v2 as protobuf', () => {
  it('has every definition and every path, in order', async () => {
    const serving = { resources, proxied: new Map() }
    const api = openApi(() => serving, 'v1.35.0')
    const json = JSON.parse((await api.v2(go)).body.toString()) as { definitions: object; paths: object }
    const all = [...fields((await api.v2Protobuf(go)).body)]
    expect(all.slice(0, 2).map(f => f.tag)).toEqual([1, 2])
    // Readers join messages that stand there several times.
    const names = (tag: number) => all.filter(f => f.tag === tag).flatMap(f => [...fields(f.value)].map(entry => named(entry.value)))
    expect(names(8)).toEqual(Object.keys(json.paths))
    expect(names(9)).toEqual(Object.keys(json.definitions))
    expect(await api.v2Protobuf(go)).toBe(await api.v2Protobuf(go))
  })
  it('writes a schema as gnostic does', () => {
    const A = {
      type: 'object',
      properties: { b: { $ref: '#/definitions/B', description: 'of B' } },
      'x-kubernetes-group-version-kind': [{ kind: 'A' }],
    }
    const schema =
      '\xb2\x01\x08\x0a\x06object\xca\x01\x1e\x0a\x1c\x0a\x01b\x12\x17\x0a\x0f#/definitions/B\x22\x04of B\xfa\x01\x33\x0a\x1fx-kubernetes-group-version-kind\x12\x10\x12\x0e[{"kind":"A"}]'
    const entry = `\x0a\x01A\x12${String.fromCharCode(schema.length)}${schema}`
    const definitions = `\x0a${String.fromCharCode(entry.length)}${entry}`
    expect(encodeGnostic({ definitions: { A } }).toString('latin1')).toBe(`\x4a${String.fromCharCode(definitions.length)}${definitions}`)
  })
  it('is what kubectl asks for, and only then', () => {
    const form = (accept: string | undefined) => formOf(accept, 'v2')
    expect(form('application/com.github.proto-openapi.spec.v2@v1.0+protobuf')).toBe('protobuf')
    expect(form('application/com.github.proto-openapi.spec.v2.v1.0+protobuf, application/json')).toBe('protobuf')
    expect(form('application/json;q=0.5, application/com.github.proto-openapi.spec.v2.v1.0+protobuf')).toBe('protobuf')
    for (const accept of [
      undefined,
      '',
      '*/*',
      'application/json',
      'application/json, application/com.github.proto-openapi.spec.v2@v1.0+protobuf',
    ])
      expect(form(accept)).toBe('json')
    for (const accept of ['text/html', 'application/com.github.proto-openapi.spec.v3@v1.0+protobuf']) expect(form(accept)).toBeUndefined()
  })
})

describe('OpenAPI v3 as protobuf', () => {
  const within = (data: Buffer, ...tags: number[]): Buffer[] =>
    tags.reduce((all, tag) => all.flatMap(d => [...fields(d)].filter(f => f.tag === tag).map(f => f.value)), [data])
  it('has every type and every path, in order', () => {
    const api = openApi(() => ({ resources, proxied: new Map() }), 'v1.35.0')
    const json = JSON.parse(api.v3('apis/apps/v1')!.body.toString()) as { components: { schemas: object }; paths: object }
    const made = encodeGnosticV3(json)
    expect(String(within(made, 1))).toBe('3.0.0')
    expect(within(made, 4, 1).map(named)).toEqual(Object.keys(json.paths))
    expect(within(made, 5, 1, 1).map(named)).toEqual(Object.keys(json.components.schemas))
  })
  it('writes schemas and references as gnostic does', () => {
    const A = {
      type: 'object',
      properties: { b: { $ref: '#/B' }, n: { type: 'integer', minimum: -1, default: 2 }, o: { default: {} } },
      additionalProperties: true,
      'x-kubernetes-map-type': 'atomic',
    }
    const made = encodeGnosticV3({ components: { schemas: { A } } })
    const [schema] = within(made, 5, 1, 1, 2, 1) as [Buffer]
    // `additional_properties` with field 2, true; the extension as YAML.
    expect(schema.includes(Buffer.from([0x82, 0x02, 0x02, 0x10, 1]))).toBe(true)
    expect(schema.includes('x-kubernetes-map-type')).toBe(true)
    expect(schema.includes('"atomic"')).toBe(true)
    const b = Buffer.from('\x0a\x0c\x0a\x01b\x12\x07\x12\x05\x0a\x03#/B', 'latin1')
    expect(schema.includes(b)).toBe(true)
    // n: minimum (13) as a double, type (25), default (33) with a number (1).
    const number = (n: number): Buffer => {
      const bytes = Buffer.alloc(8)
      bytes.writeDoubleLE(n)
      return bytes
    }
    expect(schema.includes(Buffer.concat([Buffer.from([13 * 8 + 1]), number(-1)]))).toBe(true)
    expect(schema.includes(Buffer.concat([Buffer.from([0x8a, 0x02, 9, 9]), number(2)]))).toBe(true)
    // o: a default of which nothing can be said.
    expect(schema.includes(Buffer.from([0x8a, 0x02, 0]))).toBe(true)
  })
})

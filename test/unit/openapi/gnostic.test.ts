import { describe, expect, it } from 'vitest'
import { resources } from '#shared/api/resources.ts'
import { encodeGnostic, wantsGnostic } from '#control-plane/apiserver/openapi/gnostic.ts'
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
    expect(wantsGnostic('application/com.github.proto-openapi.spec.v2@v1.0+protobuf')).toBe(true)
    expect(wantsGnostic('application/com.github.proto-openapi.spec.v2.v1.0+protobuf, application/json')).toBe(true)
    for (const accept of [
      undefined,
      '',
      '*/*',
      'application/json',
      'application/json, application/com.github.proto-openapi.spec.v2@v1.0+protobuf',
    ])
      expect(wantsGnostic(accept)).toBe(false)
  })
})

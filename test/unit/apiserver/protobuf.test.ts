import { describe, expect, it } from 'vitest'
import fc from 'fast-check'
import { decodeProtobuf, ProtobufError } from '#shared/machinery/protobuf.ts'
import {
  any,
  bool,
  bytes,
  duration,
  inline,
  int32,
  int64,
  intOrString,
  list,
  map,
  microTime,
  obj,
  opt,
  quantity,
  str,
  time,
} from '#shared/machinery/schema.ts'

const inner = obj('test.Inner', '', () => ({ a: opt(1, str()), b: opt(2, int32()) }))
const outer = obj('test.Outer', '', () => ({
  ...inline(1, inner),
  flag: opt(2, bool()),
  big: opt(3, int64()),
  port: opt(4, intOrString()),
  when: opt(5, time()),
  micro: opt(6, microTime()),
  size: opt(7, quantity()),
  data: opt(8, map(bytes())),
  list: opt(9, list(inner)),
  raw: opt(10, any()),
  wait: opt(11, duration()),
  extra: opt(12, map(list(str()))),
  numbers: opt(13, list(int32())),
}))

// A few lines of an encoder: enough to write what Go would send.
const varint = (v: bigint | number): number[] => {
  const out: number[] = []
  let n = BigInt.asUintN(64, BigInt(v))
  do {
    out.push(Number(n & 0x7fn) | (n > 0x7fn ? 0x80 : 0))
    n >>= 7n
  } while (n > 0n)
  return out
}
const int = (tag: number, v: bigint | number): number[] => [...varint(tag * 8), ...varint(v)]
const len = (tag: number, v: number[] | string): number[] => {
  const b = typeof v === 'string' ? [...Buffer.from(v)] : v
  return [...varint(tag * 8 + 2), ...varint(b.length), ...b]
}
const envelope = (raw: number[]): Buffer =>
  Buffer.from([0x6b, 0x38, 0x73, 0, ...len(1, [...len(1, 'test/v1'), ...len(2, 'Outer')]), ...len(2, raw), ...len(3, ''), ...len(4, '')])
const decode = (raw: number[]): Record<string, unknown> => decodeProtobuf(outer, envelope(raw))

describe('protobuf', () => {
  it('reads every type of field', () => {
    const raw = [
      ...len(1, [...len(1, 'x'), ...int(2, -5)]),
      ...int(2, 1),
      ...int(3, -7),
      ...len(4, [...int(1, 1), ...int(2, 0), ...len(3, 'http')]),
      ...len(5, int(1, 1_700_000_000)),
      ...len(6, [...int(1, 1_700_000_000), ...int(2, 123_456_000)]),
      ...len(7, len(1, '100m')),
      ...len(8, [...len(1, 'k'), ...len(2, 'abc')]),
      ...len(9, len(1, 'first')),
      ...len(9, int(2, 3)),
      ...len(10, len(1, '{"any":[1]}')),
      ...len(11, int(1, 90_500_000_000)),
      ...len(12, [...len(1, 'scopes'), ...len(2, [...len(1, 'a'), ...len(1, 'b')])]),
      ...len(13, [...varint(1), ...varint(300)]),
      ...int(13, 4),
      ...len(99, 'unknown fields are skipped'),
    ]
    expect(decode(raw)).toEqual({
      kind: 'Outer',
      apiVersion: 'test/v1',
      a: 'x',
      b: -5,
      flag: true,
      big: -7,
      port: 'http',
      when: '2023-11-14T22:13:20Z',
      micro: '2023-11-14T22:13:20.123456Z',
      size: '100m',
      data: { k: 'YWJj' },
      list: [{ a: 'first' }, { b: 3 }],
      raw: { any: [1] },
      wait: '1m30.5s',
      extra: { scopes: ['a', 'b'] },
      numbers: [1, 300, 4],
    })
    expect(decode([...len(4, [...int(1, 0), ...int(2, 8080)]), ...len(5, [])])).toMatchObject({ port: 8080 })
    expect(decode(len(5, []))['when']).toBeUndefined()
  })

  it('refuses what is none', () => {
    expect(() => decodeProtobuf(outer, Buffer.from('{}'))).toThrow(ProtobufError)
    expect(() => decode([...varint(8 * 8 + 2), 200])).toThrow(ProtobufError)
    expect(() => decode(int(9, 1))).toThrow(ProtobufError)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), data => {
        try {
          decode([...data])
        } catch (e) {
          expect(e).toBeInstanceOf(ProtobufError)
        }
      }),
    )
  })
})

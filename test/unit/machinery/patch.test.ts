import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { structCodec } from '#shared/machinery/codec.ts'
import { applyDefaults } from '#shared/machinery/defaults.ts'
import { jsonPatch } from '#shared/machinery/patch/json.ts'
import { mergeDiff, mergePatch } from '#shared/machinery/patch/merge.ts'
import { decodePatched } from '#shared/machinery/patch/patched.ts'
import { strategicMergePatch } from '#shared/machinery/patch/strategic.ts'
import { int32, list, map, obj, opt, str } from '#shared/machinery/schema.ts'
import { StatusError, type Status } from '#shared/machinery/status.ts'
import { comparable, recorded, resourceOf, storedObject } from './recorded.ts'

const status = (run: () => unknown): Partial<Status> => {
  try {
    run()
  } catch (e) {
    if (e instanceof StatusError) return e.status
    throw e
  }
  return { code: 200 }
}

const typeMeta = { apiVersion: 'v1', kind: 'Thing' }

describe('recorded patches', () => {
  const cases = recorded.filter(r => /^(merge|json|json-bad|json-testfail|strategic|strategic-list)\//.test(r.id))
  it.each(cases.map(c => [c.id, c] as const))('%s', (_, { id, contentType, body, code, answer }) => {
    const stored = storedObject(id.split('/')[1]!)
    const { schema } = resourceOf(stored)
    const text = JSON.stringify(body)
    const apply = (): unknown => {
      if (contentType === 'application/json-patch+json') return jsonPatch(stored, text)
      return contentType === 'application/merge-patch+json' ? mergePatch(stored, text) : strategicMergePatch(schema, stored, text)
    }
    if (code !== 200) return expect(status(apply)).toEqual(answer)
    const { object, warnings } = decodePatched(
      structCodec(schema),
      apply(),
      'Warn',
      stored as unknown as { kind: string; apiVersion: string },
    )
    applyDefaults(schema, object)
    expect(warnings).toEqual([])
    expect(comparable(object)).toMatchObject(comparable(withoutNulls(answer)) as object)
  })
})

/** Without an Event's time that is written as null when unset. */
const withoutNulls = (answer: object): object =>
  Object.fromEntries(Object.entries(answer).filter(([name, value]) => value !== null && !/^reporting/.test(name)))

describe('JSON patch', () => {
  const patch = (document: unknown, ...operations: object[]): unknown => jsonPatch(document, JSON.stringify(operations))
  // From RFC 6902, appendix A.
  it('does what the RFC shows', () => {
    expect(patch({ foo: 'bar' }, { op: 'add', path: '/baz', value: 'qux' })).toEqual({ foo: 'bar', baz: 'qux' })
    expect(patch({ foo: ['bar', 'baz'] }, { op: 'add', path: '/foo/1', value: 'qux' })).toEqual({ foo: ['bar', 'qux', 'baz'] })
    expect(patch({ foo: ['bar', 'qux', 'baz'] }, { op: 'remove', path: '/foo/1' })).toEqual({ foo: ['bar', 'baz'] })
    expect(
      patch({ foo: { bar: 'baz', waldo: 'fred' }, qux: { corge: 'grault' } }, { op: 'move', from: '/foo/waldo', path: '/qux/thud' }),
    ).toEqual({ foo: { bar: 'baz' }, qux: { corge: 'grault', thud: 'fred' } })
    expect(patch({ foo: ['all', 'grass', 'cows', 'eat'] }, { op: 'move', from: '/foo/1', path: '/foo/3' })).toEqual({
      foo: ['all', 'cows', 'eat', 'grass'],
    })
    expect(patch({ '/': 9, '~1': 10 }, { op: 'test', path: '/~01', value: 10 })).toEqual({ '/': 9, '~1': 10 })
    expect(patch({ foo: ['bar'] }, { op: 'add', path: '/foo/-', value: ['abc', 'def'] })).toEqual({ foo: ['bar', ['abc', 'def']] })
    expect(patch({ foo: 1 }, { op: 'replace', path: '', value: { bar: 2 } })).toEqual({ bar: 2 })
    // Its library takes a value that is absent for null.
    expect(patch({ foo: 1 }, { op: 'add', path: '/bar' }, { op: 'replace', path: '/foo' })).toEqual({ foo: null, bar: null })
  })
  it('fails as a whole with the one text that upstream gives', () => {
    const failing: object[][] = [
      [{ op: 'remove', path: '/none' }],
      [{ op: 'replace', path: '/none', value: 1 }],
      [{ op: 'test', path: '/foo', value: 2 }],
      [{ op: 'add', path: '/none/x', value: 1 }],
      [{ op: 'jump', path: '/foo' }],
      [{ op: 'add', path: '/list/9', value: 1 }],
      [{ op: 'add', path: '/list/x', value: 1 }],
      [{ op: 'copy', from: '/none', path: '/x' }],
      [{ op: 'add', path: 'foo', value: 1 }],
      [{}],
      [{ op: 'move', from: '/list', path: '/list/0' }],
    ]
    for (const operations of failing) {
      expect(
        status(() => patch({ foo: 1, list: [] }, ...operations)),
        JSON.stringify(operations),
      ).toMatchObject({ code: 422, reason: 'Invalid', message: 'the server rejected our request due to an error in our request' })
    }
  })
  it('refuses what is no patch, and too long ones', () => {
    expect(status(() => jsonPatch({}, 'x'))).toMatchObject({ code: 400 })
    expect(status(() => jsonPatch({}, '{}'))).toMatchObject({ code: 400 })
    expect(status(() => patch({}, ...Array<object>(10_001).fill({ op: 'test', path: '' })))).toMatchObject({
      code: 413,
      message: 'The allowed maximum operations in a JSON patch is 10000, got 10001',
    })
    const doubling = Array.from({ length: 40 }, (_, i) => ({ op: 'copy', from: '/a', path: `/a/x${i}` }))
    expect(status(() => patch({ a: { text: 'x'.repeat(1000) } }, ...doubling))).toMatchObject({ code: 422 })
  })
  it('does not touch prototypes or the document it was given', () => {
    const document = Object.freeze({ list: Object.freeze([1]) })
    expect(patch(document, { op: 'add', path: '/list/-', value: 2 })).toEqual({ list: [1, 2] })
    expect(status(() => patch({}, { op: 'add', path: '/__proto__/polluted', value: 1 }))).toMatchObject({ code: 422 })
    expect(status(() => patch({}, { op: 'add', path: '/constructor/polluted', value: 1 }))).toMatchObject({ code: 422 })
    expect(({} as { polluted?: number }).polluted).toBeUndefined()
  })
  it('adds and takes away again, for any document', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.string(), fc.jsonValue(), (document, key, value) => {
        const plain = JSON.parse(JSON.stringify(document)) as object
        const path = `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`
        fc.pre(!Object.hasOwn(plain, key) && key !== '__proto__')
        expect(patch(plain, { op: 'add', path, value }, { op: 'test', path, value }, { op: 'remove', path })).toEqual(plain)
      }),
    )
  })
})

describe('merge patch', () => {
  // From RFC 7386, appendix A, as far as objects go.
  it('does what the RFC shows', () => {
    const cases = [
      [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
      [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
      [{ a: 'b' }, { a: null }, {}],
      [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
      [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
      [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
      [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
      [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
      [{ e: null }, { a: 1 }, { e: null, a: 1 }],
      [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
    ]
    for (const [document, patch, result] of cases) expect(mergePatch(document, JSON.stringify(patch))).toEqual(result)
  })
  it('must be an object', () => {
    for (const text of ['[]', '1', 'null', '', '{'])
      expect(
        status(() => mergePatch({}, text)),
        text,
      ).toMatchObject({ code: 400, reason: 'BadRequest' })
  })
  const withoutNull = fc.letrec(tie => ({
    value: fc.oneof({ maxDepth: 4 }, fc.string(), fc.integer(), fc.boolean(), fc.array(fc.integer(), { maxLength: 3 }), tie('object')),
    object: fc
      .dictionary(fc.constantFrom('a', 'b', 'c', 'd', '__proto__'), tie('value'), { maxKeys: 4 })
      .map(o => JSON.parse(JSON.stringify(o)) as object),
  })).object
  it('applied twice does nothing more', () => {
    fc.assert(
      fc.property(withoutNull, fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.jsonValue()), (document, patch) => {
        const once = mergePatch(document, JSON.stringify(patch))
        expect(mergePatch(once, JSON.stringify(patch))).toEqual(once)
      }),
    )
  })
  it('made of a difference turns one document into the other', () => {
    fc.assert(
      fc.property(withoutNull, withoutNull, (from, to) => {
        expect(mergePatch(from, JSON.stringify(mergeDiff(from, to) ?? {}))).toEqual(to)
      }),
    )
  })
})

describe('strategic merge patch', () => {
  const item = obj('t.v1.Item', '', () => ({ name: opt(1, str()), value: opt(2, str()), other: opt(3, str()), labels: opt(4, map(str())) }))
  const thing = obj('t.v1.Thing', '', () => ({
    items: opt(1, list(item), { mergeKey: 'name', patchStrategy: 'merge' }),
    atomic: opt(2, list(item)),
    finalizers: opt(3, list(str()), { patchStrategy: 'merge' }),
    strategy: opt(4, item, { patchStrategy: 'retainKeys' }),
    ports: opt(5, list(obj('t.v1.Port', '', () => ({ port: opt(1, int32()), name: opt(2, str()) }))), {
      mergeKey: 'port',
      patchStrategy: 'merge',
    }),
  }))
  const patch = (document: object, change: object): unknown => strategicMergePatch(thing, document, JSON.stringify(change))
  const ab = {
    items: [
      { name: 'a', value: '1' },
      { name: 'b', value: '2' },
    ],
  }

  it('merges lists by key, new items first, and replaces other lists', () => {
    expect(patch(ab, { items: [{ name: 'c' }, { name: 'b', other: 'x' }] })).toEqual({
      items: [{ name: 'c' }, { name: 'a', value: '1' }, { name: 'b', value: '2', other: 'x' }],
    })
    expect(patch({ atomic: [{ name: 'a' }] }, { atomic: [{ name: 'b' }] })).toEqual({ atomic: [{ name: 'b' }] })
    expect(patch({ finalizers: ['a', 'b'] }, { finalizers: ['b', 'c'] })).toEqual({ finalizers: ['a', 'b', 'c'] })
    expect(patch({ ports: [{ port: 80, name: 'x' }] }, { ports: [{ port: 80, name: 'y' }] })).toEqual({ ports: [{ port: 80, name: 'y' }] })
  })
  it('knows its directives', () => {
    expect(patch(ab, { items: [{ $patch: 'delete', name: 'a' }] })).toEqual({ items: [{ name: 'b', value: '2' }] })
    expect(patch(ab, { items: [{ $patch: 'replace' }, { name: 'z' }] })).toEqual({ items: [{ name: 'z' }] })
    expect(patch({ strategy: { name: 'a', value: 'b' } }, { strategy: { $patch: 'replace', other: 'c' } })).toEqual({
      strategy: { other: 'c' },
    })
    expect(patch({ strategy: { name: 'a' } }, { strategy: { $patch: 'delete' } })).toEqual({ strategy: {} })
    expect(patch({ finalizers: ['a', 'b'] }, { '$deleteFromPrimitiveList/finalizers': ['a', 'x'] })).toEqual({ finalizers: ['b'] })
    expect(patch({ strategy: { name: 'a', value: 'b' } }, { strategy: { $retainKeys: ['name', 'other'], other: 'c' } })).toEqual({
      strategy: { name: 'a', other: 'c' },
    })
    expect(patch(ab, { '$setElementOrder/items': [{ name: 'b' }, { name: 'a' }] })).toEqual({ items: [ab.items[1], ab.items[0]] })
    expect(patch(ab, { '$setElementOrder/items': [{ name: 'c' }, { name: 'b' }], items: [{ name: 'c' }] })).toEqual({
      items: [{ name: 'c' }, { name: 'a', value: '1' }, { name: 'b', value: '2' }],
    })
    expect(
      patch({}, { items: [{ name: 'a', value: null, $retainKeys: ['name'] }], strategy: { name: null, labels: { $patch: 'merge' } } }),
    ).toEqual({ items: [{ name: 'a' }], strategy: { labels: {} } })
  })
  it('fails as upstream does', () => {
    expect(status(() => patch(ab, { items: [{ value: 'x' }] }))).toMatchObject({
      code: 500,
      message: 'map: map[value:x] does not contain declared merge key: name',
    })
    expect(status(() => patch({}, { $patch: 'jump' }))).toMatchObject({
      code: 500,
      message: 'unknown patch type: jump in map: map[$patch:jump]',
    })
    expect(status(() => patch({ strategy: {} }, { strategy: { $retainKeys: ['name'], other: 'c' } }))).toMatchObject({
      code: 400,
      message: 'invalid patch format of retainKeys',
    })
    expect(status(() => patch({}, { '$setElementOrder/items': 1 }))).toMatchObject({ code: 400 })
    expect(status(() => strategicMergePatch(thing, {}, '[]'))).toMatchObject({ code: 400 })
  })
  it('applied twice does nothing more, and keeps every item it does not name', () => {
    const items = fc.uniqueArray(fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd'), value: fc.string() }), { selector: i => i.name })
    fc.assert(
      fc.property(items, items, (before, change) => {
        const once = patch({ items: before }, { items: change }) as { items: { name: string }[] }
        expect(patch(once, { items: change })).toEqual(once)
        expect(once.items.map(i => i.name).sort()).toEqual([...new Set([...before, ...change].map(i => i.name))].sort())
      }),
    )
  })
})

describe('a patched document', () => {
  it('is checked against the schema', () => {
    const { schema } = resourceOf(storedObject('cm'))
    expect(decodePatched(structCodec(schema), { foo: 1 }, 'Warn', typeMeta).warnings).toEqual(['unknown field "foo"'])
    expect(status(() => decodePatched(structCodec(schema), { foo: 1 }, 'Strict', typeMeta))).toMatchObject({
      code: 422,
      reason: 'Invalid',
      message: ' "" is invalid: patch: Invalid value: "{\\"foo\\":1}": strict decoding error: unknown field "foo"',
      details: { causes: [{ reason: 'FieldValueInvalid', field: 'patch' }] },
    })
    expect(status(() => decodePatched(structCodec(schema), { data: { a: 1 } }, 'Ignore', typeMeta))).toMatchObject({ code: 422 })
    expect(status(() => decodePatched(structCodec(schema), 'text', 'Ignore', typeMeta))).toMatchObject({ code: 422 })
  })

  it('is told of in the words of Go maps after a strategic merge patch', () => {
    const { schema } = resourceOf(storedObject('cm'))
    const refused = (patch: object): string => {
      const e = status(() => decodePatched(structCodec(schema), patch, 'Strict', typeMeta, () => patch))
      return (e as { message: string }).message.replace(' "" is invalid: patch: Invalid value: ', '')
    }
    expect(refused({ metadata: { labels: 'x' } })).toBe('"map[metadata:map[labels:x]]": cannot restore map from string')
    expect(refused({ metadata: { finalizers: { b: null, a: 1 } } })).toBe(
      '"map[metadata:map[finalizers:map[a:1 b:<nil>]]]": cannot restore slice from map',
    )
    expect(refused({ metadata: { generation: 'x' } })).toBe('"map[metadata:map[generation:x]]": unrecognized type: int64')
    expect(refused({ metadata: { ownerReferences: [1] } })).toBe(
      '"map[metadata:map[ownerReferences:[1]]]": cannot restore struct from: int64',
    )
    expect(refused({ foo: 1 })).toBe('"map[foo:1]": strict decoding error: unknown field "foo"')
  })
})

/**
 * Whatever a client sends is answered in the API's own words: what reads requests throws StatusErrors, or the one error that its caller
 * turns into one, and never anything else.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { negotiateOutput } from '#control-plane/apiserver/chain/mediatype.ts'
import { parseRequestInfo } from '#control-plane/apiserver/chain/requestinfo.ts'
import { timeoutOf } from '#control-plane/apiserver/chain/timeout.ts'
import { endpointsOf } from '#control-plane/apiserver/objects/endpoint.ts'
import { deleteOptionsOf, listParameters, parseVersion, writeParameters } from '#control-plane/apiserver/objects/options.ts'
import { selectionOf } from '#control-plane/apiserver/objects/selection.ts'
import { resources } from '#shared/api/resources.ts'
import { apiVersion } from '#shared/api/resource.ts'
import { structCodec } from '#shared/machinery/codec.ts'
import { applyDefaults } from '#shared/machinery/defaults.ts'
import { findErrors, Path } from '#shared/machinery/field.ts'
import { applyConfiguration } from '#shared/machinery/patch/apply.ts'
import { decodeConfiguration } from '#shared/machinery/patch/configuration.ts'
import { jsonPatch } from '#shared/machinery/patch/json.ts'
import { mergePatch } from '#shared/machinery/patch/merge.ts'
import { decodePatched } from '#shared/machinery/patch/patched.ts'
import { strategicMergePatch } from '#shared/machinery/patch/strategic.ts'
import { decodeProtobuf, ProtobufError } from '#shared/machinery/protobuf.ts'
import { decodeBody } from '#shared/machinery/requestbody.ts'
import { StatusError } from '#shared/machinery/status.ts'
import { recorded, resourceOf, storedObject } from '../machinery/recorded.ts'

/** The result, or undefined when it was refused. */
function refusedOr<T>(run: () => T, ...also: (new (...a: never[]) => Error)[]): T | undefined {
  try {
    return run()
  } catch (e) {
    if (e instanceof StatusError || also.some(type => e instanceof type)) return undefined
    throw e
  }
}

const manifests = recorded.filter(r => r.id.startsWith('get/')).map(r => r.id.slice(4))
const stored = manifests.map(storedObject).filter(o => resourceOf(o))
const fieldNames = [...new Set(stored.flatMap(o => Object.keys(o).concat(Object.keys((o['spec'] as object | undefined) ?? {}))))]
const odd = fc.oneof(
  fc.constantFrom<unknown>(null, '', 'a', 0, -1, 1e300, true, [], {}, [null], [[]], [{}], '__proto__', 'constructor'),
  fc.string({ maxLength: 5 }),
)
const key = fc.oneof(
  fc.constantFrom(
    ...fieldNames,
    ...[
      'metadata',
      'name',
      '__proto__',
      'toString',
      '',
      '$patch',
      '$retainKeys',
      '$setElementOrder/containers',
      '$deleteFromPrimitiveList/finalizers',
    ],
  ),
  fc.string({ maxLength: 4 }),
)
const value = fc.letrec<{ any: unknown }>(tie => ({
  any: fc.oneof(
    { weight: 3, arbitrary: odd },
    { weight: 1, arbitrary: fc.array(tie('any'), { maxLength: 3 }) },
    { weight: 2, arbitrary: fc.array(fc.tuple(key, tie('any')), { maxLength: 4 }).map(entries => fromEntries(entries)) },
  ),
})).any
/** As JSON.parse makes it: `__proto__` is a key like any other. */
const fromEntries = (entries: [string, unknown][]): unknown =>
  JSON.parse(`{${entries.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`).join(',')}}`)

/** A copy with a few places changed, removed or added. */
const mutated = (original: object): fc.Arbitrary<unknown> =>
  fc.array(fc.tuple(fc.nat(), value, fc.constantFrom('set', 'remove', 'add')), { minLength: 1, maxLength: 4 }).map(changes => {
    const copy = structuredClone(original) as Record<string, unknown>
    for (const [at, to, what] of changes) {
      const places: [Record<string, unknown>, string][] = []
      const walk = (o: Record<string, unknown>): void => {
        for (const k of Object.keys(o)) {
          places.push([o, k])
          if (typeof o[k] === 'object' && o[k] !== null) walk(o[k] as Record<string, unknown>)
        }
      }
      walk(copy)
      const [o, k] = places[at % places.length] ?? [copy, 'kind']
      if (what === 'remove') delete o[k]
      else o[what === 'add' ? `${k}x` : k] = structuredClone(to)
    }
    return copy
  })
const object = fc.constantFrom(...stored)
/** A stored object and what somebody made of it. */
const withMutation = object.chain(o => fc.tuple(fc.constant(o), mutated(o)))
const runs = { numRuns: 300 }

/** Everything that a write does with an object before it is stored. */
function write(body: unknown, of: (typeof stored)[number]): void {
  const resource = resourceOf(of)
  const options = { kind: resource.kind, apiVersion: apiVersion(resource), mediaType: 'application/json', fieldValidation: 'Warn' } as const
  const decoded = refusedOr(() => decodeBody(structCodec(resource.schema), Buffer.from(JSON.stringify(body)), options))
  if (!decoded) return
  const next = decoded.object as unknown as typeof of
  next.metadata ??= {}
  applyDefaults(resource.schema, next)
  resource.defaults?.(next)
  const created = structuredClone(next)
  const ctx = { subresource: '', dryRun: false }
  resource.prepareForCreate?.(created, ctx)
  findErrors(() => resource.validate?.(created, new Path('')) ?? [])
  resource.prepareForUpdate?.(next, of, ctx)
  findErrors(() => [...(resource.validate?.(next, new Path('')) ?? []), ...(resource.validateUpdate?.(next, of, new Path(''), ctx) ?? [])])
  for (const column of resource.columns ?? []) column.cell(next)
}

describe('fuzzed', () => {
  it('objects of all kinds', () => {
    expect(stored.length).toBeGreaterThan(3)
    fc.assert(
      fc.property(withMutation, ([o, body]) => write(body, o)),
      runs,
    )
  })

  it('patches of all kinds', () => {
    const check = (o: (typeof stored)[number], result: unknown): void => {
      if (result === undefined) return
      const patched = refusedOr(() =>
        decodePatched(structCodec(resourceOf(o).schema), result, 'Warn', { kind: o.kind!, apiVersion: o.apiVersion! }),
      )
      if (patched) write(patched.object, o)
    }
    const partOf = (o: object, patch: unknown): unknown =>
      typeof patch === 'object' && patch !== null ? { ...Object.fromEntries(Object.entries(o).slice(-1)), ...patch } : patch
    fc.assert(
      fc.property(
        withMutation.chain(([o, body]) =>
          fc.tuple(
            fc.constant(o),
            fc.oneof(
              value,
              fc.constant(body),
              value.map(v => partOf(o, v)),
            ),
          ),
        ),
        ([o, patch]) => {
          const { schema } = resourceOf(o)
          const text = JSON.stringify(patch)
          check(
            o,
            refusedOr(() => mergePatch(o, text)),
          )
          check(
            o,
            refusedOr(() => strategicMergePatch(schema, o, text)),
          )
          const config = refusedOr(() => decodeConfiguration(structCodec(schema), Buffer.from(text), o.kind!, o.apiVersion!))
          if (!config) return
          const now = '2024-01-01T00:00:00Z'
          const apply = {
            codec: structCodec(schema),
            config,
            manager: 'm',
            apiVersion: o.apiVersion!,
            subresource: '',
            reset: [],
            force: true,
            now,
          }
          refusedOr(() => applyConfiguration({ ...apply, live: undefined }))
          refusedOr(() => applyConfiguration({ ...apply, live: o }))
        },
      ),
      runs,
    )
    const pointer = fc
      .array(fc.oneof(key, fc.constantFrom('0', '1', '-', '-1', '~1', '~0', '~2')), { maxLength: 4 })
      .map(p => p.map(k => `/${k}`).join(''))
    const operation = fc.record(
      { op: fc.constantFrom('add', 'remove', 'replace', 'move', 'copy', 'test', 'x'), path: pointer, from: pointer, value },
      { requiredKeys: ['op', 'path'] },
    )
    fc.assert(
      fc.property(
        object,
        fc.array(fc.oneof({ weight: 9, arbitrary: operation }, { weight: 1, arbitrary: value }), { maxLength: 5 }),
        (o, patch) =>
          check(
            o,
            refusedOr(() => jsonPatch(o, JSON.stringify(patch))),
          ),
      ),
      runs,
    )
  })

  it('texts that are no JSON and no YAML', () => {
    const piece = fc.constantFrom(
      ...[
        '{',
        '}',
        '[',
        ']',
        ':',
        ': ',
        ',',
        '"',
        "'",
        '\n',
        '\n  ',
        '- ',
        '? ',
        '---',
        '...',
        '#',
        '&a',
        '*a',
        '<<',
        '!!int',
        '!!x',
        '|',
        '>',
        '%',
        '\\',
        '\\u',
        '\t',
        '\u0000',
        '\ud800',
        'a',
        '0',
        '1e9999',
        '0x',
        '-',
        'null',
        '.inf',
        'kind: ConfigMap',
        'apiVersion: v1',
      ],
    )
    const text = fc.array(fc.oneof(piece, fc.string({ maxLength: 3 })), { maxLength: 15 }).map(p => p.join(''))
    fc.assert(
      fc.property(object, text, (o, body) => {
        const { schema, kind } = resourceOf(o)
        for (const mediaType of ['application/json', 'application/yaml'] as const)
          refusedOr(() =>
            decodeBody(structCodec(schema), Buffer.from(body), { kind, apiVersion: o.apiVersion!, mediaType, fieldValidation: 'Strict' }),
          )
        refusedOr(() => decodeConfiguration(structCodec(schema), Buffer.from(body), kind, o.apiVersion!))
        for (const patch of [jsonPatch, mergePatch]) refusedOr(() => patch(o, body))
      }),
      { numRuns: 1000 },
    )
  })

  it('bytes that are no protobuf', () => {
    fc.assert(
      fc.property(fc.constantFrom(...resources), fc.uint8Array({ maxLength: 60 }), (resource, bytes) => {
        const inner = Buffer.concat([Buffer.from([0x12, bytes.length]), bytes])
        refusedOr(() => decodeProtobuf(resource.schema, Buffer.concat([Buffer.from('k8s\0'), inner])), ProtobufError)
        refusedOr(() => decodeProtobuf(resource.schema, Buffer.concat([Buffer.from('k8s\0'), bytes])), ProtobufError)
      }),
      runs,
    )
  })

  it('paths, query strings, selectors and headers', () => {
    const endpoints = resources.flatMap(resource => endpointsOf(resource))
    const word = fc.oneof(
      fc.constantFrom(
        'api',
        'apis',
        'v1',
        'apps',
        'namespaces',
        'pods',
        'watch',
        'a',
        '..',
        '%',
        '%2f',
        '%ff',
        '0',
        '-1',
        '9'.repeat(30),
        'true',
        'All',
        '1s',
        '-1h',
      ),
      fc.string({ maxLength: 6 }),
    )
    const names = [
      'labelSelector',
      'fieldSelector',
      'limit',
      'continue',
      'resourceVersion',
      'resourceVersionMatch',
      'timeoutSeconds',
      'watch',
      'timeout',
      'dryRun',
      'fieldManager',
      'fieldValidation',
      'force',
      'gracePeriodSeconds',
      'propagationPolicy',
      'sendInitialEvents',
      'allowWatchBookmarks',
    ]
    const selector = fc
      .array(
        fc.oneof(
          fc.constantFrom(
            'a',
            '=',
            '==',
            '!=',
            '!',
            ' in ',
            ' notin ',
            '(',
            ')',
            ',',
            '>',
            '<',
            '\\',
            '/',
            'metadata.name',
            'spec.nodeName',
            '\n',
          ),
          fc.string({ maxLength: 2 }),
        ),
        { maxLength: 8 },
      )
      .map(p => p.join(''))
    const query = fc.array(fc.tuple(fc.constantFrom(...names), fc.oneof(word, selector)), { maxLength: 5 })
    fc.assert(
      fc.property(fc.array(word, { maxLength: 8 }), query, selector, selector, fc.nat(), (path, pairs, labels, fields, at) => {
        const q = new URLSearchParams(pairs)
        refusedOr(() => parseRequestInfo('GET', `/${path.join('/')}`, q))
        refusedOr(() => listParameters(q, false))
        refusedOr(() => listParameters(q, true))
        refusedOr(() => writeParameters(q, 'CreateOptions'))
        refusedOr(() => deleteOptionsOf(q))
        refusedOr(() => timeoutOf(q.get('timeout')))
        refusedOr(() => parseVersion(labels))
        refusedOr(() => selectionOf(endpoints[at % endpoints.length]!, labels, fields))
        refusedOr(() => negotiateOutput(`${labels};${path.join(',')};as=Table;g=meta.k8s.io`, at % 2 === 0 ? 'objects' : 'documents'))
      }),
      { numRuns: 1000 },
    )
  })
})

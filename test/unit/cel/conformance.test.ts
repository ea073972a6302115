/** The conformance tests of the language's specification, https://github.com/google/cel-spec/tree/master/tests/simple/testdata. */
import { tests } from '@bufbuild/cel-spec/testdata/conformance.js'
import { describe, expect, it } from 'vitest'
import {
  ArrayList,
  compile,
  HashMap,
  newEnvironment,
  types,
  TypeValue,
  Uint,
  type Type,
  type Value,
} from '#control-plane/apiserver/cel/cel.ts'
import { parseDuration, parseTimestamp } from '#control-plane/apiserver/cel/gotime.ts'
import { equals } from '#control-plane/apiserver/cel/values.ts'

/** What is not there, and why. */
const without: readonly (readonly [RegExp, string])[] = [
  [/^(proto2|proto3|proto2_ext|wrappers|enums|dynamic|type_deduction\/wrappers)/, 'Kubernetes has no protocol buffers in its expressions'],
  [/^(block_ext|bindings_ext|encoders_ext|math_ext|network_ext)/, "not in Kubernetes' environment"],
  [/^fields\/quoted_map_fields/, "names in backticks are not in Kubernetes' environment"],
  [/duration_converters\/get_milliseconds$/, 'cel-go, and so Kubernetes, gives the whole duration in milliseconds'],
  [/_unchecked$/, 'Kubernetes checks every expression'],
]
/** Newer than the version of the strings library that Kubernetes has. */
const newerStrings = new Set([
  'scientific notation formatting clause',
  'default precision for scientific notation',
  'scientific notation formatting clause in a string variable',
  'dyntype support for scientific notation',
  'positive infinity support for scientific notation',
  'negative infinity support for scientific notation',
  'positive infinity support for fixed-point',
  'negative infinity support for fixed-point',
  'NaN support for decimal',
  'positive infinity support for decimal',
  'negative infinity support for decimal',
  'list support for string',
  'map support for string',
  'map support (all key types)',
  'dyntype NaN/infinity support',
  'dyntype support for lists',
  'dyntype support for maps',
  'indexof_out_of_range',
  'lastindexof_out_of_range',
])

interface Case {
  name: string
  expr: string
  container?: string
  disableCheck?: boolean
  typeEnv?: { name: string; ident?: { type: ProtoType }; function?: unknown }[]
  bindings?: Record<string, { value: ProtoValue }>
  value?: ProtoValue
  typedResult?: { result?: ProtoValue }
  evalError?: unknown
  anyEvalErrors?: unknown
  checkOnly?: boolean
}
type ProtoType = Record<string, any> // any: the JSON form of a message with many shapes
type ProtoValue = Record<string, any> // any: as above

const primitives: Record<string, Type> = {
  BOOL: types.bool,
  INT64: types.int,
  UINT64: types.uint,
  DOUBLE: types.double,
  STRING: types.string,
  BYTES: types.bytes,
}

function typeOf(t: ProtoType): Type {
  if (t['primitive']) return primitives[t['primitive']]!
  if (t['listType']) return types.list(typeOf(t['listType'].elemType))
  if (t['mapType']) return types.map(typeOf(t['mapType'].keyType), typeOf(t['mapType'].valueType))
  if (t['wellKnown']) return t['wellKnown'] === 'TIMESTAMP' ? types.timestamp : types.duration
  if (t['typeParam']) return types.param(t['typeParam'])
  if (t['type']) return types.typeOf(typeOf(t['type']))
  if (t['abstractType']) return types.opaque(t['abstractType'].name, ...(t['abstractType'].parameterTypes ?? []).map(typeOf))
  return 'null' in t ? types.nullType : types.dyn
}

function valueOf(v: ProtoValue): Value {
  if ('int64Value' in v) return BigInt(v['int64Value'])
  if ('uint64Value' in v) return new Uint(BigInt(v['uint64Value']))
  if ('doubleValue' in v) return Number(v['doubleValue'])
  if ('bytesValue' in v) return new Uint8Array(Buffer.from(v['bytesValue'], 'base64'))
  if ('listValue' in v) return new ArrayList((v['listValue'].values ?? []).map(valueOf))
  if ('mapValue' in v) {
    const map = new HashMap()
    for (const { key, value } of v['mapValue'].entries ?? []) map.insert(valueOf(key), valueOf(value))
    return map
  }
  if ('typeValue' in v) return new TypeValue({ kind: 'type', name: v['typeValue'], params: [] })
  if ('objectValue' in v) {
    const { value } = v['objectValue']
    return (v['objectValue']['@type'].endsWith('Timestamp') ? parseTimestamp(value) : parseDuration(value))!
  }
  return (v['stringValue'] ?? v['boolValue'] ?? null) as Value
}

interface Suite {
  name: string
  suites?: Suite[]
  tests?: { original: object; type?: string }[]
}
function* casesOf(suite: Suite, path: string): Generator<{ path: string; test: Case; type: string | undefined }> {
  for (const inner of suite.suites ?? []) yield* casesOf(inner, path === '' ? inner.name : `${path}/${inner.name}`)
  for (const { original, type } of suite.tests ?? []) {
    const test = original as Case
    const name = `${path}/${test.name}`
    const isMessage = /google\.protobuf\.(?!Timestamp"|Duration")|TestAllTypes|NestedTestAll/.test(JSON.stringify(test))
    const isNewer = path.startsWith('string_ext') && newerStrings.has(test.name)
    const declaresFunctions = test.typeEnv?.some(d => d.function) === true
    if (!isMessage && !isNewer && !declaresFunctions && !without.some(([which]) => which.test(name))) yield { path: name, test, type }
  }
}

const suites = Map.groupBy(casesOf(tests as Suite, ''), ({ path }) => path.slice(0, path.lastIndexOf('/')))

/** What differs from what the test wants, undefined when nothing does. */
function difference(test: Case, type: string | undefined): string | undefined {
  const variables = Object.fromEntries((test.typeEnv ?? []).map(d => [d.name, typeOf(d.ident!.type)]))
  const bindings = Object.fromEntries(Object.entries(test.bindings ?? {}).map(([name, b]) => [name, valueOf(b.value)]))
  const environment = newEnvironment({ variables, container: test.container ?? '', mixed: true })
  const { program, error } = compile(test.expr, environment, { unchecked: test.disableCheck === true })
  const fails = test.evalError !== undefined || test.anyEvalErrors !== undefined
  if (!program) return fails ? undefined : error
  if (!fails && type !== undefined && !test.disableCheck && types.format(program.type) !== type)
    return `is ${types.format(program.type)}, not ${type}`
  if (test.checkOnly) return undefined
  const outcome = program.evaluate(bindings)
  if (fails) return outcome.error === undefined ? 'does not fail' : undefined
  if (outcome.error !== undefined) return outcome.error
  const wanted = test.value ? valueOf(test.value) : test.typedResult?.result ? valueOf(test.typedResult.result) : true
  const same = Number.isNaN(wanted)
    ? Number.isNaN(outcome.value)
    : equals(outcome.value, wanted) === true && typeof outcome.value === typeof wanted
  return same ? undefined : 'has another value'
}

describe('the specification', () => {
  it('has its tests', () => expect([...suites.values()].flat().length).toBeGreaterThan(1350))

  it.each([...suites])('%s', (_, cases) => {
    const different = cases.flatMap(({ test, type }) => {
      const how = difference(test, type)
      return how === undefined ? [] : [`${test.name}: ${test.expr}: ${how}`]
    })
    expect(different).toEqual([])
  })
})

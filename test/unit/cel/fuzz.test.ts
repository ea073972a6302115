/** Whatever somebody writes as an expression, the engine answers, within what it may cost. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compile, definitions, fromJson, newEnvironment, perCallLimit, types } from '#control-plane/apiserver/cel/cel.ts'
import { Path } from '#shared/machinery/field.ts'

const environment = newEnvironment({
  variables: { x: types.dyn, s: types.string, n: types.int, l: types.list(types.int), m: types.map(types.string, types.dyn) },
})
const bindings = {
  x: fromJson({ a: 1, b: [1, 2, 'c'], s: 'hello', m: { k: null }, f: 1.5 }),
  s: 'text',
  n: 5n,
  l: fromJson([1, 2, 3]),
  m: fromJson({ one: 1, two: 'two' }),
}

function survives(expression: string): void {
  const { program, error } = compile(expression, environment)
  if (!program) {
    expect(error).toMatch(/^(compilation|program instantiation) failed: /)
    return
  }
  const range = program.estimate()
  expect(range.min).toBeLessThanOrEqual(range.max)
  const outcome = program.evaluate(bindings)
  // One step may be what takes it over the limit.
  if (!outcome.exceeded) expect(outcome.cost).toBeLessThanOrEqual(perCallLimit)
  expect(outcome.error ?? '').not.toContain('internal error')
}

const texts = fc.constantFrom(
  "'a'",
  "'x'",
  "'10'",
  "'[a-z]+'",
  "'1h'",
  "'2026-01-02T03:04:05Z'",
  "'10.0.0.1'",
  "'10.0.0.0/8'",
  "'1.2.3'",
  "'%s'",
)
const leaves = fc.oneof(
  texts,
  fc.constantFrom(
    'x',
    'x.a',
    'x.b',
    'x.s',
    'x.m',
    'x.q',
    's',
    'n',
    'l',
    'm',
    'm.one',
    'true',
    'null',
    '1.5',
    '7u',
    "b'ab'",
    'optional.none()',
  ),
  fc.bigInt(-(2n ** 64n), 2n ** 64n).map(String),
)
const binary = fc.constantFrom('+', '-', '*', '/', '%', '==', '!=', '<', '>=', '&&', '||', 'in')
const unary = fc.constantFrom(
  ...[
    'dyn',
    'int',
    'uint',
    'double',
    'string',
    'bytes',
    'size',
    'type',
    'duration',
    'timestamp',
    'ip',
    'cidr',
    'url',
    'quantity',
    'semver',
  ],
)
const methods = fc.constantFrom(
  ...['size', 'sort', 'sum', 'max', 'min', 'distinct', 'flatten', 'reverse', 'trim', 'lowerAscii', 'split', 'join', 'matches', 'find'],
  ...['findAll', 'format', 'indexOf', 'charAt', 'substring', 'slice', 'add', 'compareTo', 'getFullYear', 'masked', 'containsIP', 'orValue'],
)
const macros = fc.constantFrom('all', 'exists', 'exists_one', 'map', 'filter', 'sortBy', 'optMap', 'transformList', 'transformMapEntry')
const expressions = fc.letrec<{ e: string }>(tie => ({
  e: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    leaves,
    fc.tuple(tie('e'), binary, tie('e')).map(([a, o, b]) => `(${a} ${o} ${b})`),
    fc.tuple(unary, tie('e')).map(([f, a]) => `${f}(${a})`),
    fc.tuple(tie('e'), methods, fc.array(tie('e'), { maxLength: 2 })).map(([t, f, a]) => `dyn(${t}).${f}(${a.join(', ')})`),
    fc.tuple(tie('e'), macros, tie('e')).map(([t, m, e]) => `${t}.${m}(${m.startsWith('transform') ? 'i, v' : 'x'}, ${e})`),
    fc.tuple(tie('e'), tie('e')).map(([a, i]) => `${a}[${i}]`),
    fc.tuple(tie('e'), tie('e'), tie('e')).map(([a, b, c]) => `(${a} ? ${b} : ${c})`),
    fc.array(tie('e'), { maxLength: 3 }).map(items => `[${items.map(i => `dyn(${i})`).join(', ')}]`),
    fc.tuple(tie('e'), tie('e')).map(([k, v]) => `{${k}: ${v}}`),
  ),
})).e

// Thousands of runs: on a busy machine they take longer than other tests.
describe('the engine', { timeout: 120_000 }, () => {
  it('survives any text', () => {
    fc.assert(fc.property(fc.oneof(fc.string({ unit: 'binary', maxLength: 60 }), fc.string({ maxLength: 60 })), survives), {
      numRuns: 3000,
    })
  })

  it('survives text of the pieces of expressions', () => {
    const pieces = fc.constantFrom(
      ...`x s n l ( ) [ ] { } . , ? : ! - + * / % == in && || ' " r" """ \\ 1 0x 1e 5u null has map all a`.split(' '),
    )
    fc.assert(
      fc.property(
        fc.array(pieces, { maxLength: 25 }).map(p => p.join(' ')),
        survives,
      ),
      { numRuns: 3000 },
    )
  })

  it('survives expressions of any shape', () => {
    fc.assert(fc.property(expressions, survives), { numRuns: 5000 })
  })

  it('weighs rules of any shape', () => {
    const rules = fc.record({ maxItems: fc.nat(5), maxLength: fc.nat(5), rule: expressions })
    fc.assert(
      fc.property(rules, ({ maxItems, maxLength, rule }) => {
        const schema = {
          type: 'object' as const,
          properties: {
            l: { type: 'array' as const, maxItems, items: { type: 'string' as const, maxLength } },
            s: { type: 'string' as const, maxLength },
          },
          'x-kubernetes-validations': [{ rule: rule.replaceAll(/\b([sl])\b/g, 'self.$1') }],
        }
        for (const e of definitions.checkRules(schema, new Path('p'), false)) expect(e.field).toMatch(/^p/)
      }),
      { numRuns: 1000 },
    )
  })

  it.each([
    ['nested calls', 'size('.repeat(5000) + 'l' + ')'.repeat(5000)],
    ['nested lists', '['.repeat(100_000)],
    ['many minuses', '-'.repeat(90_000) + '1'],
    ['many nots', '!'.repeat(99_999)],
    ['a long sum', Array.from({ length: 20_000 }, () => '1').join('+')],
    ['many conditions', Array.from({ length: 20_000 }, () => 'true').join(' && ')],
    ['long paths', `x${'.a'.repeat(40_000)}`],
    ['deep conditionals', 'true ? 1 : '.repeat(5000) + '1'],
    ['nested macros', 'l.all(a, '.repeat(400) + 'true' + ')'.repeat(400)],
    ['nested optionals', 'optional.of(1).optMap(a, '.repeat(60) + '1' + ')'.repeat(60)],
    ['a huge text', `'${'a'.repeat(200_000)}'`],
    ['a pattern that explodes', "'a'.matches('(((a{1,1000}){1,1000}){1,1000})')"],
    ['loops in loops', `${'[1,2,3,4,5,6,7,8,9,10].all(i, '.repeat(12)}true${')'.repeat(12)}`],
    ['a text that doubles', `${'[0].map(i, '.repeat(1)}lists.range(60).map(i, s + s + s + s).join().replace('', s).replace('', s).size())`],
    ['a list that grows', 'lists.range(100000000).map(i, lists.range(i))'],
    ['a format of great width', "'%.999999999f'.format([1.5])"],
  ])('does not hang at %s', (_name, expression) => {
    survives(expression)
  })
})

import { describe, expect, it } from 'vitest'
import { compile, fromJson, newEnvironment, toJson, types } from '#control-plane/apiserver/cel/cel.ts'

const environment = newEnvironment({
  variables: { x: types.dyn, s: types.string, n: types.int, l: types.list(types.int), m: types.map(types.string, types.int) },
})
const bindings = {
  x: fromJson({ a: 1, b: [1, 2, 'c'], s: 'hello', m: { k: null }, f: 1.5 }),
  s: 'str',
  n: 5n,
  l: fromJson([1, 2, 3]),
  m: fromJson({ one: 1, two: 2 }),
}

function evaluate(expression: string): unknown {
  const { program, error } = compile(expression, environment)
  if (error !== undefined) return error
  const outcome = program.evaluate(bindings)
  return outcome.error ?? toJson(outcome.value)
}
const cost = (expression: string): number => compile(expression, environment).program!.evaluate(bindings).cost

describe('an expression', () => {
  it.each([
    ['1 + 2 * 3', 7],
    ['n / 2 + n % 2', 3],
    ['-9223372036854775808', -9223372036854775808n],
    ['9223372036854775807 + 1', 'integer overflow'],
    ['0u - 1u', 'unsigned integer overflow'],
    ['1 / 0', 'division by zero'],
    ['1 % 0', 'modulus by zero'],
    ['x.f * 2.0', 3],
    ['x.a == 1.0 && x.a < 1.5', true],
    ['x.q', 'no such key: q'],
    ['x.q > 1 || true', true],
    ['x.q > 1 && false', false],
    ['x.m.k == null', true],
    ['has(x.m.k) && !has(x.q)', true],
    ['x.b[2]', 'c'],
    ['x.b[7]', 'index out of bounds: 7'],
    ['x.b.exists(i, i == 2)', true],
    ['x.b.all(i, i < 3)', 'no such overload'],
    ['l.map(i, i > 1, i * 2)', [4, 6]],
    ['l.filter(i, i > 1)', [2, 3]],
    ['l.exists_one(i, i > 2)', true],
    ['m.all(k, v, size(k) == 3 && v > 0)', true],
    ['m.transformMap(k, v, v + 1)', { one: 2, two: 3 }],
    ['m.transformList(k, v, v > 1, k)', ['two']],
    ["{'a': 1, 'b': 2}.transformMapEntry(k, v, {v: k})", { 1: 'a', 2: 'b' }],
    ['x.?q.orValue(3)', 3],
    ['x.?a.optMap(v, v + 1).value()', 2],
    ['x.?m.?k.hasValue()', true],
    ['x.b[?9].or(x.b[?0]).value()', 1],
    ['[1, ?m.?q, 3]', [1, 3]],
    ['optional.none().value()', 'optional.none() dereference'],
    ['"\\u00e9\\x41" + r"\\n" + s', 'éA\\nstr'],
    ['size("aé😀")', 3],
    ['s.matches("^s.r$")', true],
    ['string(timestamp("2024-02-28T23:59:59.5Z") + duration("1h30m"))', '2024-02-29T01:29:59.5Z'],
    ['timestamp("2024-01-01T00:00:00Z").getHours("America/New_York")', 19],
    ['duration("1h1m1.5s").getSeconds()', 3661],
    ['string(b"\\xc3\\xa9")', 'é'],
    ['type(1u) == uint && type(x) == map', true],
  ])('%s is %s', (expression, expected) => {
    expect(evaluate(expression)).toEqual(expected)
  })
})

describe('the checker', () => {
  it.each([
    ['y', 1, "undeclared reference to 'y' (in container '')", '^'],
    ['s.foo', 2, "type 'string' does not support field selection", '.^'],
    ['n + s', 3, "found no matching overload for '_+_' applied to '(int, string)'", '..^'],
    ['s.startsWith(n)', 13, "found no matching overload for 'startsWith' applied to 'string.(int)'", '............^'],
    ['[1, 2u]', 5, "expected type 'int' but found 'uint'", '....^'],
    ['n.all(i, true)', 1, "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)", '^'],
    ['duration("1x")', 10, 'invalid duration argument', '.........^'],
    ['1 + for', 5, 'reserved identifier: for', '....^'],
    ['[1].map(1, 2)', 9, 'argument is not an identifier', '........^'],
    [
      '1 +',
      4,
      "Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
      '...^',
    ],
  ])('of %s says where and what', (expression, column, message, mark) => {
    expect(evaluate(expression)).toBe(`compilation failed: ERROR: <input>:1:${column}: ${message}\n | ${expression}\n | ${mark}`)
  })

  it('wants what is asked for', () => {
    expect(compile('n', environment, { returns: [types.bool] }).error).toBe('must evaluate to bool')
    expect(compile('x.a', environment, { returns: [types.bool] }).error).toBeUndefined()
  })
})

describe('cost', () => {
  it.each([
    ['true', 0],
    ['n > 3', 2],
    ['x.a == 1', 3],
    ['has(x.a)', 1],
    ['l.map(i, i * 2)', 1 + 3 * 14 + 1],
    ['n in [1, 2, 3]', 1],
  ])('of %s is %i', (expression, expected) => {
    expect(cost(expression)).toBe(expected)
  })

  it('ends an evaluation at its limit', () => {
    const { program } = compile('l.all(a, l.all(b, a < 9 && b < 9))', environment)
    expect(program!.evaluate(bindings, 50)).toMatchObject({ error: 'operation cancelled: actual cost limit exceeded', exceeded: true })
  })

  it('bounds what upstream does not count', () => {
    let expression = '[1]'
    for (let i = 0; i < 60; i++) expression += '.map(x, [x, x])'
    const { program } = compile(`[${expression}].all(a, a == ${expression})`, environment)
    expect(program!.evaluate(bindings)).toMatchObject({ exceeded: true })
  })
})

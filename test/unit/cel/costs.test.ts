/** What expressions cost is part of the API: Kubernetes refuses and stops others than a server that counts otherwise. */
import { describe, expect, it } from 'vitest'
import { compile, newEnvironment } from '#control-plane/apiserver/cel/cel.ts'
import { sizesOf } from '#control-plane/apiserver/cel/schema/declared.ts'
import { declare } from '#control-plane/apiserver/cel/schema/structural.ts'
import { compileRule } from '#control-plane/apiserver/cel/crd/rule.ts'
import type { JsonSchema } from '#shared/machinery/structural/schema.ts'

const declared = declare(
  {
    type: 'object',
    properties: {
      s: { type: 'string', maxLength: 10 },
      l: { type: 'array', maxItems: 10, items: { type: 'integer' } },
      m: { type: 'object', maxProperties: 5, additionalProperties: { type: 'string', maxLength: 20 } },
      unbounded: { type: 'array', items: { type: 'string' } },
    },
  },
  'self',
  false,
)!
const environment = newEnvironment({ variables: { self: declared.type }, sizes: sizesOf(declared) })
const self = declared.adapt({ s: 'text', l: [1, 2, 3], m: { a: 'x', b: 'yy' }, unbounded: ['a'] })

describe('costs', () => {
  it.each([
    ['true', 0, 0],
    ['1 + 2 == 3', 2, 2],
    ["self.s == 'text'", 3, 3],
    ['self.s.size() > 3', 4, 4],
    ["self.s.startsWith('te')", 3, 3],
    ["self.s.contains('ex')", 3, 6],
    ["self.s.matches('^t.*t$')", 4, 12],
    ["self.s + self.s == 'x'", 6, 13],
    ['self.l.all(x, x > 0)', 18, 53],
    ['self.l.exists(x, x == 3)', 21, 53],
    ['self.l.map(x, x + 1).size() == 3', 47, 155],
    ['self.l.filter(x, x > 1).size() == 2', 37, 165],
    ['self.l.sum() == 6', 6, 13],
    ['self.l.sort()[0] == 1', 34, 214],
    ['self.l.distinct().size() == 3', 33, 215],
    ['self.m.all(k, k.size() < 5)', 15, 33],
    ["'a' in self.m", 3, 3],
    ["self.m['a'] == 'x'", 4, 4],
    ['has(self.s) && has(self.l)', 2, 2],
    ["self.unbounded.all(x, x == 'a')", 8, 5_242_878],
    ["quantity('1Ki').isGreaterThan(quantity('1k'))", 3, 3],
    ["cidr('10.0.0.0/8').containsIP('10.1.2.3')", 3, 6],
    ["url('https://a.example/b').getHost() == 'a.example'", 4, 4],
    ['format.dns1123Label().validate(self.s).hasValue()', 12, 132],
    ['sets.contains(self.l, [1])', 6, 23],
    ["self.s.replace('t', 'x') == 'xexx'", 4, 11],
    ["self.s.split('').size() == 4", 5, 12],
  ])('of %s are %d, and said to be %d at most', (expression, cost, most) => {
    const { program } = compile(expression, environment)
    expect([program!.evaluate({ self }).cost, program!.estimate().max]).toEqual([cost, most])
  })

  it('end an evaluation at its limit', () => {
    const { program } = compile('self.l.all(x, self.l.all(y, x + y > 0))', environment)
    const { cost } = program!.evaluate({ self })
    expect(program!.evaluate({ self }, cost)).toMatchObject({ value: true, exceeded: false })
    expect(program!.evaluate({ self }, cost - 1)).toMatchObject({
      error: 'operation cancelled: actual cost limit exceeded',
      exceeded: true,
    })
  })
})

/**
 * The numbers are those of apiextensions-apiserver's and apiserver's own tests at v1.35, of the same expressions over fields of these
 * types.
 */
describe('costs of schemas without bounds are upstream’s', () => {
  const text: JsonSchema = { type: 'string' }
  const item: JsonSchema = { type: 'object', properties: { k: text, v: text, v2: text } }
  const schema: JsonSchema = {
    type: 'object',
    properties: {
      t: text,
      u: text,
      when: { type: 'string', format: 'date-time' },
      long: { type: 'string', format: 'duration' },
      any: { 'x-kubernetes-int-or-string': true },
      numbers: { type: 'array', items: { type: 'integer' } },
      set: { type: 'array', items: text, 'x-kubernetes-list-type': 'set' },
      keyed: { type: 'array', items: item, 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['k'] },
      counts: { type: 'object', additionalProperties: { type: 'integer' } },
    },
  }
  const bare = declare(schema, 'self', true)!
  const variables = { self: bare.type, oldSelf: bare.type }
  const rules = newEnvironment({ variables, sizes: sizesOf(bare) })
  const now = bare.adapt({
    metadata: { name: 'foo', generateName: 'pickItForMe' },
    t: 'Rook takes 👑',
    u: 'Rook takes 👑',
    when: '2011-08-18T19:03:37.010000000+01:00',
    long: '1h2m3s4ms',
    any: '25%',
    numbers: [1, 1, 2, 2, 3, 3, 4, 5],
    set: ['a', 'b', 'c'],
    keyed: [
      { k: 'a1', v: 'b1' },
      { k: 'a2', v: 'b2' },
      { k: 'a3', v: 'b3', v2: 'z' },
    ],
    counts: { b: 1, d: 2 },
  })
  it.each([
    ["self.t == 'Rook takes 👑' && 'Rook takes 👑' == self.t && self.t == self.u", 14, 314_585],
    ["self.t.startsWith('Rook')", 4, 3],
    ["self.t.matches('^[^0-9]*$')", 8, 943_721],
    ['type(self.t) == string', 4, 4],
    ["self.t.charAt(3) == 'k'", 4, 4],
    ["self.t.indexOf('o', 2) == 2", 4, 314_576],
    ["self.t.replace(' ', 'x', 1) == 'Rookxtakes 👑'", 7, 629_150],
    ["self.t.split(' ', 2) == ['Rook', 'takes 👑']", 6, 629_159],
    ["self.t.substring(0, 4) == 'Rook'", 5, 314_576],
    ['self.t.lowerAscii() == self.t.lowerAscii()', 10, 943_723],
    ["self.when == timestamp('2011-08-18T00:00:00.000+01:00') + duration('19h3m37s10ms')", 4, 6],
    ['self.long.getHours() == 1', 4, 4],
    ["type(self.any) == string && self.any == '25%'", 7, 7],
    ["self.any == '25%' || self.any == 1", 3, 6],
    ['self.numbers.all(e, e > 0)', 43, 7_864_318],
    ['self.numbers.exists_one(e, e > 4)', 22, 6_291_456],
    ['!self.numbers.exists(e, e < 0)', 52, 9_437_182],
    ['self.numbers.map(e, e * 20).filter(e, e > 50).exists(e, e == 60)', 194, 53_477_367],
    ["self.set == ['c', 'b', 'a']", 3, 13],
    ["'a' in self.set", 5, 1_048_577],
    ["self.set + ['c', 'd'] == ['a', 'b', 'c', 'd']", 4, 24],
    ['has(self.keyed[0].v)', 3, 3],
    ["self.keyed.all(m, !has(m.v2) || m.v2 == 'z')", 21, 8_388_603],
    ["self.keyed.exists_one(m, m.k == 'a3')", 15, 5_242_879],
    ["!self.keyed.exists(m, m.v == 'x')", 25, 7_340_029],
    ["size(self.keyed.filter(m, m.k == 'a1')) == 1", 27, 16_777_215],
    ["self.keyed.map(m, m.v).exists(v, v == 'b1')", 55, 19_922_939],
    ["self.keyed.filter(m, has(m.v2) && m.v2 == 'z').map(m, m.v2).size() == 1", 39, 32_505_851],
    ["!self.keyed.all(m, m.v2 != 'z')", 22, 6_291_454],
    ["'b' in self.counts", 3, 3],
    ['self.counts.exists_one(k, self.counts[k] == 2)', 14, 2_696_338],
    ["self.metadata.generateName == 'pickItForMe'", 5, 5],
    ["optional.of('a').or(optional.of('a')).hasValue()", 2, 4],
    ["optional.of('a').optMap(v, v == 'value').hasValue()", 8, 18],
  ])('%s: %d, and %d at most', (expression, cost, most) => {
    const { program, error } = compile(expression, rules)
    expect(error).toBeUndefined()
    expect([program!.evaluate({ self: now, oldSelf: now }).cost, program!.estimate().max]).toEqual([cost, most])
  })

  it.each<[rule: string, schema: JsonSchema, most: number]>([
    ['self.all(x, true)', { type: 'array', items: { type: 'number' } }, 4_718_591],
    ['self.all(x, true)', { type: 'array', items: { type: 'number' }, maxItems: 10 }, 32],
    ['self.all(x, true)', { type: 'array', items: text }, 3_145_727],
    ['self.all(x, true)', { type: 'array', items: { type: 'boolean' } }, 1_887_437],
    ['self.all(x, true)', { type: 'array', items: { type: 'string', format: 'date-time' } }, 428_963],
    ['self.all(x, true)', { type: 'array', items: { 'x-kubernetes-int-or-string': true } }, 4_718_591],
    [
      'self.all(x, true)',
      { type: 'array', items: { type: 'object', properties: { required: text, optional: text }, required: ['required'] } },
      555_128,
    ],
    ['self.all(x, true)', { type: 'object', additionalProperties: { type: 'number' } }, 1_348_169],
    ['self.all(x, true)', { type: 'object', additionalProperties: { type: 'string', format: 'duration' } }, 1_048_577],
    ['self.all(x, self.all(y, self.all(z, true)))', { type: 'array', items: { type: 'number' }, maxItems: 10 }, 3552],
    ["self.contains('test')", text, 314_574],
    ["self.contains('test')", { type: 'string', maxLength: 10 }, 5],
    ['self.matches("x")', { type: 'string', maxLength: 50 }, 22],
    ['size(self + "hello") > size("hello")', text, 314_578],
    ['self == "x"', { type: 'string', maxLength: 0 }, 1],
    ['self[1] == self[1]', { type: 'array', items: text, maxItems: 8 }, 314_577],
    ["self.contains('A')", { type: 'string', enum: ['A', 'B', 'C', 'LongValue'] }, 2],
    ["self.join(' ') == 'aa bb'", { type: 'array', items: text }, 329_853_068_905],
    ["self.join(' ') == 'aa bb'", { type: 'array', items: { type: 'string', maxLength: 10 }, maxItems: 10 }, 43],
    ['self.isSorted() == true', { type: 'array', items: { type: 'string', maxLength: 10 }, maxItems: 10 }, 52],
    ['isQuantity(self)', { 'x-kubernetes-int-or-string': true }, 314_574],
  ])('the rule %s of %j: %d at most', (rule, of, most) => {
    const { program } = compileRule({ rule }, declare(of, 'selfType', false)!, of)
    expect(program!.estimate().max).toBe(most)
  })

  it.each([
    ['[1, 2, 3, 4, 5].sum()', 15, 15],
    ["['012345678901', '012345678901', '012345678901', '012345678901', '012345678901'].isSorted()", 15, 25],
    ["url('https:://kubernetes.io/') == url('https:://kubernetes.io/')", 7, 9],
    ["ip('2001:db8:3333:4444:5555:6666:7777:8888').family()", 5, 5],
    ["cidr('192.168.0.0/16').containsCIDR('192.0.0.0/30')", 7, 11],
    ["cidr('2001:db8::/32').containsIP('2001:db8:3333:4444:5555:6666:7777:8888')", 7, 10],
    ["strings.quote('ABCDEFGHIJ abcdefghij') == strings.quote('ABCDEFGHIJ abcdefghij')", 7, 11],
    ["['aa', 'bb', 'cc', 'd', 'e', 'f', 'g', 'h', 'i', 'j'].join(' ')", 11, 23],
    ['format.named("dns1123Subdomain").value().validate("my-name")', 34, 34],
    ['sets.equivalent([1, 2, 3], [3, 2, 1])', 39, 39],
    ['semver("1234.56789012345.67890123456789")', 4, 4],
    ["{'a': 1, 'b': 2}.transformMapEntry(k, v, v < 5, {k: v + 1})", 67, 135],
  ])('%s: %d to %d', (expression, min, max) => {
    const sizes = (_: unknown, type: { kind: string }) => (['string', 'bytes'].includes(type.kind) ? { min: 0, max: 12 } : undefined)
    expect(compile(expression, newEnvironment({ sizes })).program!.estimate()).toEqual({ min, max })
  })
})

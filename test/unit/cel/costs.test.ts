/** What expressions cost is part of the API: Kubernetes refuses and stops others than a server that counts otherwise. */
import { describe, expect, it } from 'vitest'
import { compile, newEnvironment } from '#control-plane/apiserver/cel/cel.ts'
import { sizesOf } from '#control-plane/apiserver/cel/schema/declared.ts'
import { declare } from '#control-plane/apiserver/cel/schema/structural.ts'

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

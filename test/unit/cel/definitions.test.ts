import { describe, expect, it } from 'vitest'
import { definitions } from '#control-plane/apiserver/cel/cel.ts'
import { escapeName, unescapeName } from '#control-plane/apiserver/cel/schema/names.ts'
import { Path } from '#shared/machinery/field.ts'
import type { JsonSchema, ValidationRule } from '#shared/machinery/structural/schema.ts'

const { checkFieldPaths, checkRules, rulesOf } = definitions

const object = (properties: Record<string, JsonSchema>, rules: ValidationRule[] = [], more: JsonSchema = {}): JsonSchema => ({
  type: 'object',
  properties,
  ...(rules.length > 0 ? { 'x-kubernetes-validations': rules } : {}),
  ...more,
})
const text: JsonSchema = { type: 'string', maxLength: 50 }
const number: JsonSchema = { type: 'integer' }

/** What the rules of `spec` say of an object with this spec, as `field: message`. */
function judge(spec: JsonSchema, now: unknown, old?: unknown): string[] {
  const validate = rulesOf(object({ spec }))!
  const of = (value: unknown): object => ({ apiVersion: 'v1', kind: 'K', metadata: { name: 'n' }, spec: value })
  return validate(of(now), old === undefined ? undefined : of(old)).map(e => `${e.field}: ${e.reason}: ${e.message}`)
}

describe('a rule', () => {
  const replicas = object({ min: number, max: number }, [{ rule: 'self.min <= self.max', message: 'min must not be more than max' }])

  it('judges its part of the object', () => {
    expect(judge(replicas, { min: 1, max: 2 })).toEqual([])
    expect(judge(replicas, { min: 3, max: 2 })).toEqual(['spec: FieldValueInvalid: Invalid value: min must not be more than max'])
  })

  it('says what went wrong while it was evaluated', () => {
    expect(judge(replicas, { min: 3 })).toEqual([
      'spec: FieldValueInvalid: Invalid value: "object": no such key: max evaluating rule: min must not be more than max',
    ])
  })

  it('is told by its expression, a message or a message expression', () => {
    const of = (rule: Omit<ValidationRule, 'rule'>): string[] => judge(object({ n: number }, [{ rule: 'self.n < 3', ...rule }]), { n: 7 })
    expect(of({})).toEqual(['spec: FieldValueInvalid: Invalid value: failed rule: self.n < 3'])
    expect(of({ messageExpression: '"n is " + string(self.n)' })).toEqual(['spec: FieldValueInvalid: Invalid value: n is 7'])
    expect(of({ message: 'too large', messageExpression: 'string(self.n / 0)' })).toEqual([
      'spec: FieldValueInvalid: Invalid value: too large',
    ])
    expect(of({ message: 'too large', reason: 'FieldValueForbidden', fieldPath: '.n' })).toEqual([
      'spec.n: FieldValueForbidden: Forbidden: too large',
    ])
    expect(of({ message: 'too large', reason: 'FieldValueRequired' })).toEqual(['spec: FieldValueRequired: Required value: too large'])
  })

  it('of a scalar shows its value', () => {
    const schema = object({ n: { ...number, 'x-kubernetes-validations': [{ rule: 'self > 0' }] } })
    expect(judge(schema, { n: -1 })).toEqual(['spec.n: FieldValueInvalid: Invalid value: -1: failed rule: self > 0'])
  })

  it('of the root sees metadata and blames nothing', () => {
    const validate = rulesOf(object({ spec: object({}) }, [{ rule: 'self.metadata.name == "x" && self.kind == "K"' }]))!
    const [error] = validate({ apiVersion: 'v1', kind: 'K', metadata: { name: 'n', labels: { a: 'b' } }, spec: {} }, undefined)
    expect(error).toMatchObject({ field: '<nil>', message: expect.stringContaining('failed rule: self.metadata.name == "x"') })
  })

  it('sees items, values of maps, null and what may be a number or a text', () => {
    const spec = object({
      list: {
        type: 'array',
        items: object({ port: { 'x-kubernetes-int-or-string': true } }, [
          { rule: 'type(self.port) == int ? self.port > 0 : self.port != ""' },
        ]),
      },
      map: { type: 'object', additionalProperties: { ...text, 'x-kubernetes-validations': [{ rule: 'self.startsWith("a")' }] } },
      some: { ...text, nullable: true, 'x-kubernetes-validations': [{ rule: 'self == "never"' }] },
    })
    expect(judge(spec, { list: [{ port: 1 }, { port: '' }], map: { x: 'ab', y: 'b' }, some: null })).toEqual([
      'spec.list[1]: FieldValueInvalid: Invalid value: failed rule: type(self.port) == int ? self.port > 0 : self.port != ""',
      'spec.map[y]: FieldValueInvalid: Invalid value: "b": failed rule: self.startsWith("a")',
    ])
  })

  it('sees times, durations and bytes by their formats', () => {
    const spec = object(
      { at: { type: 'string', format: 'date-time' }, for: { type: 'string', format: 'duration' }, raw: { type: 'string', format: 'byte' } },
      [{ rule: 'self.at.getFullYear() == 2024 && self.__for__ < duration("2h") && size(self.raw) == 2' }],
    )
    expect(judge(spec, { at: '2024-05-01T00:00:00Z', for: '1h', raw: 'AAA=' })).toEqual([])
  })

  it('sees names that are escaped', () => {
    const spec = object({ namespace: text, 'x-y': text, 'a.b/c': text, a__b: text }, [
      {
        rule: 'self.__namespace__ == self.namespace && has(self.x__dash__y) && self.a__dot__b__slash__c == "1" && self.a__underscores__b == "2"',
      },
    ])
    expect(judge(spec, { namespace: 'n', 'x-y': '', 'a.b/c': '1', a__b: '2' })).toEqual([])
  })

  it('compares sets and lists with keys in any order', () => {
    const key = { ...object({ k: text, v: number }, [], { required: ['k'] }) }
    const spec = object(
      {
        set: { type: 'array', items: text, 'x-kubernetes-list-type': 'set' },
        map: { type: 'array', items: key, 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['k'] },
      },
      [
        { rule: 'self.set == ["b", "a"] && self.set + ["a", "c"] == ["a", "b", "c"]' },
        { rule: 'self.map == oldSelf.map && size(self.map + oldSelf.map) == 2' },
      ],
    )
    const [a, b] = [
      { k: 'a', v: 1 },
      { k: 'b', v: 2 },
    ]
    expect(judge(spec, { set: ['a', 'b'], map: [a, b] }, { set: ['a', 'b'], map: [b, a] })).toEqual([])
  })

  it('stops when its cost exceeds the limit', () => {
    const list: JsonSchema = { type: 'array', items: number }
    const spec = object({ list }, [{ rule: 'self.list.all(a, self.list.all(b, a + b < 9))' }, { rule: 'false' }])
    expect(judge(spec, { list: Array.from({ length: 2000 }, () => 1) })).toEqual([
      `spec: FieldValueInvalid: Invalid value: "object": 'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: self.list.all(a, self.list.all(b, a + b < 9))`,
    ])
  })
})

describe('a transition rule', () => {
  const fixed: JsonSchema = { ...text, 'x-kubernetes-validations': [{ rule: 'self == oldSelf', message: 'is fixed' }] }

  it('judges a change only', () => {
    const spec = object({ name: fixed })
    expect(judge(spec, { name: 'a' })).toEqual([])
    expect(judge(spec, { name: 'a' }, {})).toEqual([])
    expect(judge(spec, { name: 'a' }, { name: 'a' })).toEqual([])
    expect(judge(spec, { name: 'b' }, { name: 'a' })).toEqual(['spec.name: FieldValueInvalid: Invalid value: "b": is fixed'])
  })

  it('knows the items of a list by their keys', () => {
    const items = object({ k: text, v: fixed }, [], { required: ['k'] })
    const spec = object({ list: { type: 'array', items, 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['k'] } })
    const old = {
      list: [
        { k: 'a', v: '1' },
        { k: 'b', v: '2' },
      ],
    }
    expect(
      judge(
        spec,
        {
          list: [
            { k: 'b', v: '2' },
            { k: 'a', v: '9' },
            { k: 'c', v: '3' },
          ],
        },
        old,
      ),
    ).toEqual(['spec.list[1].v: FieldValueInvalid: Invalid value: "9": is fixed'])
  })

  it('with an optional old value judges new objects, too', () => {
    const rule = { rule: 'oldSelf.hasValue() || self.n == 1', optionalOldSelf: true }
    const spec = object({ n: number }, [rule])
    expect(judge(spec, { n: 2 })).toEqual(['spec: FieldValueInvalid: Invalid value: failed rule: oldSelf.hasValue() || self.n == 1'])
    expect(judge(spec, { n: 2 }, { n: 1 })).toEqual([])
  })
})

describe('a change', () => {
  it('is not blamed for what it leaves as it was', () => {
    const spec = object({ old: { ...number, 'x-kubernetes-validations': [{ rule: 'self > 0' }] }, other: text })
    expect(judge(spec, { old: -1, other: 'b' }, { old: -1, other: 'a' })).toEqual([])
    expect(judge(spec, { old: -2, other: 'b' }, { old: -1, other: 'a' })).toHaveLength(1)
  })
  it('is told of that, where clients can be warned', () => {
    const spec = object({ old: { ...number, 'x-kubernetes-validations': [{ rule: 'self > 0' }] }, other: text })
    const of = (value: object): object => ({ apiVersion: 'v1', kind: 'K', metadata: { name: 'n' }, spec: value })
    const warnings: string[] = []
    rulesOf(object({ spec }))!(of({ old: -1, other: 'b' }), of({ old: -1, other: 'a' }), text => warnings.push(text))
    expect(warnings).toEqual(['spec.old: Invalid value: -1: failed rule: self > 0'])
    // What version the old one was of cannot be told.
    const versioned = rulesOf(object({ apiVersion: { ...text, 'x-kubernetes-validations': [{ rule: "self == 'v1'" }] } }))!
    expect(versioned({ apiVersion: 'v2' }, { apiVersion: 'v2' }).map(e => e.field)).toEqual(['apiVersion'])
  })
})

describe('a definition', () => {
  const check = (schema: JsonSchema): string[] => checkRules(schema, new Path('schema'), false).map(e => `${e.field}: ${e.message}`)
  const spec = (rule: ValidationRule, properties: Record<string, JsonSchema> = { n: number }): JsonSchema =>
    object({ spec: object(properties, [rule]) })

  it('is taken when its rules are right', () => {
    expect(check(spec({ rule: 'self.n > 0', messageExpression: 'self.n > 3 ? "large" : "small"' }))).toEqual([])
  })

  it('is told what is wrong with a rule', () => {
    expect(check(spec({ rule: 'self.m > 0', message: 'm' }))).toEqual([
      'schema.properties[spec].x-kubernetes-validations[0].rule: Invalid value: {"Rule":"self.m \\u003e 0","Message":"m","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null}: compilation failed: ERROR: <input>:1:5: undefined field \'m\'\n | self.m > 0\n | ....^',
    ])
    expect(check(spec({ rule: 'self.n' }))[0]).toMatch(/: cel expression must evaluate to a bool$/)
    expect(check(spec({ rule: 'true', messageExpression: 'self.n' }))[0]).toMatch(
      /messageExpression: .*: messageExpression must evaluate to a string$/,
    )
    expect(check(spec({ rule: 'true', optionalOldSelf: true }))[0]).toBe(
      'schema.properties[spec].x-kubernetes-validations[0].optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule',
    )
  })

  it('may not look at old values that are not to be told from others', () => {
    const items = object({ v: { ...text, 'x-kubernetes-validations': [{ rule: 'self == oldSelf' }] } })
    expect(check(object({ list: { type: 'array', maxItems: 5, items } }))).toEqual([
      'schema.properties[list].items.properties[v].x-kubernetes-validations[0].rule: Invalid value: "self == oldSelf": oldSelf cannot be used on the uncorrelatable portion of the schema within schema.properties[list]',
    ])
  })

  it('may not have rules that cost too much', () => {
    const bounded: JsonSchema = { type: 'array', maxItems: 10, items: text }
    const unbounded: JsonSchema = { type: 'array', items: { type: 'string' } }
    const rule = { rule: 'self.list.all(a, self.list.all(b, a != b || a.contains("x")))' }
    expect(check(spec(rule, { list: bounded }))).toEqual([])
    const errors = check(spec(rule, { list: unbounded }))
    expect(errors[0]).toBe(
      'schema.properties[spec].x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)',
    )
    expect(errors.at(-1)).toBe(
      'schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)',
    )
  })

  it('blames fields that are there', () => {
    const of = (fieldPath: string): string[] =>
      checkFieldPaths(
        spec({ rule: 'true', fieldPath }, { n: number, m: { type: 'object', additionalProperties: text } }),
        new Path('schema'),
      ).map(e => e.message)
    expect(of('.n')).toEqual([])
    expect(of(".m['a.b']")).toEqual([])
    expect(of('.q')).toEqual(['Invalid value: ".q": must be a valid path'])
    expect(of('n')).toEqual(['Invalid value: "n": must be a valid path'])
  })
})

describe('a name', () => {
  it.each([
    ['a', 'a'],
    ['namespace', '__namespace__'],
    ['a-b', 'a__dash__b'],
    ['a.b', 'a__dot__b'],
    ['a/b', 'a__slash__b'],
    ['a__b', 'a__underscores__b'],
    ['_a', '_a'],
  ])('%s is written %s', (name, escaped) => {
    expect(escapeName(name)).toBe(escaped)
    expect(unescapeName(escaped)).toBe(name)
  })
  it('is not always to be written', () => {
    expect(['1a', 'a b', 'é', ''].map(escapeName)).toEqual([undefined, undefined, undefined, undefined])
    expect(unescapeName('a__what__b')).toBeUndefined()
  })
})

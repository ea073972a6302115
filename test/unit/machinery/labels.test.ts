import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  formatLabels,
  formatLabelSelector,
  formatSelector,
  matchesLabels,
  parseLabelSelector,
  selectorOf,
  selects,
} from '#shared/machinery/labels.ts'

describe('selectors as text', () => {
  it.each([
    ['a=b', { a: 'b' }, true],
    ['a==b', { a: 'b' }, true],
    ['a=b', { a: 'c' }, false],
    ['a!=b', {}, true],
    ['a!=b', { a: 'b' }, false],
    ['a in (x, y)', { a: 'y' }, true],
    ['a in (x,y)', {}, false],
    ['a notin (x)', {}, true],
    ['a', { a: '' }, true],
    ['!a', { a: '' }, false],
    ['!a', {}, true],
    ['a>1', { a: '2' }, true],
    ['a<1', { a: '2' }, false],
    ['a>1', { a: 'x' }, false],
    ['a=', { a: '' }, true],
    ['a=,b=c', { a: '', b: 'c' }, true],
    ['in in (in)', { in: 'in' }, true],
    ['a in (,)', { a: '' }, true],
    ['a in ()', { a: '' }, true],
    ['', { any: 'thing' }, true],
    ['x/y=z', { 'x/y': 'z' }, true],
    ['toString', {}, false],
    ['a=b,', { a: 'b' }, false],
  ] as const)('%s of %o: %s', (text, labels, expected) => {
    if (text === 'a=b,') expect(() => parseLabelSelector(text)).toThrow("found '', expected: identifier after ','")
    else expect(matchesLabels(parseLabelSelector(text), labels)).toBe(expected)
  })

  it.each([
    ['a===b', "unable to parse requirement: found '=', expected: identifier"],
    ['app within (a)', "unable to parse requirement: found 'within', expected: in, notin, =, ==, !=, gt, lt"],
    ['a in x', "unable to parse requirement: found 'x' expected: '('"],
    ['a in (x', "unable to parse requirement: found '', expected: ',' or ')'"],
    ['=', "found '=', expected: !, identifier, or 'end of string'"],
    ['!', "unable to parse requirement: found '', expected: identifier"],
    ['a b', "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"],
    ['a>b', `unable to parse requirement: values[0]: Invalid value: "b": for 'Gt', 'Lt' operators, the value must be an integer`],
  ])("%s fails with upstream's words", (text, message) => {
    expect(() => parseLabelSelector(text)).toThrow(message)
  })

  it('bad keys and values name their place', () => {
    expect(() => parseLabelSelector('-a=b')).toThrow(/^unable to parse requirement: <nil>: Invalid value: "-a": name part must consist of/)
    expect(() => parseLabelSelector('a=-b')).toThrow(
      /^unable to parse requirement: values\[0\]\[a\]: Invalid value: "-b": a valid label must be/,
    )
  })

  it('any text is parsed or refused with an Error, and what was parsed prints to the same selector', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[ab!=<>(),in \-.]{0,20}$/), text => {
        let parsed
        try {
          parsed = parseLabelSelector(text)
        } catch (e) {
          expect(e).toBeInstanceOf(Error)
          return
        }
        expect(parseLabelSelector(formatSelector(parsed))).toEqual(parsed)
      }),
    )
  })
})

describe('LabelSelector objects', () => {
  const selector = {
    matchLabels: { app: 'x' },
    matchExpressions: [
      { key: 'tier', operator: 'In', values: ['b', 'a'] },
      { key: 'old', operator: 'DoesNotExist' },
    ],
  }
  it('are printed sorted by key', () => {
    expect(formatSelector(selectorOf(selector)!)).toBe('app=x,!old,tier in (a,b)')
    expect(formatLabelSelector({ matchLabels: { a: '-' } })).toBe('<error>')
    expect(formatLabelSelector({})).toBe('<none>')
  })
  it('select', () => {
    expect(selects(selector, { app: 'x', tier: 'a' })).toBe(true)
    expect(selects(selector, { app: 'x', tier: 'a', old: '1' })).toBe(false)
    expect(selects({}, undefined)).toBe(true)
    expect(selects(undefined, {})).toBe(false)
  })
  it('with a bad operator or without values are refused', () => {
    expect(() => selectorOf({ matchExpressions: [{ key: 'a', operator: 'Like', values: [] }] })).toThrow(
      '"Like" is not a valid label selector operator',
    )
    expect(() => selectorOf({ matchExpressions: [{ key: 'a', operator: 'In', values: [] }] })).toThrow(
      "for 'in', 'notin' operators, values set can't be empty",
    )
  })
})

it('labels in tables', () => {
  expect(formatLabels({ b: '2', a: '1' })).toBe('a=1,b=2')
  expect(formatLabels(undefined)).toBe('<none>')
})

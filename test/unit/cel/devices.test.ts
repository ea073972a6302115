import { describe, expect, it } from 'vitest'
import { compile } from '#control-plane/apiserver/cel/cel.ts'
import { checkSelector, selectorEnvironment } from '#control-plane/apiserver/cel/dra/selector.ts'
import { withRules } from '#control-plane/apiserver/cel/expressions.ts'
import type { DeviceClass } from '#shared/api/resource/deviceclass.ts'
import { deviceClass } from '#shared/api/resource/deviceclass.ts'
import { resourceClaim } from '#shared/api/resource/resourceclaim.ts'
import { resourceClaimTemplate } from '#shared/api/resource/resourceclaimtemplate.ts'
import type { Resource } from '#shared/api/resource.ts'
import { Path } from '#shared/machinery/field.ts'

describe('a selector of devices', () => {
  const of = (expression: string): string[] => checkSelector(expression, new Path('at')).map(e => e.message)

  it.each([
    'device.driver == "dra.example.com"',
    'device.attributes["dra.example.com"].name',
    'device.capacity["dra.example.com"].memory.isGreaterThan(quantity("1Ki"))',
    'device.attributes["dra.example.com"].version.isGreaterThan(semver("0.0.1"))',
    'cel.bind(dra, device.attributes["dra.example.com"], dra.a && dra.b)',
  ])('may be %s', expression => {
    expect(of(expression)).toEqual([])
  })

  it.each([
    ['?!', /^Invalid value: "\?!": compilation failed: ERROR: <input>:1:1: Syntax error: /],
    ['1', /^Invalid value: "1": must evaluate to bool or the unknown type, not int$/],
    ['device.driver > 3', /found no matching overload for '_>_' applied to '\(string, int\)'/],
    ['device.name == "x"', /undefined field 'name'/],
    ['cel.bind(1, 2, true)', /cel.bind\(\) variable names must be simple identifiers/],
  ])('may not be %s', (expression, message) => {
    expect(of(expression)).toEqual([expect.stringMatching(message)])
  })

  it('may not cost too much', () => {
    const ten = '[1,2,3,4,5,6,7,8,9,10]'
    expect(of('abcdefg'.split('').reduce((inner, v) => `${ten}.all(${v}, ${inner})`, "int('1'.find('[0-9]*')) < 100"))).toEqual([
      'Forbidden: too complex, exceeds cost limit',
    ])
  })

  it.each([
    ['true', 0],
    ['"no-such-domain" in device.attributes', 3],
    ['device.driver == ""', 2],
    ['device.driver == "dra.example.com"', 4],
    ['device.attributes["dra.example.com"].name', 4],
    ['cel.bind(dra, device.attributes["dra.example.com"], dra.name)', 15],
    ['device.attributes["dra.example.com"].name == "fish"', 5],
    ['device.attributes.exists_one(x, x == "dra.example.com")', 164],
    ['device.attributes["dra.example.com"].exists_one(x, x == "services")', 133],
    ['device.attributes["dra.example.com"].services.split("example").size() >= 2', 19],
    ['device.attributes["dra.example.com"].services.matches("[^a]?sym")', 18],
    ['device.capacity.exists_one(x, x == "dra.example.com")', 164],
    ['device.capacity["dra.example.com"].exists_one(x, x == "memory")', 133],
  ])('%s is said to cost %d', (expression, cost) => {
    expect(compile(expression, selectorEnvironment()).program!.estimate().max).toBe(cost)
  })
})

describe('kinds that select devices', () => {
  const at = new Path()
  const bad = { cel: { expression: 'device.nothing' } }
  const errors = (resource: Resource, spec: object): string[] =>
    withRules(resource).validateCreate!({ metadata: { name: 'n' }, spec } as never, at).map(e => e.field)

  it('are told where an expression is wrong', () => {
    expect(errors(deviceClass as unknown as Resource, { selectors: [{ cel: { expression: 'true' } }, bad] })).toEqual([
      'spec.selectors[1].cel.expression',
    ])
    const devices = {
      requests: [
        { name: 'a', exactly: { selectors: [bad] } },
        { name: 'b', firstAvailable: [{ selectors: [bad] }] },
      ],
    }
    const places = ['requests[0].exactly', 'requests[1].firstAvailable[0]'].map(p => `devices.${p}.selectors[0].cel.expression`)
    expect(errors(resourceClaim as unknown as Resource, { devices })).toEqual(places.map(p => `spec.${p}`))
    expect(errors(resourceClaimTemplate as unknown as Resource, { spec: { devices } })).toEqual(places.map(p => `spec.spec.${p}`))
  })

  it('keep what they have', () => {
    const { validateUpdate } = withRules(deviceClass as unknown as Resource)
    const of = (...selectors: object[]): DeviceClass => ({ metadata: { name: 'n' }, spec: { selectors } }) as unknown as DeviceClass
    expect(validateUpdate!(of(bad) as never, of(bad) as never, at, {} as never)).toEqual([])
    expect(validateUpdate!(of(bad, bad) as never, of(bad) as never, at, {} as never)).toHaveLength(2)
  })
})

import { expect, it } from 'vitest'
import { parseFeatureGates } from '#control-plane/apiserver/featuregates.ts'

it('are on or off, the last word counts', () => {
  expect(parseFeatureGates('')).toEqual({})
  expect(parseFeatureGates('HPAScaleToZero=true')).toEqual({ HPAScaleToZero: true })
  expect(parseFeatureGates('HPAScaleToZero=true,HPAScaleToZero=false')).toEqual({ HPAScaleToZero: false })
})

it.each([
  ['HPAScaleToZero', 'missing bool value for HPAScaleToZero'],
  ['Nope=true', 'unrecognized feature gate: Nope'],
  ['HPAScaleToZero=on', 'invalid value of HPAScaleToZero=on, err: strconv.ParseBool: parsing "on": invalid syntax'],
])('cannot be %s', (text, message) => {
  expect(() => parseFeatureGates(text)).toThrow(message)
})

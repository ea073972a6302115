import { expect, it } from 'vitest'
import { featureGatesFlag } from '#control-plane/apiserver/featuregates.ts'

const parse = (text: string | undefined) => {
  const { data, error } = featureGatesFlag().safeParse(text)
  return data ?? error?.issues.map(i => i.message)
}

it.each([
  [undefined, {}],
  ['', {}],
  ['HPAScaleToZero=true', { HPAScaleToZero: true }],
  ['HPAScaleToZero=true,HPAScaleToZero=false', { HPAScaleToZero: false }],
  ['HPAScaleToZero', ['missing bool value for HPAScaleToZero']],
  ['Nope=true', ['unrecognized feature gate: Nope']],
  ['HPAScaleToZero=on', ['invalid value of HPAScaleToZero=on, err: strconv.ParseBool: parsing "on": invalid syntax']],
])('feature gates %s', (text, expected) => {
  expect(parse(text)).toEqual(expected)
})

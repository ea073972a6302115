import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  addQuantities,
  compareQuantity,
  formatQuantity,
  isIntegerQuantity,
  isMultipleOf,
  multiplyQuantity,
  normalQuantity,
  parseQuantity,
  quantityFormatError,
  quantityMilliValue,
  quantityValue,
  subtractQuantities,
} from '#shared/machinery/quantity.ts'

describe('canonical text', () => {
  it.each([
    ['0', '0'],
    ['0m', '0'],
    ['-0', '0'],
    ['100m', '100m'],
    ['0.5', '500m'],
    ['1500m', '1500m'],
    ['1000m', '1'],
    ['1000', '1k'],
    ['1000000', '1M'],
    ['1024Ki', '1Mi'],
    ['1000Ki', '1000Ki'],
    ['0.5Gi', '512Mi'],
    ['1.5Ki', '1536'],
    ['0.1Ki', '102400m'],
    ['1e3', '1e3'],
    ['5e-3', '5e-3'],
    ['12e6', '12e6'],
    ['.5', '500m'],
    ['0.0000000001', '1n'],
    ['-5m', '-5m'],
    ['100Ei', '9223372036854775807'],
    ['100000000000000000000', '100E'],
    // Upstream keeps these as they were sent.
    ['1.500', '1.500'],
    ['+5', '+5'],
  ])('of %s is %s', (text, canonical) => {
    expect(normalQuantity(text)).toBe(canonical)
  })

  it.each(['', ' 1', '1 ', 'abc', '.', '-', '1x', '1e', '1Kii', '--1', '1e99999999999'])('there is none of %j', text => {
    expect(normalQuantity(text)).toBeUndefined()
  })

  it("errors are upstream's", () => {
    expect(() => parseQuantity('')).toThrow(quantityFormatError)
    expect(() => parseQuantity('1x')).toThrow()
    expect(() => parseQuantity('1Kx')).toThrow()
  })
})

const texts = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.integer({ min: 0, max: 999_999 }),
    fc.constantFrom('', '.5', '.25', '.001'),
    fc.constantFrom('', 'n', 'u', 'm', 'k', 'M', 'G', 'Ki', 'Mi', 'Gi', 'e3', 'e-3'),
  )
  .map(parts => parts.join(''))

describe('laws', () => {
  it('canonical form is a fixed point and keeps the value', () => {
    fc.assert(
      fc.property(texts, text => {
        const canonical = normalQuantity(text)!
        expect(compareQuantity(canonical, text)).toBe(0)
        expect(compareQuantity(normalQuantity(canonical)!, text)).toBe(0)
      }),
    )
  })

  it('sums commute, and a difference undoes a sum', () => {
    fc.assert(
      fc.property(texts, texts, (a, b) => {
        expect(compareQuantity(addQuantities(a, b), addQuantities(b, a))).toBe(0)
        expect(compareQuantity(subtractQuantities(addQuantities(a, b), b), a)).toBe(0)
        expect(compareQuantity(parseQuantity(formatQuantity(addQuantities(a, b))), addQuantities(a, b))).toBe(0)
      }),
    )
  })

  it('comparison is a total order that agrees with numbers', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer(), (a, b) => {
        expect(compareQuantity(String(a), String(b))).toBe(Math.sign(a - b))
      }),
    )
  })
})

it('whole values are rounded up', () => {
  expect(quantityValue('1500m')).toBe(2)
  expect(quantityValue('-1500m')).toBe(-1)
  expect(quantityMilliValue('1.5')).toBe(1500)
  expect(quantityMilliValue('1n')).toBe(1)
  expect(quantityValue('1Gi')).toBe(1024 ** 3)
})

it('sums keep the format of the first that is not zero', () => {
  expect(formatQuantity(addQuantities('1Gi', '512Mi'))).toBe('1536Mi')
  expect(formatQuantity(addQuantities('0', '1Ki'))).toBe('1Ki')
  expect(formatQuantity(multiplyQuantity('250m', 4))).toBe('1')
})

it('whole numbers and multiples', () => {
  expect(isIntegerQuantity('2')).toBe(true)
  expect(isIntegerQuantity('1500m')).toBe(false)
  expect(isMultipleOf('4Mi', '2Mi')).toBe(true)
  expect(isMultipleOf('3Mi', '2Mi')).toBe(false)
})

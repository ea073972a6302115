import { expect, test } from 'vitest'
import { clone } from '#shared/machinery/jsonvalue.ts'

test('a clone shares nothing with the value, whatever its keys', () => {
  const text = '{"a":[1,null,{"b":"c"},[]],"__proto__":{"x":1},"constructor":true,"e":{}}'
  const value = JSON.parse(text) as { a: [number, null, { b: string }, unknown[]] }
  const copy = clone(value)
  expect(JSON.stringify(copy)).toBe(text)
  expect(Object.getPrototypeOf(copy)).toBe(Object.prototype)
  copy.a[2].b = 'd'
  copy.a[3].push(1)
  expect(JSON.stringify(value)).toBe(text)
  expect(Object.keys(clone({ a: undefined, b: 1 }))).toEqual(['b'])
})

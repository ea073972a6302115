import { expect, test } from 'vitest'
import { freeRange } from '#control-plane/controller-manager/nodeipam/nodeipam.ts'

test('a node gets the last range that overlaps none', () => {
  expect(freeRange('10.128.0.0/17', 24, [])).toBe('10.128.127.0/24')
  expect(freeRange('10.128.0.0/17', 24, ['10.128.1.0/24', '10.128.127.0/24'])).toBe('10.128.126.0/24')
  // Ranges of other sizes, as somebody may have given them by hand.
  expect(freeRange('10.128.0.0/17', 24, ['10.128.64.0/18'])).toBe('10.128.63.0/24')
  expect(freeRange('10.128.0.0/17', 24, ['10.128.127.128/25'])).toBe('10.128.126.0/24')
})
test('until there is none: the very first is of nobody', () => {
  expect(freeRange('10.128.0.0/22', 24, ['10.128.3.0/24', '10.128.2.0/24'])).toBe('10.128.1.0/24')
  expect(freeRange('10.128.0.0/22', 24, ['10.128.3.0/24', '10.128.2.0/24', '10.128.1.0/24'])).toBeUndefined()
})

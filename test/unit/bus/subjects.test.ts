import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fromToken, toToken } from '#shared/bus/subjects.ts'

test('every name is one token, and comes back', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string({ unit: 'grapheme' }),
        fc.constantFrom('', '_', '.', '..', '>', '*', '%', '/', '%5F', 'a.b_c', 'system:node:a.b'),
      ),
      name => {
        fc.pre(name.isWellFormed())
        const token = toToken(name)
        expect(token).toMatch(/^[!-~]+$/)
        expect(token).not.toMatch(/[.*>]/)
        expect(fromToken(token)).toBe(name)
      },
    ),
  )
})

test('plain names stay as they are', () => {
  expect(['web-1', 'system:node:node-1', 'a.b', '', '_', 'a b'].map(toToken)).toEqual([
    'web-1',
    'system:node:node-1',
    'a/b',
    '_',
    '%5F',
    'a%20b',
  ])
})

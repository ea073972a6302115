/** What stands in for tweetnacl in the bundles does what it does. */
import { createRequire } from 'node:module'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import ours from '#shared/bus/ed25519.ts'

const theirs = createRequire(import.meta.url)('tweetnacl') as typeof ours
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })

describe('Ed25519 in the form of tweetnacl', () => {
  test("keys and signatures are the same, and each accepts the other's", () => {
    fc.assert(
      fc.property(bytes(32), fc.uint8Array({ maxLength: 200 }), (seed, message) => {
        const keys = ours.sign.keyPair.fromSeed(seed)
        expect(keys).toEqual(theirs.sign.keyPair.fromSeed(seed))
        const signature = ours.sign.detached(message, keys.secretKey)
        expect(signature).toEqual(theirs.sign.detached(message, keys.secretKey))
        expect(ours.sign.detached.verify(message, signature, keys.publicKey)).toBe(true)
      }),
      { numRuns: 30 },
    )
  })
  test('what was changed is not accepted', () => {
    const { publicKey, secretKey } = ours.sign.keyPair.fromSeed(ours.randomBytes(32))
    const message = Buffer.from('a message')
    const signature = ours.sign.detached(message, secretKey)
    fc.assert(
      fc.property(fc.nat(63), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const other = Uint8Array.from(signature)
        other[at]! ^= change
        expect(ours.sign.detached.verify(message, other, publicKey)).toBe(false)
      }),
      { numRuns: 30 },
    )
    expect(ours.sign.detached.verify(Buffer.from('another'), signature, publicKey)).toBe(false)
  })
  test('wrong sizes are refused as by tweetnacl', () => {
    for (const { sign } of [ours, theirs]) {
      expect(() => sign.keyPair.fromSeed(new Uint8Array(31))).toThrow('bad seed size')
      expect(() => sign.detached.verify(new Uint8Array(), new Uint8Array(63), new Uint8Array(32))).toThrow('bad signature size')
    }
  })
})

import { expect, test } from 'vitest'
import { newCertificateKey, seal, unseal } from '#control-plane/cli/certificatekey.ts'

const wrong = 'the certificate key does not open what the cluster has for this token'

test('what is sealed is opened by its key for its context alone, and unchanged', () => {
  const key = newCertificateKey()
  const sealed = seal(key, 'abcdef', 'secret ✓')
  expect(sealed.includes('secret')).toBe(false)
  expect(unseal(key, 'abcdef', sealed)).toBe('secret ✓')
  expect(() => unseal(newCertificateKey(), 'abcdef', sealed)).toThrow(wrong)
  expect(() => unseal(key, 'fedcba', sealed)).toThrow(wrong)
  for (const at of [0, 12, 28]) {
    const changed = Buffer.from(sealed)
    changed[at]! ^= 1
    expect(() => unseal(key, 'abcdef', changed)).toThrow(wrong)
  }
  expect(() => unseal(key, 'abcdef', Buffer.alloc(0))).toThrow(wrong)
  expect(() => unseal('00', 'abcdef', sealed)).toThrow('64 hexadecimal digits')
})

test('nothing is sealed twice in the same way', () => {
  const key = newCertificateKey()
  expect(seal(key, 'a', 'b')).not.toEqual(seal(key, 'a', 'b'))
})

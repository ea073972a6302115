/**
 * What upstream's local providers do to the bytes of one object, in its formats (k8s.io/apiserver/pkg/storage/value/encrypt). Where the
 * cipher can, the stored bytes are tied to their place: moved to another subject they cannot be read.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto'
import { secretbox } from '@noble/ciphers/salsa.js'

export interface Cipher {
  encrypt(plain: Buffer, place: Buffer): Buffer
  /** Throws when the bytes are damaged, of another key, or from another place. */
  decrypt(stored: Buffer, place: Buffer): Buffer
}

const tooShort = (): Error => new Error('the stored data was shorter than the required size')
const nonceBytes = 12
const tagBytes = 16

/** A nonce, then what AES-GCM gives, its tag last. */
export const aesGcm = (key: Buffer): Cipher => {
  const algorithm = `aes-${(key.length * 8) as 128 | 192 | 256}-gcm` as const
  return {
    encrypt(plain, place) {
      const nonce = randomBytes(nonceBytes)
      const cipher = createCipheriv(algorithm, key, nonce).setAAD(place)
      return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
    },
    decrypt(stored, place) {
      if (stored.length < nonceBytes + tagBytes) throw tooShort()
      const decipher = createDecipheriv(algorithm, key, stored.subarray(0, nonceBytes), { authTagLength: tagBytes })
      decipher.setAAD(place).setAuthTag(stored.subarray(-tagBytes))
      return Buffer.concat([decipher.update(stored.subarray(nonceBytes, -tagBytes)), decipher.final()])
    },
  }
}

const blockBytes = 16

/** An initialization vector, then AES-CBC with PKCS #7 padding: it knows neither of changes nor of places. */
export const aesCbc = (key: Buffer): Cipher => {
  const algorithm = `aes-${key.length * 8}-cbc`
  return {
    encrypt(plain) {
      const iv = randomBytes(blockBytes)
      const cipher = createCipheriv(algorithm, key, iv)
      return Buffer.concat([iv, cipher.update(plain), cipher.final()])
    },
    decrypt(stored) {
      if (stored.length < blockBytes) throw tooShort()
      if (stored.length % blockBytes !== 0) throw new Error('the stored data is not a multiple of the block size')
      const decipher = createDecipheriv(algorithm, key, stored.subarray(0, blockBytes))
      return Buffer.concat([decipher.update(stored.subarray(blockBytes)), decipher.final()])
    },
  }
}

const boxNonceBytes = 24

/** NaCl's secretbox behind its nonce: it knows of changes, not of places. */
export const secretBox = (key: Buffer): Cipher => ({
  encrypt(plain) {
    const nonce = randomBytes(boxNonceBytes)
    return Buffer.concat([nonce, secretbox(key, nonce).seal(plain)])
  },
  decrypt(stored) {
    if (stored.length < boxNonceBytes + tagBytes) throw tooShort()
    return Buffer.from(secretbox(key, stored.subarray(0, boxNonceBytes)).open(stored.subarray(boxNonceBytes)))
  },
})

const infoBytes = 32

/** AES-GCM with a key of its own for each write, HKDF-expanded from a seed and 32 random bytes, which are in front (KMS v2). */
export const extendedNonceGcm = (seed: Buffer): Cipher => {
  const keyOf = (info: Buffer): Buffer =>
    createHmac('sha256', seed)
      .update(info)
      .update(Buffer.from([1]))
      .digest()
  return {
    encrypt(plain, place) {
      const info = randomBytes(infoBytes)
      return Buffer.concat([info, aesGcm(keyOf(info)).encrypt(plain, place)])
    },
    decrypt(stored, place) {
      if (stored.length < infoBytes) throw tooShort()
      return aesGcm(keyOf(stored.subarray(0, infoBytes))).decrypt(stored.subarray(infoBytes), place)
    },
  }
}

/**
 * Ed25519 by node:crypto, in the form of tweetnacl, whose place it takes in the bundles: the NATS libraries sign and verify with it. In
 * JavaScript each of that takes tens of milliseconds in a process that has just started, and every process does it.
 */
import {
  createPrivateKey,
  createPublicKey,
  randomBytes as random,
  sign as signWith,
  verify as verifyWith,
  type KeyObject,
} from 'node:crypto'

// What comes before the 32 bytes of a key in PKCS #8 and in SubjectPublicKeyInfo, see RFC 8410.
const privatePrefix = Buffer.from('302e020100300506032b657004220420', 'hex')
const publicPrefix = Buffer.from('302a300506032b6570032100', 'hex')
const seedBytes = 32
const signatureBytes = 64

const privateKey = (seed: Uint8Array): KeyObject =>
  createPrivateKey({ key: Buffer.concat([privatePrefix, seed]), format: 'der', type: 'pkcs8' })
const publicKey = (key: Uint8Array): KeyObject => createPublicKey({ key: Buffer.concat([publicPrefix, key]), format: 'der', type: 'spki' })

/** A key pair as tweetnacl has it: the secret key is the seed with the public key behind it. Throws when the seed has not 32 bytes. */
function fromSeed(seed: Uint8Array): { publicKey: Uint8Array; secretKey: Uint8Array } {
  if (seed.length !== seedBytes) throw new Error('bad seed size')
  const key = new Uint8Array(createPublicKey(privateKey(seed)).export({ format: 'der', type: 'spki' }).subarray(publicPrefix.length))
  const secretKey = new Uint8Array(seedBytes + key.length)
  secretKey.set(seed)
  secretKey.set(key, seedBytes)
  return { publicKey: key, secretKey }
}

function verify(message: Uint8Array, signature: Uint8Array, key: Uint8Array): boolean {
  if (signature.length !== signatureBytes) throw new Error('bad signature size')
  return verifyWith(null, message, publicKey(key), signature)
}
const detached = (message: Uint8Array, secretKey: Uint8Array): Uint8Array =>
  new Uint8Array(signWith(null, message, privateKey(secretKey.subarray(0, seedBytes))))

// The NATS libraries name these when they are loaded; nothing of ours encrypts.
const unused = (): never => {
  throw new Error('encryption is not available')
}

export const randomBytes = (n: number): Uint8Array => new Uint8Array(random(n))
export const sign = { detached: Object.assign(detached, { verify }), keyPair: { fromSeed } }
export const scalarMult = { base: unused }
export const box = Object.assign(unused, { open: unused })
export default { randomBytes, sign, scalarMult, box }

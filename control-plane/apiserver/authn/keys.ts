/** The keys of service-account tokens: what signs them and what they are checked with, by key id. */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { keyIdOf } from '#shared/machinery/serviceaccounttoken.ts'

export interface PublicKey {
  readonly id: string
  /** As JOSE names it: RS256, ES256, ES384 or ES512. */
  readonly algorithm: string
  readonly key: KeyObject
}

/** In which JOSE algorithm a key signs, as upstream chooses it. Throws for keys that upstream does not take. */
export function algorithmOf(key: KeyObject): string {
  if (key.asymmetricKeyType === 'rsa') return 'RS256'
  const byCurve: Record<string, string> = { prime256v1: 'ES256', secp384r1: 'ES384', secp521r1: 'ES512' }
  const algorithm = byCurve[key.asymmetricKeyDetails?.namedCurve ?? '']
  if (algorithm === undefined) throw new Error('a service account key must be RSA, or ECDSA on the curve P-256, P-384 or P-521')
  return algorithm
}

/** The single keys of a PEM text. */
const blocks = (pem: string): string[] => pem.match(/-----BEGIN (?:[A-Z]+ )*(?:KEY|CERTIFICATE)-----[\s\S]*?-----END [A-Z ]+-----/g) ?? []

const publicKey = (key: KeyObject): PublicKey => ({ id: keyIdOf(key), algorithm: algorithmOf(key), key })

export interface SigningKey {
  readonly key: KeyObject
  readonly public: PublicKey
}

/** Of a PEM text with a private key; throws when it is none. */
export function signingKey(pem: string): SigningKey {
  const key = createPrivateKey(pem)
  return { key, public: publicKey(createPublicKey(key)) }
}

/** All public keys of PEM texts, each once. */
export function publicKeys(pems: readonly string[], signing: SigningKey | undefined): PublicKey[] {
  const all = [...(signing ? [signing.public] : []), ...pems.flatMap(blocks).map(block => publicKey(createPublicKey(block)))]
  return [...new Map(all.map(k => [k.id, k])).values()]
}

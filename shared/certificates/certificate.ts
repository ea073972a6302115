/**
 * The certificates of a cluster (RFC 5280), with keys on P-256. Encoded here, as they have little of what certificates can have: the
 * library for the rest (shared/certificates) takes 100 ms and 20 MB to load, a fifth of what a cluster for a test may have.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign as signBytes,
  X509Certificate,
} from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { ipBits } from '#shared/machinery/ip.ts'
import { encodePem } from './pem.ts'
import {
  bitString,
  boolean,
  context,
  contextPrimitive,
  integer,
  objectIdentifier as oid,
  octetString,
  sequence,
  set,
  time,
  utf8String,
  values,
} from './der.ts'

const hour = 3600_000
const year = 365 * 24 * hour

/** PEM texts. */
export interface Pair {
  cert: string
  key: string
}
export interface Subject {
  commonName: string
  organizations?: readonly string[]
  /** Server certificates carry these; client certificates none. */
  names?: { dns: string[]; ips: string[] }
  /** Of a server that is a client of its like, too. */
  peer?: true
}

const ecdsaWithSha256 = sequence(oid('1.2.840.10045.4.3.2'))
const subjectKeyIdentifier = oid('2.5.29.14')
/** Bits 0 (digitalSignature), 5 (keyCertSign) and 6 (cRLSign); bit 0 alone. */
const authorityUsage = bitString(Buffer.from([0x86]), 1)
const leafUsage = bitString(Buffer.from([0x80]), 7)

/** An organization or a common name. */
const attribute = (type: string, text: string): Buffer => set(sequence(oid(type), utf8String(text)))
const nameOf = ({ commonName, organizations = [] }: Subject): Buffer =>
  sequence(...organizations.map(o => attribute('2.5.4.10', o)), attribute('2.5.4.3', commonName))

const extension = (id: string, value: Buffer, critical = false): Buffer =>
  sequence(oid(id), ...(critical ? [boolean(true)] : []), octetString(value))

function addressBytes(address: string): Buffer {
  const bits = ipBits(address)
  if (!bits) throw new Error(`${address} is not an IP address`)
  return Buffer.from(bits.value.toString(16).padStart(bits.width / 4, '0'), 'hex')
}
const alternativeNames = ({ dns, ips }: { dns: string[]; ips: string[] }): Buffer =>
  sequence(...dns.map(name => contextPrimitive(2, Buffer.from(name))), ...ips.map(ip => contextPrimitive(7, addressBytes(ip))))

const spkiOf = (key: KeyObject): Buffer => key.export({ format: 'der', type: 'spki' })
/** The SHA-1 hash of a public key's bits. */
function identifierOf(spki: Buffer): Buffer {
  const [, bits] = values(values(spki)[0]!.content)
  return createHash('sha1').update(bits!.content.subarray(1)).digest()
}

interface Body {
  issuer: Buffer
  subject: Buffer
  spki: Buffer
  lifeMs: number
  extensions: Buffer[]
}
/** A certificate that was good an hour ago already, for clocks that are behind. */
function signed({ issuer, subject, spki, lifeMs, extensions }: Body, key: KeyObject): string {
  const now = Date.now()
  const serial = randomBytes(16)
  // Positive, and without a zero in front.
  serial[0] = (serial[0]! & 0x3f) | 0x40
  const body = sequence(
    context(0, integer(Buffer.from([2]))),
    integer(serial),
    ecdsaWithSha256,
    issuer,
    sequence(time(now - hour), time(now + lifeMs)),
    subject,
    spki,
    context(3, sequence(...extensions)),
  )
  return encodePem('CERTIFICATE', sequence(body, ecdsaWithSha256, bitString(signBytes('sha256', body, key))))
}

function newKey(): { privateKey: KeyObject; spki: Buffer; text: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { privateKey, spki: spkiOf(publicKey), text: String(privateKey.export({ format: 'pem', type: 'pkcs8' })) }
}

/** A self-signed authority for ten years. */
export function makeAuthority(commonName = 'coxswain-ca'): Pair {
  const { privateKey, spki, text } = newKey()
  const name = nameOf({ commonName })
  const extensions = [
    extension('2.5.29.19', sequence(boolean(true)), true),
    extension('2.5.29.15', authorityUsage, true),
    extension('2.5.29.14', octetString(identifierOf(spki))),
  ]
  return { cert: signed({ issuer: name, subject: name, spki, lifeMs: 10 * year, extensions }, privateKey), key: text }
}

/** The subject of a certificate and the identifier of its key, both as they stand in it. */
function issuerOf(cert: X509Certificate): { name: Buffer; identifier: Buffer } {
  const fields = values(values(values(cert.raw)[0]!.content)[0]!.content)
  const extensions = fields.find(f => f.tag === 0xa3)
  const own = extensions && values(values(extensions.content)[0]!.content).find(e => e.content.indexOf(subjectKeyIdentifier) === 0)
  const identifier = own && values(values(own.content).at(-1)!.content)[0]!.content
  return { name: fields[5]!.whole, identifier: identifier ?? identifierOf(spkiOf(cert.publicKey)) }
}

/** Server authentication, client authentication. */
const usagesOf = ({ names, peer }: Subject): string[] => [
  ...(names ? ['1.3.6.1.5.5.7.3.1'] : []),
  ...(!names || peer ? ['1.3.6.1.5.5.7.3.2'] : []),
]

/**
 * A certificate for two years: of a server when the subject has names, of a client when it has none or is a peer. Throws when the
 * authority's key is not ECDSA.
 */
export function sign(authority: Pair, subject: Subject): Pair {
  const signingKey = createPrivateKey(authority.key)
  if (createPublicKey(signingKey).asymmetricKeyType !== 'ec') throw new Error('the key of the certificate authority must be ECDSA')
  const issuer = issuerOf(new X509Certificate(authority.cert))
  const { spki, text } = newKey()
  const extensions = [
    extension('2.5.29.19', sequence(), true),
    extension('2.5.29.15', leafUsage, true),
    extension('2.5.29.37', sequence(...usagesOf(subject).map(oid))),
    ...(subject.names ? [extension('2.5.29.17', alternativeNames(subject.names))] : []),
    extension('2.5.29.35', sequence(contextPrimitive(0, issuer.identifier))),
  ]
  return { cert: signed({ issuer: issuer.name, subject: nameOf(subject), spki, lifeMs: 2 * year, extensions }, signingKey), key: text }
}

/** Signs requests with the key of a certificate authority: pkg/controller/certificates/authority. As heavy as request.ts. */
import { createPrivateKey, webcrypto } from 'node:crypto'
// The library's dependency injection wants it, and first.
import 'reflect-metadata'
import * as x509 from '@peculiar/x509'
import type { CertificateRequest } from './request.ts'

/** PEM texts. */
export interface Authority {
  readonly cert: string
  readonly key: string
}

const minuteMs = 60_000
/** A certificate is good from a little before it was made, for clocks that are behind. */
const backdateMs = 5 * minuteMs
/** Of one that lives shorter that little is not taken off its life. */
const shortMs = 8 * 60 * minuteMs

const { KeyUsageFlags: flag, ExtendedKeyUsage: extended } = x509
const keyUsages: Readonly<Record<string, number>> = {
  signing: flag.digitalSignature,
  'digital signature': flag.digitalSignature,
  'content commitment': flag.nonRepudiation,
  'key encipherment': flag.keyEncipherment,
  'key agreement': flag.keyAgreement,
  'data encipherment': flag.dataEncipherment,
  'cert sign': flag.keyCertSign,
  'crl sign': flag.cRLSign,
  'encipher only': flag.encipherOnly,
  'decipher only': flag.decipherOnly,
}
const extendedUsages: Readonly<Record<string, string>> = {
  any: '2.5.29.37.0',
  'server auth': extended.serverAuth,
  'client auth': extended.clientAuth,
  'code signing': extended.codeSigning,
  'email protection': extended.emailProtection,
  's/mime': extended.emailProtection,
  'ipsec end system': '1.3.6.1.5.5.7.3.5',
  'ipsec tunnel': '1.3.6.1.5.5.7.3.6',
  'ipsec user': '1.3.6.1.5.5.7.3.7',
  timestamping: extended.timeStamping,
  'ocsp signing': extended.ocspSigning,
  'microsoft sgc': '1.3.6.1.4.1.311.10.3.3',
  'netscape sgc': '2.16.840.1.113730.4.1',
}

/** How WebCrypto calls the algorithm that a PEM key signs with. Throws for other keys than RSA and ECDSA. */
function algorithmOf(key: ReturnType<typeof createPrivateKey>) {
  if (key.asymmetricKeyType === 'rsa') return { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
  const curves: Record<string, { namedCurve: string; hash: string }> = {
    prime256v1: { namedCurve: 'P-256', hash: 'SHA-256' },
    secp384r1: { namedCurve: 'P-384', hash: 'SHA-384' },
    secp521r1: { namedCurve: 'P-521', hash: 'SHA-512' },
  }
  const curve = curves[key.asymmetricKeyDetails?.namedCurve ?? '']
  if (!curve) throw new Error('the key of a certificate authority must be RSA or ECDSA')
  return { name: 'ECDSA', ...curve }
}

export interface Wanted {
  readonly usages: readonly string[]
  readonly lifeMs: number
}

/**
 * A certificate in PEM for what the request names, with its alternative names and nothing else of it. It ends with the authority at the
 * latest. Throws when the authority has expired or a usage is none.
 */
export async function signRequest(authority: Authority, request: CertificateRequest, { usages, lifeMs }: Wanted): Promise<string> {
  const issuer = new x509.X509Certificate(authority.cert)
  const now = Date.now()
  if (now >= issuer.notAfter.getTime())
    throw new Error(`refusing to sign a certificate that expired in the past: NotAfter=${issuer.notAfter.toISOString()}`)
  const unknown = usages.filter(u => !(u in keyUsages) && !(u in extendedUsages))
  if (unknown.length > 0) throw new Error(`unrecognized usage values: ${JSON.stringify(unknown)}`)
  const bits = usages.reduce((all, u) => all | (keyUsages[u] ?? 0), 0)
  const purposes = [...new Set(usages.flatMap(u => extendedUsages[u] ?? []))]
  const key = createPrivateKey(authority.key)
  const algorithm = algorithmOf(key)
  const pkcs8 = key.export({ type: 'pkcs8', format: 'der' })
  const end = now + lifeMs - (lifeMs < shortMs ? 0 : backdateMs)
  const certificate = await x509.X509CertificateGenerator.create({
    // Positive: its first digit is below 8.
    serialNumber: Buffer.from(webcrypto.getRandomValues(new Uint8Array(16)))
      .toString('hex')
      .replace(/^./, '1'),
    subject: request.parsed.subjectName,
    issuer: issuer.subjectName,
    notBefore: new Date(now - backdateMs),
    notAfter: new Date(Math.min(end, issuer.notAfter.getTime())),
    publicKey: request.parsed.publicKey,
    signingKey: await webcrypto.subtle.importKey('pkcs8', pkcs8, algorithm, false, ['sign']),
    signingAlgorithm: algorithm,
    extensions: [
      ...(bits === 0 ? [] : [new x509.KeyUsagesExtension(bits, true)]),
      ...(purposes.length === 0 ? [] : [new x509.ExtendedKeyUsageExtension(purposes)]),
      new x509.BasicConstraintsExtension(false, undefined, true),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
      ...(request.alternatives ? [request.alternatives] : []),
    ],
  })
  return `${certificate.toString('pem')}\n`
}

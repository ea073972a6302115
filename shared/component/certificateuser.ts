/** A client certificate names its user: common name and organizations, as upstream's x509 authenticator reads them. */
import { X509Certificate } from 'node:crypto'
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls'
import type { UserInfo } from '../bus/transport.ts'

const known = new WeakMap<TLSSocket, UserInfo | 'invalid' | 'none'>()
const list = (value: string | string[] | undefined): string[] => (value === undefined ? [] : Array.isArray(value) ? value : [value])

const fingerprint = (colons: string): string => colons.replaceAll(':', '').toLowerCase()

/** Authorities by the fingerprints of their certificates. */
export type Authorities = ReadonlySet<string>

/** Those of a PEM text. Throws when one cannot be read. */
export const authoritiesOf = (pem: string): Authorities =>
  new Set(
    (pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []).map(c => new X509Certificate(c).fingerprint256),
  )

/** More certificates than that are no chain. */
const maxChain = 10

const chains = new WeakMap<TLSSocket, readonly string[]>()

/** Fingerprints of a connection's certificate and those above it, looked at once: that takes as long as all else of a small request. */
function chainOf(socket: TLSSocket): readonly string[] {
  const before = chains.get(socket)
  if (before) return before
  const chain: string[] = []
  let certificate: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true)
  while (chain.length < maxChain && certificate?.fingerprint256 !== undefined) {
    chain.push(certificate.fingerprint256)
    const issuer: DetailedPeerCertificate | undefined = certificate.issuerCertificate
    certificate = issuer === certificate ? undefined : issuer
  }
  chains.set(socket, chain)
  return chain
}

/** Whether the certificate of a connection, which must hold, comes from one of these authorities. */
export const isIssuedBy = (socket: TLSSocket, authorities: Authorities): boolean =>
  socket.authorized && chainOf(socket).some(fingerprint => authorities.has(fingerprint))

export const commonNameOf = (socket: TLSSocket): string =>
  list(socket.getPeerCertificate(false).subject?.CN as string | string[] | undefined).at(-1) ?? ''

/**
 * The user of a connection, looked at once: `none` without a certificate, `invalid` when our authority did not sign it. `authorities` when
 * the connection trusts others too, which sign no users.
 */
export function certificateUser(socket: TLSSocket, authorities?: Authorities): UserInfo | 'invalid' | 'none' {
  const before = known.get(socket)
  if (before !== undefined) return before
  const certificate = socket.getPeerCertificate(false)
  let user: UserInfo | 'invalid' | 'none' = 'none'
  if (certificate && Object.keys(certificate).length > 0) {
    // The types say single strings; with several O attributes Node gives a list.
    const subject = certificate.subject as unknown as { CN?: string | string[]; O?: string | string[] } | undefined
    const name = list(subject?.CN).at(-1) ?? ''
    user =
      socket.authorized && name !== '' && (!authorities || isIssuedBy(socket, authorities))
        ? {
            name,
            groups: [...new Set([...list(subject?.O), 'system:authenticated'])],
            extra: { 'authentication.kubernetes.io/credential-id': [`X509SHA256=${fingerprint(certificate.fingerprint256)}`] },
          }
        : 'invalid'
  }
  known.set(socket, user)
  return user
}

/** A client certificate names its user: common name and organizations, as upstream's x509 authenticator reads them. */
import type { TLSSocket } from 'node:tls'
import type { UserInfo } from '../bus/transport.ts'

const known = new WeakMap<TLSSocket, UserInfo | 'invalid' | 'none'>()
const list = (value: string | string[] | undefined): string[] => (value === undefined ? [] : Array.isArray(value) ? value : [value])

const fingerprint = (colons: string): string => colons.replaceAll(':', '').toLowerCase()

/** The user of a connection, looked at once: `none` without a certificate, `invalid` when our authority did not sign it. */
export function certificateUser(socket: TLSSocket): UserInfo | 'invalid' | 'none' {
  const before = known.get(socket)
  if (before !== undefined) return before
  const certificate = socket.getPeerCertificate(false)
  let user: UserInfo | 'invalid' | 'none' = 'none'
  if (certificate && Object.keys(certificate).length > 0) {
    // The types say single strings; with several O attributes Node gives a list.
    const subject = certificate.subject as unknown as { CN?: string | string[]; O?: string | string[] } | undefined
    const name = list(subject?.CN).at(-1) ?? ''
    user =
      socket.authorized && name !== ''
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

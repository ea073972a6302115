/** Network errors in the words that Go's net and crypto/tls packages have for them, which users of Kubernetes know. */

const words: { [code: string]: string } = {
  ECONNREFUSED: 'connect: connection refused',
  EHOSTUNREACH: 'connect: no route to host',
  ENETUNREACH: 'connect: network is unreachable',
  ECONNRESET: 'read: connection reset by peer',
  ETIMEDOUT: 'i/o timeout',
}

const unverified = 'tls: failed to verify certificate: x509: '
const unknownAuthority = `${unverified}certificate signed by unknown authority`
const tlsWords: { [code: string]: string } = {
  DEPTH_ZERO_SELF_SIGNED_CERT: unknownAuthority,
  SELF_SIGNED_CERT_IN_CHAIN: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unknownAuthority,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: unknownAuthority,
  CERT_SIGNATURE_FAILURE: unknownAuthority,
  CERT_HAS_EXPIRED: `${unverified}certificate has expired or is not yet valid`,
  CERT_NOT_YET_VALID: `${unverified}certificate has expired or is not yet valid`,
}

/** `dial tcp 10.0.0.1:80: connect: connection refused`. */
export function dialError(e: unknown, address: string): string {
  const text = words[codeOf(e)]
  return text ? `dial tcp ${address}: ${text}` : goError(e)
}

const codeOf = (e: unknown): string => (e as { code?: string }).code ?? ''

/** An error of a connection that was made, or of its TLS. */
export function goError(e: unknown): string {
  const { message = '' } = e as { message?: string }
  const code = codeOf(e)
  const text = tlsWords[code] ?? words[code]
  if (text) return text
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return altName(e as AltNameError)
  // OpenSSL's way to say that what came back is no TLS record: nearly always a plain HTTP server.
  if (code === 'EPROTO' && /wrong.version.number/i.test(message)) return 'http: server gave HTTP response to HTTPS client'
  return message === 'socket hang up' ? 'EOF' : message || String(e)
}

type AltNameError = { host?: string; cert?: { subjectaltname?: string; subject?: { CN?: string } } }

function altName({ host = '', cert }: AltNameError): string {
  const names = (cert?.subjectaltname ?? '').split(', ').flatMap(name => /^(?:DNS|IP Address):(.*)$/.exec(name)?.[1] ?? [])
  if (names.length > 0) return `${unverified}certificate is valid for ${names.join(', ')}, not ${host}`
  return cert?.subject?.CN
    ? `${unverified}certificate relies on legacy Common Name field, use SANs instead`
    : `${unverified}certificate is not valid for any names, but wanted to match ${host}`
}

export const hostPort = (host: string, port: number): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`)

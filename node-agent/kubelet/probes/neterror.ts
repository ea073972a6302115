/** Network errors in the words that Go's net package has for them, which users of probes know. */

const words: { [code: string]: string } = {
  ECONNREFUSED: 'connect: connection refused',
  EHOSTUNREACH: 'connect: no route to host',
  ENETUNREACH: 'connect: network is unreachable',
  ECONNRESET: 'read: connection reset by peer',
  ETIMEDOUT: 'i/o timeout',
}

/** `dial tcp 10.0.0.1:80: connect: connection refused`. */
export function dialError(e: unknown, address: string): string {
  const { code = '', message = '' } = e as { code?: string; message?: string }
  const text = words[code]
  if (text) return `dial tcp ${address}: ${text}`
  // OpenSSL's way to say that what came back is no TLS record: nearly always a plain HTTP server.
  if (code === 'EPROTO' && /wrong.version.number/i.test(message)) return 'http: server gave HTTP response to HTTPS client'
  return message === 'socket hang up' ? 'EOF' : message || String(e)
}
export const hostPort = (host: string, port: number): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`)

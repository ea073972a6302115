/** How another API server learns who asks: headers, which it believes who has a front proxy's certificate. */
import type { OutgoingHttpHeaders } from 'node:http'
import type { UserInfo } from '#shared/bus/transport.ts'

const extraPrefix = 'x-remote-extra-'

/** Whether a client's header is one that only this server may set, or is for this server alone. */
export const isIdentity = (name: string): boolean =>
  name === 'x-remote-user' ||
  name === 'x-remote-uid' ||
  name === 'x-remote-group' ||
  name.startsWith(extraPrefix) ||
  name.startsWith('impersonate-')

/** Texts as UTF-8: node sends one byte for each character. */
const bytes = (text: string): string => Buffer.from(text).toString('latin1')

/** The headers that name a user, as k8s.io/client-go/transport's SetAuthProxyHeaders. */
export function identityHeaders({ name, uid, groups, extra = {} }: UserInfo): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = { 'X-Remote-User': bytes(name) }
  if (uid) headers['X-Remote-Uid'] = bytes(uid)
  if (groups.length > 0) headers['X-Remote-Group'] = groups.map(bytes)
  for (const [key, values] of Object.entries(extra)) headers[extraPrefix + escapeKey(key)] = values.map(bytes)
  return headers
}

/** What may not be in the name of a header, and `%`, percent-encoded. */
const escapeKey = (key: string): string =>
  Buffer.from(key.toLowerCase())
    .toString('latin1')
    .replace(/[^!#$&'*+\-.^_`|~0-9a-z]/g, c => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`)

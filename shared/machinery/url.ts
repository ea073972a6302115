/** URLs by the rules of Go's net/url, which are not those of browsers: format `uri`, and CEL's URL library. */
import { canonicalIP } from './ip.ts'

export interface URLParts {
  /** In lower case. */
  readonly scheme: string
  /** With its port, unescaped. */
  readonly host: string
  /** As it was written. */
  readonly path: string
  /** As it was written, without the question mark. */
  readonly query: string
}

/** Where an escape stands: what it may say differs. */
type Place = 'path' | 'userinfo' | 'host' | 'zone' | 'fragment'

class Wrong extends Error {}

const escapes = /%(?:([0-9a-fA-F]{2})|.{0,2})/gs
/** What may stand in a host unescaped, of ASCII. */
const hostSafe = /^[A-Za-z0-9\-_.~!$&'()*+,;=:[\]<>"]$/

/** The bytes of a text without its escapes, as a string of one character a byte. */
function unescape(text: string, place: Place): string {
  const inHost = place === 'host' || place === 'zone'
  const safe = text.replace(escapes, (escape: string, hex: string | undefined) => {
    const code = parseInt(hex ?? '', 16)
    // RFC 6874: in a host only what is not ASCII is escaped, but for the percent sign before a zone; there also spaces.
    const refused =
      hex === undefined ||
      (place === 'host' && code < 0x80 && escape !== '%25') ||
      (place === 'zone' && escape !== '%25' && code !== 0x20 && (code >= 0x80 || !hostSafe.test(String.fromCharCode(code))))
    if (refused) throw new Wrong(`invalid URL escape ${JSON.stringify(escape)}`)
    return ''
  })
  if (inHost)
    for (const c of safe) if (c < '\x80' && !hostSafe.test(c)) throw new Wrong(`invalid character ${JSON.stringify(c)} in host name`)
  if (!text.includes('%')) return Buffer.from(text).toString('latin1')
  return text.replace(/%..|[^%]+/gs, part =>
    part.startsWith('%') ? String.fromCharCode(parseInt(part.slice(1), 16)) : Buffer.from(part).toString('latin1'),
  )
}
const toText = (bytes: string): string => Buffer.from(bytes, 'latin1').toString()

const cut = (text: string, at: string): [string, string | undefined] => {
  const i = text.indexOf(at)
  return i < 0 ? [text, undefined] : [text.slice(0, i), text.slice(i + at.length)]
}

function parseAuthority(authority: string): string {
  const at = authority.lastIndexOf('@')
  const host = parseHost(authority.slice(at + 1))
  if (at < 0) return host
  const user = authority.slice(0, at)
  if (!/^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/.test(user)) throw new Wrong('net/url: invalid userinfo')
  unescape(user, 'userinfo')
  return host
}

function parseHost(host: string): string {
  const checkPort = (port: string): void => {
    if (!/^(?::\d*)?$/.test(port)) throw new Wrong(`invalid port ${JSON.stringify(port)} after host`)
  }
  const open = host.lastIndexOf('[')
  if (open > 0) throw new Wrong('invalid IP-literal')
  if (open < 0) {
    const colon = host.lastIndexOf(':')
    if (colon >= 0) checkPort(host.slice(colon))
    return toText(unescape(host, 'host'))
  }
  const close = host.lastIndexOf(']')
  if (close < 0) throw new Wrong("missing ']' in host")
  checkPort(host.slice(close + 1))
  const zone = host.slice(0, close).indexOf('%25')
  const address = toText(unescape(host.slice(1, zone < 0 ? close : zone), 'host'))
  if (!address.includes(':') || canonicalIP(address) === undefined) throw new Wrong('invalid IP-literal')
  return `[${address}${zone < 0 ? '' : toText(unescape(host.slice(zone, close), 'zone'))}]${host.slice(close + 1)}`
}

function parse(text: string, viaRequest: boolean): URLParts {
  if (/[\x00-\x1f\x7f]/.test(text)) throw new Wrong('net/url: invalid control character in URL')
  if (text === '' && viaRequest) throw new Wrong('empty url')
  const none = { scheme: '', host: '', path: '', query: '' }
  if (text === '*') return { ...none, path: '*' }
  if (text.startsWith(':')) throw new Wrong('missing protocol scheme')
  const said = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(text)?.[1]
  const scheme = (said ?? '').toLowerCase()
  const [hierarchy, query = ''] = cut(said === undefined ? text : text.slice(said.length + 1), '?')
  if (!hierarchy.startsWith('/')) {
    if (said !== undefined) return { ...none, scheme, query }
    if (viaRequest) throw new Wrong('invalid URI for request')
    if (cut(hierarchy, '/')[0].includes(':')) throw new Wrong('first path segment in URL cannot contain colon')
  }
  let [host, path] = ['', hierarchy]
  if (hierarchy.startsWith('//') && (said !== undefined || (!viaRequest && !hierarchy.startsWith('///')))) {
    const [authority, rest] = cut(hierarchy.slice(2), '/')
    path = rest === undefined ? '' : `/${rest}`
    host = parseAuthority(authority)
  }
  unescape(path, 'path')
  return { scheme, host, path, query }
}

/** What `make` gives, or what is wrong with the text. */
function checked<T>(text: string, make: () => T): T | string {
  try {
    return make()
  } catch (e) {
    if (e instanceof Wrong) return `parse ${JSON.stringify(text)}: ${e.message}`
    throw e
  }
}

/** As Go's url.ParseRequestURI: a URL with a scheme, or an absolute path; a fragment is not one. Else what is wrong. */
export const parseRequestURI = (text: string): URLParts | string => checked(text, () => parse(text, true))

/** As Go's url.Parse, which takes relative ones, and cuts the fragment off. Else what is wrong. */
export const parseURL = (text: string): URLParts | string =>
  checked(text, () => {
    const [before, fragment] = cut(text, '#')
    const url = parse(before, false)
    unescape(fragment ?? '', 'fragment')
    return url
  })

/** As Go's URL.EscapedPath: the path as it was written, where that is a valid way to write it. */
export function escapedPath({ path }: URLParts): string {
  if (path === '*' || /^[A-Za-z0-9\-_.~$&+,/:;=@!'()*[\]%]*$/.test(path)) return path
  return unescape(path, 'path').replace(
    /[^A-Za-z0-9\-_.~$&+,/:;=@]/gs,
    c => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
}

/** URLs: k8s.io/apiserver/pkg/cel/library/urls.go, by the rules of Go's net/url, which are not those of browsers. */
import { member, overload, type Library, type Overload } from '../functions.ts'
import { bool, list, map, opaque, string } from '../types.ts'
import { ArrayList, ErrorValue, HashMap, Opaque, type Value } from '../values.ts'
import { fixed, rewrites } from './costs.ts'

const urlType = opaque('kubernetes.URL')

class URLValue extends Opaque {
  override readonly type = urlType
  readonly scheme: string
  readonly host: string
  readonly path: string
  readonly query: string
  readonly text: string
  constructor(text: string, scheme: string, host: string, path: string, query: string) {
    super()
    this.text = text
    this.scheme = scheme
    this.host = host
    this.path = path
    this.query = query
  }
  override equals(other: URLValue): boolean {
    return this.text === other.text
  }
}

/** A URL with a scheme, or an absolute path; else what is wrong. */
export function parseRequestURI(text: string): URLValue | string {
  const failed = (why: string): string => `parse ${JSON.stringify(text)}: ${why}`
  if (/[\x00-\x1f\x7f]/.test(text)) return failed('net/url: invalid control character in URL')
  if (text === '') return failed('empty url')
  const [, scheme, rest] = /^(?:([A-Za-z][A-Za-z0-9+.-]*):)?([^]*)$/.exec(text) as unknown as [string, string | undefined, string]
  if (scheme === undefined && text.startsWith(':')) return failed('missing protocol scheme')
  if (scheme === undefined && /^[^/?#]*:/.test(text) && !text.startsWith('/'))
    return failed('first path segment in URL cannot contain colon')
  if (!rest.startsWith('/')) {
    if (scheme === undefined) return failed('invalid URI for request')
    return new URLValue(text, scheme.toLowerCase(), '', '', '')
  }
  const [beforeFragment] = rest.split('#', 1) as [string]
  const question = beforeFragment.indexOf('?')
  const [hierarchy, query] = question < 0 ? [beforeFragment, ''] : [beforeFragment.slice(0, question), beforeFragment.slice(question + 1)]
  let [host, path] = ['', hierarchy]
  if (hierarchy.startsWith('//') && (scheme !== undefined || !hierarchy.startsWith('///'))) {
    const end = hierarchy.indexOf('/', 2)
    const authority = end < 0 ? hierarchy.slice(2) : hierarchy.slice(2, end)
    path = end < 0 ? '' : hierarchy.slice(end)
    host = authority.slice(authority.lastIndexOf('@') + 1)
    const wrong = wrongHost(host)
    if (wrong) return failed(wrong)
  }
  const escape = /%(?![0-9a-fA-F]{2}).{0,2}/.exec(path)
  if (escape) return failed(`invalid URL escape ${JSON.stringify(escape[0])}`)
  return new URLValue(text, (scheme ?? '').toLowerCase(), host, path, query)
}

function wrongHost(host: string): string | undefined {
  if (host.startsWith('[')) {
    const close = host.lastIndexOf(']')
    if (close < 0) return "missing ']' in host"
    const port = host.slice(close + 1)
    return port === '' || /^:\d*$/.test(port) ? undefined : `invalid port ${JSON.stringify(port)} after host`
  }
  const colon = host.lastIndexOf(':')
  if (colon >= 0 && !/^:\d*$/.test(host.slice(colon))) return `invalid port ${JSON.stringify(host.slice(colon))} after host`
  const bad = /[\s"<>^`{|}\\]/.exec(host)
  return bad ? `invalid character ${JSON.stringify(bad[0])} in host name` : undefined
}

const hostname = ({ host }: URLValue): string => (host.startsWith('[') ? host.slice(1, host.lastIndexOf(']')) : host.replace(/:\d*$/, ''))
const port = ({ host }: URLValue): string => /:(\d*)$/.exec(host.startsWith('[') ? host.slice(host.lastIndexOf(']')) : host)?.[1] ?? ''

/** As Go writes a path: what must be escaped is. */
const escapedPath = ({ path }: URLValue): string => path.replace(/[^A-Za-z0-9\-_.~$&+,/:;=@!'()*%[\]]/gu, c => encodeURIComponent(c))

function query(u: URLValue): Value {
  const values = new Map<string, string[]>()
  for (const part of u.query.split('&')) {
    if (part === '' || part.includes(';')) continue
    const [key, value] = part.split(/=([^]*)/, 2) as [string, string | undefined]
    const [k, v] = [unescape(key), unescape(value ?? '')]
    if (k === undefined || v === undefined) continue
    values.set(k, [...(values.get(k) ?? []), v])
  }
  const result = new HashMap()
  for (const [key, list] of values) result.insert(key, new ArrayList(list))
  return result
}
function unescape(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}

function toURL(text: string): Value {
  const url = parseRequestURI(text)
  return typeof url === 'string' ? new ErrorValue(`URL parse error during conversion from string: ${url}`) : url
}

const part = (name: string, id: string, of: (u: URLValue) => Value): [string, Overload[]] => [
  name,
  [member(id, [urlType], string, of, fixed(1))],
]

export const urls: Library = {
  functions: new Map<string, readonly Overload[]>([
    ['url', [overload('string_to_url', [string], urlType, toURL, rewrites)]],
    part('getScheme', 'url_get_scheme', u => u.scheme),
    part('getHost', 'url_get_host', u => u.host),
    part('getHostname', 'url_get_hostname', hostname),
    part('getPort', 'url_get_port', port),
    part('getEscapedPath', 'url_get_escaped_path', escapedPath),
    ['getQuery', [member('url_get_query', [urlType], map(string, list(string)), query, fixed(1))]],
    ['isURL', [overload('is_url_string', [string], bool, (text: string) => typeof parseRequestURI(text) !== 'string')]],
  ]),
  types: [urlType],
}

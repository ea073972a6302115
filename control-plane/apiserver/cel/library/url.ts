/** URLs: k8s.io/apiserver/pkg/cel/library/urls.go. */
import { escapedPath, parseRequestURI, parseURL, type URLParts } from '#shared/machinery/url.ts'
import { member, overload, type Library, type Overload } from '../functions.ts'
import { bool, list, map, opaque, string } from '../types.ts'
import { ArrayList, ErrorValue, HashMap, Opaque, type Value } from '../values.ts'
import { fixed, rewrites } from './costs.ts'

const urlType = opaque('kubernetes.URL')

class URLValue extends Opaque {
  override readonly type = urlType
  readonly text: string
  readonly parts: URLParts
  constructor(text: string, parts: URLParts) {
    super()
    this.text = text
    this.parts = parts
  }
  override equals(other: URLValue): boolean {
    return this.text === other.text
  }
}

const withPort = /^(.*?)(?::(\d*))?$/s
const hostname = ({ host }: URLParts): string => withPort.exec(host)![1]!.replace(/^\[(.*)\]$/s, '$1')
const port = ({ host }: URLParts): string => withPort.exec(host)![2] ?? ''

function query(u: URLParts): Value {
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
  const asRequest = parseRequestURI(text)
  const url = typeof asRequest === 'string' ? asRequest : parseURL(text)
  return typeof url === 'string' ? new ErrorValue(`URL parse error during conversion from string: ${url}`) : new URLValue(text, url)
}

const part = (name: string, id: string, of: (u: URLParts) => Value): [string, Overload[]] => [
  name,
  [member(id, [urlType], string, (u: URLValue) => of(u.parts), fixed(1))],
]

export const urls: Library = {
  functions: new Map<string, readonly Overload[]>([
    ['url', [overload('string_to_url', [string], urlType, toURL, rewrites)]],
    part('getScheme', 'url_get_scheme', u => u.scheme),
    part('getHost', 'url_get_host', u => u.host),
    part('getHostname', 'url_get_hostname', hostname),
    part('getPort', 'url_get_port', port),
    part('getEscapedPath', 'url_get_escaped_path', escapedPath),
    ['getQuery', [member('url_get_query', [urlType], map(string, list(string)), (u: URLValue) => query(u.parts), fixed(1))]],
    ['isURL', [overload('is_url_string', [string], bool, (text: string) => typeof parseRequestURI(text) !== 'string')]],
  ]),
  types: [urlType],
}

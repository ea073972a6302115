/** Filters and matches of routes as HAProxy's lines and conditions. Each throws an Unsupported for what cannot be. */
import { pattern } from '../annotations.ts'
import { corsLines } from '../cors.ts'
import { listenerPort, literal, word } from '../model.ts'
import type { Filter, PathChange, ValueMatch } from './types.ts'

/** A value that this controller cannot serve: the route is not accepted, with the reason UnsupportedValue. */
export class Unsupported extends Error {}

const headerName = (name: string): string => {
  if (!/^[A-Za-z0-9!#$&'*+.^_`|~-]{1,256}$/.test(name)) throw new Unsupported(`"${name}" is no name of a header`)
  return name
}
const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

/** What replaces a path, of which `prefix` is the part that the rule matches. */
function pathLines(change: PathChange, prefix: string): string[] {
  if (change.type === 'ReplaceFullPath') return [`http-request set-path ${literal(change.replaceFullPath ?? '/')}`]
  if (change.type !== 'ReplacePrefixMatch') throw new Unsupported(`path modifier "${change.type}" is not supported`)
  const from = prefix.replace(/\/$/, '')
  const to = (change.replacePrefixMatch ?? '/').replace(/\/$/, '').replace(/[\\%]/g, c => c + c)
  // Where nothing is left of a path it is `/`; else it ends as it did, with a slash or without.
  const [rest, made] = to === '' ? ['/?(.*)', '/\\1'] : ['(/.*)?', `${to}\\1`]
  return [`http-request replace-path ${word(`^${escaped(from)}${rest}$`)} ${word(made)}`]
}

function headerLines(
  on: 'request' | 'response',
  { set = [], add = [], remove = [] }: NonNullable<Filter['requestHeaderModifier']>,
): string[] {
  return [
    ...set.map(({ name, value }) => `http-${on} set-header ${headerName(name)} ${literal(value)}`),
    ...add.map(({ name, value }) => `http-${on} add-header ${headerName(name)} ${literal(value)}`),
    ...remove.map(name => `http-${on} del-header ${headerName(name)}`),
  ]
}

/** The port of a redirect, where it is not the usual one of its scheme: by default that of a scheme that is given, else the listener's. */
function portOf(scheme: string | undefined, port: number | undefined): string {
  if (port === undefined) return scheme === undefined ? `%[var(${listenerPort})]` : ''
  if (scheme !== undefined) return port === { http: 80, https: 443 }[scheme] ? '' : `:${port}`
  return port === 80 ? '%[ssl_fc,iif(:80,)]' : port === 443 ? '%[ssl_fc,iif(,:443)]' : `:${port}`
}

/** `prefix`: the path that the rule matches. */
export function filterLines(filter: Filter, prefix: string): string[] {
  switch (filter.type) {
    case 'RequestHeaderModifier':
      return headerLines('request', filter.requestHeaderModifier ?? {})
    case 'ResponseHeaderModifier':
      return headerLines('response', filter.responseHeaderModifier ?? {})
    case 'URLRewrite': {
      const { hostname, path } = filter.urlRewrite ?? {}
      return [...(hostname ? [`http-request set-header Host ${literal(hostname)}`] : []), ...(path ? pathLines(path, prefix) : [])]
    }
    case 'RequestRedirect': {
      const { scheme, hostname, path, port, statusCode = 302 } = filter.requestRedirect ?? {}
      if (scheme !== undefined && !['http', 'https'].includes(scheme)) throw new Unsupported(`scheme "${scheme}" is not supported`)
      if (![301, 302, 303, 307, 308].includes(statusCode)) throw new Unsupported(`status code ${statusCode} is not supported`)
      const to = `${scheme ?? '%[ssl_fc,iif(https,http)]'}://${hostname ?? '%[req.hdr(host),field(1,:),lower]'}${portOf(scheme, port)}%[pathq]`
      return [...(path ? pathLines(path, prefix) : []), `http-request redirect location ${to} code ${statusCode}`]
    }
    case 'CORS': {
      const { allowOrigins, allowMethods, allowHeaders, exposeHeaders, allowCredentials, maxAge } = filter.cors ?? {}
      return corsLines({
        origins: allowOrigins ?? [],
        methods: allowMethods ?? [],
        headers: allowHeaders ?? [],
        exposed: exposeHeaders ?? [],
        credentials: allowCredentials ?? false,
        maxAge: maxAge ?? 5,
      })
    }
    case 'RequestMirror':
      // Its backend is the route's business.
      return []
    default:
      throw new Unsupported(`filter "${filter.type}" is not supported`)
  }
}

const compare = (fetch: string, { type = 'Exact', value }: ValueMatch): string => {
  if (type === 'Exact') return `{ ${fetch} -m str ${word(value)} }`
  if (type === 'RegularExpression') return `{ ${fetch} -m reg ${word(pattern(value))} }`
  throw new Unsupported(`match type "${type}" is not supported`)
}
/** Of several for one name the first counts. */
export const firstOfEach = (matches: readonly ValueMatch[], same = (name: string): string => name): ValueMatch[] =>
  [...new Map(matches.toReversed().map(m => [same(m.name), m])).values()].toReversed()
/** Of the whole of a header, commas and all. */
export const headerCondition = (match: ValueMatch): string => compare(`req.fhdr(${headerName(match.name)})`, match)
export function queryCondition(match: ValueMatch): string {
  if (!/^[A-Za-z0-9._~-]{1,256}$/.test(match.name)) throw new Unsupported(`"${match.name}" is no name of a query parameter`)
  return compare(`url_param(${match.name})`, match)
}
export function methodCondition(method: string): string {
  if (!/^[A-Z]{1,20}$/.test(method)) throw new Unsupported(`method "${method}" is not supported`)
  return `{ method ${method} }`
}

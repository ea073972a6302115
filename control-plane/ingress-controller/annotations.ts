/**
 * The annotations of ingress-nginx that are honoured, `nginx.ingress.kubernetes.io/NAME`. What an annotation cannot be is a problem of its
 * Ingress; others than these have no effect, which is told, but for those that keep people out: without them nothing is served.
 */
import { isIP } from 'node:net'
import { corsLines } from './cors.ts'
import { literal, word } from './model.ts'

export const prefix = 'nginx.ingress.kubernetes.io/'

export interface Canary {
  /** Percent of requests, or of `total`. */
  weight: number
  total: number
  header?: string
  headerValue?: string
  headerPattern?: string
  cookie?: string
}
export interface Annotations {
  regex: boolean
  rewrite?: string
  /** From HTTP to HTTPS: where there is a certificate, or always. */
  sslRedirect: boolean
  forceSslRedirect: boolean
  canary?: Canary
  lines: string[]
  serverOptions: string
  /** Names of those that have no effect. */
  idle: string[]
}

/** Who wants one of these and does not get it would be open to all. */
const guards = ['auth-type', 'auth-url', 'auth-tls-secret']

const seconds = (text: string, name: string): number => {
  if (!/^\d{1,9}$/.test(text)) throw new Error(`annotation ${name}: "${text}" is no number of seconds`)
  return Number(text)
}
/** nginx' sizes: `8m`, `1g`, `0` for no limit. */
export function sizeBytes(text: string): number {
  const match = /^(\d{1,12})([kmg]?)$/i.exec(text)
  if (!match) throw new Error(`annotation proxy-body-size: "${text}" is no size`)
  return Number(match[1]) * ({ k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 }[match[2]!.toLowerCase()] ?? 1)
}
const headerName = (text: string): string => {
  if (!/^[A-Za-z0-9!#$&'*+.^_`|~-]{1,256}$/.test(text)) throw new Error(`"${text}" is no name of a header or cookie`)
  return text
}
function ranges(text: string, name: string): string {
  const all = text.split(',').map(r => r.trim())
  const wrong = all.find(r => {
    const [address = '', bits, ...rest] = r.split('/')
    const family = isIP(address)
    return !family || rest.length > 0 || (bits !== undefined && (!/^\d{1,3}$/.test(bits) || Number(bits) > (family === 4 ? 32 : 128)))
  })
  if (wrong !== undefined) throw new Error(`annotation ${name}: "${wrong}" is no address range`)
  return all.join(' ')
}
/** Throws when HAProxy's expressions (PCRE) cannot be it: blanks, or what JavaScript takes for no expression either. */
export function pattern(text: string): string {
  if (/\s/.test(text)) throw new Error(`the expression "${text}" has blanks`)
  try {
    new RegExp(text)
  } catch {
    throw new Error(`"${text}" is no regular expression`)
  }
  return text
}
const oneOf = (text: string, name: string, values: readonly string[]): string => {
  if (!values.includes(text)) throw new Error(`annotation ${name}: "${text}" is none of ${values.join(', ')}`)
  return text
}

function canaryOf(at: (name: string) => string | undefined): Canary | undefined {
  if (at('canary') !== 'true') return undefined
  const number = (name: string, fallback: number): number => {
    const text = at(name) ?? String(fallback)
    if (!/^\d{1,6}$/.test(text)) throw new Error(`annotation ${name}: "${text}" is no whole number`)
    return Number(text)
  }
  const [header, value, expression, cookie] = [
    'canary-by-header',
    'canary-by-header-value',
    'canary-by-header-pattern',
    'canary-by-cookie',
  ].map(at)
  return {
    weight: number('canary-weight', 0),
    total: Math.max(1, number('canary-weight-total', 100)),
    ...(header ? { header: headerName(header) } : {}),
    ...(value ? { headerValue: value } : {}),
    ...(expression ? { headerPattern: pattern(expression) } : {}),
    ...(cookie ? { cookie: headerName(cookie) } : {}),
  }
}

/** Sharing across origins, with ingress-nginx' defaults. */
function corsOf(at: (name: string) => string | undefined): string[] {
  const list = (name: string, usual: string): string[] => (at(name) ?? usual).split(',').flatMap(text => text.trim() || [])
  const cors = {
    origins: list('cors-allow-origin', '*'),
    methods: list('cors-allow-methods', 'GET, PUT, POST, DELETE, PATCH, OPTIONS'),
    headers: list(
      'cors-allow-headers',
      'DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization',
    ),
    exposed: list('cors-expose-headers', ''),
    credentials: at('cors-allow-credentials') !== 'false',
    maxAge: seconds(at('cors-max-age') ?? '1728000', 'cors-max-age'),
  }
  if (at('enable-cors') !== 'true') return []
  try {
    return corsLines(cors)
  } catch (e) {
    throw new Error(`annotation enable-cors: ${(e as Error).message}`)
  }
}

/** What they come to. Throws in words for the user at the first that is wrong. */
export function readAnnotations(annotations: { [name: string]: string } | undefined): Annotations {
  const heard = new Set<string>()
  const at = (name: string): string | undefined => {
    heard.add(name)
    return annotations?.[prefix + name]?.trim() || undefined
  }
  const guard = guards.find(name => at(name))
  if (guard) throw new Error(`annotation ${guard} is not honoured, and without it everybody would be let in`)
  const lines: string[] = []
  const whitelist = at('whitelist-source-range') ?? at('allowlist-source-range')
  if (whitelist) lines.push(`http-request deny deny_status 403 unless { src ${ranges(whitelist, 'whitelist-source-range')} }`)
  const denylist = at('denylist-source-range')
  if (denylist) lines.push(`http-request deny deny_status 403 if { src ${ranges(denylist, 'denylist-source-range')} }`)
  const size = sizeBytes(at('proxy-body-size') ?? '0')
  if (size > 0) lines.push(`http-request deny deny_status 413 if { req.hdr_val(content-length) gt ${size} }`)
  for (const [name, code] of [
    ['permanent-redirect', 301],
    ['temporal-redirect', 302],
  ] as const) {
    const to = at(name)
    if (to) lines.push(`http-request redirect location ${literal(to)} code ${code}`)
  }
  lines.push(...corsOf(at))
  const root = at('app-root')
  if (root) lines.push(`http-request redirect location ${literal(root)} code 302 if { path / }`)
  const connect = at('proxy-connect-timeout')
  if (connect) lines.push(`timeout connect ${seconds(connect, 'proxy-connect-timeout')}s`)
  const times = [at('proxy-read-timeout'), at('proxy-send-timeout')].flatMap(t => (t ? [seconds(t, 'proxy-read-timeout')] : []))
  if (times.length > 0) lines.push(`timeout server ${Math.max(...times)}s`, `timeout tunnel ${Math.max(...times)}s`)
  const vhost = at('upstream-vhost')
  if (vhost) lines.push(`http-request set-header Host ${literal(vhost)}`)
  const forwarded = at('x-forwarded-prefix')
  if (forwarded) lines.push(`http-request set-header X-Forwarded-Prefix ${literal(forwarded)}`)
  if (at('affinity') && oneOf(at('affinity')!, 'affinity', ['cookie'])) {
    const cookie = headerName(at('session-cookie-name') ?? 'INGRESSCOOKIE')
    const age = at('session-cookie-max-age')
    const path = at('session-cookie-path')
    const attributes = [
      ...(path ? [`Path=${path}`] : []),
      ...(age ? [`Max-Age=${seconds(age, 'session-cookie-max-age')}`] : []),
      ...(at('session-cookie-samesite')
        ? [`SameSite=${oneOf(at('session-cookie-samesite')!, 'session-cookie-samesite', ['None', 'Lax', 'Strict'])}`]
        : []),
    ]
    lines.push(
      `cookie ${cookie} insert indirect nocache httponly dynamic${attributes.map(a => ` attr ${word(a)}`).join('')}`,
      'dynamic-cookie-key coxswain',
    )
  }
  const protocol = oneOf(at('backend-protocol') ?? 'HTTP', 'backend-protocol', ['HTTP', 'HTTPS', 'GRPC', 'GRPCS'])
  const rewrite = at('rewrite-target')
  const canary = canaryOf(at)
  const [regex, ssl, force] = ['use-regex', 'ssl-redirect', 'force-ssl-redirect'].map(at)
  const named = Object.keys(annotations ?? {}).flatMap(name => (name.startsWith(prefix) ? [name.slice(prefix.length)] : []))
  return {
    regex: regex === 'true' || (rewrite !== undefined && /\$\d/.test(rewrite)),
    ...(rewrite ? { rewrite } : {}),
    sslRedirect: ssl !== 'false',
    forceSslRedirect: force === 'true',
    ...(canary ? { canary } : {}),
    lines,
    serverOptions: [
      ...(protocol.startsWith('GRPC') ? ['proto h2'] : []),
      ...(protocol.endsWith('S') ? ['ssl verify none', ...(protocol === 'GRPCS' ? ['alpn h2'] : [])] : []),
    ].join(' '),
    idle: named.filter(name => !heard.has(name)),
  }
}

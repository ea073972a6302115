/** Sharing across origins (https://fetch.spec.whatwg.org/#http-cors-protocol) as HAProxy's lines of a backend. */
import { literal, word } from './model.ts'

export interface Cors {
  /** `https://example.org:8443`, where `*` in the host stands for anything; `*` alone for every origin. */
  origins: readonly string[]
  /** Names, or `*` for what is asked for. */
  methods: readonly string[]
  headers: readonly string[]
  exposed: readonly string[]
  credentials: boolean
  /** s */
  maxAge: number
}

const usualPort: Record<string, string> = { http: ':80', https: ':443' }
/** The expression that the origins of an entry fit. Browsers leave the usual port away. */
function originPattern(origin: string): string {
  const match = /^(https?):\/\/([A-Za-z0-9.*-]+)(:\d{1,5})?$/.exec(origin)
  if (!match) throw new Error(`"${origin}" is no origin`)
  const [, scheme = '', host = '', port = ''] = match
  return `${scheme}://${host.replaceAll('.', '[.]').replaceAll('*', '.*')}${port === usualPort[scheme] ? '' : port}`
}
function listOf(what: string, names: readonly string[]): string {
  const odd = names.find(name => !/^[A-Za-z0-9!#$&'*+.^_`|~-]{1,256}$/.test(name))
  if (odd !== undefined) throw new Error(`"${odd}" is no name of a ${what}`)
  return names.join(', ')
}

/** Throws in words for the user. */
export function corsLines({ origins, methods, headers, exposed, credentials, maxAge }: Cors): string[] {
  const origin = 'req.fhdr(origin)'
  const every = origins.includes('*')
  const fits = every ? `{ ${origin} -m found }` : `{ ${origin} -m reg ${word(`^(${origins.map(originPattern).join('|')})$`)} }`
  const set = (header: string, value: string, when: string): string =>
    `http-after-response set-header Access-Control-${header} ${value} if ${when}`
  const [shared, asked] = ['{ var(txn.cors) -m found }', '{ var(txn.preflight) -m found }']
  /** What is asked for, where everything may be; nothing, when nothing is asked for. */
  const allowed = (header: string, names: readonly string[], variable: string, what: string): string[] => {
    if (names.length === 0) return []
    if (names.includes('*')) return [set(header, `%[var(${variable})]`, `${asked} { var(${variable}) -m found }`)]
    return [set(header, literal(listOf(what, names)), asked)]
  }
  const shown = exposed.filter(name => name !== '*' || !credentials)
  return [
    ...(origins.length > 0 ? [`http-request set-var(txn.cors) ${origin} if ${fits}`] : []),
    'http-request set-var(txn.asked_method) req.fhdr(access-control-request-method)',
    'http-request set-var(txn.asked_headers) req.fhdr(access-control-request-headers)',
    `http-request set-var(txn.preflight) bool(true) if METH_OPTIONS ${shared} { var(txn.asked_method) -m found }`,
    `http-request return status 204 if METH_OPTIONS { ${origin} -m found } { var(txn.asked_method) -m found }`,
    set('Allow-Origin', '%[var(txn.cors)]', shared),
    `http-after-response add-header Vary Origin if ${shared}`,
    ...(credentials ? [set('Allow-Credentials', 'true', shared)] : []),
    ...allowed('Allow-Methods', methods, 'txn.asked_method', 'method'),
    ...allowed('Allow-Headers', headers, 'txn.asked_headers', 'header'),
    set('Max-Age', String(maxAge), asked),
    ...(shown.length > 0 ? [set('Expose-Headers', literal(listOf('header', shown)), shared)] : []),
  ]
}

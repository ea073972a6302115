/**
 * A front proxy, which has authenticated somebody and says whom in headers; it proves itself with a certificate of an authority of its own
 * (k8s.io/apiserver/pkg/authentication/request/headerrequest).
 */
import { readFile } from 'node:fs/promises'
import type { TLSSocket } from 'node:tls'
import { authoritiesOf, commonNameOf, isIssuedBy, type Authorities } from '#shared/component/certificateuser.ts'
import type { ApiRequest, UserInfo } from '#shared/bus/transport.ts'
import type { ApiServerOptions } from '../options.ts'
import { known } from './token.ts'

export interface FrontProxy {
  readonly authorities: Authorities
  /** Common names that proxies may have; any when there are none. */
  readonly allowedNames: readonly string[]
  readonly usernameHeaders: readonly string[]
  readonly uidHeaders: readonly string[]
  readonly groupHeaders: readonly string[]
  readonly extraHeaderPrefixes: readonly string[]
}

type FrontProxyFlags = Pick<
  ApiServerOptions,
  | 'requestheaderClientCaFile'
  | 'requestheaderAllowedNames'
  | 'requestheaderUsernameHeaders'
  | 'requestheaderUidHeaders'
  | 'requestheaderGroupHeaders'
  | 'requestheaderExtraHeadersPrefix'
>

/** The front proxies that the flags name, with their authority in PEM; undefined for none. */
export async function frontProxyOf(o: FrontProxyFlags): Promise<(FrontProxy & { authority: string }) | undefined> {
  if (o.requestheaderClientCaFile === undefined) return undefined
  const authority = await readFile(o.requestheaderClientCaFile, 'utf8')
  return {
    authority,
    authorities: authoritiesOf(authority),
    allowedNames: o.requestheaderAllowedNames,
    usernameHeaders: o.requestheaderUsernameHeaders,
    uidHeaders: o.requestheaderUidHeaders,
    groupHeaders: o.requestheaderGroupHeaders,
    extraHeaderPrefixes: o.requestheaderExtraHeadersPrefix,
  }
}

/** Who a front proxy says is asking: undefined when it is none, or says nothing; `invalid` when its name is not allowed. */
export function frontProxyUser(socket: TLSSocket, headers: ApiRequest['headers'], proxy: FrontProxy): UserInfo | 'invalid' | undefined {
  if (!isIssuedBy(socket, proxy.authorities)) return undefined
  if (proxy.allowedNames.length > 0 && !proxy.allowedNames.includes(commonNameOf(socket))) return 'invalid'
  const name = first(headers, proxy.usernameHeaders)
  if (name === '') return undefined
  const uid = first(headers, proxy.uidHeaders)
  const extra: Record<string, string[]> = {}
  for (const prefix of proxy.extraHeaderPrefixes.map(p => p.toLowerCase()))
    for (const header of Object.keys(headers))
      if (header.startsWith(prefix)) (extra[unescape(header.slice(prefix.length))] ??= []).push(...values(headers[header]))
  const groups = proxy.groupHeaders.flatMap(h => values(headers[h.toLowerCase()]))
  return known({ name, ...(uid === '' ? {} : { uid }), groups, ...(Object.keys(extra).length > 0 ? { extra } : {}) })
}

/** Node joins headers of one name with commas. */
const values = (value: string | undefined): string[] => (value === undefined ? [] : value.split(', ').filter(v => v !== ''))
const first = (headers: ApiRequest['headers'], names: readonly string[]): string =>
  names.map(n => headers[n.toLowerCase()] ?? '').find(v => v !== '') ?? ''

function unescape(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}

/** Who asks: authenticators in turn, each for its kind of credentials. */
import type { ApiRequest, UserInfo } from '#shared/bus/transport.ts'
import { unauthorized } from '#shared/machinery/status.ts'
import type { Maybe } from '#shared/machinery/maybe.ts'
import { TokenError, type Notes, type TokenAuthenticator } from './token.ts'

/** Who the transport says is asking: `invalid` when it presented an identity that cannot be trusted. */
export type Caller = UserInfo | 'invalid' | undefined

/** The user, undefined without credentials of this kind, `invalid` with ones that do not hold. */
export type Authenticator = (request: ApiRequest, caller: Caller, notes: Notes) => Maybe<Caller>

export const anonymous: UserInfo = { name: 'system:anonymous', groups: ['system:unauthenticated'] }

/**
 * The user by the first authenticator that knows one. Who brought credentials of which none hold is refused with 401; who brought none is
 * anonymous where that may be.
 */
export function authenticateBy(
  authenticators: readonly Authenticator[],
  mayBeAnonymous: (path: string) => boolean = () => true,
): (request: ApiRequest, caller: Caller, notes: Notes) => Maybe<UserInfo> {
  const from = (start: number, request: ApiRequest, caller: Caller, notes: Notes, wasInvalid: boolean): Maybe<UserInfo> => {
    let invalid = wasInvalid
    for (let i = start; i < authenticators.length; i++) {
      const found = authenticators[i]!(request, caller, notes)
      if (found instanceof Promise)
        return found.then(user => (typeof user === 'object' ? user : from(i + 1, request, caller, notes, invalid || user === 'invalid')))
      if (typeof found === 'object') return found
      invalid ||= found === 'invalid'
    }
    if (invalid || !mayBeAnonymous(request.path)) throw unauthorized()
    return anonymous
  }
  return (request, caller, notes) => from(0, request, caller, notes, false)
}

/** The client's certificate, or over NATS the identity that the server vouches for. */
export const byTransport: Authenticator = (_, caller) => caller

/** `audiences` are those of this API: a token must be good for one of them. */
function check(authenticate: TokenAuthenticator, token: string, audiences: readonly string[], notes: Notes): Maybe<Caller> {
  const failed = (e: unknown): Caller => {
    if (e instanceof TokenError) return 'invalid'
    throw e
  }
  try {
    const found = authenticate(token, audiences, notes)
    if (found instanceof Promise) return found.then(f => f?.user ?? 'invalid', failed)
    return found?.user ?? 'invalid'
  } catch (e) {
    return failed(e)
  }
}

/** `Authorization: Bearer TOKEN`. Another scheme is no credentials, as upstream. */
export function byBearerToken(authenticate: TokenAuthenticator, audiences: readonly string[]): Authenticator {
  return ({ headers: { authorization } }, _, notes) => {
    if (authorization === undefined) return undefined
    const [scheme = '', token = ''] = authorization.trim().split(' ', 2)
    if (scheme.toLowerCase() !== 'bearer') return undefined
    if (token === '') {
      if (/^bearer\s+\S/i.test(authorization.trim()))
        notes.warnings.push('the provided Authorization header contains extra space before the bearer token, and is ignored')
      return undefined
    }
    return check(authenticate, token, audiences, notes)
  }
}

const protocolPrefix = 'base64url.bearer.authorization.k8s.io.'

/**
 * The token of a browser's WebSocket, which can send no header but its protocols (k8s.io/apiserver/pkg/authentication/request/websocket).
 */
export function byWebSocketProtocol(authenticate: TokenAuthenticator, audiences: readonly string[]): Authenticator {
  return ({ headers }, _, notes) => {
    const offered = headers['sec-websocket-protocol']
    if (offered === undefined || headers['upgrade']?.toLowerCase() !== 'websocket') return undefined
    const protocols = offered.split(',').map(p => p.trim())
    const carrier = protocols.find(p => p.startsWith(protocolPrefix))
    if (carrier === undefined) return undefined
    // One more must be there for the server to choose.
    if (protocols.length < 2) return 'invalid'
    const token = Buffer.from(carrier.slice(protocolPrefix.length), 'base64url').toString()
    return token === '' ? undefined : check(authenticate, token, audiences, notes)
  }
}

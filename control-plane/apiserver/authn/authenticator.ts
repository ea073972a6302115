/** Who asks: authenticators in turn, each for its kind of credentials. */
import type { ApiRequest, UserInfo } from '#shared/bus/transport.ts'
import { unauthorized } from '#shared/machinery/status.ts'

/** Who the transport says is asking: `invalid` when it presented an identity that cannot be trusted. */
export type Caller = UserInfo | 'invalid' | undefined

/** The user, undefined without credentials of this kind, `invalid` with ones that do not hold. */
export type Authenticator = (request: ApiRequest, caller: Caller) => Caller | Promise<Caller>

export const anonymous: UserInfo = { name: 'system:anonymous', groups: ['system:unauthenticated'] }

/**
 * The user by the first authenticator that knows one. Who brought credentials of which none hold is refused with 401; who brought none is
 * anonymous.
 */
export function authenticateBy(
  authenticators: readonly Authenticator[],
): (request: ApiRequest, caller: Caller) => UserInfo | Promise<UserInfo> {
  const from = (start: number, request: ApiRequest, caller: Caller, wasInvalid: boolean): UserInfo | Promise<UserInfo> => {
    let invalid = wasInvalid
    for (let i = start; i < authenticators.length; i++) {
      const found = authenticators[i]!(request, caller)
      if (found instanceof Promise)
        return found.then(user => (typeof user === 'object' ? user : from(i + 1, request, caller, invalid || user === 'invalid')))
      if (typeof found === 'object') return found
      invalid ||= found === 'invalid'
    }
    if (invalid) throw unauthorized()
    return anonymous
  }
  return (request, caller) => from(0, request, caller, false)
}

/** The client's certificate, or over NATS the identity that the server vouches for. */
export const byTransport: Authenticator = (_, caller) => caller

/** `Authorization: Bearer`, by what knows the tokens: in turn, of which the first that knows a token decides. */
export function byBearerToken(...known: readonly ((token: string) => Promise<UserInfo | undefined>)[]): Authenticator {
  return request => {
    const { authorization } = request.headers
    if (authorization === undefined) return undefined
    const token = /^bearer\s+(\S+)\s*$/i.exec(authorization)?.[1]
    return token === undefined ? 'invalid' : first(known, token)
  }
}

async function first(known: readonly ((token: string) => Promise<UserInfo | undefined>)[], token: string): Promise<Caller> {
  for (const userOf of known) {
    const user = await userOf(token)
    if (user) return user
  }
  return 'invalid'
}

/** Bearer tokens: what knows one says whose it is and for whom it was made (k8s.io/apiserver/pkg/authentication/authenticator). */
import type { UserInfo } from '#shared/bus/transport.ts'
import type { Maybe } from '#shared/machinery/maybe.ts'
import type { Annotation } from '../audit/event.ts'

/** What an authenticator tells beside its answer: texts for the client, and notes for the audit log. */
export interface Notes {
  readonly warnings: string[]
  readonly annotations: Annotation[]
}

export interface Authenticated {
  readonly user: UserInfo
  /** Those of the audiences that were asked for which the token is good for. */
  readonly audiences: readonly string[]
}

/** Undefined when it does not know such tokens; throws TokenError when it does and this one does not hold. */
export type TokenAuthenticator = (token: string, audiences: readonly string[], notes: Notes) => Maybe<Authenticated | undefined>

/** Why a token does not hold, in upstream's words. Told to TokenReview, never to who brought it. */
export class TokenError extends Error {}

/** Several failures as one text, each once, as k8s.io/apimachinery's Aggregate writes them. */
export function aggregate(texts: readonly string[]): string {
  const different = [...new Set(texts)]
  return different.length === 1 ? different[0]! : `[${different.join(', ')}]`
}

/** Asks in turn; the first that knows a token decides. When none does, the failures of all are thrown as one TokenError. */
export function unionTokens(authenticators: readonly TokenAuthenticator[]): TokenAuthenticator {
  const from = (
    start: number,
    failures: readonly string[],
    token: string,
    audiences: readonly string[],
    notes: Notes,
  ): Maybe<Authenticated | undefined> => {
    let failed = failures
    const note = (e: unknown): void => {
      if (!(e instanceof TokenError)) throw e
      failed = [...failed, e.message]
    }
    for (let i = start; i < authenticators.length; i++) {
      try {
        const found = authenticators[i]!(token, audiences, notes)
        if (found instanceof Promise)
          return found.then(
            user => user ?? from(i + 1, failed, token, audiences, notes),
            (e: unknown) => {
              note(e)
              return from(i + 1, failed, token, audiences, notes)
            },
          )
        if (found) return found
      } catch (e) {
        note(e)
      }
    }
    if (failed.length > 0) throw new TokenError(aggregate(failed))
    return undefined
  }
  return (token, audiences, notes) => from(0, [], token, audiences, notes)
}

/** A user of one of the authenticators, in the group that everybody who is known is in. */
export const known = (user: UserInfo): UserInfo =>
  user.groups.includes('system:authenticated') || user.groups.includes('system:unauthenticated')
    ? user
    : { ...user, groups: [...user.groups, 'system:authenticated'] }

/** Of tokens that name no audience: they are good for this API. `own` are its audiences. */
export const audienceAgnostic =
  (own: readonly string[], userOf: (token: string, notes: Notes) => Maybe<UserInfo | undefined>): TokenAuthenticator =>
  (token, audiences, notes) => {
    const shared = audiences.filter(a => own.includes(a))
    if (shared.length === 0) return undefined
    const found = userOf(token, notes)
    const answer = (user: UserInfo | undefined) => user && { user: known(user), audiences: shared }
    return found instanceof Promise ? found.then(answer) : answer(found)
  }

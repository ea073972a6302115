/** Who asks: tokens and passwords for one server. https://distribution.github.io/distribution/spec/auth/token/ */
import * as z from 'zod'
import type { RegistryCredentials } from '../runtime/imageservice.ts'
import { parseChallenges, type Challenge } from './challenge.ts'
import { readBody, shown, type Answer, type Transport } from './transport.ts'

export interface Authorizer {
  /** For the header Authorization of the next request. */
  header(): string | undefined
  /** A request with that header was not refused. */
  accepted(header: string | undefined): void
  /**
   * Has what a 401 asks for fetched; `used` is the header that was refused. Resolves with false when there is nothing left to try. Rejects
   * with AuthorizationError, or as Transport.send.
   */
  answer(refusal: Answer, used: string | undefined, signal: AbortSignal): Promise<boolean>
}

export class AuthorizationError extends Error {}

const tokenAnswer = z.object({
  token: z.string().nullish(),
  access_token: z.string().nullish(),
  /** Seconds. */
  expires_in: z.number().nullish(),
})
const maxTokenBytes = 1 << 20
const accessDenied = 'pull access denied, repository does not exist or may require authorization'

/** `repository` as the server calls it; `base` is the server's. */
export function newAuthorizer(
  transport: Transport,
  base: URL,
  repository: string,
  credentials: RegistryCredentials | undefined,
): Authorizer {
  const { username, password, identityToken, registryToken } = credentials ?? {}
  let header = registryToken === undefined ? undefined : `Bearer ${safe(registryToken)}`
  /** When a token ends, ms of the epoch. */
  let until = Infinity
  let lastAccepted: string | undefined
  let pending: Promise<void> | undefined
  const basic =
    username !== undefined && password !== undefined ? `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` : undefined

  async function fetchToken({ parameters }: Challenge, signal: AbortSignal): Promise<void> {
    const { realm = '', service, scope = `repository:${repository}:pull` } = parameters
    if (!URL.canParse(realm)) throw new AuthorizationError('failed to authorize: no realm specified for token auth challenge')
    const url = new URL(realm)
    if (url.protocol !== 'https:' && url.protocol !== 'http:')
      throw new AuthorizationError(`failed to authorize: unsupported realm ${realm}`)
    const secret = identityToken !== undefined || basic !== undefined
    if (secret && url.protocol === 'http:' && base.protocol === 'https:')
      throw new AuthorizationError(`failed to authorize: the registry wants credentials to be sent unencrypted, to ${shown(url)}`)
    const what = secret ? 'failed to authorize: failed to fetch oauth token' : 'failed to authorize: failed to fetch anonymous token'
    const asked = Date.now()
    let answer: Answer
    const method = identityToken === undefined ? 'GET' : 'POST'
    if (identityToken !== undefined) {
      const form = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: identityToken, client_id: 'coxswain', scope })
      if (service !== undefined) form.set('service', service)
      const headers = { 'content-type': 'application/x-www-form-urlencoded' }
      answer = await transport.send({ method, url, headers, body: form.toString(), signal })
    } else {
      if (service !== undefined) url.searchParams.set('service', service)
      // Several are separated by blanks, and sent one by one.
      for (const one of scope.split(' ').filter(Boolean)) url.searchParams.append('scope', one)
      if (basic !== undefined) url.searchParams.set('account', username!)
      answer = await transport.send({ method, url, headers: basic === undefined ? {} : { authorization: basic }, signal })
    }
    const text = await readBody(answer, maxTokenBytes)
    if (answer.status !== 200) {
      const status = `${answer.status} ${answer.body.statusMessage ?? ''}`.trim()
      throw new AuthorizationError(`${what}: unexpected status from ${method} request to ${shown(url)}: ${status}`)
    }
    let value: unknown
    try {
      value = JSON.parse(text.toString('utf8'))
    } catch {
      value = undefined
    }
    const { token, access_token, expires_in } = tokenAnswer.safeParse(value).data ?? {}
    const given = token || access_token
    if (!given) throw new AuthorizationError(`${what}: authorization server did not include a token in the response`)
    header = `Bearer ${safe(given)}`
    // Renewed a little before its end; the specification's least is a minute.
    until = asked + Math.max(60, expires_in ?? 60) * 900
  }

  async function obtain(challenges: readonly Challenge[], signal: AbortSignal): Promise<void> {
    const bearer = challenges.find(c => c.scheme === 'bearer')
    if (bearer) return await fetchToken(bearer, signal)
    if (basic === undefined) throw new AuthorizationError(`${accessDenied}: authorization failed: no basic auth credentials`)
    header = basic
  }

  return {
    header() {
      if (Date.now() >= until) [header, until] = [undefined, Infinity]
      return header
    },
    accepted(used) {
      lastAccepted = used
    },
    async answer(refusal, used, signal) {
      refusal.body.destroy()
      // Another request has had it renewed.
      if (used !== header && header !== undefined) return true
      const challenges = parseChallenges(refusal.headers['www-authenticate'] ?? '')
      // Who was never let in with this will not be next time.
      if ((used !== undefined && used !== lastAccepted) || registryToken !== undefined) {
        const told = challenges.find(c => c.parameters.error !== undefined)?.parameters.error
        if (told === undefined) return false
        throw new AuthorizationError(`${accessDenied}: server message: ${told}: authorization failed`)
      }
      if (!challenges.some(c => c.scheme === 'bearer' || c.scheme === 'basic')) return false
      pending ??= obtain(challenges, signal).finally(() => (pending = undefined))
      await pending
      return true
    },
  }
}

/** A token becomes a header. */
function safe(token: string): string {
  if (!/^[\x21-\x7e]+$/.test(token)) throw new AuthorizationError('failed to authorize: the token has characters that no header may have')
  return token
}

/**
 * `--authentication-token-webhook-config-file`: another server knows the tokens (k8s.io/apiserver/plugin/pkg/authenticator/token/webhook).
 */
import { createHash } from 'node:crypto'
import type { UserInfo } from '#shared/bus/transport.ts'
import type { Logger } from '#shared/component/log.ts'
import { openWebhookBackend } from '../webhookbackend.ts'
import { known, TokenError, type Authenticated, type TokenAuthenticator } from './token.ts'

/** Before a server that does not answer is asked again. */
const firstPauseMs = 500
const maxRemembered = 4096

export interface WebhookOptions {
  readonly file: string
  readonly version: 'v1' | 'v1beta1'
  /** How long an answer is good, ms. */
  readonly ttlMs: number
  /** Of this API. */
  readonly audiences: readonly string[]
}

export interface Webhook {
  readonly authenticate: TokenAuthenticator
  close(): void
}

interface Review {
  status?: {
    authenticated?: boolean
    error?: string
    audiences?: string[]
    user?: { username?: string; uid?: string; groups?: string[]; extra?: Record<string, string[]> }
  }
}

/** Rejects when the file is no kubeconfig or names files that cannot be read. */
export async function tokenWebhook(o: WebhookOptions, log: Logger): Promise<Webhook> {
  const backend = await openWebhookBackend(o.file, {
    firstPauseMs,
    onFailure: (attempt, e) => log.warn({ attempt, err: e.message }, 'the webhook for tokens failed'),
  })
  // By hash: what is remembered says nothing about tokens.
  const remembered = new Map<string, { answer: Authenticated | undefined; until: number }>()

  async function ask(token: string, audiences: readonly string[]): Promise<Authenticated | undefined> {
    const apiVersion = `authentication.k8s.io/${o.version}`
    const review = { kind: 'TokenReview', apiVersion, metadata: {}, spec: { token, audiences } }
    const { status } = (await backend.ask(review).catch((e: Error) => {
      throw new TokenError(`webhook: ${e.message}`)
    })) as Review
    if (!status?.authenticated) {
      if (status?.error) throw new TokenError(status.error)
      return undefined
    }
    const { username = '', uid, groups = [], extra } = status.user ?? {}
    const user: UserInfo = { name: username, ...(uid ? { uid } : {}), groups, ...(extra ? { extra } : {}) }
    // One that does not know of audiences speaks for this API.
    const has = status.audiences?.length ? status.audiences : o.audiences
    const shared = audiences.filter(a => has.includes(a))
    return shared.length === 0 ? undefined : { user: known(user), audiences: shared }
  }

  const asking = new Map<string, Promise<Authenticated | undefined>>()
  return {
    authenticate(token, audiences) {
      const key = createHash('sha256')
        .update(JSON.stringify([token, audiences]))
        .digest('base64')
      const before = remembered.get(key)
      if (before && before.until > performance.now()) return before.answer
      const running = asking.get(key)
      if (running) return running
      const question = ask(token, audiences)
        .then(answer => {
          remembered.delete(key)
          if (remembered.size >= maxRemembered) remembered.delete(remembered.keys().next().value!)
          if (o.ttlMs > 0) remembered.set(key, { answer, until: performance.now() + o.ttlMs })
          return answer
        })
        .finally(() => asking.delete(key))
      asking.set(key, question)
      return question
    },
    close: () => backend.close(),
  }
}

/** `--authentication-token-webhook-config-file`: another server knows the tokens (k8s.io/apiserver/plugin/pkg/authenticator/token/webhook). */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { parse } from 'yaml'
import * as z from 'zod'
import type { UserInfo } from '#shared/bus/transport.ts'
import type { Logger } from '#shared/component/log.ts'
import { LimitedClient } from './fetchlimited.ts'
import { known, TokenError, type Authenticated, type TokenAuthenticator } from './token.ts'

/** A kubeconfig, of which the current context says where the server is and who asks. */
const named = <T extends z.ZodType>(key: string, value: T) => z.array(z.looseObject({ name: z.string(), [key]: value }))
const text = z.string().optional()
const kubeconfig = z.looseObject({
  'current-context': z.string(),
  contexts: named('context', z.looseObject({ cluster: z.string(), user: text })),
  clusters: named(
    'cluster',
    z.looseObject({
      server: z.string(),
      'certificate-authority': text,
      'certificate-authority-data': text,
      'insecure-skip-tls-verify': z.boolean().optional(),
    }),
  ),
  users: named(
    'user',
    z.looseObject({
      token: text,
      tokenFile: text,
      'client-certificate': text,
      'client-certificate-data': text,
      'client-key': text,
      'client-key-data': text,
    }),
  ).default([]),
})

const deadlineMs = 30_000
/** A server that does not answer is asked again, with pauses that grow. */
const attempts = 5
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
  const { url, client, token: own } = await connect(o.file)
  // By hash: what is remembered says nothing about tokens.
  const remembered = new Map<string, { answer: Authenticated | undefined; until: number }>()

  async function ask(token: string, audiences: readonly string[]): Promise<Authenticated | undefined> {
    const apiVersion = `authentication.k8s.io/${o.version}`
    const body = JSON.stringify({ kind: 'TokenReview', apiVersion, metadata: {}, spec: { token, audiences } })
    const { status } = await send(body)
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

  async function send(body: string): Promise<Review> {
    const headers = {
      'content-type': 'application/json',
      accept: 'application/json',
      ...(own === undefined ? {} : { authorization: `Bearer ${own}` }),
    }
    const end = performance.now() + deadlineMs
    for (let attempt = 1, pause = firstPauseMs; ; attempt++, pause *= 1.5) {
      const left = end - performance.now()
      const failure = await client.fetch(url, { method: 'POST', headers, body, deadlineMs: Math.max(1, left) }).then(
        answer => (answer.status === 200 || answer.status === 201 ? answer : new Error(`the webhook answers with ${answer.status}`)),
        (e: Error) => e,
      )
      if (!(failure instanceof Error)) return reviewOf(failure.body)
      log.warn({ attempt, err: failure.message }, 'the webhook for tokens failed')
      if (attempt >= attempts || end - performance.now() <= pause) throw new TokenError(`webhook: ${failure.message}`)
      await new Promise(resolve => setTimeout(resolve, pause))
    }
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
    close: () => client.close(),
  }
}

function reviewOf(text: string): Review {
  try {
    return JSON.parse(text) as Review
  } catch {
    throw new TokenError('webhook: the answer is no JSON')
  }
}

async function connect(file: string): Promise<{ url: string; client: LimitedClient; token: string | undefined }> {
  const config = kubeconfig.safeParse(parse(await readFile(file, 'utf8')))
  if (!config.success) throw new Error(`${file}: ${config.error.issues.map(i => `${i.path.join('.')}: ${i.message}`).join('; ')}`)
  const { contexts, clusters, users, 'current-context': current } = config.data
  const context = contexts.find(c => c.name === current)?.['context'] as { cluster: string; user?: string } | undefined
  const cluster = clusters.find(c => c.name === context?.cluster)?.['cluster'] as Record<string, string | undefined> | undefined
  if (!cluster) throw new Error(`${file}: the current context names no cluster`)
  const user = (users.find(u => u.name === context?.user)?.['user'] ?? {}) as Record<string, string | undefined>
  const read = (name: string | undefined) => (name === undefined ? undefined : readFile(path.resolve(path.dirname(file), name), 'utf8'))
  const pem = async (from: Record<string, string | undefined>, key: string) =>
    from[`${key}-data`] === undefined ? read(from[key]) : Buffer.from(from[`${key}-data`]!, 'base64').toString()
  const [ca, cert, key, token] = await Promise.all([
    pem(cluster, 'certificate-authority'),
    pem(user, 'client-certificate'),
    pem(user, 'client-key'),
    user['token'] ?? read(user['tokenFile']),
  ])
  const client = new LimitedClient({ ca, cert, key, insecure: (cluster['insecure-skip-tls-verify'] as unknown) === true })
  return { url: cluster['server']!, client, token: token?.trim() }
}

/** A server of the administrator's that is asked by POSTs of JSON, as a kubeconfig file names it (k8s.io/apiserver/pkg/util/webhook). */
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import * as z from 'zod'
import { yamlToJson } from '#shared/machinery/yaml.ts'
import { LimitedClient } from './authn/fetchlimited.ts'

const text = z.string().optional()
const named = <K extends string, T extends z.ZodType>(key: K, value: T) => z.array(z.looseObject({ name: z.string(), [key]: value }))
const cluster = z.looseObject({
  server: z.string(),
  'certificate-authority': text,
  'certificate-authority-data': text,
  'insecure-skip-tls-verify': z.boolean().optional(),
})
const user = z.looseObject({
  token: text,
  tokenFile: text,
  'client-certificate': text,
  'client-certificate-data': text,
  'client-key': text,
  'client-key-data': text,
})
const kubeconfig = z.looseObject({
  'current-context': text,
  contexts: named('context', z.looseObject({ cluster: z.string(), user: text })).default([]),
  clusters: named('cluster', cluster),
  users: named('user', user).default([]),
})

export interface WebhookBackend {
  /** The answer to a body, both as JSON. Rejects when none comes within the deadline, however often it was asked. */
  ask(body: unknown): Promise<unknown>
  /** Sends a body that is JSON already; what is answered does not matter. */
  send(json: string): Promise<void>
  close(): void
}

export interface WebhookBackendOptions {
  /** Before the second try; each pause is half as long again as the one before. */
  readonly firstPauseMs: number
  /** For each try; 30 s by default. */
  readonly timeoutMs?: number
  /** For all tries; 30 s by default. */
  readonly deadlineMs?: number
  /** Whether what failed is tried again: by default when it was answered that it may work soon, or the connection was cut. */
  readonly mayPass?: (e: Error) => boolean
  /** Hears of each try that failed. */
  readonly onFailure?: (attempt: number, e: Error) => void
  /** Hears how long each try took, and of its failure. */
  readonly onTry?: (seconds: number, e: Error | undefined) => void
}

/** Upstream's. */
const tries = 5
const defaultMs = 30_000
const passing = new Set([429, 500, 504])

class Refused extends Error {
  readonly status: number
  constructor(status: number) {
    super(`Error contacting webhook: ${status}`)
    this.status = status
  }
}
/** Whether a try ended because its time was over. */
export const isTimeout = (e: Error): boolean => e.name === 'TimeoutError' || (e instanceof Refused && e.status === 504)
const isPassing = (e: Error & { code?: string }): boolean => (e instanceof Refused ? passing.has(e.status) : e.code === 'ECONNRESET')

/** Rejects when the file is no kubeconfig or names files that cannot be read. */
export async function openWebhookBackend(file: string, options: WebhookBackendOptions): Promise<WebhookBackend> {
  const { firstPauseMs, timeoutMs = defaultMs, deadlineMs = defaultMs, mayPass = isPassing } = options
  const read = kubeconfig.safeParse(JSON.parse(yamlToJson(await readFile(file, 'utf8')).json))
  if (!read.success) throw new Error(`${file}: ${read.error.issues.map(i => `${i.path.join('.')}: ${i.message}`).join('; ')}`)
  const { contexts, clusters, users, 'current-context': current } = read.data
  const context = (contexts.find(c => c.name === current) ?? contexts[0])?.['context'] as { cluster: string; user?: string } | undefined
  const target = (context ? clusters.find(c => c.name === context.cluster) : clusters[0])?.['cluster'] as
    z.infer<typeof cluster> | undefined
  if (!target) throw new Error(`${file}: the current context names no cluster`)
  const who = ((context ? users.find(u => u.name === context.user) : users[0])?.['user'] ?? {}) as z.infer<typeof user>
  const fileAt = (name: string | undefined): Promise<string> | undefined =>
    name === undefined ? undefined : readFile(resolve(dirname(file), name), 'utf8')
  const pem = (data: string | undefined, name: string | undefined) =>
    data === undefined ? fileAt(name) : Promise.resolve(Buffer.from(data, 'base64').toString())
  const [ca, cert, key, token] = await Promise.all([
    pem(target['certificate-authority-data'], target['certificate-authority']),
    pem(who['client-certificate-data'], who['client-certificate']),
    pem(who['client-key-data'], who['client-key']),
    who.token ?? fileAt(who.tokenFile),
  ])
  const client = new LimitedClient({ ca, cert, key, insecure: target['insecure-skip-tls-verify'] === true })
  const headers = {
    'content-type': 'application/json',
    accept: 'application/json',
    ...(token ? { authorization: `Bearer ${token.trim()}` } : {}),
  }
  async function post(body: string, leftMs: number): Promise<string> {
    const { status, body: answer } = await client.fetch(target!.server, {
      method: 'POST',
      headers,
      body,
      deadlineMs: Math.max(1, Math.min(leftMs, timeoutMs)),
    })
    if (status < 200 || status > 299) throw new Refused(status)
    return answer
  }

  async function deliver(body: string): Promise<string> {
    const end = performance.now() + deadlineMs
    for (let attempt = 1, pause = firstPauseMs; ; attempt++, pause *= 1.5) {
      const began = performance.now()
      const answer = await post(body, end - began).catch((e: Error) => e)
      options.onTry?.((performance.now() - began) / 1000, typeof answer === 'string' ? undefined : answer)
      if (typeof answer === 'string') return answer
      options.onFailure?.(attempt, answer)
      if (attempt === tries || !mayPass(answer) || end - performance.now() <= pause) throw answer
      await new Promise(resume => setTimeout(resume, pause))
    }
  }

  return {
    ask: async body => parsed(await deliver(JSON.stringify(body))),
    send: async json => void (await deliver(json)),
    close: () => client.close(),
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error('the answer is no JSON')
  }
}

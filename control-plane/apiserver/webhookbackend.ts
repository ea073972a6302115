/** A server of the administrator's that is asked by POSTs of JSON, as a kubeconfig file names it (k8s.io/apiserver/pkg/util/webhook). */
import { readFile } from 'node:fs/promises'
import { Agent, request } from 'node:https'
import { dirname, resolve } from 'node:path'
import { parse } from 'yaml'
import * as z from 'zod'

const text = z.string().optional()
const named = <K extends string, T extends z.ZodType>(key: K, value: T) => z.array(z.looseObject({ name: z.string(), [key]: value }))
const cluster = z.looseObject({
  server: z.url({ protocol: /^https$/, error: 'must be an https URL' }),
  'tls-server-name': text,
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
  close(): void
}

/** Upstream's: five tries, each pause half as long again as the one before. */
const tries = 5
const deadlineMs = 30_000
const maxAnswerBytes = 1024 * 1024

/** `firstPauseMs` is the pause before the second try. Rejects when the file is no kubeconfig or names files that cannot be read. */
export async function openWebhookBackend(file: string, firstPauseMs: number): Promise<WebhookBackend> {
  const read = kubeconfig.safeParse(parse(await readFile(file, 'utf8')))
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
  const agent = new Agent({
    keepAlive: true,
    ca,
    cert,
    key,
    ...(target['tls-server-name'] ? { servername: target['tls-server-name'] } : {}),
    rejectUnauthorized: target['insecure-skip-tls-verify'] !== true,
  })

  const post = (body: string, signal: AbortSignal): Promise<unknown> =>
    new Promise((resolved, rejected) => {
      const headers = {
        'content-type': 'application/json',
        accept: 'application/json',
        'content-length': Buffer.byteLength(body),
        ...(token ? { authorization: `Bearer ${token.trim()}` } : {}),
      }
      const sent = request(target.server, { method: 'POST', agent, headers, signal }, answer => {
        const chunks: Buffer[] = []
        let size = 0
        answer.on('data', (chunk: Buffer) => {
          chunks.push(chunk)
          if ((size += chunk.length) > maxAnswerBytes) sent.destroy(new Error('the answer is too large'))
        })
        answer.on('error', rejected)
        answer.on('end', () => {
          if (answer.statusCode! < 200 || answer.statusCode! > 299)
            return rejected(new Error(`Error contacting webhook: ${answer.statusCode}`))
          try {
            resolved(JSON.parse(Buffer.concat(chunks).toString()))
          } catch {
            rejected(new Error('the answer is no JSON'))
          }
        })
      })
      sent.on('error', rejected)
      sent.end(body)
    })

  return {
    async ask(body) {
      const signal = AbortSignal.timeout(deadlineMs)
      const sent = JSON.stringify(body)
      for (let attempt = 1, pause = firstPauseMs; ; attempt++, pause *= 1.5) {
        try {
          return await post(sent, signal)
        } catch (e) {
          if (attempt === tries || signal.aborted) throw e
          await new Promise(resume => setTimeout(resume, pause))
        }
      }
    },
    close: () => agent.destroy(),
  }
}

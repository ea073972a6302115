/**
 * The HTTPS port of a component: /healthz, /livez and /readyz for everybody, /metrics for whom the API server lets read it (a client
 * certificate of the cluster's authority, or a token): k8s.io/apiserver's delegating authentication and authorization.
 */
import { readFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { TLSSocket } from 'node:tls'
import type { Registry } from 'prom-client'
import * as z from 'zod'
import type { UserInfo } from '../bus/transport.ts'
import type { Client } from '../client/client.ts'
import { certificateUser } from './certificateuser.ts'
import { intFlag } from './flags.ts'
import { healthText, type HealthCheck } from './health.ts'
import type { Logger } from './log.ts'
import { sliMetrics } from './slis.ts'

/** The flags of a component that serves, named as upstream's. Without a certificate nothing is served. */
export const servingFlags = (port: number) => ({
  bindAddress: z.string().default('0.0.0.0'),
  securePort: intFlag().default(port),
  tlsCertFile: z.string().optional(),
  tlsPrivateKeyFile: z.string().optional(),
  clientCaFile: z.string().optional(),
})
export type ServingFlags = z.output<z.ZodObject<ReturnType<typeof servingFlags>>>

export interface Served {
  readonly client: Client
  /** Metrics by path. */
  readonly pages: ReadonlyMap<string, Registry>
  readonly checks: readonly HealthCheck[]
  readonly log: Logger
}

/** Who may read what is not for everybody, without asking: upstream's AlwaysAllowGroups. */
const alwaysAllowed = 'system:masters'
const deadlineMs = 10_000

/**
 * Serves until the process ends. A port that cannot be had is logged: a component that works unseen is better than none. Rejects when the
 * certificate cannot be read.
 */
export async function serveComponent(flags: ServingFlags, served: Served): Promise<void> {
  const { tlsCertFile, tlsPrivateKeyFile, clientCaFile, securePort, bindAddress } = flags
  if (!tlsCertFile || !tlsPrivateKeyFile || securePort === 0) return
  const [cert, key, ca] = await Promise.all([tlsCertFile, tlsPrivateKeyFile, clientCaFile].map(f => (f ? readFile(f) : undefined)))
  const server = createServer(
    {
      cert,
      key,
      ...(ca ? { ca, requestCert: true, rejectUnauthorized: false } : {}),
      headersTimeout: deadlineMs,
      requestTimeout: deadlineMs,
    },
    (req, res) => {
      answer(req, res, served).catch((e: unknown) => {
        served.log.warn({ path: req.url, err: (e as Error).message }, 'a request to the component failed')
        if (!res.headersSent) send(res, 500, 'Internal Server Error\n')
      })
    },
  )
  server.maxConnections = 100
  server.on('error', e => served.log.warn({ address: bindAddress, port: securePort, err: e.message }, 'cannot serve /healthz and /metrics'))
  server.listen(securePort, bindAddress)
  // What it serves is about the process: it does not keep it alive.
  server.unref()
}

async function answer(req: IncomingMessage, res: ServerResponse, { client, pages, checks }: Served): Promise<void> {
  const url = new URL(req.url ?? '/', 'https://component')
  const [first = '', ...rest] = url.pathname.split('/').filter(s => s !== '')
  req.resume()
  if (first === 'healthz' || first === 'livez' || first === 'readyz') {
    const health = healthText(first, rest.join('/'), url.searchParams, checks)
    return health ? send(res, health.code, health.text) : send(res, 404, '404 page not found\n')
  }
  const user = await userOf(req, client)
  if (!user) return send(res, 401, 'Unauthorized\n')
  const path = url.pathname
  if (!(await allowed(user, (req.method ?? 'GET').toLowerCase(), path, client)))
    return send(
      res,
      403,
      `Forbidden: User ${JSON.stringify(user.name)} cannot ${(req.method ?? 'GET').toLowerCase()} path ${JSON.stringify(path)}\n`,
    )
  if (path === '/metrics/slis') {
    const { text, type } = await sliMetrics()
    return send(res, 200, text, type)
  }
  const metrics = pages.get(path)
  if (!metrics) return send(res, 404, '404 page not found\n')
  send(res, 200, await metrics.metrics(), metrics.contentType)
}

function send(res: ServerResponse, code: number, text: string, type = 'text/plain; charset=utf-8'): void {
  res.writeHead(code, { 'content-type': type, 'x-content-type-options': 'nosniff', 'content-length': Buffer.byteLength(text) })
  res.end(text)
}

/** Whom a certificate or a token names; undefined for nobody. */
async function userOf(req: IncomingMessage, client: Client): Promise<UserInfo | undefined> {
  const certified = certificateUser(req.socket as TLSSocket)
  if (typeof certified === 'object') return certified
  const token = /^bearer (\S+)$/i.exec(req.headers.authorization ?? '')?.[1]
  if (token === undefined) return undefined
  const { status } = await client.raw<{ status?: { authenticated?: boolean; user?: { username: string; groups?: string[] } } }>(
    'POST',
    '/apis/authentication.k8s.io/v1/tokenreviews',
    { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } },
  )
  return status?.authenticated && status.user ? { name: status.user.username, groups: status.user.groups ?? [] } : undefined
}

async function allowed({ name, groups }: UserInfo, verb: string, path: string, client: Client): Promise<boolean> {
  if (groups.includes(alwaysAllowed)) return true
  const { status } = await client.raw<{ status?: { allowed?: boolean } }>('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    spec: { user: name, groups, nonResourceAttributes: { path, verb } },
  })
  return status?.allowed === true
}

/** A real HAProxy on ports of its own, kept by what keeps it in a cluster; Services and endpoints are handed in, servers are this process's. */
import { execa, type ResultPromise } from 'execa'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, get, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { get as secureGet } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import type { Secret } from '#shared/api/core/secret.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import type { Ingress } from '#shared/api/networking/ingress.ts'
import { makeAuthority } from '#shared/certificates/certificate.ts'
import { ingressRouting } from '#control-plane/ingress-controller/ingress.ts'
import type { Problem, Routing } from '#control-plane/ingress-controller/model.ts'
import { openProxy } from '#control-plane/ingress-controller/proxy.ts'
import { freePort } from '../../fixtures/free-port.ts'

export interface Backend {
  name: string
  address: string
  server: Server
  close(): Promise<void>
}
export interface Answer {
  status: number
  headers: IncomingMessage['headers']
  body: string
  /** Whom the certificate is of, over TLS. */
  subject?: string | undefined
}

/** A server that says its name and what it was asked for. */
export async function backend(name: string, listener?: RequestListener): Promise<Backend> {
  const server = createServer(
    listener ??
      ((req, res) => {
        res.setHeader('content-type', 'application/json')
        res.end(JSON.stringify({ name, url: req.url, headers: req.headers }))
      }),
  )
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    name,
    server,
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

export async function startProxy() {
  const dir = await mkdtemp(path.join(tmpdir(), 'cox-ingress-'))
  const [http, https, health] = [await freePort(), await freePort(), await freePort()]
  await mkdir(path.join(dir, 'certs'))
  const authority = makeAuthority('default')
  await writeFile(path.join(dir, 'certs/default.pem'), authority.cert + authority.key)
  const services = new Map<string, Service>()
  const slices = new Map<string, EndpointSlice[]>()
  const secrets = new Map<string, Secret>()
  const backends = { service: (key: string) => services.get(key), slices: (key: string) => slices.get(key) ?? [] }
  const log = pino({ level: 'silent' })
  const open = () => openProxy({ dir, ports: { http, https, health } }, backends, log)
  let sync = await open()
  let program: ResultPromise | undefined
  const known = {
    service: (namespace: string, name: string) => services.get(`${namespace}/${name}`),
    secret: (namespace: string, name: string) => secrets.get(`${namespace}/${name}`),
  }
  async function start(): Promise<void> {
    const started = execa('haproxy', ['-W', '-db', '-S', `${dir}/master.sock,mode,600`, '-f', `${dir}/haproxy.cfg`], { reject: false })
    program = started
    let ended = ''
    void started.then(({ stderr }) => (ended = stderr || 'it ended'))
    for (;;) {
      const up = await new Promise<boolean>(resolve => {
        get({ port: health, path: '/healthz', agent: false }, r => (r.resume(), resolve(r.statusCode === 200))).on('error', () =>
          resolve(false),
        )
      })
      if (up) return
      if (ended) throw new Error(`HAProxy: ${ended}`)
      await delay(20)
    }
  }
  return {
    dir,
    ports: { http, https },
    secrets,
    known,
    /** A Service of the namespace `default` with these endpoints. */
    endpoints(name: string, addresses: readonly string[], port = 80): void {
      services.set(`default/${name}`, { metadata: { name, namespace: 'default' }, spec: { ports: [{ port }] } } as unknown as Service)
      slices.set(
        `default/${name}`,
        addresses.map(
          at =>
            ({
              addressType: 'IPv4',
              endpoints: [{ addresses: [at.split(':')[0]], conditions: { ready: true } }],
              ports: [{ port: Number(at.split(':')[1]) }],
            }) as unknown as EndpointSlice,
        ),
      )
    },
    async route(routing: Routing): Promise<string> {
      const outcome = await sync(routing)
      if (!program) await start()
      return outcome
    },
    /** Serves these Ingresses; resolves with what became of the configuration and what is wrong. */
    async serve(...ingresses: Ingress[]): Promise<{ outcome: string; problems: readonly Problem[] }> {
      const routing = ingressRouting(ingresses, known)
      return { outcome: await this.route(routing), problems: routing.problems }
    },
    /** As when the controller is started again. */
    async reopen(): Promise<void> {
      sync = await open()
    },
    ask(host: string, url: string, headers: Record<string, string> = {}): Promise<Answer> {
      return new Promise((resolve, reject) => {
        get({ port: http, path: url, headers: { host, ...headers }, agent: false }, r => collect(r, resolve)).on('error', reject)
      })
    },
    askSecurely(host: string, url: string): Promise<Answer> {
      return new Promise((resolve, reject) => {
        secureGet({ port: https, path: url, servername: host, headers: { host }, rejectUnauthorized: false, agent: false }, r =>
          collect(r, resolve),
        ).on('error', reject)
      })
    },
    async stop(): Promise<void> {
      program?.kill('SIGTERM')
      await program
      await rm(dir, { recursive: true })
    },
  }
}
export type Proxy = Awaited<ReturnType<typeof startProxy>>

function collect(r: IncomingMessage, resolve: (a: Answer) => void): void {
  const socket = r.socket as { getPeerCertificate?: () => { subject?: { CN?: string } } }
  const subject = socket.getPeerCertificate?.().subject?.CN
  let body = ''
  r.on('data', (chunk: Buffer) => (body += String(chunk))).on('end', () =>
    resolve({ status: r.statusCode ?? 0, headers: r.headers, body, subject }),
  )
}

let age = 0
/** Of paths as `path` (Prefix), `=path` (Exact) or `~path` (ImplementationSpecific), each with its Service. */
export function ingress(
  name: string,
  host: string | undefined,
  paths: Record<string, string>,
  annotations: Record<string, string> = {},
  more: object = {},
): Ingress {
  return {
    metadata: {
      name,
      namespace: 'default',
      creationTimestamp: new Date(1_700_000_000_000 + 1000 * age++).toISOString(),
      annotations: Object.fromEntries(Object.entries(annotations).map(([k, v]) => [`nginx.ingress.kubernetes.io/${k}`, v])),
    },
    spec: {
      rules: [
        {
          ...(host === undefined ? {} : { host }),
          http: {
            paths: Object.entries(paths).map(([p, service]) => ({
              path: p.replace(/^[=~]/, ''),
              pathType: p.startsWith('=') ? 'Exact' : p.startsWith('~') ? 'ImplementationSpecific' : 'Prefix',
              backend: { service: { name: service, port: { number: 80 } } },
            })),
          },
        },
      ],
      ...more,
    },
  } as unknown as Ingress
}

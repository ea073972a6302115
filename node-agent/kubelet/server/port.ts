/**
 * The kubelet's port, for who asks it directly (Prometheus, a metrics server): TLS with a certificate of its own making, as a kubelet's is
 * that has no other. Nothing but the port is made before somebody comes.
 */
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import type { Server as HttpsServer } from 'node:https'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import type { Client } from '#shared/client/client.ts'
import type { Logger } from '#shared/component/log.ts'
import { StatusError } from '#shared/machinery/status.ts'
import { kubeletPort } from '../node/object.ts'
import { kubeletAuth } from './auth.ts'
import type { RequestHandler } from './requests.ts'
import { refuseUpgrade, type Streams } from './streams.ts'

export interface PortOptions {
  client: Client
  nodeName: string
  nodeIP: string
  rootDir: string
  /** Whose client certificates are believed; absent: none. */
  clientCaFile?: string | undefined
  log: Logger
}

const mostConnections = 100
const deadlineMs = 60_000

/** Serves until `signal` aborts. A port that is taken, by another node of a machine whose network they share, is told in the log. */
export function serveKubeletPort(
  options: PortOptions,
  requests: RequestHandler,
  streams: Streams,
  signal: AbortSignal,
  port = kubeletPort,
): Server {
  const { log } = options
  let secured: Promise<HttpsServer> | undefined
  const server = createServer(socket => {
    socket.on('error', () => {})
    secured ??= secure(options, requests, streams)
    secured.then(
      https => https.emit('connection', socket),
      (e: Error) => {
        log.warn({ err: e.message }, 'the port of the kubelet cannot be served')
        secured = undefined
        socket.destroy()
      },
    )
  })
  server.maxConnections = mostConnections
  server.on('error', (e: NodeJS.ErrnoException) => log.warn({ port, err: e.message }, 'the kubelet does not serve its port'))
  server.listen(port, '0.0.0.0')
  server.unref()
  const close = async (): Promise<void> => {
    server.close()
    ;(await secured)?.closeAllConnections()
  }
  signal.addEventListener('abort', () => void close().catch(() => {}), { once: true })
  return server
}

async function secure(
  { client, nodeName, nodeIP, rootDir, clientCaFile, log }: PortOptions,
  requests: RequestHandler,
  streams: Streams,
): Promise<HttpsServer> {
  const { createServer: createHttpsServer } = await import('node:https')
  const [pair, ca] = await Promise.all([
    servingCertificate(join(rootDir, 'pki'), nodeName, nodeIP),
    clientCaFile === undefined ? undefined : readFile(clientCaFile),
  ])
  const auth = kubeletAuth(client, nodeName)
  const server = createHttpsServer(
    {
      ...pair,
      ...(ca ? { ca, requestCert: true, rejectUnauthorized: false } : {}),
      headersTimeout: deadlineMs,
      requestTimeout: deadlineMs,
    },
    (req, res) => {
      const refuse = (code: number, text: string): void =>
        void res.writeHead(code, { 'content-type': 'text/plain; charset=utf-8' }).end(text)
      auth.refuse(req).then(
        refusal => void (refusal ? refuse(refusal.code, refusal.text) : streams.serve(req, res) || requests(req, res)),
        (e: Error) => {
          log.warn({ path: req.url, err: e.message }, 'nobody says who may ask the kubelet')
          refuse(500, `Authorization error: ${e.message}\n`)
        },
      )
    },
  )
  server.on('upgrade', (req, socket, head) => {
    socket.on('error', () => {})
    const refused = (code: number, text: string): void => refuseUpgrade(socket, new StatusError(code, 'Unknown', text.trimEnd()))
    auth.refuse(req).then(
      refusal => (refusal ? refused(refusal.code, refusal.text) : streams.upgrade(req, socket, head)),
      (e: Error) => refused(500, `Authorization error: ${e.message}`),
    )
  })
  server.on('tlsClientError', () => {})
  return server
}

/** That of an earlier kubelet, or a new one. */
async function servingCertificate(directory: string, nodeName: string, nodeIP: string): Promise<{ cert: string; key: string }> {
  const [certFile, keyFile] = ['kubelet.crt', 'kubelet.key'].map(name => join(directory, name)) as [string, string]
  if (existsSync(certFile) && existsSync(keyFile)) {
    const [cert, key] = await Promise.all([certFile, keyFile].map(file => readFile(file, 'utf8')))
    return { cert: cert!, key: key! }
  }
  const { makeAuthority, sign } = await import('#shared/certificates/certificate.ts')
  const authority = makeAuthority(`${nodeName}-ca@${Math.floor(Date.now() / 1000)}`)
  const { cert, key } = sign(authority, {
    commonName: `${nodeName}@${Math.floor(Date.now() / 1000)}`,
    names: { dns: [nodeName], ips: [nodeIP, '127.0.0.1'] },
  })
  await mkdir(directory, { recursive: true, mode: 0o700 })
  // The key first: a certificate stands for both.
  for (const [file, text] of [
    [keyFile, key],
    [certFile, cert],
  ] as const) {
    // prettier-ignore
    await writeFile(`${file}.new`, text, { mode: 0o600 })
    await rename(`${file}.new`, file)
  }
  return { cert, key }
}

/** Carries requests to the API over HTTPS with a client certificate: what the CLI and the tests use. */
import { Agent, request as httpsRequest } from 'node:https'
import { StatusError } from '../machinery/status.ts'
import type { ApiResponse, Transport } from '../bus/transport.ts'

export interface HttpsOptions {
  /** `https://host:port` */
  server: string
  /** What the server's certificate must name when it is not the host of the URL. */
  tlsServerName?: string
  ca: string
  cert?: string
  key?: string
  /** A bearer token, or what says what it is now. */
  token?: string | (() => string)
}

/** A transport that keeps its connections open; rejects when the server cannot be reached within `timeoutMs` (30 s unless given). */
export function httpsTransport(options: HttpsOptions): Transport {
  const agent = new Agent({ keepAlive: true, ca: options.ca, cert: options.cert, key: options.key, servername: options.tlsServerName })
  const url = new URL(options.server)
  const { token } = options
  const own = (): Record<string, string> =>
    token === undefined ? {} : { authorization: `Bearer ${typeof token === 'string' ? token : token()}` }
  return {
    request: ({ method, path, query, headers, body, signal, timeoutMs = 30_000 }) =>
      new Promise<ApiResponse>((resolve, reject) => {
        const search = query.toString()
        const req = httpsRequest(
          {
            agent,
            host: url.hostname,
            port: url.port,
            method,
            path: search ? `${path}?${search}` : path,
            headers: { ...own(), ...headers, 'content-length': body.length },
            signal,
          },
          res => {
            clearTimeout(deadline)
            const flat = Object.fromEntries(Object.entries(res.headers).map(([k, v]) => [k, String(v)]))
            resolve({ code: res.statusCode ?? 0, headers: flat, body: res })
          },
        )
        const deadline = setTimeout(
          () => req.destroy(new StatusError(504, 'Timeout', `no answer from ${options.server} within ${timeoutMs} ms`)),
          timeoutMs,
        )
        req.on('error', e => {
          clearTimeout(deadline)
          reject(e)
        })
        req.end(body)
      }),
    close: async () => agent.destroy(),
  }
}

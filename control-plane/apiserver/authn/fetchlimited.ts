/** HTTPS to an authenticator elsewhere: with a deadline, and answers of a bounded size. */
import { Agent, request } from 'node:https'
import { request as plainRequest } from 'node:http'

export interface Target {
  /** PEM; the system's authorities when absent. */
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
  readonly insecure?: boolean | undefined
}

export interface Fetched {
  readonly status: number
  readonly body: string
}

const maxBytes = 1024 * 1024

/** Keeps its connections. `fetch` rejects when there is no whole answer within the deadline, and for one of more than 1 MiB. */
export class LimitedClient {
  readonly #agent: Agent
  constructor({ ca, cert, key, insecure }: Target) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: 32, ca, cert, key, rejectUnauthorized: insecure !== true })
  }

  fetch(
    url: string,
    {
      method = 'GET',
      headers = {},
      body,
      deadlineMs,
    }: { method?: string; headers?: Record<string, string>; body?: string; deadlineMs: number },
  ): Promise<Fetched> {
    return new Promise((resolve, reject) => {
      const send = url.startsWith('http:') ? plainRequest : request
      const options = {
        method,
        headers,
        signal: AbortSignal.timeout(Math.ceil(deadlineMs)),
        ...(url.startsWith('http:') ? {} : { agent: this.#agent }),
      }
      const req = send(url, options, res => {
        const chunks: Buffer[] = []
        let size = 0
        res.on('data', (chunk: Buffer) => {
          size += chunk.length
          if (size > maxBytes) res.destroy(new Error(`the answer of ${url} has more than ${maxBytes} bytes`))
          else chunks.push(chunk)
        })
        res.on('end', () => resolve({ status: res.statusCode ?? 0, body: Buffer.concat(chunks).toString() }))
        res.on('error', reject)
      })
      req.on('error', reject)
      req.end(body)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

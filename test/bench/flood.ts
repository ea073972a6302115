/** The process that keeps 500 requests under way: told by its parent to whom and which, until it says stop. */
import { connect, type ClientHttp2Session } from 'node:http2'

export interface FloodedRequest {
  readonly method: string
  readonly path: string
  readonly body?: object
}
/** What the parent sends first. */
export interface Flood {
  readonly url: string
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string }
  readonly request: FloodedRequest
}

const inFlight = 500
/** HTTP/2 allows so many streams of a connection. */
const streams = 125

/** Resolves, when stopped, with how many were answered, by code. */
async function flood({ url, tls, request: { method, path, body } }: Flood, stop: AbortSignal): Promise<Map<number, number>> {
  const codes = new Map<number, number>()
  const sessions = Array.from({ length: inFlight / streams }, () => connect(url, tls))
  const text = body && JSON.stringify(body)
  const one = (session: ClientHttp2Session): Promise<void> =>
    new Promise(resolve => {
      const stream = session.request(
        { ':method': method, ':path': path, 'content-type': 'application/json' },
        { endStream: text === undefined },
      )
      let code = 0
      stream.on('response', h => (code = h[':status'] ?? 0)).resume()
      stream.on('error', () => {})
      stream.on('close', () => {
        codes.set(code, (codes.get(code) ?? 0) + 1)
        // As client-go, which obeys Retry-After.
        setTimeout(resolve, code === 429 && !stop.aborted ? 1000 : 0)
      })
      if (text !== undefined) stream.end(text)
    })
  await Promise.all(
    sessions.flatMap(session =>
      Array.from({ length: streams }, async () => {
        while (!stop.aborted) await one(session)
      }),
    ),
  )
  for (const session of sessions) session.close()
  return codes
}

process.once('message', async (what: Flood) => {
  const stop = new AbortController()
  process.once('message', () => stop.abort())
  process.send!([...(await flood(what, stop.signal))])
})
process.on('disconnect', () => process.exit())

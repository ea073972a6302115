/** http: a connection to the kubelet's HTTP server, which needs no port for that. */
import { createServer } from 'node:http'
import type { Session } from '#shared/bus/session.ts'
import { sessionStream } from '#shared/bus/sessionstream.ts'
import type { Status } from '#shared/machinery/status.ts'
import type { RequestHandler } from '../server/requests.ts'
import type { Streams } from '../server/streams.ts'
import { success } from './result.ts'

/** What a session of the verb `http` does. */
export function serveHttp(requests: RequestHandler, streams: Streams, signal: AbortSignal): (session: Session) => Promise<Status> {
  const server = createServer({ requestTimeout: 60_000 }, (req, res) => void (streams.serve(req, res) || requests(req, res)))
  server.on('upgrade', streams.upgrade)
  signal.addEventListener('abort', () => server.closeAllConnections(), { once: true })
  return async session => {
    const connection = sessionStream(session, 'acceptor')
    server.emit('connection', connection)
    await new Promise(resolve => connection.once('close', resolve))
    return success
  }
}

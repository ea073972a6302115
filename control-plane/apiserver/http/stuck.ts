/**
 * Answers that wait in this process for a client that takes nothing: after a while their connection, or their stream of HTTP/2, is closed.
 * Looked at all together now and then: a timer for each answer would cost more than most answers.
 */
import type { Http2SecureServer, ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import type { Logger } from '#shared/component/log.ts'

/** What waits, and since when it is as much. */
interface Waiting {
  bytes: number
  since: number
}

/** Returns how to stop. Something is stuck when it has bytes to send and their number has not changed for `stuckMs`. */
export function guardStuck(server: Http2SecureServer, { stuckMs, log }: { stuckMs: number; log: Logger }): () => void {
  const sockets = new Map<Socket, Waiting>()
  const streams = new Map<ServerHttp2Stream, Waiting>()
  server.on('secureConnection', (socket: Socket) => {
    sockets.set(socket, { bytes: 0, since: 0 })
    socket.once('close', () => sockets.delete(socket))
  })
  server.on('session', session =>
    session.on('stream', stream => {
      streams.set(stream, { bytes: 0, since: 0 })
      stream.once('close', () => streams.delete(stream))
    }),
  )
  const isStuck = (waiting: Waiting, bytes: number, now: number): boolean => {
    if (bytes === 0 || bytes !== waiting.bytes) {
      waiting.bytes = bytes
      waiting.since = now
      return false
    }
    return now - waiting.since >= stuckMs
  }
  const timer = setInterval(() => {
    const now = performance.now()
    let closed = 0
    for (const [stream, waiting] of streams) {
      if (!isStuck(waiting, stream.writableLength, now)) continue
      stream.destroy()
      closed++
    }
    for (const [socket, waiting] of sockets) {
      if (!isStuck(waiting, socket.writableLength, now)) continue
      socket.destroy()
      closed++
    }
    if (closed > 0) log.info({ closed }, 'clients took nothing of their answers; these were given up')
  }, stuckMs / 4)
  timer.unref()
  return () => clearInterval(timer)
}

/**
 * dial: a TCP connection from the node to a pod of it, or to itself, for the API server's proxy. Data comes on channel 0 and goes on
 * channel 1.
 */
import { connect, isIP } from 'node:net'
import * as z from 'zod'
import type { Session } from '#shared/bus/session.ts'
import { sessionStream } from '#shared/bus/sessionstream.ts'
import { StatusError, type Status } from '#shared/machinery/status.ts'
import { dialError, hostPort } from '#shared/component/neterror.ts'
import { success } from './result.ts'
import { readOpen } from './target.ts'

const schema = z.object({
  address: z.string().refine(text => isIP(text) !== 0, 'must be an IP address'),
  port: z.number().int().min(1).max(65_535),
})
/** As upstream's dialer. */
const connectMs = 30_000

export async function dial(session: Session): Promise<Status> {
  const { address, port } = readOpen(schema, session.open)
  const socket = connect({ host: address, port, allowHalfOpen: true, noDelay: true, timeout: connectMs })
  const stop = (): void => void socket.destroy()
  session.signal.addEventListener('abort', stop, { once: true })
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
      socket.once('timeout', () => reject(Object.assign(new Error('timed out'), { code: 'ETIMEDOUT' })))
      socket.once('close', () => reject(new Error('the session was closed')))
    })
    socket.setTimeout(0)
    const stream = sessionStream(session, 'acceptor')
    const flushed = new Promise(resolve => stream.once('finish', resolve).once('close', resolve))
    stream.on('close', stop)
    // What came before the connection broke is still sent.
    socket.on('error', () => stream.end())
    socket.pipe(stream).pipe(socket)
    await new Promise(resolve => socket.once('close', resolve))
    stream.end()
    await flushed
    return success
  } catch (e) {
    throw new StatusError(503, 'ServiceUnavailable', dialError(e, hostPort(address, port)))
  } finally {
    session.signal.removeEventListener('abort', stop)
    stop()
  }
}

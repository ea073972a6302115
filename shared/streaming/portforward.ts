/** Port-forward over SPDY: for every connection to a port a pair of streams, one for its bytes and one for what went wrong. */
import type { Duplex } from 'node:stream'
import { Channel, type Session } from '#shared/bus/session.ts'
import type { Status } from '#shared/machinery/status.ts'
import { SpdyConnection } from './spdy.ts'
import { endOf, failureOf } from './status.ts'
import type { SpdyStream } from './stream.ts'

export const portForwardProtocol = 'portforward.k8s.io'
/** kubectl 1.31 and later: SPDY in the messages of a WebSocket. */
export const tunnelProtocol = 'SPDY/3.1+portforward.k8s.io'

/** Asks the kubelet for a session to a port. */
export type OpenPort = (port: number, signal: AbortSignal) => Promise<Session>

/** A client has so long to open the second stream of a pair. */
const creationMs = 30_000

interface Pair {
  data?: SpdyStream
  error?: SpdyStream
  readonly tooSlow: NodeJS.Timeout
}

/** Serves the connection, which it owns, until the client closes it. */
export function portForwardOverSpdy(socket: Duplex, open: OpenPort): void {
  const pairs = new Map<string, Pair>()
  const connection = new SpdyConnection(socket, stream => {
    const type = stream.headers.get('streamtype')
    if ((type !== 'data' && type !== 'error') || portOf(stream) === undefined) return false
    // Old clients do not number their pairs: the error stream comes first.
    const request = stream.headers.get('requestid') || String(type === 'error' ? stream.id : stream.id - 2)
    let pair = pairs.get(request)
    if (!pair)
      pairs.set(
        request,
        (pair = { tooSlow: setTimeout(() => give(request, `(request=${request}) timed out waiting for streams`), creationMs) }),
      )
    if (pair[type]) return false
    pair[type] = stream
    const { data, error } = pair
    if (data && error) {
      clearTimeout(pair.tooSlow)
      pairs.delete(request)
      void forward(data, error, open)
    }
    return true
  })
  const give = (request: string, why: string): void => {
    const pair = pairs.get(request)
    pairs.delete(request)
    pair?.error?.write(Buffer.from(why)).catch(() => {})
    pair?.error?.end()
    pair?.data?.reset()
  }
  connection.signal.addEventListener('abort', () => {
    for (const { tooSlow } of pairs.values()) clearTimeout(tooSlow)
  })
}

/** Undefined when there is none. */
function portOf(stream: SpdyStream): number | undefined {
  const text = stream.headers.get('port') ?? ''
  const port = Number(text)
  return /^\d{1,5}$/.test(text) && port >= 1 && port <= 65_535 ? port : undefined
}

async function forward(data: SpdyStream, error: SpdyStream, open: OpenPort): Promise<void> {
  error.discard()
  let status: Status
  try {
    const session = await open(portOf(data)!, data.signal)
    const gone = (): void => session.close('the client went away')
    data.signal.addEventListener('abort', gone)
    if (data.signal.aborted) gone()
    status = await relay(data, session)
    data.signal.removeEventListener('abort', gone)
    session.close()
  } catch (e) {
    status = failureOf(e)
  }
  if (status.status !== 'Success' && !data.signal.aborted) await error.write(Buffer.from(status.message ?? '')).catch(() => {})
  error.end()
  data.end()
  // The other side has closed the connection: what the client still sends leads nowhere.
  data.discard()
}

/** Copies in both directions until the kubelet's side has ended. Rejects when the client's is gone. */
async function relay(data: SpdyStream, session: Session): Promise<Status> {
  const up = async (): Promise<void> => {
    for await (const piece of data.read()) await session.send(Channel.stdin, piece)
    session.end(Channel.stdin)
  }
  const down = async (): Promise<void> => {
    for await (const piece of session.read(Channel.stdout)) await data.write(piece)
  }
  up().catch(() => data.discard())
  const [status] = await Promise.all([endOf(session), down()])
  return status
}

/** exec and attach over SPDY: a stream for each of stdin, stdout, stderr, resize and error, bridged to a session with the kubelet. */
import type { Duplex } from 'node:stream'
import { Channel, type Session } from '#shared/bus/session.ts'
import type { Status } from '#shared/machinery/status.ts'
import { SpdyConnection } from './spdy.ts'
import { endOf, failureOf } from './status.ts'
import type { SpdyStream } from './stream.ts'

/** The newest first. From v4 on the end is a Status, before that a text; terminal sizes came with v3. */
export const execProtocols = ['v4.channel.k8s.io', 'v3.channel.k8s.io', 'v2.channel.k8s.io', 'channel.k8s.io']
/** What a client speaks that names none. */
export const firstExecProtocol = 'channel.k8s.io'

export interface Wants {
  readonly stdin: boolean
  readonly stdout: boolean
  readonly stderr: boolean
  readonly tty: boolean
}

export type OpenSession = (signal: AbortSignal) => Promise<Session>

/** A client has so long to open all its streams. */
const creationMs = 30_000

/** Serves one command on the connection, which it owns. `open` asks the kubelet for a session. */
export function execOverSpdy(socket: Duplex, protocol: string, wants: Wants, open: OpenSession): void {
  const resizes = wants.tty && (protocol === execProtocols[0] || protocol === execProtocols[1])
  const wanted = { error: true, stdin: wants.stdin, stdout: wants.stdout, stderr: wants.stderr && !wants.tty, resize: resizes }
  const expected = Object.entries(wanted).flatMap(([type, is]) => (is ? [type] : []))
  const streams = new Map<string, SpdyStream>()
  const connection = new SpdyConnection(socket, stream => {
    const type = stream.headers.get('streamtype') ?? ''
    if (!expected.includes(type) || streams.has(type)) return false
    streams.set(type, stream)
    if (type !== 'stdin' && type !== 'resize') stream.discard()
    if (streams.size === expected.length) {
      clearTimeout(tooSlow)
      void serve(connection, streams, protocol, open)
    }
    return true
  })
  const tooSlow = setTimeout(() => connection.destroy(), creationMs)
  connection.signal.addEventListener('abort', () => clearTimeout(tooSlow))
}

async function serve(
  connection: SpdyConnection,
  streams: ReadonlyMap<string, SpdyStream>,
  protocol: string,
  open: OpenSession,
): Promise<void> {
  const error = streams.get('error')!
  let status: Status
  try {
    const session = await open(connection.signal)
    const gone = (): void => session.close('the client went away')
    connection.signal.addEventListener('abort', gone)
    if (connection.signal.aborted) gone()
    void send(streams.get('stdin'), session, Channel.stdin)
    void send(streams.get('resize'), session, Channel.resize)
    const output = [receive(streams.get('stdout'), session, Channel.stdout), receive(streams.get('stderr'), session, Channel.stderr)]
    const [end] = await Promise.all([endOf(session), ...output])
    connection.signal.removeEventListener('abort', gone)
    session.close()
    status = end
  } catch (e) {
    status = failureOf(e)
  }
  streams.get('stdout')?.end()
  streams.get('stderr')?.end()
  const failed = status.status !== 'Success'
  const text = protocol === execProtocols[0] ? JSON.stringify(status) : failed ? (status.message ?? '') : ''
  if (text !== '') await error.write(Buffer.from(text)).catch(() => {})
  error.end()
  connection.close()
}

/** From the client to the kubelet. */
async function send(stream: SpdyStream | undefined, session: Session, channel: number): Promise<void> {
  if (!stream) return
  try {
    for await (const piece of stream.read()) await session.send(channel, piece)
    session.end(channel)
  } catch {
    // The command has ended: what is still coming is thrown away.
    stream.discard()
  }
}

/** From the kubelet to the client. */
async function receive(stream: SpdyStream | undefined, session: Session, channel: number): Promise<void> {
  if (!stream) return
  // A client that has closed only this stream goes on with the others.
  for await (const piece of session.read(channel)) await stream.write(piece).catch(() => {})
}

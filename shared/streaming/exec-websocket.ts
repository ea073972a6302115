/** exec and attach over a WebSocket (v4 and v5.channel.k8s.io and older ones): every message begins with its channel. */
import type { RawData, WebSocket } from 'ws'
import { Channel, type Session } from '#shared/bus/session.ts'
import type { Status } from '#shared/machinery/status.ts'
import type { OpenSession, Wants } from './exec.ts'
import { endOf, failureOf } from './status.ts'

/** In v5, the channel after this one is closed: how stdin ends. */
const closeSignal = 255
const pingMs = 30_000
const maxBuffered = 1 << 20

/** Serves one command on the socket, which it owns. `open` asks the kubelet for a session; what goes wrong is told on the error channel. */
export function execOverWebSocket(socket: WebSocket, wants: Wants, open: OpenSession): void {
  const gone = new AbortController()
  socket.on('close', () => gone.abort())
  socket.pause()
  open(gone.signal).then(
    session => bridge(socket, session, wants),
    (e: unknown) => refuse(socket, e),
  )
}

/** From v4 on the error channel carries a Status; before that a text, and of a success nothing. */
const endText = (protocol: string, status: Status): string =>
  /^v[45]\./.test(protocol) ? JSON.stringify(status) : status.status === 'Success' ? '' : (status.message ?? '')

function refuse(socket: WebSocket, e: unknown): void {
  send(socket, Channel.error, Buffer.from(endText(socket.protocol, failureOf(e))), socket.protocol.includes('base64')).then(
    () => socket.close(1000),
    () => socket.terminate(),
  )
}

const bytesOf = (data: RawData): Buffer =>
  Array.isArray(data) ? Buffer.concat(data) : data instanceof ArrayBuffer ? Buffer.from(data) : data

function bridge(socket: WebSocket, session: Session, wants: Wants): void {
  const v5 = socket.protocol.startsWith('v5.')
  const base64 = socket.protocol.includes('base64')
  // Incoming data goes on in order; the socket is paused while the kubelet has no room.
  let inbound = Promise.resolve()
  socket.on('message', data => {
    const bytes = base64 ? decode64(bytesOf(data)) : bytesOf(data)
    const channel = bytes[0]
    if (channel === undefined) return
    if (v5 && channel === closeSignal) {
      inbound = inbound.then(() => session.end(bytes[1] ?? Channel.stdin))
      return
    }
    if (channel !== Channel.stdin && channel !== Channel.resize) return
    if (bytes.length === 1) return
    socket.pause()
    inbound = inbound.then(() =>
      session.send(channel, bytes.subarray(1)).then(
        () => socket.resume(),
        () => socket.resume(),
      ),
    )
  })
  socket.resume()
  const ping = setInterval(() => socket.ping(() => {}), pingMs)
  ping.unref()
  socket.on('close', () => {
    clearInterval(ping)
    session.close('the client went away')
  })
  const out = async (channel: number): Promise<void> => {
    for await (const data of session.read(channel)) await send(socket, channel, data, base64)
  }
  const opened = [...(wants.stdout ? [Channel.stdout] : []), ...(wants.stderr ? [Channel.stderr] : [])]
  void (async () => {
    try {
      // As upstream tells that the connection is there.
      await send(socket, opened[0] ?? Channel.error, Buffer.alloc(0), base64)
      const [status] = await Promise.all([endOf(session), ...opened.map(out)])
      const text = endText(socket.protocol, status)
      if (text !== '') await send(socket, Channel.error, Buffer.from(text), base64)
    } catch {
      // The kubelet or the client went away: the end below tells the other.
    }
    session.close()
    if (socket.readyState === socket.OPEN) socket.close(1000)
  })()
}

const decode64 = (bytes: Buffer): Buffer =>
  Buffer.concat([Buffer.from([(bytes[0] ?? 0x30) - 0x30]), Buffer.from(bytes.subarray(1).toString(), 'base64')])

/** Resolves when the client has room for more. */
async function send(socket: WebSocket, channel: number, data: Uint8Array, base64: boolean): Promise<void> {
  if (socket.readyState !== socket.OPEN) throw new Error('closed')
  const sent = new Promise<void>((resolve, reject) => {
    const done = (e?: Error): void => (e ? reject(e) : resolve())
    if (base64) socket.send(`${channel}${Buffer.from(data).toString('base64')}`, done)
    else socket.send(Buffer.concat([Buffer.from([channel]), data]), { binary: true }, done)
  })
  if (socket.bufferedAmount > maxBuffered) await sent
  else sent.catch(() => {})
}

/**
 * Port-forward over a plain WebSocket, as the Python and JavaScript clients do it: the ports are in the query, and each has two channels,
 * for its bytes and for what went wrong. The first message on a channel is the port, two bytes with the low one first.
 */
import type { RawData, WebSocket } from 'ws'
import { Channel, type Session } from '#shared/bus/session.ts'
import type { OpenPort } from './portforward.ts'
import { endOf, failureOf } from './status.ts'

export const channelProtocol = 'v4.channel.k8s.io'
const pingMs = 30_000
const maxBuffered = 1 << 20

const bytesOf = (data: RawData): Buffer =>
  Array.isArray(data) ? Buffer.concat(data) : data instanceof ArrayBuffer ? Buffer.from(data) : data

/** Serves the socket, which it owns. */
export function portForwardOverWebSocket(socket: WebSocket, ports: readonly number[], open: OpenPort): void {
  const gone = new AbortController()
  const ping = setInterval(() => socket.ping(() => {}), pingMs)
  ping.unref()
  socket.on('close', () => {
    clearInterval(ping)
    gone.abort(new Error('the client went away'))
  })
  const send = async (channel: number, data: Uint8Array): Promise<void> => {
    if (socket.readyState !== socket.OPEN) throw new Error('closed')
    const message = Buffer.concat([Buffer.from([channel]), data])
    const sent = new Promise<void>((resolve, reject) => socket.send(message, { binary: true }, e => (e ? reject(e) : resolve())))
    sent.catch(() => {})
    if (socket.bufferedAmount > maxBuffered) await sent
  }
  const serve = async (port: number, index: number, opened: Promise<Session>): Promise<void> => {
    const number = Buffer.from([port & 0xff, port >> 8])
    try {
      await send(2 * index, number)
      await send(2 * index + 1, number)
      const session = await opened
      for await (const piece of session.read(Channel.stdout)) await send(2 * index, piece)
      const status = await endOf(session)
      if (status.status !== 'Success') await send(2 * index + 1, Buffer.from(status.message ?? ''))
    } catch (e) {
      await send(2 * index + 1, Buffer.from(failureOf(e).message ?? '')).catch(() => {})
    }
  }
  const sessions = ports.map(port => open(port, gone.signal))
  for (const session of sessions) {
    session.then(
      s => gone.signal.addEventListener('abort', () => s.close('the client went away')),
      () => {},
    )
  }
  let inbound = Promise.resolve()
  socket.on('message', message => {
    const bytes = bytesOf(message)
    const session = bytes[0] === undefined || bytes[0] % 2 === 1 ? undefined : sessions[bytes[0] / 2]
    if (!session || bytes.length === 1) return
    socket.pause()
    inbound = inbound
      .then(async () => (await session).send(Channel.stdin, bytes.subarray(1)))
      .catch(() => {})
      .then(() => socket.resume())
  })
  void Promise.all(ports.map((port, i) => serve(port, i, sessions[i]!))).then(() => socket.close(1000))
}

/** pods/exec and pods/attach over WebSocket (v4 and v5.channel.k8s.io) and SPDY, bridged to a session with the kubelet. */
import type { RawData, WebSocket } from 'ws'
import type { BusConnection } from '#shared/bus/connection.ts'
import { Channel, type Session } from '#shared/bus/session.ts'
import { badRequest, type Status } from '#shared/machinery/status.ts'
import type { Answer } from '../chain/response.ts'
import { boolParameter } from '../objects/options.ts'
import { execOverSpdy, execProtocols, firstExecProtocol } from '../streaming/exec.ts'
import { negotiateProtocol, spdyAnswer, wantsSpdy, wantsWebSocket, webSocketAnswer, webSocketProtocols } from '../streaming/protocol.ts'
import { endOf, failureOf } from '../streaming/status.ts'
import type { Call } from '../verbs/context.ts'
import { containerOf, podOf, toKubelet } from './node.ts'

/** In v5, the channel after this one is closed: how stdin ends. */
const closeSignal = 255
const pingMs = 30_000
const maxBuffered = 1 << 20

export async function podExec(call: Call, bus: BusConnection, verb: 'exec' | 'attach'): Promise<Answer> {
  const { info, request } = call
  const { query } = request
  const pod = await podOf(call)
  const container = containerOf(pod, query.get('container') ?? '')
  const wants = {
    stdin: boolParameter(query, 'stdin') ?? false,
    stdout: boolParameter(query, 'stdout') ?? false,
    stderr: boolParameter(query, 'stderr') ?? false,
    tty: boolParameter(query, 'tty') ?? false,
  }
  if (!wants.stdin && !wants.stdout && !wants.stderr) throw badRequest('you must specify at least 1 of stdin, stdout, stderr')
  const command = query.getAll('command')
  if (verb === 'exec' && command.length === 0) throw badRequest('you must specify at least one command for the container')
  if (!pod.spec.nodeName) throw badRequest(`pod ${info.name} does not have a host assigned`)
  if (!wantsSpdy(request) && !wantsWebSocket(request)) throw badRequest('Upgrade request required')
  const open = {
    namespace: info.namespace,
    name: info.name,
    uid: pod.metadata.uid,
    container,
    ...(verb === 'exec' ? { command } : {}),
    ...wants,
  }
  const dial = (signal: AbortSignal): Promise<Session> => toKubelet(bus, pod, verb, open, signal)
  if (wantsSpdy(request)) {
    const protocol = negotiateProtocol(request, execProtocols, firstExecProtocol)
    return spdyAnswer(protocol, socket => execOverSpdy(socket, protocol, wants, dial))
  }
  // A client whose upgrade is refused tries an older protocol: what goes wrong from here on is told on the error channel.
  return webSocketAnswer(webSocketProtocols, socket => {
    const gone = new AbortController()
    socket.on('close', () => gone.abort())
    socket.pause()
    dial(gone.signal).then(
      session => bridge(socket, session, wants),
      (e: unknown) => refuse(socket, e),
    )
  })
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

function bridge(socket: WebSocket, session: Session, wants: { stdin: boolean; stdout: boolean; stderr: boolean }): void {
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

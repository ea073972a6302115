/** Requests that ask for another protocol on their connection (HTTP/1.1 only): a WebSocket, or a tunnel for whatever was agreed on. */
import { STATUS_CODES, validateHeaderName, validateHeaderValue, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { WebSocketServer } from 'ws'
import type { Logger } from '#shared/component/log.ts'
import type { Answer } from '../chain/response.ts'
import { pump } from './answer.ts'

const maxMessageBytes = 8 * 1024 * 1024

export interface Upgrades {
  /** Gives the connection what was answered; it is closed behind an answer that is no upgrade. `head` is what came after the request. */
  serve(req: IncomingMessage, socket: Socket, head: Buffer, answer: Answer): Promise<void>
  close(): void
}

export function newUpgrades(log: Logger): Upgrades {
  const served = new WeakMap<IncomingMessage, readonly string[]>()
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: maxMessageBytes,
    clientTracking: false,
    handleProtocols: (offered, req) => served.get(req)?.find(p => offered.has(p)) ?? false,
  })
  return {
    async serve(req, socket, head, answer) {
      const { websocket, tunnel } = answer
      if (tunnel) {
        socket.write(headOf(answer))
        if (head.length > 0) socket.unshift(head)
        return tunnel(socket)
      }
      if (websocket) {
        served.set(req, websocket.protocols)
        sockets.handleUpgrade(req, socket, head, client => {
          client.on('error', error => log.debug({ err: error, path: req.url }, 'websocket failed'))
          websocket.take(client)
        })
        return
      }
      await sendAndClose(socket, answer)
    },
    close: () => sockets.close(),
  }
}

/** Writes an answer by hand: node gives up its own part in a connection that asks for an upgrade. The end of the body is that of all. */
async function sendAndClose(socket: Socket, answer: Answer): Promise<void> {
  const { body, headers } = answer
  headers['connection'] = 'close'
  if (body instanceof Uint8Array) {
    headers['content-length'] ??= String(body.length)
    socket.write(headOf(answer))
    socket.end(body)
    return
  }
  const iterator = body[Symbol.asyncIterator]()
  socket.once('close', () => void iterator.return?.()?.then(undefined, () => {}))
  socket.write(headOf(answer))
  await pump(socket, iterator)
}

/** Throws for headers that cannot be sent. */
export function headOf({ code, headers, cookies = [] }: Pick<Answer, 'code' | 'headers' | 'cookies'>): string {
  const all = [...Object.entries(headers), ...cookies.map(cookie => ['set-cookie', cookie] as const)]
  const lines = all.map(([name, value]) => {
    validateHeaderName(name)
    validateHeaderValue(name, value)
    return `${name}: ${value}\r\n`
  })
  return `HTTP/1.1 ${code} ${STATUS_CODES[code] ?? 'Status'}\r\n${lines.join('')}\r\n`
}

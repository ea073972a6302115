/** Answers to requests that ask for another protocol on their connection: a WebSocket, or a tunnel for whatever was agreed on. */
import { STATUS_CODES, validateHeaderName, validateHeaderValue, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer, type WebSocket } from 'ws'

/** The functions own what they get, and never throw. */
export interface Takes {
  /** The connection goes on as what the headers say, behind the head. */
  tunnel?: (connection: Duplex) => void
  /** The connection becomes a WebSocket, with the first of the protocols that the client offers. */
  websocket?: { readonly protocols: readonly string[]; readonly take: TakeWebSocket }
}
/** `connection` is what the socket is on. */
export type TakeWebSocket = (socket: WebSocket, connection: Duplex) => void
export interface Upgrade extends Takes {
  code: 101
  headers: Record<string, string>
  body: Uint8Array
}

const maxMessageBytes = 8 * 1024 * 1024

export interface Upgrades {
  /** Gives the connection what was answered; false when that is no upgrade. `head` is what came after the request. */
  serve(req: IncomingMessage, socket: Duplex, head: Buffer, answer: Takes & Head): boolean
  close(): void
}

/** `failed` hears of WebSockets that break. */
export function newUpgrades(failed: (req: IncomingMessage, error: Error) => void): Upgrades {
  const served = new WeakMap<IncomingMessage, readonly string[]>()
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: maxMessageBytes,
    clientTracking: false,
    handleProtocols: (offered, req) => served.get(req)?.find(p => offered.has(p)) ?? false,
  })
  return {
    serve(req, socket, head, answer) {
      const { websocket, tunnel } = answer
      if (tunnel) {
        socket.write(headOf(answer))
        if (head.length > 0) socket.unshift(head)
        tunnel(socket)
      } else if (websocket) {
        served.set(req, websocket.protocols)
        sockets.handleUpgrade(req, socket, head, client => {
          client.on('error', error => failed(req, error))
          websocket.take(client, socket)
        })
      }
      return tunnel !== undefined || websocket !== undefined
    },
    close: () => sockets.close(),
  }
}

export interface Head {
  readonly code: number
  readonly headers: Readonly<Record<string, string>>
  /** Set-Cookie headers: the only ones that cannot be joined to one. */
  readonly cookies?: readonly string[]
}

/** Throws for headers that cannot be sent. */
export function headOf({ code, headers, cookies = [] }: Head): string {
  const all = [...Object.entries(headers), ...cookies.map(cookie => ['set-cookie', cookie] as const)]
  const lines = all.map(([name, value]) => {
    validateHeaderName(name)
    validateHeaderValue(name, value)
    return `${name}: ${value}\r\n`
  })
  return `HTTP/1.1 ${code} ${STATUS_CODES[code] ?? 'Status'}\r\n${lines.join('')}\r\n`
}

/** Which of a client's protocols is spoken within SPDY: the header X-Stream-Protocol-Version of k8s.io/streaming's handshake. */
import { StatusError } from '#shared/machinery/status.ts'
import type { Duplex } from 'node:stream'
import type { TakeWebSocket, Upgrade } from './upgrade.ts'

/** A request, with its headers by their names in lower case. */
export interface Asked {
  readonly headers: { readonly [name: string]: string | undefined }
}

/** Names of the protocols of exec over WebSocket, the newest first; the client's offer decides what is possible. */
export const webSocketProtocols = [
  'v5.channel.k8s.io',
  'v4.channel.k8s.io',
  'v3.channel.k8s.io',
  'v2.channel.k8s.io',
  'channel.k8s.io',
  'base64.channel.k8s.io',
  'v4.base64.channel.k8s.io',
]

export const wantsWebSocket = (request: Asked): boolean => request.headers['upgrade']?.toLowerCase() === 'websocket'
export const wantsSpdy = (request: Asked): boolean => request.headers['upgrade']?.toLowerCase() === 'spdy/3.1'

/** The first protocol of the server's that the client knows too; a client that names none speaks the first version. Throws 403. */
export function negotiateProtocol(request: Asked, served: readonly string[], unnamed: string): string {
  const offered = (request.headers['x-stream-protocol-version'] ?? '')
    .split(',')
    .map(name => name.trim())
    .filter(name => name !== '')
  if (offered.length === 0) return unnamed
  const protocol = served.find(name => offered.includes(name))
  if (protocol === undefined) {
    const why = `client supports [${offered.join(' ')}], server accepts [${served.join(' ')}]`
    throw new StatusError(403, 'Forbidden', `unable to upgrade: unable to negotiate protocol: ${why}`)
  }
  return protocol
}

/** The answer that makes the connection speak SPDY/3.1, and within it `protocol`. */
export const spdyAnswer = (protocol: string, take: (connection: Duplex) => void): Upgrade => ({
  code: 101,
  headers: { connection: 'Upgrade', upgrade: 'SPDY/3.1', 'x-stream-protocol-version': protocol },
  body: new Uint8Array(0),
  tunnel: take,
})
/** The answer that makes the connection a WebSocket. */
export const webSocketAnswer = (protocols: readonly string[], take: TakeWebSocket): Upgrade => ({
  code: 101,
  headers: {},
  body: new Uint8Array(0),
  websocket: { protocols, take },
})

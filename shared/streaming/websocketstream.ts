/** A WebSocket as a stream of bytes. */
import type { Duplex } from 'node:stream'
import { createWebSocketStream, type WebSocket } from 'ws'

/** Owns the socket. `connection` is what it is on: what is written together is encrypted and sent together. */
export const webSocketStream = (socket: WebSocket, connection: Duplex): Duplex =>
  createWebSocketStream(socket, {
    writev(chunks, done) {
      connection.cork()
      chunks.forEach(({ chunk }, i) => socket.send(chunk as Uint8Array, i < chunks.length - 1 ? undefined : done))
      connection.uncork()
    },
  })

/** The other upgrade beside WebSocket: the connection goes on as SPDY/3.1. */
import type { Duplex } from 'node:stream'
import type { Answer } from '../chain/response.ts'

/** Agrees, and hands the connection over. `head` is what came after the request. */
export function switchToSpdy(socket: Duplex, head: Buffer, { headers, spdy }: Answer): void {
  const audit = headers['audit-id'] ? `Audit-Id: ${headers['audit-id']}\r\n` : ''
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\n${audit}Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${spdy!.protocol}\r\n\r\n`,
  )
  if (head.length > 0) socket.unshift(head)
  spdy!.take(socket)
}

/** A stream of bytes as messages of a WebSocket, as k8s.io/apiserver's wsstream sends it. */
import type { WebSocket } from 'ws'

/** Bytes as they are, also when a client names no protocol, or in base64. */
export const binaryProtocols = ['binary.k8s.io', 'base64.binary.k8s.io']
const pingMs = 30_000

/** Sends the pieces, each when the one before has left, then closes. Owns the socket; what the client sends is thrown away. */
export function sendFrames(socket: WebSocket, body: AsyncIterable<Uint8Array>): void {
  const base64 = socket.protocol.startsWith('base64.')
  const pieces = body[Symbol.asyncIterator]()
  const ping = setInterval(() => socket.ping(() => {}), pingMs)
  ping.unref()
  socket.on('message', () => {})
  socket.on('close', () => {
    clearInterval(ping)
    pieces.return?.()?.catch(() => {})
  })
  const run = async (): Promise<void> => {
    for (let piece = await pieces.next(); !piece.done; piece = await pieces.next()) {
      const { value } = piece
      await new Promise<void>((resolve, reject) => {
        const sent = (e?: Error | null): void => (e ? reject(e) : resolve())
        if (base64) socket.send(Buffer.from(value.buffer, value.byteOffset, value.length).toString('base64'), sent)
        else socket.send(value, { binary: true }, sent)
      })
    }
    socket.close(1000)
  }
  run().catch(() => socket.terminate())
}

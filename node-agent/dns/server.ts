/** The sockets: UDP, and TCP with its lengths. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { lengthOf } from './forward.ts'

/** Answers a query; undefined for none. */
export type AnswerQuery = (query: Buffer, tcp: boolean) => Buffer | undefined | Promise<Buffer | undefined>

const maxConnections = 500
const idleMs = 10_000
/** Queries of one connection that wait for their answers. */
const maxPipelined = 64
const receiveBufferBytes = 4 * 1024 * 1024

/** Serves until `signal` aborts. Rejects when the address cannot be had. */
export async function serveDns(
  address: string,
  port: number,
  answer: AnswerQuery,
  failed: (e: Error) => void,
  signal: AbortSignal,
): Promise<void> {
  const udp = createSocket({ type: 'udp4', recvBufferSize: receiveBufferBytes })
  udp.on('message', (query, { address: from, port: fromPort }) => {
    const send = (made: Buffer | undefined): void => void (made && udp.send(made, fromPort, from))
    settle(() => answer(query, false), send, failed)
  })
  udp.bind(port, address)
  await once(udp, 'listening')
  udp.on('error', failed)
  const tcp = createServer(socket => serveConnection(socket, answer, failed))
  tcp.maxConnections = maxConnections
  tcp.listen(port, address)
  await once(tcp, 'listening')
  tcp.on('error', failed)
  signal.addEventListener('abort', () => {
    udp.close()
    tcp.close()
  })
}

/** At once where nothing has to be waited for. */
function settle(make: () => ReturnType<AnswerQuery>, done: (made: Buffer | undefined) => void, failed: (e: Error) => void): void {
  try {
    const made = make()
    if (made instanceof Promise) made.then(done).catch(failed)
    else done(made)
  } catch (e) {
    failed(e as Error)
  }
}

function serveConnection(socket: Socket, answer: AnswerQuery, failed: (e: Error) => void): void {
  let read = Buffer.alloc(0)
  let waiting = 0
  socket.setTimeout(idleMs, () => socket.destroy())
  socket.on('error', () => socket.destroy())
  const next = (): void => {
    while (waiting < maxPipelined && read.length >= 2) {
      const length = read.readUInt16BE(0)
      if (read.length < length + 2) break
      const query = read.subarray(2, length + 2)
      read = read.subarray(length + 2)
      waiting++
      settle(
        () => answer(query, true),
        made => {
          const answered = (): void => {
            waiting--
            socket.resume()
          }
          // One that asks and does not read is not heard any further.
          if (made && socket.writable) socket.write(Buffer.concat([lengthOf(made), made]), answered)
          else answered()
        },
        e => {
          failed(e)
          socket.destroy()
        },
      )
    }
    if (waiting >= maxPipelined) socket.pause()
  }
  socket.on('data', (chunk: Buffer) => {
    read = Buffer.concat([read, chunk])
    next()
  })
  socket.on('resume', next)
}

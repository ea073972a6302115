/**
 * The nats client over TCP, but for two things: an attempt to connect whose time is over ends, and no text becomes a subject unchecked.
 * Both need the client's own modules, so its version is pinned, and what is relied on is checked with every connection.
 */
import { connect, type Socket } from 'node:net'
import { ErrorCode, NatsError, type ConnectionOptions, type NatsConnection } from 'nats'
import { NatsConnectionImpl, setTransportFactory } from 'nats/lib/nats-base-client/internal_mod.js'
import { NodeTransport, nodeResolveHost } from 'nats/lib/src/node_transport.js'
import { checkPublish, checkSubscribe } from './subjects.ts'

/**
 * The client forgets the socket of an attempt that took too long, and the kernel tries on for two minutes. When the way to the server is
 * free again all of these connect as well, say nothing, are closed by the server two seconds later, and with each the client drops the
 * connection that it has made in the meantime.
 */
export class TcpTransport extends NodeTransport {
  #socket: Socket | undefined

  override dial({ hostname, port }: { hostname: string; port: number }): Promise<Socket> {
    const { promise, resolve, reject } = Promise.withResolvers<Socket>()
    const socket = connect({ host: hostname, port, noDelay: true })
    this.#socket = socket
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('the attempt to connect was given up')))
    socket.once('connect', () => {
      socket.removeAllListeners()
      resolve(socket)
    })
    return promise
  }

  /** Sends what leaves together. */
  sendAll(pieces: readonly Uint8Array[]): void {
    const socket = this.socket as Socket | undefined
    socket?.cork()
    for (const piece of pieces) this.send(piece)
    socket?.uncork()
  }

  override async close(error?: Error): Promise<void> {
    // This does nothing when it was not connected yet.
    await super.close(error)
    if (!this.connected) this.#socket?.destroy()
  }
}

/** As the nats client's own `connect`. */
export async function connectTcp(options: ConnectionOptions): Promise<NatsConnection> {
  setTransportFactory({ factory: () => new TcpTransport(), dnsResolveFn: nodeResolveHost })
  const nats = (await NatsConnectionImpl.connect(options)) as NatsConnectionImpl
  try {
    guard(nats)
  } catch (e) {
    await nats.close()
    throw e
  }
  return nats
}

/**
 * Everything that the client sends passes through three functions of its protocol handler: two of them check what becomes a part of a line,
 * and the third sends what waits.
 */
function guard({ protocol }: NatsConnectionImpl): void {
  if (!(protocol.transport instanceof TcpTransport)) throw new Error('the nats client does not use the transport that it was given')
  const { publish, subscribe } = protocol
  // For its own calls alone, as it says.
  const flushing = protocol as unknown as { flushPending: () => void }
  const known = [publish, subscribe, flushing.flushPending, protocol.sendCommand].every(f => typeof f === 'function')
  if (!known || !Array.isArray(protocol.outbound?.buffers)) throw new Error('the nats client is not the one that was pinned')
  protocol.publish = (subject, data, published) => {
    checkPublish(subject, published?.reply)
    publish.call(protocol, subject, data, published)
  }
  protocol.subscribe = subscription => {
    checkSubscribe(subscription.subject, subscription.queue)
    return subscribe.call(protocol, subscription)
  }
  // Its own makes one piece of everything.
  flushing.flushPending = () => {
    const { outbound, infoReceived, connected } = protocol
    if (!infoReceived || !connected || outbound.size() === 0) return
    if (outbound.size() < copiedBytes) return protocol.transport.send(outbound.drain())
    const pieces = joinSmall(outbound.buffers)
    outbound.reset()
    ;(protocol.transport as TcpTransport).sendAll(pieces)
  }
}

/** Less than that is copied into one piece: a piece costs more than to copy it. */
const copiedBytes = 32 * 1024

/** Large pieces as they are, and those between them together. */
function joinSmall(buffers: readonly Uint8Array[]): Uint8Array[] {
  const pieces: Uint8Array[] = []
  let small: Uint8Array[] = []
  const join = () => {
    if (small.length > 0) pieces.push(small.length === 1 ? small[0]! : Buffer.concat(small))
    small = []
  }
  for (const buffer of buffers) {
    if (buffer.length < copiedBytes) {
      small.push(buffer)
      continue
    }
    join()
    pieces.push(buffer)
  }
  join()
  return pieces
}

const lineEnd = Buffer.from('\r\n')

/**
 * Publishes a message in parts. Throws as `publish` does: when the connection is closed, the server takes no message that large, or a
 * subject is none.
 */
export function publishParts(nats: NatsConnection, subject: string, parts: readonly Uint8Array[], reply: string | undefined): void {
  if (nats.isClosed() || nats.isDraining()) throw NatsError.errorForCode(ErrorCode.ConnectionClosed)
  checkPublish(subject, reply)
  let length = 0
  for (const part of parts) length += part.length
  if (length > (nats.info?.max_payload ?? Infinity)) throw NatsError.errorForCode(ErrorCode.MaxPayloadExceeded)
  const { protocol } = nats as NatsConnectionImpl
  protocol.outBytes += length
  protocol.outMsgs++
  protocol.sendCommand(`PUB ${subject} ${reply ? `${reply} ` : ''}${length}\r\n`, ...parts, lineEnd)
}

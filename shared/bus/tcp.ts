/**
 * The nats client over TCP, but for two things: an attempt to connect whose time is over ends, and no text becomes a subject unchecked. Both
 * need the client's own modules, so its version is pinned, and what is relied on is checked with every connection.
 */
import { connect, type Socket } from 'node:net'
import type { ConnectionOptions, NatsConnection } from 'nats'
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

/** Everything that the client sends passes through two functions of its protocol handler: they check what becomes a part of a line. */
function guard({ protocol }: NatsConnectionImpl): void {
  if (!(protocol.transport instanceof TcpTransport)) throw new Error('the nats client does not use the transport that it was given')
  const { publish, subscribe } = protocol
  if (typeof publish !== 'function' || typeof subscribe !== 'function') throw new Error('the nats client is not the one that was pinned')
  protocol.publish = (subject, data, published) => {
    checkPublish(subject, published?.reply)
    publish.call(protocol, subject, data, published)
  }
  protocol.subscribe = subscription => {
    checkSubscribe(subscription.subject, subscription.queue)
    return subscribe.call(protocol, subscription)
  }
}

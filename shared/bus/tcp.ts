/** The nats client's connection over TCP, but for one thing: an attempt to connect whose time is over ends. */
import { connect, type Socket } from 'node:net'
import type { ConnectionOptions, NatsConnection } from 'nats'
import { NatsConnectionImpl, setTransportFactory } from 'nats/lib/nats-base-client/internal_mod.js'
import { NodeTransport, nodeResolveHost } from 'nats/lib/src/node_transport.js'

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
export function connectTcp(options: ConnectionOptions): Promise<NatsConnection> {
  setTransportFactory({ factory: () => new TcpTransport(), dnsResolveFn: nodeResolveHost })
  return NatsConnectionImpl.connect(options)
}

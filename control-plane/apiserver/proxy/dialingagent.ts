/** HTTPS over connections that are dialled in a way of its own, and kept for the next request. */
import { Agent } from 'node:https'
import type { Duplex } from 'node:stream'
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'

export interface TlsClient {
  /** The authorities of the server's certificate, PEM; the system's when absent. */
  readonly ca?: string | undefined
  /** What the server knows this client by, PEM. */
  readonly cert?: string | undefined
  readonly key?: string | undefined
  /** The name that the certificate must be for. */
  readonly servername: string
  /** The certificate is not checked. */
  readonly insecure?: boolean | undefined
}

/** A connection that nobody uses is closed after this time; most servers close theirs later. */
const idleMs = 60_000
const maxIdle = 16
const dialMs = 10_000

/** What connections were dialled as. */
const dialled = new WeakMap<object, Duplex>()

export class DialingAgent extends Agent {
  readonly #dial: (signal: AbortSignal) => Promise<Duplex>
  readonly #context: SecureContext
  readonly #tls: TlsClient

  /** Throws for what is no PEM. */
  constructor(dial: (signal: AbortSignal) => Promise<Duplex>, tls: TlsClient) {
    super({ keepAlive: true, maxFreeSockets: maxIdle, timeout: idleMs, scheduling: 'lifo' })
    this.#dial = dial
    this.#tls = tls
    // Any certificate that is trusted ends a chain, as in Go.
    this.#context = createSecureContext({ ca: tls.ca, cert: tls.cert, key: tls.key, allowPartialTrustChain: true })
  }

  /** A connection of the caller's own, which is not kept: for one that becomes something else. */
  async open(signal: AbortSignal): Promise<TLSSocket> {
    return this.#secure(await this.#dial(AbortSignal.any([signal, AbortSignal.timeout(dialMs)])))
  }

  override createConnection(_options: object, done: (error: Error | null, socket: Duplex) => void): undefined {
    this.#dial(AbortSignal.timeout(dialMs)).then(
      socket => done(null, this.#secure(socket)),
      (e: Error) => done(e, undefined as never),
    )
    return undefined
  }

  /** Closes those that nobody uses of which `keep`, given what was dialled, says no. */
  prune(keep: (dialled: Duplex) => boolean): void {
    for (const sockets of Object.values(this.freeSockets))
      for (const socket of sockets ?? []) if (!keep(dialled.get(socket)!)) socket.destroy()
  }

  /** Closes what nobody uses; what is used is closed afterwards. */
  retire(): void {
    this.options.keepAlive = false
    ;(this as { keepAlive?: boolean }).keepAlive = false
    for (const sockets of Object.values(this.freeSockets)) for (const socket of sockets ?? []) socket.destroy()
  }

  #secure(socket: Duplex): TLSSocket {
    const { servername, insecure } = this.#tls
    const tls = connectTls({
      socket,
      servername,
      rejectUnauthorized: insecure !== true,
      secureContext: this.#context,
      ALPNProtocols: ['http/1.1'],
    })
    dialled.set(tls, socket)
    return tls
  }
}

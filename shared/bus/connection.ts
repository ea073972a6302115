/** A connection to NATS that heals itself: waits for the server at first, reconnects for ever after. */
import { readFile } from 'node:fs/promises'
import { credsAuthenticator, type ConnectionOptions, type NatsConnection, type PublishOptions } from 'nats'
import { logger, type Logger } from '../component/log.ts'
import { identityOf } from './credentials.ts'
import { Outbox, type Data } from './outbox.ts'
import { inboxPrefix } from './subjects.ts'
import { natsServerName } from './tls.ts'
import { connectTcp } from './tcp.ts'

export interface BusConnection {
  readonly nats: NatsConnection
  /** The user name that the nats-server vouches for. */
  readonly identity: string
  /** False between losing the server and finding it again. */
  readonly connected: boolean
  /** Calls `handler` after each change of `connected`, with its new value. Returns how to stop. */
  onChange(handler: (connected: boolean) => void): () => void
  /**
   * Publishes at the end of this turn of the event loop, in order and together with all else that is published so; `refused` hears why a
   * message cannot be sent: it is larger than the server takes, the connection is closed. The data, or its parts, must not change any more.
   */
  publish(subject: string, data: Data, options?: PublishOptions, refused?: (error: Error) => void): void
  /**
   * What was asked by way of the server that it is connected to was not answered for `silentMs`: it may be cut off from the others. Where
   * there are several, goes over to another one; not again for some seconds.
   */
  elsewhere(silentMs: number): void
  /** Sends what waits to be published; resolves when the server has it. */
  flush(): Promise<void>
  close(): Promise<void>
}

export interface BusOptions {
  /** `nats://127.0.0.1:4222`, several separated by commas. */
  url: string
  /** A `.creds` file. It is read again for each reconnection, so it can be renewed in place. */
  credsFile: string
  /** Checked against the credentials when given. */
  identity?: string
  /** The authority that must vouch for the server, PEM; without one the connection is not encrypted. */
  caFile?: string | undefined
  /** Give up when there was no connection for that long; default: never. Applies to the first connection only. */
  timeoutMs?: number
  /**
   * The server is asked that often whether it is there; after two questions without an answer the connection is given up and made anew.
   * Default: 5000.
   */
  pingIntervalMs?: number
  log?: Logger
}

/** One server of several that gives no answers for that long is left, and another one is given that long to do better, ms. */
const patienceMs = 3_000
const settleMs = 5_000

/** Connects as the identity of the credentials. Rejects when the credentials cannot be read or are refused, else waits for the server. */
export async function connectBus(options: BusOptions): Promise<BusConnection> {
  const log = options.log ?? logger('bus')
  let creds = await readFile(options.credsFile)
  const identity = await identityOf(creds).catch((e: Error) =>
    Promise.reject(new Error(`${options.credsFile}: not a NATS credentials file: ${e.message}`)),
  )
  if (options.identity !== undefined && options.identity !== identity)
    throw new Error(`${options.credsFile} is of ${identity}, not of ${options.identity}`)
  const ca = options.caFile === undefined ? undefined : await readFile(options.caFile, 'utf8')
  const deadline = options.timeoutMs === undefined ? Infinity : performance.now() + options.timeoutMs
  const attempt = () =>
    connectTcp({
      servers: options.url.split(','),
      authenticator: nonce => credsAuthenticator(creds)(nonce),
      name: identity,
      inboxPrefix: inboxPrefix(identity),
      reconnect: true,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 100,
      reconnectJitter: 100,
      ignoreAuthErrorAbort: true,
      timeout: 5_000,
      pingInterval: options.pingIntervalMs ?? 5_000,
      maxPingOut: 2,
      noAsyncTraces: true,
      // Whatever address it is reached by. A server that offers no TLS is refused. `null`: not even when it offers it.
      tls: ca === undefined ? null : { ca, servername: natsServerName },
      // What is sent at once at most; the types do not know it.
      pendingLimit: 256 * 1024,
    } as ConnectionOptions)
  let nats: NatsConnection | undefined
  for (let wait = 50; nats === undefined; wait = Math.min(wait * 1.5, 1_000)) {
    try {
      nats = await attempt()
    } catch (e) {
      const code = (e as { code?: string }).code ?? ''
      if (code === 'AUTHORIZATION_VIOLATION' || performance.now() + wait > deadline)
        throw new Error(`cannot connect to ${options.url} as ${identity}: ${code || (e as Error).message}`)
      await new Promise(resolve => setTimeout(resolve, wait))
    }
  }
  return follow(
    nats,
    options.url.includes(','),
    identity,
    log,
    () =>
      void readFile(options.credsFile).then(
        c => (creds = c),
        () => {},
      ),
  )
}

function follow(nats: NatsConnection, several: boolean, identity: string, log: Logger, refresh: () => void): BusConnection {
  const handlers = new Set<(connected: boolean) => void>()
  const outbox = new Outbox(nats)
  let connected = true
  let since = performance.now()
  const set = (value: boolean) => {
    if (connected === value) return
    connected = value
    since = performance.now()
    for (const handler of [...handlers]) handler(value)
  }
  const watchStatus = async () => {
    for await (const status of nats.status()) {
      if (status.type === 'disconnect') {
        log.warn({ identity, server: String(status.data) }, 'lost the connection to NATS')
        refresh()
        set(false)
      } else if (status.type === 'reconnect') {
        log.info({ identity, server: String(status.data) }, 'connected to NATS again')
        set(true)
      } else if (status.type === 'error') {
        log.warn({ identity, error: String(status.data), ...status.permissionContext }, 'NATS reports an error')
      }
    }
  }
  watchStatus().catch(() => {})
  nats.closed().then(
    e => {
      if (e) log.error({ identity, error: e.message }, 'the connection to NATS is closed')
      set(false)
    },
    () => {},
  )
  return {
    nats,
    identity,
    get connected() {
      return connected
    },
    onChange(handler) {
      handlers.add(handler)
      return () => handlers.delete(handler)
    },
    elsewhere(silentMs) {
      if (!several || !connected || silentMs < patienceMs || performance.now() - since < settleMs) return
      since = performance.now()
      log.warn({ identity, server: nats.getServer() }, 'the NATS server does not answer for the others; going over to another one')
      nats.reconnect().catch((e: Error) => log.warn({ identity, error: e.message }, 'the connection to NATS could not be made anew'))
    },
    publish: (subject, data, options, refused) => outbox.publish(subject, data, options, refused),
    flush() {
      outbox.send()
      return nats.flush()
    },
    async close() {
      handlers.clear()
      outbox.send()
      await nats.close()
    },
  }
}

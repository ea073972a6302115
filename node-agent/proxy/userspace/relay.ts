/** Carries TCP connections from listeners to targets. Runs in a thread of its own; see worker.ts. */
import { createHash } from 'node:crypto'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { Listener, Target } from './listeners.ts'

/** A connection that no target takes for this long is given up, ms. */
const CONNECT_TIMEOUT_MS = 5_000
/** What is read at once from a target, bytes. */
const CHUNK = 256 * 1024

export interface Relay {
  /**
   * Makes these the listeners. Connections of one that goes live on, as with packet rules. Resolves with what could not be: key to the
   * system's error code.
   */
  set(wanted: ReadonlyMap<string, Listener>): Promise<Map<string, string>>
  close(): void
}

const isOwn = (address: string): boolean =>
  address.startsWith('127.') || Object.values(networkInterfaces()).some(list => list?.some(i => i.address === address))

/** In which order targets are tried: from one that chance, or the client's address, chooses. */
export function order(targets: readonly Target[], sticky: boolean, client: string): Target[] {
  const start = sticky
    ? createHash('sha256').update(client).digest().readUInt32BE(0) % targets.length
    : Math.floor(Math.random() * targets.length)
  return [...targets.slice(start), ...targets.slice(0, start)]
}

export function relay(): Relay {
  const servers = new Map<string, { server: Server; listener: Listener }>()

  function accept(key: string, client: Socket): void {
    const listener = servers.get(key)?.listener
    const from = client.remoteAddress ?? ''
    const targets = listener === undefined ? [] : listener.remoteTargets && !isOwn(from) ? listener.remoteTargets : listener.targets
    client.on('error', () => client.destroy())
    forward(client, targets.length > 0 ? order(targets, listener!.sticky, from) : [])
  }

  function listen(key: string, listener: Listener): Promise<string | undefined> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, client => accept(key, client))
    return new Promise(resolve => {
      server.once('error', error => resolve((error as NodeJS.ErrnoException).code ?? error.message))
      server.listen({ host: listener.address, port: listener.port, backlog: 1024 }, () => {
        servers.set(key, { server, listener })
        server.removeAllListeners('error').on('error', () => {})
        resolve(undefined)
      })
    })
  }

  return {
    async set(wanted) {
      for (const [key, { server }] of servers) {
        if (wanted.has(key)) continue
        servers.delete(key)
        server.close()
      }
      const failed = new Map<string, string>()
      await Promise.all(
        [...wanted].map(async ([key, listener]) => {
          const known = servers.get(key)
          if (known) return void (known.listener = listener)
          const error = await listen(key, listener)
          if (error !== undefined) failed.set(key, error)
        }),
      )
      return failed
    },
    close() {
      for (const { server } of servers.values()) server.close()
      servers.clear()
    },
  }
}

/** Connects to the first target that answers and joins both; the client is cut off when none does. */
function forward(client: Socket, [target, ...others]: readonly Target[]): void {
  if (target === undefined || client.destroyed) return void client.resetAndDestroy()
  // One piece of memory for all that comes from the target: a new one for each read would cost more than the copying.
  const onread = {
    buffer: Buffer.allocUnsafeSlow(CHUNK),
    callback: (size: number, buffer: Uint8Array) => passOn(buffer.subarray(0, size), client, upstream),
  }
  const upstream: Socket = connect({ host: target.ip, port: target.port, allowHalfOpen: true, noDelay: true, onread })
  let joined = false
  const timer = setTimeout(() => upstream.destroy(new Error('timeout')), CONNECT_TIMEOUT_MS)
  upstream.once('connect', () => {
    joined = true
    clearTimeout(timer)
    client.pipe(upstream)
  })
  upstream.once('end', () => client.end())
  upstream.on('error', () => {
    clearTimeout(timer)
    if (joined) client.destroy()
    else forward(client, others)
  })
  client.once('close', () => upstream.destroy())
  upstream.once('close', () => joined && !client.writableEnded && client.destroy())
}

/** Writes what was read. The memory may be used again when the kernel has taken all of it: false stops reading until then. */
function passOn(data: Uint8Array, client: Socket, upstream: Socket): boolean {
  client.write(data, () => client.writableLength === 0 && upstream.resume())
  return client.writableLength === 0
}

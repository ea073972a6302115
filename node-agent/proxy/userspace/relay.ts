/** Carries TCP connections from listeners to targets. Runs in a thread of its own; see worker.ts. */
import { BlockList, connect, createServer, isIPv4, type Server, type Socket } from 'node:net'
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

/** Whether an address is in one of the ranges, of which only those of IPv4 count. */
export function within(address: string, ranges: readonly string[]): boolean {
  const list = new BlockList()
  for (const [net = '', prefix] of ranges.map(range => range.split('/'))) if (isIPv4(net)) list.addSubnet(net, Number(prefix ?? 32), 'ipv4')
  return isIPv4(address) && list.check(address, 'ipv4')
}

/** Clients that one listener remembers; of more, those that came first are forgotten. */
const MAX_CLIENTS = 10_000

/** Whom the clients of a listener with session affinity went to: client's address to target and the time (ms) until which that counts. */
export type Affinity = Map<string, { target: string; until: number }>
const nameOf = ({ ip, port }: Target): string => `${ip}:${port}`

/** In which order targets are tried: from the one that the client went to last, as long as that counts and it is one; else from any. */
export function order(targets: readonly Target[], affinity: Affinity, client: string, now: number): Target[] {
  const last = affinity.get(client)
  const known = last !== undefined && last.until > now ? targets.findIndex(t => nameOf(t) === last.target) : -1
  const start = known >= 0 ? known : Math.floor(Math.random() * targets.length)
  return [...targets.slice(start), ...targets.slice(0, start)]
}

/** The client has been answered by a target. */
export function remember(affinity: Affinity, client: string, target: Target, until: number): void {
  // The newest last.
  affinity.delete(client)
  affinity.set(client, { target: nameOf(target), until })
  if (affinity.size > MAX_CLIENTS) for (const [first] of affinity.entries().take(1)) affinity.delete(first)
}

export function relay(): Relay {
  const servers = new Map<string, { server: Server; listener: Listener; affinity: Affinity }>()

  function accept(key: string, client: Socket): void {
    const from = client.remoteAddress ?? ''
    client.on('error', () => client.destroy())
    const known = servers.get(key)
    if (!known) return forward(client, [], () => {})
    const { listener, affinity } = known
    if (listener.sources && !isOwn(from) && !within(from, listener.sources)) return forward(client, [], () => {})
    const targets = listener.remoteTargets && !isOwn(from) ? listener.remoteTargets : listener.targets
    forward(client, targets.length > 0 ? order(targets, affinity, from, Date.now()) : [], target => {
      if (listener.stickyMs !== undefined) remember(affinity, from, target, Date.now() + listener.stickyMs)
    })
  }

  function listen(key: string, listener: Listener): Promise<string | undefined> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, client => accept(key, client))
    return new Promise(resolve => {
      server.once('error', error => resolve((error as NodeJS.ErrnoException).code ?? error.message))
      server.listen({ host: listener.address, port: listener.port, backlog: 1024 }, () => {
        servers.set(key, { server, listener, affinity: new Map() })
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

/** Connects to the first target that answers, says which, and joins both; the client is cut off when none does. */
function forward(client: Socket, [target, ...others]: readonly Target[], answered: (target: Target) => void): void {
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
    answered(target)
    clearTimeout(timer)
    client.pipe(upstream)
  })
  upstream.once('end', () => client.end())
  upstream.on('error', () => {
    clearTimeout(timer)
    if (joined) client.destroy()
    else forward(client, others, answered)
  })
  client.once('close', () => upstream.destroy())
  upstream.once('close', () => joined && !client.writableEnded && client.destroy())
}

/** Writes what was read. The memory may be used again when the kernel has taken all of it: false stops reading until then. */
function passOn(data: Uint8Array, client: Socket, upstream: Socket): boolean {
  client.write(data, () => client.writableLength === 0 && upstream.resume())
  return client.writableLength === 0
}

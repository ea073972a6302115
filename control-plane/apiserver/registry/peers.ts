/**
 * The API servers of a cluster tell each other how far their caches are, so that a write can wait until none decides by what was before it
 * (a role that is taken away). A server that is not heard for `goneMs` is not waited for; it knows by itself that it may be such a one:
 * when its own messages have not come back for less than that, its cache may lack acknowledged writes, and it asks the store before it
 * relies on it. Holds with one nats-server, which delivers in order; through several, routes may put a server's first message behind a
 * write of another.
 */
import { nuid, type Msg } from 'nats'
import type { BusConnection } from '#shared/bus/connection.ts'
import { sleep } from '#shared/client/backoff.ts'
import { tableKey } from './cache.ts'
import type { Table } from './registry.ts'

const announceMs = 250
const goneMs = 2_000
/**
 * Since its own message was sent that came back last. Others heard that after it was sent, so they wait for longer than the server relies
 * on its cache, if clocks go at about one rate.
 */
const currentMs = 1_800

/** A server that goes waits so long at most until the others have heard it. */
const goodbyeMs = 1_000

const announcing = 'apiserver.at'
const asking = 'apiserver.ask'

interface Announcement {
  readonly id: string
  /** How far the server's cache is; -1 when it goes. */
  readonly version: number
  /** Its clock, for itself. */
  readonly sent: number
}
interface Peer {
  version: number
  heard: number
}

export interface PeersView {
  readonly version: number
  /** Whether the cache follows the stream. */
  readonly healthy: boolean
  reached(version: number, timeoutMs?: number): Promise<void>
  /** The cache has every write that was acknowledged before the call. */
  fresh(): Promise<void>
}

export class Peers {
  readonly #connection: BusConnection
  readonly #view: PeersView
  /** By `tableKey`. */
  readonly #everywhere: ReadonlySet<string>
  readonly #id = nuid.next()
  readonly #others = new Map<string, Peer>()
  readonly #waiting = new Set<() => void>()
  readonly #stop: (() => void)[]
  /** Nothing is missing from the time before others began to wait for this server. */
  #caughtUp = false
  #catchingUp = false
  #lastBack = -Infinity
  #first = true
  readonly #onFirst = new Set<() => void>()

  /** `everywhere` are the tables whose writes wait for all servers. */
  constructor(connection: BusConnection, view: PeersView, everywhere: readonly Table[] = []) {
    this.#connection = connection
    this.#view = view
    this.#everywhere = new Set(everywhere.map(tableKey))
    const { nats } = connection
    const subscriptions = [
      nats.subscribe(announcing, { callback: (e, m) => e ?? this.#heard(m) }),
      nats.subscribe(asking, { callback: (e, m) => e ?? this.#asked(m) }),
    ]
    const timer = setInterval(() => this.#tick(), announceMs)
    timer.unref()
    const stopListening = connection.onChange(connected => connected && this.#announce())
    this.#stop = [stopListening, () => clearInterval(timer), ...subscriptions.map(s => () => s.unsubscribe())]
    this.#announce()
  }

  /** Whether every write that waited for this server's cache is in it. */
  get current(): boolean {
    return this.#caughtUp && performance.now() - this.#lastBack < currentMs
  }

  /** Resolves when a write may be acknowledged; undefined when that is now. */
  wrote(table: Table, version: number): Promise<void> | undefined {
    return this.#everywhere.size > 0 && this.#everywhere.has(tableKey(table)) ? this.reached(version) : undefined
  }

  /** Whether this is the first of the servers that are there. Two may think so while they do not know each other. */
  get first(): boolean {
    return this.#first
  }

  /** Calls `listener` when this server becomes the first. Returns how to stop. */
  onFirst(listener: () => void): () => void {
    this.#onFirst.add(listener)
    return () => this.#onFirst.delete(listener)
  }

  /** Resolves when all other servers that are there have applied `version`. */
  async reached(version: number): Promise<void> {
    const behind = (): boolean => {
      const now = performance.now()
      for (const peer of this.#others.values()) if (peer.version < version && now - peer.heard < goneMs) return true
      return false
    }
    if (!behind()) return
    this.#connection.publish(asking, JSON.stringify({ version }))
    await new Promise<void>(resolve => {
      const check = (): void => {
        if (behind()) return
        this.#waiting.delete(check)
        resolve()
      }
      this.#waiting.add(check)
      check()
    })
  }

  /** Resolves when others know, or when that takes too long. */
  async close(): Promise<void> {
    for (const stop of this.#stop) stop()
    this.#onFirst.clear()
    this.#caughtUp = false
    this.#others.clear()
    this.#check()
    if (!this.#connection.connected) return
    this.#publish(-1)
    const late = new AbortController()
    const goodbye = this.#connection.flush().catch(() => {})
    await Promise.race([goodbye, sleep(goodbyeMs, late.signal)])
    late.abort()
  }

  #publish(version: number): void {
    const message: Announcement = { id: this.#id, version, sent: performance.now() }
    this.#connection.publish(announcing, JSON.stringify(message))
  }

  #announce(): void {
    // Others may have given this server up.
    if (!this.current) this.#caughtUp = false
    if (this.#view.healthy) this.#publish(this.#view.version)
  }

  #tick(): void {
    const now = performance.now()
    for (const [id, peer] of this.#others) if (now - peer.heard >= goneMs) this.#others.delete(id)
    this.#announce()
    this.#check()
  }

  #check(): void {
    for (const check of [...this.#waiting]) check()
    const first = [...this.#others.keys()].every(id => this.#id < id)
    if (first === this.#first) return
    this.#first = first
    if (first) for (const listener of [...this.#onFirst]) listener()
  }

  #heard(m: Msg): void {
    const said = read<Announcement>(m)
    if (typeof said?.id !== 'string' || typeof said.version !== 'number') return
    if (said.id === this.#id) return this.#cameBack(said.sent ?? -Infinity)
    if (said.version < 0) this.#others.delete(said.id)
    else this.#others.set(said.id, { version: said.version, heard: performance.now() })
    this.#check()
  }

  /** From now on others wait for this server; what they did not wait for is in the store by now. */
  #cameBack(sent: number): void {
    this.#lastBack = Math.max(this.#lastBack, sent)
    if (this.#caughtUp || this.#catchingUp) return
    this.#catchingUp = true
    this.#view
      .fresh()
      .then(
        () => (this.#caughtUp = true),
        () => {},
      )
      .finally(() => (this.#catchingUp = false))
  }

  #asked(m: Msg): void {
    const asked = read<{ version: number }>(m)
    if (typeof asked?.version !== 'number') return
    this.#view.reached(asked.version, goneMs).then(
      () => this.#announce(),
      () => {},
    )
  }
}

function read<T>(m: Msg): Partial<T> | undefined {
  try {
    return m.json<Partial<T>>()
  } catch {
    return undefined
  }
}

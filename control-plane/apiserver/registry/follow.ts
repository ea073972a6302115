/**
 * Follows the stream from a sequence on: an ephemeral pull consumer that is made anew at the next sequence whenever there is doubt
 * (silence, reconnection, a number missing among those delivered). A pull consumer is back one second after a crash of the server, a push
 * consumer after 13.
 */
import { createInbox, nanos, nuid, type Msg, type MsgHdrs, type Subscription } from 'nats'
import type { BusConnection } from '#shared/bus/connection.ts'
import { inboxPrefix } from '#shared/bus/subjects.ts'
import type { Logger } from '#shared/component/log.ts'
import { jetStreamApi, streamName } from './stream.ts'

export interface StreamMessage {
  seq: number
  subject: string
  data: Uint8Array
  headers: MsgHdrs | undefined
  /** When the server stored it, ms since 1970. */
  time: number
  /** How many more are in the stream after it. */
  pending: number
  /** The first one of a new consumer. */
  first: boolean
  /** Set by who decrypts: why `data` cannot be read, or that it would be written otherwise now. */
  unreadable?: string
  stale?: boolean
}

export interface Following {
  /** Delivers again from a sequence on, by a new consumer. */
  restart(from: number): void
  stop(): void
  /** How long the stream has given no sign of life, ms; it does twice a second. */
  silentMs(): number
}

const batch = 2000
const heartbeatMs = 500
const silenceMs = 2500

/**
 * Hands over messages in order, all that came at once together. Gaps in sequences are passed on: only the receiver knows which are right.
 * `idle` is called now and then while there are no more. With `prepare` messages wait until it has resolved (they are synced to disk, and
 * decrypted in place); one that is under way is followed by one for all that came meanwhile.
 */
export function followStream(
  connection: BusConnection,
  log: Logger,
  from: number,
  receive: (messages: StreamMessage[]) => void,
  idle: () => void,
  prepare?: (messages: readonly StreamMessage[]) => Promise<void>,
): Following {
  const { nats } = connection
  let next = from
  let stopped = false
  let subscription: Subscription | undefined
  let consumer = ''
  let inbox = ''
  let outstanding = 0
  let delivered = 0
  let heard = performance.now()
  let opening = false
  let attempt = 0
  let checked = 0
  let backOff = 0
  /** Moves when what was read and not handed over is to be forgotten. */
  let generation = 0
  let again: NodeJS.Timeout | undefined
  let collected: StreamMessage[] = []
  /** Messages that are not prepared yet. */
  let unprepared: StreamMessage[] = []
  let preparing = false

  const flush = () => {
    const messages = collected
    collected = []
    if (stopped || messages.length === 0) return
    if (!prepare) return receive(messages)
    unprepared.push(...messages)
    if (!preparing) void prepareAll(prepare)
  }
  const prepareAll = async (prepare: (messages: readonly StreamMessage[]) => Promise<void>) => {
    preparing = true
    while (unprepared.length > 0 && !stopped) {
      const messages = unprepared
      unprepared = []
      const mine = generation
      await prepare(messages)
      if (!stopped && mine === generation) receive(messages)
    }
    preparing = false
  }
  const pull = () => {
    if (outstanding > batch / 2) return
    const count = batch - outstanding
    outstanding += count
    nats.publish(
      `$JS.API.CONSUMER.MSG.NEXT.${streamName}.${consumer}`,
      JSON.stringify({ batch: count, expires: nanos(30_000), idle_heartbeat: nanos(heartbeatMs) }),
      { reply: inbox },
    )
  }
  const onMessage = (mine: string, m: Msg) => {
    if (stopped || mine !== inbox) return
    heard = performance.now()
    if (m.subject === inbox) return onStatus(m.headers)
    const info = parseReply(m.reply)
    if (!info || info.delivered !== delivered + 1) return reopen('a message is missing')
    delivered = info.delivered
    next = info.seq + 1
    if (collected.length === 0) queueMicrotask(flush)
    collected.push({
      seq: info.seq,
      subject: m.subject,
      data: m.data,
      headers: m.headers,
      time: info.time,
      pending: info.pending,
      first: info.delivered === 1,
    })
    outstanding--
    pull()
  }
  const onStatus = (h: MsgHdrs | undefined) => {
    if (h?.code === 100) {
      // A heartbeat may be read in one piece with the messages before it.
      flush()
      // The consumer believes to be further than what it delivered. Once per place: the end of the stream may have been purged.
      if (Number(h.get('Nats-Last-Stream') || 0) < next || checked === next) return preparing ? undefined : idle()
      checked = next
      return reopen('messages may have been skipped')
    }
    const left = Number(h?.get('Nats-Pending-Messages') || 0)
    // 408 is a pull that expired, 409 without a rest a consumer that is gone, 503 no JetStream.
    if (h?.code !== 408 && left === 0) return reopen(`${h?.code} ${h?.description}`)
    outstanding = Math.max(0, outstanding - left)
    pull()
  }
  const reopen = (why: string, force = false) => {
    if (stopped || (opening && !force)) return
    log.info({ from: next, why }, 'following the stream anew')
    void open()
  }
  const open = async () => {
    opening = true
    const mine = ++attempt
    clearTimeout(again)
    subscription?.unsubscribe()
    // What the former consumer delivered and was not yet handed over stays: `next` is behind it.
    const name = `watch-cache-${nuid.next()}`
    const box = createInbox(inboxPrefix(connection.identity))
    inbox = box
    try {
      subscription = nats.subscribe(box, { callback: (e, m) => (e ? reopen(e.message) : onMessage(box, m)) })
      const config = {
        name,
        deliver_policy: 'by_start_sequence',
        opt_start_seq: next,
        ack_policy: 'none',
        max_deliver: 1,
        replay_policy: 'instant',
        inactive_threshold: nanos(60_000),
        mem_storage: true,
        num_replicas: 1,
      }
      await jetStreamApi(nats, `CONSUMER.CREATE.${streamName}.${name}`, { stream_name: streamName, config }, 2000)
      if (mine !== attempt) return
      const former = consumer
      consumer = name
      outstanding = 0
      delivered = 0
      heard = performance.now()
      opening = false
      backOff = 0
      if (stopped) return stop()
      pull()
      if (former) jetStreamApi(nats, `CONSUMER.DELETE.${streamName}.${former}`).catch(() => {})
    } catch (e) {
      if (mine !== attempt) return
      opening = false
      if (stopped || nats.isClosed()) return
      log.warn({ error: (e as Error).message }, 'cannot follow the stream; trying again')
      backOff = Math.min(2_000, 100 + backOff * 1.5)
      again = setTimeout(() => void open(), backOff * (0.5 + Math.random() / 2))
    }
  }
  // A silence is believed only after the event loop had a turn to read what may be waiting.
  const watchdog = setInterval(() => {
    const silent = () => !opening && connection.connected && performance.now() - heard > silenceMs
    if (silent()) setTimeout(() => silent() && reopen('the server is silent'), 50)
  }, 500)
  watchdog.unref()
  const stopListening = connection.onChange(connected => connected && reopen('connected again', true))
  const stop = () => {
    stopped = true
    clearInterval(watchdog)
    clearTimeout(again)
    stopListening()
    subscription?.unsubscribe()
    if (consumer && !nats.isClosed()) jetStreamApi(nats, `CONSUMER.DELETE.${streamName}.${consumer}`).catch(() => {})
  }
  void open()
  const restart = (at: number) => {
    next = at
    collected = []
    unprepared = []
    generation++
    reopen('messages were skipped', true)
  }
  return { stop, restart, silentMs: () => performance.now() - heard }
}

/**
 * `$JS.ACK.<stream>.<consumer>.<tries>.<stream seq>.<consumer seq>.<ns>.<pending>`, with domain and account before the stream on some
 * servers.
 */
function parseReply(reply: string | undefined): { seq: number; delivered: number; time: number; pending: number } | undefined {
  const t = reply?.split('.') ?? []
  const at = t.length === 9 ? 2 : 4
  if (t.length < 9 || t[0] !== '$JS') return undefined
  return { seq: Number(t[at + 3]), delivered: Number(t[at + 4]), time: Number(t[at + 5]) / 1e6, pending: Number(t[at + 6]) }
}

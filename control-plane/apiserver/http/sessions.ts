/**
 * HTTP/2 sessions: those that ask nothing for long are closed, and those that send much which is no request are cut off. nghttp2 bounds
 * some floods by itself (settings, pings, resets); empty DATA, WINDOW_UPDATE and PRIORITY frames cost bytes only, so bytes are what counts.
 */
import { constants, type Http2SecureServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { Logger } from '#shared/component/log.ts'

const sweepMs = 1_000
/** What a session may send in a second beside its requests: pings, settings, priorities, bytes. */
const controlBytes = 256 * 1024
/** What a new stream may bring along: its head, and a body that nobody reads, as far as the window of a stream lets it. */
const streamBytes = 320 * 1024
/** Acknowledgements of what we send: two WINDOW_UPDATE frames for each DATA frame of 16 KB are a six-hundredth. */
const updates = 1 / 20
/** Heads of DATA frames. */
const framing = 9 / 8

interface Usage {
  open: number
  /** Since the last sweep: streams, and bytes of bodies that were read. */
  opened: number
  bodies: number
  read: number
  written: number
  busy: number
}

const sessions = new WeakMap<object, Usage>()

/** Bytes of a body that somebody wanted: they are no flood. */
export function bodyRead(stream: ServerHttp2Stream, bytes: number): void {
  const usage = stream.session && sessions.get(stream.session)
  if (usage) usage.bodies += bytes
}

/** Watches a server's sessions; returns how to stop. */
export function guardSessions(server: Http2SecureServer, { idleMs, log }: { idleMs: number; log: Logger }): () => void {
  const all = new Map<ServerHttp2Session, Usage>()
  server.on('session', session => {
    const usage: Usage = { open: 0, opened: 0, bodies: 0, read: 0, written: 0, busy: performance.now() }
    all.set(session, usage)
    sessions.set(session, usage)
    session.once('close', () => all.delete(session))
    session.on('stream', stream => {
      usage.open++
      usage.opened++
      stream.once('close', () => {
        usage.open--
        usage.busy = performance.now()
      })
    })
  })
  let last = performance.now()
  const sweep = (): void => {
    const now = performance.now()
    const seconds = (now - last) / 1000
    last = now
    for (const [session, usage] of all) {
      if (session.destroyed) continue
      const { bytesRead, bytesWritten } = session.socket
      const received = bytesRead - usage.read
      const sent = bytesWritten - usage.written
      const allowed = controlBytes * Math.max(1, seconds) + streamBytes * usage.opened + usage.bodies * framing + sent * updates
      usage.read = bytesRead
      usage.written = bytesWritten
      usage.opened = 0
      usage.bodies = 0
      if (received > allowed) {
        log.info({ received, allowed: Math.round(allowed), streams: usage.open }, 'an HTTP/2 session sends too much that is no request')
        session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM)
      } else if (usage.open === 0 && now - usage.busy > idleMs) session.close()
    }
  }
  const timer = setInterval(sweep, sweepMs)
  timer.unref()
  return () => clearInterval(timer)
}

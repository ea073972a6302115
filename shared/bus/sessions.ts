/**
 * Sessions over NATS: see session.ts for what they are. The opener publishes to a subject, the acceptor answers with where it listens; from
 * then on both send frames, see bussession.ts.
 *
 * A node may publish below `api.<its identity>.` only, so that is where an opener listens for it, and it is answered at an inbox of its
 * own: anything else that a peer names is refused.
 */
import { createInbox, nuid, type Msg } from 'nats'
import { logger, type Logger } from '../component/log.ts'
import type { BusConnection } from './connection.ts'
import { garbageLog } from './garbage.ts'
import { BusSession } from './bussession.ts'
import type { Session } from './session.ts'
import { apiSubject, inboxPrefix, isBelow } from './subjects.ts'

interface OpenMessage {
  session: string
  open: unknown
}

/**
 * Asks the node of `subject` (as `nodeSubject` makes it) for a session. Rejects when nobody serves it, when it is not accepted within
 * `timeoutMs` (default 10 s), or on `signal`.
 */
export async function openSession(
  connection: BusConnection,
  subject: string,
  open: unknown,
  options: { timeoutMs?: number; signal?: AbortSignal } = {},
): Promise<Session> {
  const { timeoutMs = 10_000, signal } = options
  signal?.throwIfAborted()
  if (!connection.connected) throw new Error('there is no connection to NATS')
  const id = nuid.next()
  const node = /^node\.([^.]+)\.\w+$/.exec(subject)?.[1]
  if (!node) throw new Error(`${subject} is not a subject of a node`)
  const accepted = Promise.withResolvers<void>()
  const session = new BusSession(connection, `api.${node}.session.${id}`, open, {
    inboxes: `_INBOX.${node}`,
    settled: error => (error ? accepted.reject(error) : accepted.resolve()),
  })
  const timer = setTimeout(() => accepted.reject(new Error(`no answer from ${subject} in ${timeoutMs} ms`)), timeoutMs)
  const abort = () => accepted.reject(signal?.reason)
  signal?.addEventListener('abort', abort)
  try {
    const message: OpenMessage = { session: id, open }
    connection.publish(subject, JSON.stringify(message), { reply: session.inbox }, accepted.reject)
    await accepted.promise
    return session
  } catch (e) {
    session.close((e as Error).message)
    throw e
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
  }
}

export interface SessionService {
  /** Closes all sessions and takes no more. */
  close(): void
}

/** Serves sessions on a subject. A session is closed when its handler is through; when the handler throws, with the error's message. */
export function serveSessions(
  connection: BusConnection,
  subject: string,
  handler: (session: Session) => Promise<void>,
  log: Logger = logger('bus'),
): SessionService {
  const sessions = new Set<BusSession>()
  const garbage = garbageLog(log, 'a message on the bus was dropped')
  const replies = `${apiSubject(connection.identity)}.session`
  const accept = (m: Msg) => {
    const message = readOpen(m)
    if (!message || !m.reply || !isBelow(replies, m.reply)) return garbage(m, 'it opens no session')
    const session = new BusSession(connection, createInbox(inboxPrefix(connection.identity)), message.open)
    sessions.add(session)
    session.accept(m.reply)
    Promise.resolve()
      .then(() => handler(session))
      .then(
        () => session.close(),
        (e: Error) => {
          if (!session.signal.aborted) log.warn({ subject, error: e.message }, 'a session failed')
          session.close(e.message)
        },
      )
      .finally(() => sessions.delete(session))
  }
  const subscription = connection.nats.subscribe(subject, {
    callback: (e, m) => {
      if (!e) accept(m)
    },
  })
  return {
    close() {
      subscription.unsubscribe()
      for (const session of sessions) session.close('the server is shutting down')
    },
  }
}

function readOpen(m: Msg): OpenMessage | undefined {
  try {
    const message = JSON.parse(Buffer.from(m.data).toString()) as Partial<OpenMessage> | null
    return typeof message?.session === 'string' && 'open' in message ? (message as OpenMessage) : undefined
  } catch {
    return undefined
  }
}

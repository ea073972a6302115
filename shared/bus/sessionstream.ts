/** A session as one connection: the opener writes on channel 0 and reads channel 1, the acceptor the other way round. */
import { Duplex } from 'node:stream'
import { Channel, type Session } from './session.ts'

/**
 * The connection. Each direction ends for itself. When the other side ends before it has sent a byte, `failure` is asked why; a text
 * destroys the connection with it.
 */
export function sessionStream(
  session: Session,
  side: 'opener' | 'acceptor',
  failure: () => Promise<string | undefined> = () => Promise.resolve(undefined),
): Duplex {
  const [reads, writes] = side === 'opener' ? [Channel.stdout, Channel.stdin] : [Channel.stdin, Channel.stdout]
  const incoming = session.read(reads)[Symbol.asyncIterator]()
  let received = false
  const pull = async (): Promise<void> => {
    const piece = await incoming.next()
    if (!piece.done) {
      received = true
      stream.push(piece.value)
      return
    }
    const why = received ? undefined : await failure()
    if (why !== undefined) return void stream.destroy(new Error(why))
    stream.push(null)
    // Everything was received, and nothing more can be sent.
    if (session.signal.aborted) stream.end()
    else session.signal.addEventListener('abort', () => stream.end(), { once: true })
  }
  const stream = new Duplex({
    allowHalfOpen: true,
    read() {
      pull().catch((e: Error) => stream.destroy(e))
    },
    write(chunk: Buffer, _encoding, done) {
      // What cannot be sent any more is no reason to lose what was received.
      session.send(writes, chunk).then(
        () => done(),
        () => done(),
      )
    },
    final(done) {
      session.end(writes)
      done()
    },
    destroy(error, done) {
      // An acceptor ends its session when its handler is through.
      if (side === 'opener' || error) session.close(error?.message)
      done(error)
    },
  })
  stream.on('error', () => {})
  return stream
}

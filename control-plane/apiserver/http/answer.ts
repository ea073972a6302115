/** Answers on their way to an HTTP client: with back-pressure, and given up when the client does not read. */
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { constants, type ServerHttp2Stream } from 'node:http2'
import type { Writable } from 'node:stream'
import type { Answer } from '../chain/response.ts'

/** A client that does not read for this long is gone. */
const stalledMs = 60_000
/** A larger answer is written in pieces of this size, so that no more of it waits within node. */
const pieceBytes = 256 * 1024

type Headers = Record<string, string | readonly string[]>

/** Where an answer goes: the body to `body`, after its head. */
export interface Outgoing {
  readonly body: Writable
  /** `streamed` answers show their head before they have a body. */
  head(code: number, headers: Headers, streamed: boolean): void
}

export const ofHttp1 = (res: ServerResponse): Outgoing => ({
  body: res,
  head(code, headers, streamed) {
    res.writeHead(code, headers as OutgoingHttpHeaders)
    if (streamed) res.flushHeaders()
  },
})

export const ofHttp2 = (stream: ServerHttp2Stream): Outgoing => ({
  body: stream,
  head(code, { connection: _connection, ...headers }) {
    stream.respond({ ':status': code, ...headers } as OutgoingHttpHeaders)
    // What is left of a body that was refused is not waited for.
    if (!stream.endAfterHeaders) stream.once('finish', () => stream.readableEnded || stream.close(constants.NGHTTP2_NO_ERROR))
  },
})

/** Resolves when the client has all of it, or is gone. Rejects when the head or a piece cannot be had. */
export async function send({ body: out, head }: Outgoing, { code, headers: single, cookies, body }: Answer): Promise<void> {
  const headers: Headers = cookies ? { ...single, 'set-cookie': cookies } : single
  if (body instanceof Uint8Array) {
    if (out.destroyed) return
    headers['content-length'] ??= String(body.length)
    head(code, headers, false)
    // The answer to HEAD ends with its head.
    if (out.writableEnded) return
    if (body.length <= pieceBytes) return void out.end(body)
    return pump(out, pieces(body))
  }
  const iterator = body[Symbol.asyncIterator]()
  if (out.destroyed) return void (await iterator.return?.())
  try {
    head(code, headers, true)
  } catch (e) {
    await iterator.return?.()
    throw e
  }
  // An iterator that waits for an event that never comes must hear that its reader is gone.
  out.once('close', () => void iterator.return?.()?.then(undefined, () => {}))
  return pump(out, iterator)
}

/** Writes until there is no more, or the client is gone. */
export async function pump(out: Writable, from: AsyncIterator<Uint8Array> | Iterator<Uint8Array>): Promise<void> {
  for (;;) {
    const piece = await from.next()
    if (piece.done || out.destroyed) break
    if (!out.write(piece.value) && !(await drained(out))) {
      out.destroy()
      await from.return?.()
      return
    }
  }
  if (!out.destroyed) out.end()
}

function* pieces(body: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < body.length; at += pieceBytes) yield body.subarray(at, at + pieceBytes)
}

/** Waits until the client reads again; false when it is gone or does not. */
async function drained(out: Writable): Promise<boolean> {
  if (out.destroyed || out.writableEnded) return false
  return new Promise(resolve => {
    const done = (ok: boolean) => () => {
      clearTimeout(timer)
      out.off('drain', onDrain)
      out.off('close', onClose)
      resolve(ok)
    }
    const onDrain = done(true)
    const onClose = done(false)
    const timer = setTimeout(done(false), stalledMs)
    out.on('drain', onDrain)
    out.on('close', onClose)
  })
}

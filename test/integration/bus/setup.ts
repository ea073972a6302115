/** What the bus's tests share. */
import { Writable } from 'node:stream'
import { pino } from 'pino'
import type { ApiRequest, ApiResponse, Transport } from '#shared/bus/transport.ts'

/** A logger whose lines can be looked at. */
export function recordedLog() {
  const lines: Record<string, unknown>[] = []
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(JSON.parse(chunk.toString()) as Record<string, unknown>)
      done()
    },
  })
  return { log: pino({ base: null }, sink), lines }
}

export const get = (
  transport: Transport,
  path: string,
  more: {
    query?: string
    headers?: Record<string, string>
    body?: Uint8Array
    method?: string
    signal?: AbortSignal
    timeoutMs?: number
  } = {},
): Promise<ApiResponse> => {
  const { query = '', headers = {}, body = new Uint8Array(), method = 'GET', signal, timeoutMs = 10_000 } = more
  return transport.request({ method, path, query: new URLSearchParams(query), headers, body, timeoutMs, ...(signal ? { signal } : {}) })
}

export const bytes = async (body: ApiResponse['body']): Promise<Buffer> => {
  if (body instanceof Uint8Array) return Buffer.from(body)
  const pieces: Uint8Array[] = []
  for await (const piece of body) pieces.push(piece)
  return Buffer.concat(pieces)
}
export const json = async (response: ApiResponse): Promise<unknown> => JSON.parse((await bytes(response.body)).toString())

/** An answer that goes on until the client goes; `state` tells what became of it. */
export function endless(
  request: ApiRequest,
  state: { sent: number; over: boolean },
  piece: Uint8Array = Buffer.from('event\n'),
  everyMs = 2,
): ApiResponse {
  const body = async function* () {
    try {
      while (!request.signal.aborted) {
        yield piece
        state.sent += piece.length
        if (everyMs > 0) await new Promise(resolve => setTimeout(resolve, everyMs))
      }
    } finally {
      state.over = true
    }
  }
  return { code: 200, headers: { 'content-type': 'application/json' }, body: body() }
}

export async function until(condition: () => boolean | Promise<boolean>, what: string, timeoutMs = 20_000): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited too long: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

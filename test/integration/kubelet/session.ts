/** A session whose other side is the test. */
import { Buffer } from 'node:buffer'
import { Channel, type Session } from '#shared/bus/session.ts'
import type { Status } from '#shared/machinery/status.ts'

export interface TestSession extends Session {
  /** What arrived on a channel so far. */
  received(channel: number): string
}

export function testSession(open: unknown, stdin: readonly string[] = []): TestSession {
  const received = new Map<number, Buffer[]>()
  const abort = new AbortController()
  return {
    open,
    signal: abort.signal,
    async send(channel, data) {
      received.set(channel, [...(received.get(channel) ?? []), Buffer.from(data)])
    },
    end() {},
    async *read(channel) {
      if (channel === Channel.stdin) for (const text of stdin) yield Buffer.from(text)
    },
    close: () => abort.abort(),
    received: channel => Buffer.concat(received.get(channel) ?? []).toString(),
  }
}

export const statusOf = (s: Status) => [s.status, s.reason ?? '', s.details?.causes?.[0]?.message ?? s.message ?? '']

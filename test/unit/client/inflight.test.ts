import { expect, test, vi } from 'vitest'
import type { ApiResponse, Transport } from '#shared/bus/transport.ts'
import { boundedWrites } from '#shared/client/inflight.ts'

/** A transport whose answers are given by hand. */
function held(): { transport: Transport; sent: string[]; answer: (path: string) => void } {
  const sent: string[] = []
  const waiting = new Map<string, (response: ApiResponse) => void>()
  return {
    sent,
    answer: path => waiting.get(path)!({ code: 200, headers: {}, body: new Uint8Array() }),
    transport: {
      request({ path }) {
        sent.push(path)
        return new Promise(resolve => waiting.set(path, resolve))
      },
      close: async () => {},
    },
  }
}
const request = (method: string, path: string, more: object = {}) => ({
  method,
  path,
  query: new URLSearchParams(),
  headers: {},
  body: new Uint8Array(),
  ...more,
})

test('writes beyond the bound wait in order; reads do not wait', async () => {
  const { transport, sent, answer } = held()
  const bounded = boundedWrites(transport, 2)
  for (const path of ['a', 'b', 'c', 'd']) void bounded.request(request('POST', path))
  void bounded.request(request('GET', 'read'))
  expect(sent).toEqual(['a', 'b', 'read'])
  answer('b')
  await vi.waitFor(() => expect(sent).toEqual(['a', 'b', 'read', 'c']))
  answer('a')
  answer('c')
  await vi.waitFor(() => expect(sent.at(-1)).toBe('d'))
})

test('a write that waits too long, or is not wanted any more, is not sent and takes no turn', async () => {
  const { transport, sent, answer } = held()
  const bounded = boundedWrites(transport, 1)
  void bounded.request(request('POST', 'a'))
  const stop = new AbortController()
  const late = bounded.request(request('POST', 'late', { timeoutMs: 1 }))
  const unwanted = bounded.request(request('POST', 'unwanted', { signal: stop.signal }))
  void bounded.request(request('POST', 'b'))
  await expect(late).rejects.toMatchObject({ code: 429 })
  stop.abort(new Error('not wanted'))
  await expect(unwanted).rejects.toThrow('not wanted')
  answer('a')
  await vi.waitFor(() => expect(sent).toEqual(['a', 'b']))
})

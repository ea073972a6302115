/** Filling the cache from a stream whose server tells wrong counts. */
import { expect, test } from 'vitest'
import { fill, type Source } from '#control-plane/apiserver/registry/filling.ts'
import type { StreamMessage } from '#control-plane/apiserver/registry/follow.ts'

const message = (seq: number, pending: number): StreamMessage => ({
  seq,
  pending,
  subject: `registry.x.y.z.n${seq}`,
  data: new Uint8Array([1]),
  headers: undefined,
  time: 0,
  first: false,
})
const turn = () => new Promise(resolve => setImmediate(resolve))

/** A stream that holds `held`, up to `last`; the test delivers. */
function scripted(held: readonly number[], last: number) {
  const calls = { receive: (_: StreamMessage[]) => {}, idle: () => {}, restarted: [] as number[], stopped: 0 }
  const source: Source = {
    state: async () => ({ messages: held.length, first_seq: held[0] ?? 0, last_seq: last }),
    nextSequence: async from => held.find(seq => seq >= from),
    follow(_from, receive, idle) {
      Object.assign(calls, { receive, idle })
      return { restart: from => void calls.restarted.push(from), stop: () => void calls.stopped++, silentMs: () => 0 }
    },
  }
  const seen = { applied: [] as number[], live: [] as number[], filled: [] as number[] }
  const filler = {
    begins: () => {},
    apply: (m: StreamMessage) => void seen.applied.push(m.seq),
    filled: (version: number) => void seen.filled.push(version),
    live: (messages: StreamMessage[]) => void seen.live.push(...messages.map(m => m.seq)),
    closed: false,
  }
  return { calls, seen, filled: fill(source, filler, 5000) }
}

test('a count of nothing pending is not believed while the stream holds more', async () => {
  const { calls, seen, filled } = scripted([1, 2, 5], 6)
  await turn()
  calls.receive([message(1, 2)])
  calls.receive([message(2, 0)])
  await turn()
  expect(seen.filled).toEqual([])
  expect(calls.restarted).toEqual([3])
  calls.receive([message(5, 0)])
  await filled
  // 6 was compacted: nothing is missing up to it.
  expect(seen).toEqual({ applied: [1, 2, 5], live: [], filled: [6] })
  calls.receive([message(7, 0)])
  expect(seen.live).toEqual([7])
})

test('a heartbeat that comes too early is asked about', async () => {
  const { calls, seen, filled } = scripted([3], 3)
  await turn()
  calls.idle()
  await turn()
  expect([seen.filled, calls.restarted]).toEqual([[], [1]])
  calls.receive([message(3, 5), message(4, 4)])
  await filled
  expect(seen).toEqual({ applied: [3], live: [4], filled: [3] })
})

test('what came since filling began is not waited for', async () => {
  const { calls, seen, filled } = scripted([1, 9], 5)
  await turn()
  calls.receive([message(1, 0)])
  await filled
  expect(seen.filled).toEqual([8])
  calls.receive([message(9, 0)])
  expect(seen.live).toEqual([9])
})

test('an empty stream is filled at once, at its last sequence', async () => {
  const { seen, filled } = scripted([], 12)
  await filled
  expect(seen.filled).toEqual([12])
})

/** Following the stream when the reader is slow: its order is that of the server. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { followStream } from '#control-plane/apiserver/registry/follow.ts'
import { createStream } from '#control-plane/apiserver/registry/stream.ts'
import { startNats, type NatsFixture } from '../../fixtures/nats.ts'
import { silent } from './setup.ts'

let nats: NatsFixture
beforeAll(async () => {
  nats = await startNats()
})
afterAll(() => nats?.stop())

test('a reader that lags behind is never told that nothing is left while it has not got the last messages', async () => {
  const connection = await nats.connect('registry')
  await createStream(connection.nats, 1)
  const count = 60
  for (let i = 0; i < count; i++) await connection.nats.request(`registry.core.x.y.n${i}`, 'x'.repeat(1000), { timeout: 5000 })
  const idleAt: number[] = []
  let last = 0
  await new Promise<void>(resolve => {
    const following = followStream(
      connection,
      silent,
      1,
      messages => {
        // Busy for longer than it takes the server to say that it is idle: that is then read together with the last messages.
        if (last === 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500)
        last = messages.at(-1)!.seq
      },
      () => {
        idleAt.push(last)
        if (last < count) return
        following.stop()
        resolve()
      },
    )
  })
  expect(new Set(idleAt)).toEqual(new Set([count]))
})

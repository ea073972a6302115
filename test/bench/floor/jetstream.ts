/**
 * The floor of durable writes: compare-and-swap publishes to a stream like the registry's, on the same nats-server version with the same
 * durability.
 */
import { headers } from 'nats'
import { createStream } from '#control-plane/apiserver/registry/stream.ts'
import { startNats } from '../../fixtures/nats.ts'
import { ratePerSecond } from '../statistics.ts'

/** Publishes per second, of messages of that many bytes. */
export async function publishRate(seconds: number, width: number, bytes: number): Promise<number> {
  const server = await startNats(process.env['NATS_SERVER'] ? { binary: process.env['NATS_SERVER'] } : {})
  try {
    const { nats } = await server.connect('registry')
    await createStream(nats, 1)
    const payload = Buffer.alloc(bytes, 'x')
    return await ratePerSecond(seconds, width, async i => {
      const h = headers()
      h.set('Nats-Expected-Last-Subject-Sequence', '0')
      const answer = (await nats.request(`registry.core.pods.bench.pod-${i}`, payload, { headers: h, timeout: 10_000 })).json<{
        error?: { description: string }
      }>()
      if (answer.error) throw new Error(answer.error.description)
    })
  } finally {
    await server.stop()
  }
}

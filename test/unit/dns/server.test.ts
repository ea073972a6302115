/** The TCP side of cluster DNS, towards clients of every kind. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, expect, test } from 'vitest'
import { serveDns } from '#node-agent/dns/server.ts'
import { freePort } from '../../fixtures/free-port.ts'

const over = new AbortController()
afterAll(() => over.abort())

/** A query of one byte, with its length. */
const query = Buffer.from([0, 1, 7])

test('a client that asks without end and reads nothing is not answered without end; who reads has all answers', async () => {
  const port = await freePort()
  let asked = 0
  const large = Buffer.alloc(60_000)
  await serveDns('127.0.0.1', port, () => (asked++, large), () => {}, over.signal) // prettier-ignore
  const deaf = connect(port, '127.0.0.1').on('error', () => {})
  await once(deaf, 'connect')
  deaf.pause()
  deaf.write(Buffer.concat(Array<Buffer>(5_000).fill(query)))
  await expect.poll(() => asked).toBeGreaterThan(0)

  const reader = connect(port, '127.0.0.1')
  let read = 0
  reader.on('data', (data: Buffer) => (read += data.length))
  reader.write(Buffer.concat(Array<Buffer>(200).fill(query)))
  await expect.poll(() => read).toBe(200 * (large.length + 2))
  // Some megabytes fit into the kernel.
  expect(asked - 200).toBeLessThan(1_000)
  reader.destroy()
  deaf.destroy()
})

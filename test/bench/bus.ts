/**
 * Creates, gets and lists per second over NATS, as the components ask: our transport, 16 requests in flight. Answers are received whole and
 * not parsed.
 */
import path from 'node:path'
import { natsTransport } from '#shared/bus/api-client.ts'
import { connectBus } from '#shared/bus/connection.ts'
import type { Transport } from '#shared/bus/transport.ts'
import { pods } from '#shared/api/kinds.ts'
import { openBusFloor } from './floor/bus.ts'
import { publishRate } from './floor/jetstream.ts'
import type { Measurement, Row } from './measurement.ts'
import { stored } from './pods.ts'
import { inFlight, ratePerSecond } from './statistics.ts'

const width = 16

/** One request; resolves with the size of the answer, rejects when it is a failure. */
async function ask(transport: Transport, method: string, at: string, body: string = ''): Promise<number> {
  const headers = { accept: 'application/json', ...(body === '' ? {} : { 'content-type': 'application/json' }) }
  const response = await transport.request({ method, path: at, query: new URLSearchParams(), headers, body: Buffer.from(body) })
  let size = 0
  if (response.body instanceof Uint8Array) size = response.body.length
  else for await (const piece of response.body) size += piece.length
  if (response.code >= 400) throw new Error(`${method} ${at}: ${response.code}`)
  return size
}

export const measureBus: Measurement = async bench => {
  const {
    cluster,
    client,
    sizes: { seconds, listed },
  } = bench
  const [namespace, created] = [await bench.namespace(), await bench.namespace()]
  await inFlight(listed, width, i => client.create(pods, namespace, stored(namespace, `pod-${i}`)))
  const connection = await connectBus({
    url: cluster.natsUrl(),
    credsFile: path.join(cluster.dir.creds, 'system:admin.creds'),
    timeoutMs: 10_000,
  })
  bench.afterwards(() => connection.close())
  const transport = natsTransport(connection)
  bench.afterwards(() => transport.close())
  const floor = await openBusFloor()
  bench.afterwards(floor.close)
  const root = (ns: string): string => `/api/v1/namespaces/${ns}/pods`

  const read = async (name: string, at: string): Promise<Row> => {
    const bare = await floor.rate(seconds, width, await ask(transport, 'GET', at))
    return {
      name: `NATS: ${name}`,
      unit: '/s',
      value: await ratePerSecond(seconds, width, () => ask(transport, 'GET', at)),
      floor: bare,
      floorName: 'an empty NATS responder, same answer',
    }
  }
  const get = await read('get pod', `${root(namespace)}/pod-0`)
  const list = await read(`list of ${listed} pods`, root(namespace))
  const published = await publishRate(Math.min(seconds, 3), width, await ask(transport, 'GET', `${root(namespace)}/pod-0`))
  const rate = await ratePerSecond(seconds, width, i => ask(transport, 'POST', root(created), JSON.stringify(stored(created, `pod-${i}`))))
  return [
    { name: 'NATS: create pod', unit: '/s', value: rate, floor: published, floorName: 'JetStream compare-and-swap, 16 in flight' },
    get,
    list,
  ]
}

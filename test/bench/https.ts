/** Creates, gets and lists per second over HTTPS with 16 connections. */
import { pods } from '#shared/api/kinds.ts'
import { openFloorServer } from './floor/https.ts'
import { publishRate } from './floor/jetstream.ts'
import type { Measurement, Row } from './measurement.ts'
import { stored } from './pods.ts'
import { inFlight } from './statistics.ts'
import { administratorToken } from './token.ts'
import { wrk } from './wrk.ts'

const connections = 16

export const measureHttps: Measurement = async bench => {
  const {
    cluster,
    client,
    sizes: { seconds, listed },
    say,
  } = bench
  const [namespace, created] = [await bench.namespace(), await bench.namespace()]
  const authorization = await administratorToken(bench, namespace)
  const floor = await openFloorServer(cluster)
  bench.afterwards(floor.close)
  await inFlight(listed, connections, i => client.create(pods, namespace, stored(namespace, `pod-${i}`)))
  const at = (ns: string, name = ''): string => `/api/v1/namespaces/${ns}/pods${name && `/${name}`}`
  const bytes = async (path: string): Promise<number> => JSON.stringify(await client.raw('GET', path)).length
  const headers = { Authorization: authorization }
  const empty = (size: number, body?: string) =>
    wrk({ url: `${floor.url}/${size}`, connections, seconds, headers, ...(body === undefined ? {} : { body }) })

  /** The same load before it counts: V8 optimizes what runs while it runs. */
  const load: typeof wrk = async what => {
    await wrk({ ...what, seconds: Math.min(seconds, 3), prefix: 'warm-' })
    return wrk(what)
  }

  const read = async (name: string, path: string, target: number): Promise<{ row: Row; p99: number; megabytesPerSecond: number }> => {
    const bare = await empty(await bytes(path))
    const ours = await load({ url: cluster.url() + path, connections, seconds, headers })
    say(
      `${name}: ${ours.perSecond.toFixed(0)}/s, ${ours.megabytesPerSecond.toFixed(1)} MB/s, p50 ${ours.p50.toFixed(2)} ms, p99 ${ours.p99.toFixed(2)} ms`,
    )
    return {
      row: {
        name: `HTTPS: ${name}`,
        unit: '/s',
        value: ours.perSecond,
        floor: bare.perSecond,
        floorName: 'an empty HTTPS handler, same answer',
        target,
      },
      ...ours,
    }
  }
  const get = await read('get pod', at(namespace, 'pod-0'), 10_000)
  const list = await read(`list of ${listed} pods`, at(namespace), 500)

  const pod = JSON.stringify(stored(created, '%NAME%'))
  const emptyPost = await empty(2, pod)
  const ours = await load({ url: cluster.url() + at(created), connections, seconds, headers, body: pod, prefix: 'pod-' })
  const published = await publishRate(Math.min(seconds, 3), connections, await bytes(at(namespace, 'pod-0')))
  say(`create pod: ${ours.perSecond.toFixed(0)}/s, p50 ${ours.p50.toFixed(2)} ms, p99 ${ours.p99.toFixed(2)} ms`)
  const create = {
    name: 'HTTPS: create pod',
    unit: '/s' as const,
    value: ours.perSecond,
    floor: published,
    floorName: 'JetStream compare-and-swap, 16 in flight',
  } satisfies Row
  return [
    { ...create, target: 2500 },
    { ...create, floor: emptyPost.perSecond, floorName: 'an empty HTTPS handler, same request' },
    get.row,
    list.row,
  ]
}

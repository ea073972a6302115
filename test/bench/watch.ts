/** From sending a write to its event at a watcher, with one watcher and with many, each on a connection of its own. */
import { Agent, request } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { openFloorServer } from './floor/https.ts'
import type { Measurement, Row } from './measurement.ts'
import { inFlight, percentile } from './statistics.ts'
import { until } from './until.ts'

export interface Subject {
  url: string
  agent: Agent
  watchPath: string
  /** Where a write with this body is posted. */
  writePath: string
  body(mark: string): string
}

const open = (url: string, agent: Agent, method: string, path: string, body?: string): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    request(new URL(path, url), { method, agent, headers }, resolve).once('error', reject).end(body)
  })

/** Writes one after the other, `gapMs` apart; resolves with the latency of each event at each watcher, ms. */
export async function latencies(
  { url, agent, watchPath, writePath, body }: Subject,
  watchers: number,
  writes: number,
  gapMs: number,
): Promise<number[]> {
  const sent = new Map<string, number>()
  const samples: number[] = []
  const streams: IncomingMessage[] = []
  try {
    await inFlight(watchers, 16, async () => {
      const stream = await open(url, agent, 'GET', watchPath)
      if (stream.statusCode !== 200) throw new Error(`GET ${watchPath}: ${stream.statusCode}`)
      streams.push(stream)
      // An event's mark comes whole: writes are far enough apart.
      stream.on('data', (chunk: Buffer) => {
        const now = performance.now()
        for (const [mark] of chunk.toString('latin1').matchAll(/mark-\d+-mark/g)) {
          const at = sent.get(mark)
          if (at !== undefined) samples.push(now - at)
        }
      })
      stream.on('error', () => {})
    })
    for (let i = 0; i < writes; i++) {
      const mark = `mark-${i}-mark`
      const expected = samples.length + watchers
      const text = body(mark)
      sent.set(mark, performance.now())
      const answer = await open(url, agent, 'POST', writePath, text)
      answer.resume()
      if ((answer.statusCode ?? 0) >= 400) throw new Error(`POST ${writePath}: ${answer.statusCode}`)
      await until(() => samples.length >= expected, `${watchers} watchers have seen a write`, 20_000)
      await delay(gapMs)
      // The first writes warm up what they go through.
      if (i === 4) samples.length = 0
    }
    return samples
  } finally {
    for (const stream of streams) stream.destroy()
  }
}

export const measureWatch: Measurement = async bench => {
  const { cluster, sizes } = bench
  const namespace = await bench.namespace()
  const floor = await openFloorServer(cluster)
  bench.afterwards(floor.close)
  const agent = new Agent({ keepAlive: true, ca: cluster.pem('ca.crt'), cert: cluster.pem('admin.crt'), key: cluster.pem('admin.key') })
  bench.afterwards(() => agent.destroy())
  const path = `/api/v1/namespaces/${namespace}/configmaps`
  // A name that has not been used: each write is an ADDED event.
  let round = 0
  const bodyOf = (mark: string) => JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: `round-${round}-${mark}` } })
  const ours: Subject = { url: cluster.url(), agent, watchPath: `${path}?watch=1`, writePath: path, body: bodyOf }
  const bare: Subject = { url: floor.url, agent, watchPath: '/watch', writePath: '/', body: bodyOf }
  const rows: Row[] = []
  for (const [watchers, target] of [
    [1, 3],
    [sizes.watchers, 15],
  ] as const) {
    round++
    const writes = 5 + sizes.repeat * (watchers === 1 ? 10 : 2)
    const floors = await latencies(bare, watchers, writes, 5)
    const samples = await latencies(ours, watchers, writes, 5)
    for (const p of [0.5, 0.99])
      rows.push({
        name: `watch: write to event, ${watchers} watcher${watchers === 1 ? '' : 's'}, p${p * 100}`,
        unit: 'ms',
        value: percentile(samples, p),
        floor: percentile(floors, p),
        floorName: 'an empty HTTPS handler that passes the body on',
        ...(p === 0.5 ? { target } : {}),
      })
  }
  return rows
}

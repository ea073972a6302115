/**
 * An API server with 50,000 pods and 10,000 Secrets: its start and memory, a list of 10,000, 1,000 watchers of one namespace, server-side
 * apply.
 */
import { randomBytes } from 'node:crypto'
import { Agent, request } from 'node:https'
import { connect, type ClientHttp2Session } from 'node:http2'
import type { Pod } from '#shared/api/core/pod.ts'
import { pods, secrets, serviceAccounts } from '#shared/api/kinds.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { aloneApiServer, type Alone } from './alone.ts'
import type { LocalMeasurement, Row } from './measurement.ts'
import { stored } from './pods.ts'
import { percentile, ratePerSecond } from './statistics.ts'
import { until } from './until.ts'

const MiB = 1048576
const namespace = 'default'
/** Of so many pods so many are in a namespace of their own. */
const [podCount, listed, secretCount] = [50_000, 10_000, 10_000]
const listedIn = 'listed'

const numbered = (one: KubeObject, i: number, ns: string, name: string): KubeObject => ({
  ...one,
  metadata: {
    ...one.metadata,
    name,
    namespace: ns,
    uid: `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`,
    labels: { app: name },
    resourceVersion: undefined,
  },
})

function* manyPods(one: Pod): Generator<KubeObject> {
  for (let i = 0; i < podCount; i++)
    yield numbered(one as KubeObject, i, i < listed ? listedIn : namespace, `pod-${String(i).padStart(5, '0')}`)
}
function* manySecrets(): Generator<KubeObject> {
  for (let i = 0; i < secretCount; i++) {
    const one = { kind: 'Secret', apiVersion: 'v1', metadata: { creationTimestamp: '2026-01-01T00:00:00Z' }, type: 'Opaque' }
    yield { ...numbered(one, i, namespace, `secret-${i}`), data: { password: randomBytes(300).toString('base64') } }
  }
}

async function fill(server: Alone): Promise<void> {
  await server.start()
  await server.client.create(serviceAccounts, namespace, { metadata: { name: 'default', namespace } } as never)
  const one = await server.client.create(pods, namespace, stored(namespace, 'pod'))
  await server.client.delete(pods, namespace, 'pod', { gracePeriodSeconds: 0 })
  await server.stop()
  await server.store({ group: '', plural: 'pods' }, manyPods(one))
  await server.store({ group: '', plural: 'secrets' }, manySecrets())
}

/** A start, and what is resident when it is through. */
async function start(server: Alone): Promise<Row[]> {
  const began = performance.now()
  await server.start()
  const value = (performance.now() - began) / 1000
  const what = `${podCount} pods and ${secretCount} Secrets stored`
  return [
    { name: `API server with ${what}: ready`, unit: 's', value, target: 3 },
    { name: `API server with ${what}: resident`, unit: 'MiB', value: server.rss() / MiB, target: 700 },
  ]
}

/** Reads an answer without looking into it; resolves with its bytes. */
const read = (server: Alone, agent: Agent, path: string): Promise<number> =>
  new Promise((resolve, reject) => {
    request(new URL(path, server.url), { agent }, res => {
      let bytes = 0
      res.on('data', (chunk: Buffer) => (bytes += chunk.length))
      res.on('end', () => (res.statusCode === 200 ? resolve(bytes) : reject(new Error(`${path}: ${res.statusCode}`))))
      res.on('error', reject)
    })
      .once('error', reject)
      .end()
  })

async function list(server: Alone): Promise<Row[]> {
  const agent = new Agent({ keepAlive: true, ...server.tls })
  const path = `/api/v1/namespaces/${listedIn}/pods`
  const [times, size]: [number[], number[]] = [[], []]
  for (let i = 0; i < 12; i++) {
    const began = performance.now()
    size.push(await read(server, agent, path))
    times.push(performance.now() - began)
  }
  agent.destroy()
  const warm = times.slice(2)
  const p50 = percentile(warm, 0.5)
  return [
    { name: `list of ${listed} pods in one answer, p50`, unit: 'ms', value: p50 },
    { name: `list of ${listed} pods in one answer`, unit: 'MB/s', value: size[0]! / 1000 / p50 },
  ]
}

const watchers = 1000
const newline = 10
/** HTTP/2 allows so many streams of a connection. */
const streams = 250

/** From sending a write to the event at the last of all watchers. */
async function watches(server: Alone): Promise<Row[]> {
  const path = `/api/v1/namespaces/watched/configmaps`
  await server.client.raw('POST', '/api/v1/namespaces', { metadata: { name: 'watched' } })
  const sessions: ClientHttp2Session[] = []
  let seen = 0
  for (let i = 0; i < watchers / streams; i++) sessions.push(connect(server.url, server.tls))
  await Promise.all(
    sessions.flatMap(session =>
      Array.from(
        { length: streams },
        () =>
          new Promise<void>((resolve, reject) => {
            const stream = session.request({ ':path': `${path}?watch=1&resourceVersion=0` })
            stream.once('error', reject)
            // An event is a line.
            stream.on('data', (chunk: Buffer) => (seen += chunk.at(-1) === newline ? 1 : 0))
            stream.once('response', h => (h[':status'] === 200 ? resolve() : reject(new Error(`${path}: ${h[':status']}`))))
          }),
      ),
    ),
  )
  const times: number[] = []
  for (let i = 0; i < 60; i++) {
    seen = 0
    const began = performance.now()
    const written = server.client.raw('POST', path, { metadata: { name: `round-${i}` } })
    await until(() => seen >= watchers, `${watchers} watchers have seen a write`, 20_000)
    times.push(performance.now() - began)
    await written
  }
  for (const session of sessions) session.destroy()
  const warm = times.slice(10)
  return [0.5, 0.99].map(p => ({
    name: `${watchers} watchers of a namespace: write to the last event, p${p * 100}`,
    unit: 'ms' as const,
    value: percentile(warm, p),
  }))
}

async function apply(server: Alone): Promise<Row[]> {
  const { client } = server
  const once = (i: number): Promise<unknown> =>
    client.patch(pods, namespace, `applied-${i % 200}`, 'apply', {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: `applied-${i % 200}`, labels: { round: String(i) } },
      spec: { schedulerName: 'none', containers: [{ name: 'main', image: 'busybox' }] },
    } as never)
  await ratePerSecond(2, 16, once)
  return [{ name: 'server-side apply of a pod, 16 at a time', unit: '/s', value: await ratePerSecond(5, 16, once) }]
}

export const measureScale: LocalMeasurement = async () => {
  const server = await aloneApiServer()
  try {
    await fill(server)
    const rows: Row[] = []
    for (const measure of [start, list, watches, apply]) rows.push(...(await measure(server)))
    return rows
  } finally {
    await server.close()
  }
}

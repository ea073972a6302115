/** What large tables, slow readers and large objects cost an API server: 50,000 pods, 1,000 watchers that never read, objects of 1 MB. */
import { connect, type ClientHttp2Session } from 'node:http2'
import { setTimeout as delay } from 'node:timers/promises'
import type { Pod } from '#shared/api/core/pod.ts'
import { configMaps, pods, serviceAccounts } from '#shared/api/kinds.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Client } from '#shared/client/client.ts'
import { startInformer } from '#shared/client/reflector.ts'
import { logger } from '#shared/component/log.ts'
import { aloneApiServer, type Alone } from './alone.ts'
import type { LocalMeasurement, Row } from './measurement.ts'
import { stored } from './pods.ts'
import { inFlight } from './statistics.ts'

const MiB = 1048576
const count = 50_000
const namespace = 'default'
const podsPath = `/api/v1/namespaces/${namespace}/pods`

/** Many copies of a pod as the API server stores it. */
function* copies(one: Pod): Generator<KubeObject> {
  for (let i = 0; i < count; i++) {
    const name = `pod-${String(i).padStart(5, '0')}`
    const uid = `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`
    yield { ...one, metadata: { ...one.metadata, name, uid, labels: { app: name }, resourceVersion: undefined } }
  }
}

/** A namespace's account, which a controller makes in a cluster. */
const addAccount = (client: Client): Promise<unknown> =>
  client.create(serviceAccounts, namespace, { metadata: { name: 'default', namespace } } as never)

/** Changes one pod after the other until told to stop, some at a time; resolves with how many. */
async function churn(client: Client, signal: AbortSignal): Promise<number> {
  let changes = 0
  await inFlight(4, 4, async w => {
    for (let i = w; !signal.aborted; i += 4) {
      const name = `pod-${String((i * 7919) % count).padStart(5, '0')}`
      await client.patch(pods, namespace, name, 'merge', { metadata: { annotations: { round: String(i) } } })
      changes++
    }
  })
  return changes
}

const seconds = async (work: () => Promise<unknown>): Promise<number> => {
  const began = performance.now()
  await work()
  return (performance.now() - began) / 1000
}

async function largeTable(server: Alone): Promise<Row[]> {
  await server.start()
  await addAccount(server.client)
  const one = await server.client.create(pods, namespace, stored(namespace, 'pod'))
  await server.client.delete(pods, namespace, 'pod', { gracePeriodSeconds: 0 })
  await server.stop()
  await server.store({ group: '', plural: 'pods' }, copies(one))
  await server.start()
  const { client } = server
  const whole = async (): Promise<void> => {
    if ((await client.list(pods, namespace)).items.length !== count) throw new Error('a list is not whole')
  }
  await whole()
  const list = Math.min(await seconds(whole), await seconds(whole))
  const parts = async (): Promise<void> => {
    let found = 0
    for (let next = ''; ;) {
      const part = await client.list(pods, namespace, { limit: 500, ...(next ? { continue: next } : {}) })
      found += part.items.length
      next = part.metadata.continue ?? ''
      if (!next) break
    }
    if (found !== count) throw new Error('the parts are not the whole')
  }
  const paged = Math.min(await seconds(parts), await seconds(parts))
  const stop = new AbortController()
  const changing = churn(client, stop.signal)
  const informing = new AbortController()
  const sync = await seconds(async () => {
    const informer = startInformer(client, pods, { namespace, log: logger('bench') }, informing.signal)
    await informer.synced
    if (informer.list().length !== count) throw new Error('the informer has not got all')
  })
  const busy = await seconds(parts)
  informing.abort()
  stop.abort()
  await changing
  const floor = { floor: list, floorName: 'one list of all, read and parsed' }
  return [
    { name: `${count} pods: watch with initial events, under churn`, unit: 's', value: sync, target: 5, ...floor },
    { name: `${count} pods: parts of 500`, unit: 's', value: paged, target: 2 * list, ...floor },
    { name: `${count} pods: parts of 500, under churn`, unit: 's', value: busy, ...floor },
  ]
}

const watchers = 1000
/** HTTP/2 allows so many streams of a connection. */
const streams = 250

/** Watches of which nobody reads more than the head. */
async function openWatches(server: Alone, path: string): Promise<ClientHttp2Session[]> {
  const sessions = Array.from({ length: watchers / streams }, () => connect(server.url, server.tls))
  await Promise.all(
    sessions.flatMap(session =>
      Array.from(
        { length: streams },
        () =>
          new Promise<void>((resolve, reject) => {
            const stream = session.request({ ':path': path })
            stream.pause().once('error', reject)
            stream.once('response', h => (h[':status'] === 200 ? resolve() : reject(new Error(`${path}: ${h[':status']}`))))
          }),
      ),
    ),
  )
  return sessions
}

async function slowReaders(server: Alone): Promise<Row> {
  await server.start()
  const { client } = server
  const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'one', namespace }, data: { a: 'x'.repeat(50_000) } }
  await client.create(configMaps, namespace, object as never)
  const update = (rounds: number): Promise<void> =>
    inFlight(rounds, 1, i => client.patch(configMaps, namespace, 'one', 'merge', { data: { round: String(i) } }))
  const path = `/api/v1/namespaces/${namespace}/configmaps?watch=1&resourceVersion=0`
  // The first round fills the history and lets V8 give new objects all the space that it will.
  let [before, after] = [0, 0]
  for (let round = 0; round < 2; round++) {
    await update(1000)
    before = server.pss()
    const sessions = await openWatches(server, path)
    await update(2500)
    await delay(2000)
    after = server.pss()
    for (const session of sessions) session.destroy()
  }
  await server.stop()
  return {
    name: `${watchers} watchers that never read, 125 MB of events`,
    unit: 'MiB',
    value: Math.max(0, after - before) / MiB,
    target: 50,
  }
}

async function largeObjects(server: Alone): Promise<Row> {
  await server.start()
  const { client } = server
  const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'large', namespace }, data: { a: 'x'.repeat(1_000_000) } }
  await client.create(configMaps, namespace, object as never)
  await inFlight(500, 1, i => client.patch(configMaps, namespace, 'large', 'merge', { data: { round: String(i) } }))
  await delay(2000)
  const pss = server.pss()
  await server.stop()
  return { name: 'API server after 500 updates of 1 MB', unit: 'MiB', value: pss / MiB, target: 400 }
}

export const measureWatchList: LocalMeasurement = async () => {
  const rows: Row[] = []
  for (const measure of [largeTable, slowReaders, largeObjects]) {
    const server = await aloneApiServer()
    try {
      rows.push(...[await measure(server)].flat())
    } finally {
      await server.close()
    }
  }
  return rows
}

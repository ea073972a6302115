/**
 * nats-server killed under load, back at once or after a minute: pods and Services never notice, what was acknowledged is there, watches go
 * on.
 */
import { afterAll, beforeAll, expect } from 'vitest'
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import { configMaps, events, nodes } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { isStatus } from '#shared/machinery/status.ts'
import type { ClusterFixture } from '../../fixtures/cluster.ts'
import { delay, eventually, patience, podsOf, processes, row, signal, startWeb, traffic, untilAllIsWell } from './setup.ts'

let cluster: ClusterFixture
let client: Client
let address = ''
beforeAll(async () => {
  ;({ cluster, client, address } = await startWeb({ nodes: 3, replicas: 3 }))
}, 150_000)
afterAll(() => cluster?.stop(), 60_000)

const writers = 25
/** All writers together; the machine may be slower. */
const writesPerSecond = 500

interface Load {
  /** By object: the last value whose write was acknowledged. */
  acknowledged: Map<string, number>
  /** When the latest acknowledgement came, ms since the epoch. */
  latest: number
  count: number
  stop(): Promise<void>
}
/** Each writer counts up in an object of its own: one write at a time, and the next value only when the last one is known to be stored. */
async function write(prefix: string): Promise<Load> {
  let stopped = false
  const load: Load = { acknowledged: new Map(), latest: 0, count: 0, stop: async () => {} }
  const one = async (name: string): Promise<void> => {
    await client.create(configMaps, 'default', {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, labels: { writer: prefix } },
      data: { n: '0' },
    } as unknown as ConfigMap)
    for (let n = 1; !stopped;) {
      const began = performance.now()
      try {
        await client.patch(configMaps, 'default', name, 'merge', { data: { n: String(n) } })
        load.acknowledged.set(name, n++)
        load.count++
        load.latest = Date.now()
      } catch {
        // The outcome may be unknown: the same value again changes nothing if it was stored.
        await delay(50)
      }
      await delay(Math.max(0, (1000 * writers) / writesPerSecond - (performance.now() - began)))
    }
  }
  const all = Array.from({ length: writers }, (_, i) => one(`${prefix}-${i}`))
  load.stop = async () => {
    stopped = true
    await Promise.all(all)
  }
  await eventually(() => load.acknowledged.size === writers, 'every writer writes')
  return load
}

/** Follows the writers' objects as an informer does; remembers the values of each since the last list. */
function watch(prefix: string, gaps: string[]): { seen: Map<string, number>; relists: () => number; stop: () => void } {
  const seen = new Map<string, number>()
  const stop = new AbortController()
  const options = { labelSelector: `writer=${prefix}` }
  let lists = 0
  const follow = async (): Promise<void> => {
    let version = ''
    while (!stop.signal.aborted) {
      try {
        if (version === '') {
          const list = await client.list(configMaps, 'default', options)
          for (const item of list.items) {
            const n = Number(item.data?.['n'])
            if (n < (seen.get(item.metadata.name ?? '') ?? 0))
              gaps.push(`${item.metadata.name}: ${seen.get(item.metadata.name ?? '')} was undone, a list says ${n}`)
            seen.set(item.metadata.name ?? '', n)
          }
          version = list.metadata.resourceVersion ?? ''
          lists++
        }
        for await (const event of client.watch(
          configMaps,
          'default',
          { ...options, resourceVersion: version, timeoutSeconds: 300 },
          stop.signal,
        )) {
          version = event.object.metadata.resourceVersion ?? version
          if (event.type === 'BOOKMARK') continue
          const { name = '' } = event.object.metadata
          const n = Number((event.object as ConfigMap).data?.['n'])
          const last = seen.get(name) ?? -1
          if (event.type === 'DELETED' || n !== last + 1) gaps.push(`${name}: ${event.type} ${n} after ${last}`)
          seen.set(name, n)
        }
      } catch (e) {
        if (isStatus(e, 'Expired') || isStatus(e, 'Gone')) version = ''
        else await delay(100)
      }
    }
  }
  void follow()
  return { seen, relists: () => lists - 1, stop: () => stop.abort() }
}

for (const [seconds, timeoutMs] of [
  [1, 180_000],
  [60, 300_000],
] as const) {
  row(`nats-server killed under ${writesPerSecond} writes/s, down for ${seconds} s`, timeoutMs, async round => {
    const prefix = `down-${seconds}-${round}`
    const before = processes(await cluster.ps(), pod => pod.startsWith('web-'))
    const uids = (await podsOf(client, 'web')).map(p => p.metadata.uid).sort()
    const gaps: string[] = []
    const watched = watch(prefix, gaps)
    const load = await write(prefix)
    const served = traffic(`http://${address}/`)
    await delay(1000)
    // The supervisor would start it again at once: it is paused so long.
    const supervisor = await signal(cluster, r => r.component === 'cox', 'the supervisor', 'SIGSTOP')
    try {
      await signal(cluster, r => r.component === 'nats-server', 'nats-server')
      await delay(seconds * 1000)
    } finally {
      process.kill(supervisor.pid, 'SIGCONT')
    }
    const back = Date.now()
    await eventually(() => load.latest > back, 'writes work again', patience * 3_000)
    await eventually(() => load.latest > back + 2000, 'and go on')
    await load.stop()
    await served.stop()
    expect(served.failures).toEqual([])
    await eventually(
      () => [...load.acknowledged].every(([name, n]) => (watched.seen.get(name) ?? -1) >= n),
      'the watch has seen every acknowledged write',
    )
    watched.stop()
    expect(gaps).toEqual([])
    const stored = new Map(
      (await client.list(configMaps, 'default', { labelSelector: `writer=${prefix}` })).items.map(c => [
        c.metadata.name ?? '',
        Number(c.data?.['n']),
      ]),
    )
    for (const [name, n] of load.acknowledged) expect(stored.get(name), name).toBeGreaterThanOrEqual(n)
    // Nobody was evicted or replaced, and whoever was marked as silent is not any more.
    await untilAllIsWell(cluster, client, 'web', 3, patience * 5_000)
    expect((await podsOf(client, 'web')).map(p => p.metadata.uid).sort()).toEqual(uids)
    expect(processes(await cluster.ps(), pod => pod.startsWith('web-'))).toEqual(before)
    const evictions = (await client.list(events, 'default')).items.filter(e => e.reason === 'TaintManagerEviction')
    expect(evictions.map(e => e.message)).toEqual([])
    expect((await client.list(nodes, '')).items.flatMap(n => n.spec.taints ?? [])).toEqual([])
    await client.deleteCollection(configMaps, 'default', { labelSelector: `writer=${prefix}` })
  })
}

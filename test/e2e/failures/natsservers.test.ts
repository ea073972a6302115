/** Three nats-servers, of which each is killed under load and stays away for a while: writes go on without it, and nothing is lost. */
import { afterAll, beforeAll, describe, expect } from 'vitest'
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import { configMaps, events } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import type { ClusterFixture } from '../../fixtures/cluster.ts'
import { replicatingNatsServer } from '../../fixtures/nats.ts'
import { delay, eventually, patience, podsOf, row, signal, startWeb, traffic, untilAllIsWell } from './setup.ts'

describe('three nats-servers', () => {
  let cluster: ClusterFixture
  let client: Client
  let address = ''
  beforeAll(async () => {
    process.env['NATS_SERVER'] = replicatingNatsServer()
    ;({ cluster, client, address } = await startWeb({ nodes: 2, replicas: 2, flags: ['--nats-servers', '3'] }))
  }, 180_000)
  afterAll(() => cluster?.stop(), 60_000)

  const writers = 25
  /** All writers together; the machine may be slower. */
  const writesPerSecond = 500
  /** nats-server takes 4 to 9 s to elect another leader of the store when that one dies. */
  const electionMs = 10_000

  row('each of three nats-servers killed under 500 writes a second, and kept away', 400_000, async round => {
    const uids = (await podsOf(client, 'web')).map(p => p.metadata.uid).sort()
    const acknowledged = new Map<string, number>()
    let latest = 0
    let stopped = false
    const one = async (name: string): Promise<void> => {
      await client.create(configMaps, 'default', { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { n: '0' } } as ConfigMap)
      for (let n = 1; !stopped;) {
        const began = performance.now()
        try {
          await client.patch(configMaps, 'default', name, 'merge', { data: { n: String(n) } })
          acknowledged.set(name, n++)
          latest = Date.now()
          // Reads see what was acknowledged, whichever server leads.
          if (n % 50 === 0) expect(Number((await client.get(configMaps, 'default', name)).data?.['n'])).toBeGreaterThanOrEqual(n - 1)
        } catch (e) {
          if (e instanceof Error && e.name === 'AssertionError') throw e
          // The outcome may be unknown: the same value again changes nothing if it was stored.
          await delay(50)
        }
        await delay(Math.max(0, (1000 * writers) / writesPerSecond - (performance.now() - began)))
      }
    }
    const load = Promise.all(Array.from({ length: writers }, (_, i) => one(`writer-${round}-${i}`)))
    load.catch(() => {})
    const served = traffic(`http://${address}/`)
    await eventually(() => acknowledged.size === writers, 'every writer writes')
    for (const name of ['nats-server', 'nats-server-2', 'nats-server-3']) {
      // The supervisor would start it again at once: it is paused so long.
      const supervisor = await signal(cluster, r => r.component === 'cox', 'the supervisor', 'SIGSTOP')
      try {
        const killed = Date.now()
        const { pid } = await signal(cluster, r => r.component === 'nats-server' && (r.name ?? r.component) === name, name)
        await eventually(() => latest > killed + 1000, `writes without ${name}`, patience * electionMs)
        process.kill(supervisor.pid, 'SIGCONT')
        await eventually(
          async () => (await cluster.ps()).some(r => r.component === 'nats-server' && (r.name ?? r.component) === name && r.pid !== pid),
          `${name} runs again`,
        )
      } finally {
        process.kill(supervisor.pid, 'SIGCONT')
      }
      // It has to catch up before the next may go.
      await delay(3000)
      const back = Date.now()
      await eventually(() => latest > back + 1000, `writes with ${name}`, patience * electionMs)
    }
    stopped = true
    await load
    await served.stop()
    expect(served.failures).toEqual([])
    for (const [name, n] of acknowledged)
      expect(Number((await client.get(configMaps, 'default', name)).data?.['n']), name).toBeGreaterThanOrEqual(n)
    await untilAllIsWell(cluster, client, 'web', 2, patience * 5_000)
    expect((await podsOf(client, 'web')).map(p => p.metadata.uid).sort()).toEqual(uids)
    expect((await client.list(events, 'default')).items.filter(e => e.reason === 'TaintManagerEviction').map(e => e.message)).toEqual([])
  })
})

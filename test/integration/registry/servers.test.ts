/** The registry on three nats-servers, each of which dies in turn under writes and comes back. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openRegistry } from '#control-plane/apiserver/registry/jetstream.ts'
import type { Registry } from '#control-plane/apiserver/registry/registry.ts'
import { startNatsCluster, type NatsCluster } from '../../fixtures/natscluster.ts'
import { dataOf, object, pods, record, silent, until } from './setup.ts'

let cluster: NatsCluster
const registries: Registry[] = []
const open = async (): Promise<Registry> => {
  const registry = await openRegistry({ connection: await cluster.connect('registry'), replicas: 3, log: silent })
  registries.push(registry)
  return registry
}
beforeAll(async () => void (cluster = await startNatsCluster()))
afterAll(async () => {
  await Promise.all(registries.map(r => r.close()))
  await cluster?.stop()
})

test('any of three may be killed: no acknowledged write is lost, writes go on, reads are current, no watcher misses an event', async () => {
  const [registry, other] = [await open(), await open()]
  const watch = record(other, pods, { after: 0 })
  const acknowledged = new Map<string, { version: number; data: number }>()
  const failures: string[] = []
  let stop = false
  const writer = async (w: number) => {
    for (let i = 0; !stop; i++) {
      const name = `w${w}-${i % 10}`
      try {
        const { version } = await registry.put(pods, 'k', name, object(name, i, 'k'), registry.get(pods, 'k', name)?.version ?? 0)
        acknowledged.set(name, { version, data: i })
      } catch (e) {
        // Whether it was stored is not known: the next write finds out.
        failures.push((e as Error).message)
        await registry.fresh().catch(() => {})
      }
    }
  }
  /** Reads at the other API server's what was acknowledged at the first's. */
  const reader = async () => {
    while (!stop) {
      const [name, { version }] = [...acknowledged].at(-1) ?? ['', { version: 0 }]
      await other.fresh().then(
        () => expect(other.get(pods, 'k', name)?.version ?? 0).toBeGreaterThanOrEqual(version),
        () => {},
      )
      await new Promise(resolve => setTimeout(resolve, 10))
    }
  }
  const work = Promise.all([...Array.from({ length: 4 }, (_, w) => writer(w)), reader()])
  const progress = async (what: string): Promise<void> => {
    const before = registry.version
    await until(() => registry.version > before + 200 && other.version > before + 200, what, 40_000)
  }
  await progress('writes before')
  for (let n = 0; n < 3; n++) {
    await cluster.kill(n)
    await progress(`writes without server ${n}`)
    await cluster.start(n)
    await progress(`writes with server ${n} again`)
  }
  stop = true
  await work
  const fresh = await open()
  for (const [name, { version, data }] of acknowledged) {
    const stored = fresh.get(pods, 'k', name)
    expect(stored?.version).toBeGreaterThanOrEqual(version)
    if (stored?.version === version) expect(dataOf(stored.object)).toBe(data)
  }
  await Promise.all([other.fresh(), fresh.fresh()])
  expect(watch.gone).toBe(false)
  const versions = watch.seen.map(e => e.version)
  expect(versions).toEqual([...new Set(versions)].sort((a, b) => a - b))
  for (const name of acknowledged.keys()) expect(other.get(pods, 'k', name)?.version).toBe(fresh.get(pods, 'k', name)?.version)
}, 240_000)

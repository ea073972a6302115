import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openRegistry } from '#control-plane/apiserver/registry/jetstream.ts'
import { VersionExpired, WriteConflict, type Registry } from '#control-plane/apiserver/registry/registry.ts'
import { connectBus } from '#shared/bus/connection.ts'
import { startNats, type NatsFixture } from '../../fixtures/nats.ts'
import { dataOf, deployments, object, open, pods, record, silent, until } from './setup.ts'

// More rounds find rarer losses: CRASH_ROUNDS=50 when a new nats-server version is to be trusted with deletions.
const rounds = Number(process.env['CRASH_ROUNDS'] || 4)

let nats: NatsFixture
beforeAll(async () => void (nats = await startNats()))
afterAll(() => nats?.stop())

test('kill -9 of nats-server under load: no acknowledged write is lost, no watcher misses an event', async () => {
  const [registry, other] = [await open(nats), await open(nats)]
  const watches = [registry, other].map(r => record(r, pods, { after: 0 }))
  const acknowledged = new Map<string, number>()
  const failures: Error[] = []
  let stop = false
  const worker = async (w: number) => {
    for (let i = 0; !stop; i++) {
      const name = `w${w}-${i % 20}`
      const current = registry.get(pods, 'k', name)
      try {
        acknowledged.set(name, (await registry.put(pods, 'k', name, object(name, i, 'k'), current?.version ?? 0)).version)
      } catch (e) {
        failures.push(e as Error)
      }
    }
  }
  const work = Promise.all(Array.from({ length: 8 }, (_, w) => worker(w)))
  for (let round = 0; round < 3; round++) {
    const before = registry.version
    await until(() => registry.version > before + 100, 'writes before the kill')
    await nats.kill()
    await until(() => !registry.healthy && !other.healthy, 'both to notice')
    await nats.restart()
    const restarted = registry.version
    await until(() => registry.healthy && registry.version > restarted + 50, 'writes after the restart')
  }
  stop = true
  await work
  await Promise.all([registry.fresh(), other.fresh()])
  expect(failures).toEqual([])
  for (const watch of watches) {
    expect(watch.gone).toBe(false)
    expect(watch.seen.map(e => e.version)).toEqual(Array.from({ length: registry.version }, (_, i) => i + 1))
  }
  const restarted = await open(nats)
  for (const [name, version] of acknowledged) expect(restarted.get(pods, 'k', name)?.version).toBe(version)
  for (const r of [registry, other, restarted]) await r.close()
})

test(
  'what was deleted never comes back after kill -9',
  async () => {
    // Compaction as eager as it can be, so that versions are deleted all the time.
    let registry = await open(nats, { windowMs: 1, maxVersions: 1 })
    const state = new Map<string, { version: number; live: boolean } | 'unknown'>()
    const failures: Error[] = []
    for (let round = 0; round < rounds; round++) {
      let stop = false
      const worker = async (w: number, r: Registry) => {
        for (let i = 0; !stop; i++) {
          const name = `d${w}-${i % 40}`
          const known = state.get(name)
          if (known === 'unknown') {
            await new Promise(resolve => setImmediate(resolve))
            continue
          }
          state.set(name, 'unknown')
          try {
            const remove = known?.live === true && i % 3 !== 0
            const done = remove
              ? await r.remove(pods, 'd', name, known.version)
              : await r.put(pods, 'd', name, object(name, 'x'.repeat(2000), 'd'), known?.live ? known.version : 0)
            state.set(name, { version: done.version, live: !remove })
          } catch (e) {
            failures.push(e as Error)
          }
        }
      }
      const work = Promise.all(Array.from({ length: 10 }, (_, w) => worker(w, registry)))
      await new Promise(resolve => setTimeout(resolve, 1300))
      await nats.kill()
      stop = true
      await registry.close()
      await work
      await nats.restart()
      registry = await open(nats, { windowMs: 1, maxVersions: 1 })
      expect(failures.filter(e => e instanceof WriteConflict)).toEqual([])
      const wrong: unknown[] = []
      for (const [name, known] of state) {
        const found = registry.get(pods, 'd', name)
        if (known !== 'unknown' && (known.live ? found?.version !== known.version : found !== undefined))
          wrong.push([name, known, found?.version])
        state.set(name, { version: found?.version ?? 0, live: found !== undefined })
      }
      expect(wrong).toEqual([])
    }
    expect(dataOf(registry.list(pods, 'd')[0]!.object)).toHaveLength(2000)
    await registry.close()
  },
  30_000 + rounds * 5_000,
)

test('while nats-server is away a write fails with a clear error, and reads of the cache go on', async () => {
  const registry = await open(nats, { writeTimeoutMs: 500 })
  const made = await registry.put(pods, 'away', 'a', object('a', 1, 'away'), 0)
  const watch = record(registry, pods, { namespace: 'away', after: made.version })
  await nats.kill()
  await expect(registry.put(pods, 'away', 'b', object('b', 1, 'away'), 0)).rejects.toThrow(/the outcome of the write is unknown/)
  expect(registry.get(pods, 'away', 'a')).toBe(made)
  await until(() => !registry.healthy, 'the registry to notice')
  await nats.restart()
  await until(() => registry.healthy, 'the connection')
  const b = registry.get(pods, 'away', 'b')
  await registry.put(pods, 'away', 'b', object('b', 2, 'away'), b?.version ?? 0)
  expect(watch.gone).toBe(false)
  expect(dataOf(watch.seen.at(-1)!.stored.object)).toBe(2)
  await registry.close()
})

test('a server that was cut off while the stream was compacted loads anew; only who has missed something has to list again', async () => {
  const link = await cuttable(Number(new URL(nats.url).port))
  const connection = await connectBus({ url: link.url, credsFile: await nats.creds('registry'), log: silent })
  const behind = await openRegistry({ connection, log: silent })
  const registry = await open(nats, { maxVersions: 1 })
  for (let i = 0; i < 20; i++) await registry.put(pods, 'cut', `c${i}`, object(`c${i}`, 0, 'cut'), 0)
  await behind.fresh()
  const watch = record(behind, pods, { namespace: 'cut', after: behind.version })
  const before = behind.version
  const others = Array.from({ length: 1000 }, () => record(behind, deployments, { after: before }))
  const ofNothing = record(behind, { group: 'batch', plural: 'jobs' }, { after: before })
  link.cut()
  await until(() => !behind.healthy, 'the cut')
  for (let i = 0; i < 40; i++) await registry.put(pods, 'cut', 'c0', object('c0', i, 'cut'), registry.get(pods, 'cut', 'c0')!.version)
  await registry.remove(pods, 'cut', 'c1', registry.get(pods, 'cut', 'c1')!.version)
  expect(behind.list(pods, 'cut').length).toBe(20)
  await registry.put(deployments, 'cut', 'd', object('d', 1, 'cut'), 0)
  const direct = await nats.connect('registry')
  const next = JSON.stringify({ seq: behind.version + 1 })
  await until(
    async () => (await direct.nats.request('$JS.API.STREAM.MSG.GET.registry', next)).string().includes('no message found'),
    'the compaction',
  )
  link.mend()
  await until(() => watch.gone, 'the end of the watch')
  expect(watch.seen).toEqual([])
  await behind.fresh()
  for (const other of others) expect([other.gone, other.seen.map(e => e.stored.name)]).toEqual([false, ['d']])
  // Who comes back with an older version goes on as well.
  const resumed = record(behind, deployments, { after: before - 1 })
  await until(() => resumed.seen.length === 1, 'the replay')
  await registry.put({ group: 'batch', plural: 'jobs' }, 'cut', 'j', object('j', 1, 'cut'), 0)
  await behind.fresh()
  expect([ofNothing.gone, ofNothing.seen.length]).toEqual([false, 1])
  expect(behind.list(pods, 'cut').map(s => s.json.toString())).toEqual(registry.list(pods, 'cut').map(s => s.json.toString()))
  expect(() => record(behind, pods, { after: 1 })).toThrow(VersionExpired)
  const mine = await behind.put(pods, 'cut', 'c2', object('c2', 'mine', 'cut'), behind.get(pods, 'cut', 'c2')!.version)
  await registry.fresh()
  expect(registry.get(pods, 'cut', 'c2')?.version).toBe(mine.version)
  for (const r of [registry, behind]) await r.close()
  await connection.close()
  link.close()
})

/** A way to a port that can be interrupted. */
async function cuttable(port: number) {
  let open = true
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    if (!open) return socket.destroy()
    const peer = connect(port, '127.0.0.1')
    for (const [a, b] of [
      [socket, peer],
      [peer, socket],
    ] as const) {
      sockets.add(a)
      a.on('error', () => {}).on('close', () => (b.destroy(), sockets.delete(a)))
      a.pipe(b)
    }
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut: () => {
      open = false
      for (const s of sockets) s.destroy()
    },
    mend: () => void (open = true),
    close: () => server.close(),
  }
}

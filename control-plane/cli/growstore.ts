/**
 * The store of one nats-server becomes that of three, while nothing of the cluster runs: a snapshot of the stream is restored with three
 * copies, so that versions stay what they are. The former store is there until the new one is whole; whoever is killed meanwhile begins
 * again, or goes on.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { NatsConnection } from 'nats'
import { connectBus, type BusConnection } from '#shared/bus/connection.ts'
import { logger } from '#shared/component/log.ts'
import { restoreStream, saveStream, type StreamDescription } from '../apiserver/registry/snapshot.ts'
import { jetStreamApi, streamName } from '../apiserver/registry/stream.ts'
import { natsConfig, requireReplication, storeOf, writeNatsFiles } from './files.ts'
import { freePort } from './freeport.ts'
import { editCluster } from './local-cluster.ts'
import { isAlive, readRecord } from './process.ts'
import { readCluster, writeAtomically, type StateDir } from './state.ts'
import { natsEnv, natsServer } from './system.ts'
import type { Wanted } from './wanted.ts'

const servers = 3
const patienceMs = 60_000
/** Ports of loopback that hardly anybody has. */
const firstPort = 25_222

const storesOf = (directory: string): string[] => Array.from({ length: servers }, (_, i) => storeOf(directory, i + 1))
const placesOf = ({ nats }: StateDir) => ({
  store: path.join(nats, 'store'),
  /** Where the three stores are made. */
  made: path.join(nats, 'grown'),
  /** There when they are whole. */
  done: path.join(nats, 'grown.json'),
  former: path.join(nats, 'store-of-one'),
  snapshot: path.join(nats, 'snapshot'),
})

/** Does nothing unless a cluster of one nats-server is asked to have three, or a former attempt was not finished. */
export async function growStore(dir: StateDir, wanted: Wanted, tell: (line: string) => void): Promise<void> {
  const cluster = readCluster(dir)
  if (!cluster || cluster.apiOnly || cluster.host) return
  const { store, made, done, former, snapshot } = placesOf(dir)
  if (cluster.natsServers !== servers) {
    if (wanted.natsServers !== servers && !existsSync(done)) return
    if (isAlive(readRecord(dir, 'nats-server')))
      throw new Error('the nats-server of the cluster runs: `cox down` first, then `cox up --nats-servers 3`')
    await requireReplication(servers)
    tell('copying the store of one nats-server into three')
    if (!existsSync(done)) await copy(dir)
    if (!existsSync(former)) renameSync(store, former)
    for (const [i, from] of storesOf(made).entries()) if (existsSync(from)) renameSync(from, storesOf(store)[i]!)
    await editCluster(dir, c => void (c.natsServers = servers))
  }
  for (const gone of [former, snapshot, done]) rmSync(gone, { recursive: true, force: true })
}

async function copy(dir: StateDir): Promise<void> {
  const { store, made, done, snapshot } = placesOf(dir)
  for (const gone of [...storesOf(made), snapshot]) rmSync(gone, { recursive: true, force: true })
  const description = await running(dir, 1, store, bus => saveStream(bus, snapshot))
  await running(dir, servers, made, ({ nats }) => restore(nats, snapshot, description))
  writeAtomically(done, JSON.stringify(description.state))
}

/** Calls `work` while so many nats-servers run, whose first one's store is `storeDir`. Nothing else connects to them. */
async function running<T>(dir: StateDir, count: number, storeDir: string, work: (bus: BusConnection) => Promise<T>): Promise<T> {
  const port = await freePort(firstPort, new Set())
  // What is copied must be on disk before the former store goes.
  const sync = count > 1 ? 'server' : 'nobody'
  await writeNatsFiles(dir, { listen: '127.0.0.1', port, storeDir, sync, servers: count }, ['registry'])
  const children = Array.from({ length: count }, (_, i) =>
    // They must not outlive us: the next attempt begins with the same stores.
    spawn('setpriv', ['--pdeathsig', 'KILL', natsServer() ?? 'nats-server', '-c', natsConfig(dir, i + 1)], {
      env: { ...process.env, ...natsEnv },
      stdio: 'ignore',
    }).on('error', () => {}),
  )
  const url = children.map((_, i) => `nats://127.0.0.1:${port + i}`).join(',')
  const log = logger('cox')
  log.level = 'error'
  try {
    const bus = await connectBus({ url, credsFile: path.join(dir.creds, 'registry.creds'), timeoutMs: patienceMs, log })
    return await work(bus).finally(() => bus.close())
  } finally {
    const gone = children.map(child => (child.exitCode === null && child.pid !== undefined ? once(child, 'exit') : undefined))
    for (const child of children) child.kill('SIGTERM')
    await Promise.all(gone)
  }
}

interface StreamInfo {
  cluster?: { leader?: string; replicas?: { current: boolean; lag?: number }[] }
}

async function restore(nats: NatsConnection, snapshot: string, description: StreamDescription): Promise<void> {
  const end = performance.now() + patienceMs
  /** Until they have agreed on a leader there is no answer, or none that helps. No event tells. */
  const insist = async <R>(attempt: () => Promise<R | undefined>): Promise<R> => {
    for (;;) {
      const result = await attempt().catch((e: unknown) => {
        if (performance.now() > end) throw e
      })
      if (result !== undefined) return result
      if (performance.now() > end) throw new Error(`the three nats-servers did not come together within ${patienceMs / 1000} s`)
      await delay(200)
    }
  }
  await insist(async () => (await jetStreamApi(nats, 'INFO', '', 2000), true))
  await insist(() => restoreStream(nats, snapshot, description, servers).then(() => true))
  // All three have it before the former store goes.
  await insist(async () => {
    const { cluster } = await jetStreamApi<StreamInfo>(nats, `STREAM.INFO.${streamName}`)
    const { leader, replicas = [] } = cluster ?? {}
    return (leader && replicas.length === servers - 1 && replicas.every(r => r.current && !r.lag)) || undefined
  })
}

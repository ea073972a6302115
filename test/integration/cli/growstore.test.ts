/** The store of one nats-server that becomes that of three: real servers, no cluster around them. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createStream, streamState } from '#control-plane/apiserver/registry/stream.ts'
import { natsConfig, writeNatsFiles } from '#control-plane/cli/files.ts'
import { growStore } from '#control-plane/cli/growstore.ts'
import { makeStateDir, readCluster, stateDir, writeCluster, type StateDir } from '#control-plane/cli/state.ts'
import { connectBus, type BusConnection } from '#shared/bus/connection.ts'
import { logger } from '#shared/component/log.ts'
import { freePort } from '../../fixtures/free-port.ts'
import { replicatingNatsServer } from '../../fixtures/nats.ts'

let dir: StateDir
let children: ChildProcess[] = []
let before: string | undefined
const silent = logger('test')
silent.level = 'silent'

beforeEach(() => {
  before = process.env['NATS_SERVER']
  process.env['NATS_SERVER'] = replicatingNatsServer()
  dir = stateDir(mkdtempSync(path.join(tmpdir(), 'cox-grow-')))
  makeStateDir(dir)
  writeCluster(dir, {
    index: 99,
    securePort: 6443,
    instances: { 'kube-apiserver': 1, 'kube-controller-manager': 1, 'kube-scheduler': 1 },
    nodes: [],
  })
})
afterEach(async () => {
  await stop()
  if (before === undefined) delete process.env['NATS_SERVER']
  else process.env['NATS_SERVER'] = before
  rmSync(dir.root, { recursive: true, force: true })
})

/** Starts what cluster.json asks for, and connects. */
async function start(servers: number): Promise<BusConnection> {
  const port = await freePort()
  const store = path.join(dir.nats, 'store')
  await writeNatsFiles(dir, { listen: '127.0.0.1', port, storeDir: store, sync: 'nobody', servers }, ['registry'])
  children = Array.from({ length: servers }, (_, i) =>
    spawn(process.env['NATS_SERVER']!, ['-c', natsConfig(dir, i + 1)], { stdio: 'ignore' }),
  )
  const url = children.map((_, i) => `nats://127.0.0.1:${port + i}`).join(',')
  return connectBus({ url, credsFile: path.join(dir.creds, 'registry.creds'), timeoutMs: 30_000, log: silent })
}
async function stop(): Promise<void> {
  const ended = children.map(child => (child.exitCode === null ? once(child, 'exit') : undefined))
  for (const child of children) child.kill('SIGTERM')
  await Promise.all(ended)
  children = []
}
/** Objects, some of whose former versions are gone, as the compactor leaves them. */
async function fill(): Promise<void> {
  const { nats, close } = await start(1)
  await createStream(nats, 1)
  const js = nats.jetstream()
  for (let i = 0; i < 600; i++) await js.publish(`registry.core.configmaps.default.c-${i % 50}`, `${i} ${'x'.repeat(2000)}`)
  await (await nats.jetstreamManager()).streams.purge('registry', { filter: 'registry.core.configmaps.default.c-7', seq: 500 })
  await close()
  await stop()
}
/** What is in the stream: its state, and the beginning of some messages by their sequence. */
async function look(bus: BusConnection): Promise<unknown> {
  const { messages, first_seq, last_seq } = await streamState(bus.nats, 5_000)
  const manager = await bus.nats.jetstreamManager()
  const at = (seq: number): Promise<string> =>
    manager.streams.getMessage('registry', { seq }).then(
      m => `${m.subject} ${m.string().slice(0, 6)}`,
      (e: Error) => e.message,
    )
  return { messages, first_seq, last_seq, some: await Promise.all([1, 8, 300, 600].map(at)) }
}

test('versions stay what they are, and there are three copies', async () => {
  await fill()
  const one = await start(1)
  const had = await look(one)
  await one.close()
  await stop()
  const said: string[] = []
  await growStore(dir, { natsServers: 3 }, line => said.push(line))
  expect(said).toEqual(['copying the store of one nats-server into three'])
  expect(readCluster(dir)?.natsServers).toBe(3)
  expect(
    readdirSync(dir.nats)
      .filter(name => /store|grown|snapshot/.test(name))
      .sort(),
  ).toEqual(['store', 'store-2', 'store-3'])
  const three = await start(3)
  await expect.poll(() => look(three), { timeout: 60_000 }).toEqual(had)
  const info = await (await three.nats.jetstreamManager()).streams.info('registry')
  expect(info.config.num_replicas).toBe(3)
  // The next version follows.
  const next = (): Promise<number> =>
    three.nats.jetstream().publish('registry.core.configmaps.default.c-1', 'next').then(ack => ack.seq, () => 0) // prettier-ignore
  await expect.poll(next, { timeout: 60_000 }).toBe(601)
  await three.close()
}, 120_000)

test('whoever is killed on the way loses nothing: it begins again, or goes on where the copy was whole', async () => {
  await fill()
  // Killed while it copied: there are stores that are not whole.
  mkdirSync(path.join(dir.nats, 'grown', 'jetstream'), { recursive: true })
  writeFileSync(path.join(dir.nats, 'snapshot'), 'half')
  await growStore(dir, { natsServers: 3 }, () => {})
  // Killed between the copy and the new names.
  renameSync(path.join(dir.nats, 'store-2'), path.join(dir.nats, 'grown-2'))
  mkdirSync(path.join(dir.nats, 'store-of-one'))
  writeFileSync(path.join(dir.nats, 'grown.json'), '{}')
  const { natsServers, ...cluster } = readCluster(dir)!
  expect(natsServers).toBe(3)
  writeCluster(dir, cluster)
  await growStore(dir, {}, () => {})
  expect(readCluster(dir)?.natsServers).toBe(3)
  expect(existsSync(path.join(dir.nats, 'store-2'))).toBe(true)
  expect(existsSync(path.join(dir.nats, 'store-of-one'))).toBe(false)
  const three = await start(3)
  await expect.poll(() => look(three), { timeout: 60_000 }).toMatchObject({ last_seq: 600, first_seq: 1 })
  await three.close()
}, 120_000)

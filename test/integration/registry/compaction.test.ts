import { randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { encryptionConfiguration } from '#control-plane/apiserver/encryption/configuration.ts'
import { newEncryption } from '#control-plane/apiserver/encryption/transformer.ts'
import { VersionExpired } from '#control-plane/apiserver/registry/registry.ts'
import { streamState } from '#control-plane/apiserver/registry/stream.ts'
import type { BusConnection } from '#shared/bus/connection.ts'
import { parseConfig } from '#shared/component/configfile.ts'
import { startNats, type NatsFixture } from '../../fixtures/nats.ts'
import { dataOf, object, open, pods, record, silent, until } from './setup.ts'

let nats: NatsFixture
let connection: BusConnection
beforeAll(async () => {
  nats = await startNats()
  connection = await nats.connect('registry')
})
afterAll(() => nats?.stop())

test('compaction keeps every object, the window, and what history needs before it', async () => {
  const registry = await open(nats, { windowMs: 3_600_000, maxVersions: 40, settleMs: 0 })
  const watch = record(registry, pods, { after: 0 })
  const write = async (name: string, data: number) =>
    registry.put(pods, 'c', name, object(name, data, 'c'), registry.get(pods, 'c', name)?.version ?? 0)
  for (let i = 0; i < 20; i++) await write(`still-${i}`, i)
  for (let i = 0; i < 30; i++) await write(`gone-${i}`, i)
  for (let i = 0; i < 30; i++) await registry.remove(pods, 'c', `gone-${i}`, registry.get(pods, 'c', `gone-${i}`)!.version)
  for (let i = 0; i < 200; i++) await write(`busy-${i % 5}`, i)
  await until(async () => (await streamState(connection.nats)).messages <= 20 + 45 + 20, 'the compaction')
  expect(watch.seen.length).toBe(280)

  const restarted = await open(nats, { windowMs: 3_600_000, maxVersions: 40 })
  const shown = (r: typeof registry) => r.list(pods).map(s => s.json.toString())
  expect(shown(restarted)).toEqual(shown(registry))
  expect(restarted.list(pods).length).toBe(25)
  // The last 30 at least are known to whoever starts now, complete with what they replaced.
  const replay = record(restarted, pods, { after: registry.version - 30 })
  await until(() => replay.seen.length === 30, 'the history')
  expect(replay.seen.map(e => [e.version, e.previous?.json.toString()])).toEqual(
    watch.seen.slice(-30).map(e => [e.version, e.previous?.json.toString()]),
  )
  expect(() => restarted.watch(pods, { after: 60 }, replay)).toThrow(VersionExpired)

  // What was deleted and compacted can be created again, also by a server that still believes in the tombstone.
  for (const r of [registry, restarted]) {
    const { version } = await r.put(pods, 'c', 'gone-7', object('gone-7', 'new', 'c'), 0)
    await r.remove(pods, 'c', 'gone-7', version)
  }
  await registry.put(pods, 'c', 'gone-8', object('gone-8', 'new', 'c'), 0)
  await restarted.fresh()
  expect(shown(restarted)).toEqual(shown(registry))
  expect(watch.gone).toBe(false)
  await restarted.close()
  await registry.close()
})

test('compaction by age', async () => {
  const registry = await open(nats, { windowMs: 200 })
  const first = await registry.put(pods, 'age', 'a', object('a', 1, 'age'), 0)
  await registry.put(pods, 'age', 'a', object('a', 2, 'age'), first.version)
  await until(
    async () =>
      (await connection.nats.request('$JS.API.STREAM.MSG.GET.registry', JSON.stringify({ seq: first.version })))
        .string()
        .includes('no message found'),
    'the first version to go',
  )
  const other = await open(nats)
  expect(other.get(pods, 'age', 'a')?.version).toBe(registry.get(pods, 'age', 'a')?.version)
  await other.close()
  await registry.close()
})

test('what a server left behind that is gone for good', async () => {
  const survivor = await open(nats, { windowMs: 200 })
  const gone = await open(nats, { windowMs: 3_600_000 })
  const first = await gone.put(pods, 'left', 'a', object('a', 1, 'left'), 0)
  await gone.put(pods, 'left', 'a', object('a', 2, 'left'), first.version)
  await gone.close()
  const question = JSON.stringify({ seq: first.version })
  await until(
    async () => (await connection.nats.request('$JS.API.STREAM.MSG.GET.registry', question)).string().includes('no message found'),
    'the first version to go',
  )
  await survivor.fresh()
  expect(survivor.get(pods, 'left', 'a')!.object).toMatchObject({ spec: { data: 2 } })
  await survivor.close()
})

test('what was stored before it was encrypted is erased from the files of the store', async () => {
  const holds = async (text: string): Promise<boolean> => {
    const files = await readdir(nats.storeDir, { recursive: true, withFileTypes: true })
    const contents = await Promise.all(files.filter(f => f.isFile()).map(f => readFile(join(f.parentPath, f.name))))
    return contents.some(content => content.includes(text))
  }
  const plain = await open(nats)
  const { version } = await plain.put(pods, 'plain', 'a', object('a', 'swordfish', 'plain'), 0)
  await plain.close()
  expect(await holds('swordfish')).toBe(true)
  const keys = [{ name: 'k', secret: randomBytes(32).toString('base64') }]
  const rule = { resources: ['pods'], providers: [{ secretbox: { keys } }, { identity: {} }] }
  const said = JSON.stringify({ apiVersion: 'apiserver.config.k8s.io/v1', kind: 'EncryptionConfiguration', resources: [rule] })
  const encryption = await newEncryption(parseConfig(said, encryptionConfiguration), silent)
  const encrypting = await open(nats, { windowMs: 200, encryption })
  await encrypting.put(pods, 'plain', 'a', object('a', 'swordfish', 'plain'), version)
  await until(async () => !(await holds('swordfish')), 'the plain text to go')
  expect(dataOf(encrypting.get(pods, 'plain', 'a')!.object)).toBe('swordfish')
  const again = await open(nats, { encryption })
  expect(dataOf(again.get(pods, 'plain', 'a')!.object)).toBe('swordfish')
  await again.close()
  await encrypting.close()
})

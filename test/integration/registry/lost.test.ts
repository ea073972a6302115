/** A store that was truncated behind the back of its API servers. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { VersionRecord } from '#control-plane/apiserver/registry/record.ts'
import { startNats } from '../../fixtures/nats.ts'
import { object, open, pods, until } from './setup.ts'

test('a store that ends before what is known of it is refused until somebody accepts the loss', async () => {
  const nats = await startNats()
  const dir = await mkdtemp(join(tmpdir(), 'cox-lost-'))
  const file = join(dir, 'store-version')
  const record = (): VersionRecord => new VersionRecord(file)
  try {
    const registry = await open(nats, { record: record() })
    for (let i = 0; i < 50; i++) await registry.put(pods, 'l', `p${i}`, object(`p${i}`, i, 'l'), 0)
    // While it runs, what is noted follows.
    await until(async () => Number(await readFile(file, 'utf8').catch(() => '0')) === registry.version, 'the note')
    for (let i = 50; i < 60; i++) await registry.put(pods, 'l', `p${i}`, object(`p${i}`, i, 'l'), 0)
    await registry.close()
    expect(await readFile(file, 'utf8')).toBe('60\n')
    // The same store is welcome.
    await (await open(nats, { record: record() })).close()

    await nats.kill()
    await rm(nats.storeDir, { recursive: true })
    await nats.restart()
    const why = `the store ends at version 0, but version 60 was acknowledged: objects are gone from it.`
    await expect(open(nats, { record: record() })).rejects.toThrow(why)
    await expect(open(nats, { record: record() })).rejects.toThrow(`remove ${file}`)
    await rm(file)
    const after = await open(nats, { record: record() })
    await after.put(pods, 'l', 'new', object('new', 1, 'l'), 0)
    await after.close()
    expect(await readFile(file, 'utf8')).toBe('1\n')

    await writeFile(file, 'x')
    expect(record).toThrow(/is damaged/)
  } finally {
    await nats.stop()
    await rm(dir, { recursive: true })
  }
})

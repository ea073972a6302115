/** The store on a file system of its own that has no space left. */
import { readdirSync, readFileSync, statfsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { expect, test } from 'vitest'
import { startNats } from '../../fixtures/nats.ts'
import { object, open, pods, until } from './setup.ts'

const run = (command: string, ...args: string[]) => execa(command, args, { timeout: 30_000, stdin: 'ignore', reject: false })

test('with a full disk reads go on, of what is stored', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'cox-full-'))
  await run('mount', '-t', 'tmpfs', '-o', 'size=24m', 'cox-test', dir)
  const fill = (pieces?: number) =>
    run('dd', 'if=/dev/zero', `of=${join(dir, `filling-${pieces ?? 'all'}`)}`, 'bs=64k', ...(pieces ? [`count=${pieces}`] : []))
  const nats = await startNats({ below: dir })
  try {
    await nats.creds('registry')
    const registry = await open(nats, { storeDir: nats.storeDir, windowMs: 200 })
    const write = (name: string, data: unknown) =>
      registry.put(pods, 'd', name, object(name, data, 'd'), registry.get(pods, 'd', name)?.version ?? 0)
    const made = await write('before', 1)
    const stop = new AbortController()
    const failures: Error[] = []
    const failed = (e: Error): void => void failures.push(e)
    const writer = async (w: number): Promise<void> => {
      for (let i = 0; !stop.signal.aborted; i++) {
        await write(`w${w}-${i % 3}`, 'x'.repeat(20_000)).catch(failed)
        await new Promise(setImmediate)
      }
    }
    const writers = Promise.all([0, 1, 2, 3].map(writer))
    await until(() => registry.version > 100, 'writes')
    // As much as leaves nats-server what it needs for those under way: it is slow at times, and memory is filled faster than any disk.
    const { bavail, bsize } = statfsSync(dir)
    await fill(Math.ceil((bavail * bsize - (4 << 20)) / (64 << 10)))
    await until(() => failures.length > 1000, 'refusals')
    await fill()
    for (const e of failures) expect(e.message).toMatch(/the store has no space left/)
    for (let i = 0; i < 50; i++) await registry.fresh()
    expect(registry.get(pods, 'd', 'before')?.version).toBe(made.version)
    // Another server can begin as well.
    const other = await open(nats, { storeDir: nats.storeDir })
    await other.fresh()
    expect(other.list(pods).map(s => s.version)).toEqual(registry.list(pods).map(s => s.version))
    await other.close()
    for (const file of await readdir(dir)) if (file.startsWith('filling')) await rm(join(dir, file))
    const before = registry.version
    await until(() => registry.version > before + 10, 'writes go on')
    stop.abort()
    await writers
    for (const e of failures) expect(e.message).toMatch(/the store has no space left/)
    await registry.close()
  } finally {
    await nats.stop()
    await run('umount', '-l', dir)
    await rm(dir, { recursive: true })
  }
}, 90_000)

test('a store that does not answer writes any more is known for that until it is started again', async () => {
  const nats = await startNats()
  try {
    await nats.creds('registry')
    const registry = await open(nats, { writeTimeoutMs: 500 })
    const write = () => registry.put(pods, 'd', 'a', object('a', 1, 'd'), registry.get(pods, 'd', 'a')?.version ?? 0)
    await write()
    expect(registry.answersWrites).toBe(true)
    // As one whose disk was full: the connection stays.
    process.kill(nats.pid, 'SIGSTOP')
    const threads = `/proc/${nats.pid}/task`
    await until(
      () => readdirSync(threads).every(id => / T /.test(readFileSync(`${threads}/${id}/stat`, 'utf8'))),
      'all of it to stand still',
    )
    await expect(write()).rejects.toThrow('the outcome of the write is unknown')
    expect(registry.answersWrites).toBe(false)
    await nats.kill()
    await nats.restart()
    await until(() => registry.answersWrites, 'another connection')
    await write()
    expect(registry.answersWrites).toBe(true)
    await registry.close()
  } finally {
    await nats.stop()
  }
}, 30_000)

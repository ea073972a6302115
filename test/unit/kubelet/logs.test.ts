import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { compressRotated } from '#node-agent/kubelet/logs/compress.ts'
import { nextLook } from '#node-agent/kubelet/logs/monitor.ts'
import { logFiles, readLog, type LogOptions } from '#node-agent/kubelet/logs/read.ts'
import { rotateLog } from '#node-agent/kubelet/logs/rotate.ts'
import type { ContainerRuntime } from '#node-agent/runtime/runtime.ts'

let directory: string
beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), 'logs-'))))
afterEach(() => rmSync(directory, { recursive: true }))

test.each([
  ['a quiet log', 1 << 20, 0, 1000],
  ['a log that has time', 1 << 20, 1 << 20, 1000],
  ['a log that will be full in half a second', 5 << 20, 10 << 20, 500],
  ['a log that is full already', 20 << 20, 20 << 20, 100],
])('%s', (_, size, grown, wait) => expect(nextLook(size, grown, 1000)).toBe(wait))

test('old logs go by number, and by size when they are far too large', async () => {
  const path = join(directory, '0.log')
  const runtime = { reopenLog: () => Promise.resolve() } as unknown as ContainerRuntime
  const rotate = async (size: number): Promise<string[]> => {
    writeFileSync(path, '')
    truncateSync(path, size)
    expect(await rotateLog(runtime, directory, path, { maxBytes: 10, maxFiles: 3 })).toBe(true)
    return readdirSync(directory)
  }
  for (const kept of [1, 2, 2, 2]) expect(await rotate(10)).toHaveLength(kept)
  expect(await rotate(25)).toHaveLength(1)
  // The newest stays whatever its size.
  expect(await rotate(1000)).toHaveLength(1)
  expect(await rotate(9).catch((e: Error) => e.message)).toContain('expected false to be true')
})

test('what was set aside is compressed but for the newest, and read as before', async () => {
  const path = join(directory, '0.log')
  let n = 0
  const lines = (count: number) =>
    Array.from({ length: count }, () => `2026-01-01T00:00:00.000000000+00:00 stdout F line ${n++}\n`).join('')
  for (const name of ['20260101-000000', '20260102-000000', '20260103-000000']) writeFileSync(`${path}.${name}`, lines(5_000))
  writeFileSync(path, lines(3))
  const read = async (options: LogOptions) => {
    const out: Buffer[] = []
    const source = { path, ended: Promise.resolve() }
    await readLog(source, options, async (_, data) => void out.push(Buffer.from(data)), new AbortController().signal)
    return Buffer.concat(out).toString()
  }
  const all = await read({})
  expect(all.split('\n')).toHaveLength(n + 1)
  const tails = [0, 2, 3, 4, 5_003, 5_004, 7_777, 10_003, 10_004, 15_002, 15_003, 20_000]
  const before = await Promise.all(tails.map(tailLines => read({ tailLines })))
  expect(before.map(text => text.split('\n').length - 1)).toEqual(tails.map(t => Math.min(t, n)))
  // Too young to be worth it.
  await compressRotated(path)
  expect((await logFiles(path)).filter(f => f.endsWith('.gz'))).toEqual([])
  // A kubelet was killed in the middle.
  writeFileSync(`${path}.20260101-000000.gz.tmp`, 'half')
  await compressRotated(path, Date.now() + 60_000)
  const names = readdirSync(directory)
  expect(names.sort()).toEqual(['0.log', '0.log.20260101-000000.gz', '0.log.20260102-000000.gz', '0.log.20260103-000000'])
  // And between the new name and the end of the old one.
  writeFileSync(`${path}.20260102-000000`, all.split('\n').slice(5_000, 10_000).map(text => `2026-01-01T00:00:00.000000000+00:00 stdout F ${text}\n`).join('')) // prettier-ignore
  expect(await read({})).toBe(all)
  rmSync(`${path}.20260102-000000`)
  expect(await read({})).toBe(all)
  expect(await Promise.all(tails.map(tailLines => read({ tailLines })))).toEqual(before)
  expect(await read({ limitBytes: 100 })).toBe(all.slice(0, 100))
})

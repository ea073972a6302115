import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { nextLook } from '#node-agent/kubelet/logs/monitor.ts'
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
    expect(await rotateLog(runtime, directory, path, 10, 3)).toBe(true)
    return readdirSync(directory)
  }
  for (const kept of [1, 2, 2, 2]) expect(await rotate(10)).toHaveLength(kept)
  expect(await rotate(25)).toHaveLength(1)
  // The newest stays whatever its size.
  expect(await rotate(1000)).toHaveLength(1)
  expect(await rotate(9).catch((e: Error) => e.message)).toContain('expected false to be true')
})

import { expect, test, vi } from 'vitest'
import { logger } from '#shared/component/log.ts'
import { runtimeHealth } from '#node-agent/kubelet/runtimehealth.ts'

test('a node is not ready while its runtime does not answer', async () => {
  let fails = false
  const check = vi.fn(() => (fails ? Promise.reject(new Error('runc: no such file')) : Promise.resolve()))
  const health = runtimeHealth({ check }, logger('test'), 60_000)
  const changes: (string | undefined)[] = []
  health.onChange(() => changes.push(health.notReady()))
  const stop = new AbortController()
  const done = health.keep(stop.signal)
  await expect.poll(() => check.mock.calls.length).toBe(1)
  expect(health.notReady()).toBeUndefined()
  fails = true
  // Not looked at again for a minute, but that a container could not be made.
  health.suspect()
  await expect.poll(() => health.notReady()).toBe('container runtime is down: runc: no such file')
  fails = false
  await expect.poll(() => health.notReady(), { timeout: 10_000 }).toBeUndefined()
  expect(changes).toEqual(['container runtime is down: runc: no such file', undefined])
  stop.abort()
  await done
})

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { newActivity } from '#node-agent/kubelet/activity.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('quiet comes with the last end, or after its time', async () => {
  const activity = newActivity()
  await activity.quiet(1000)
  activity.begin()
  activity.begin()
  const seen: string[] = []
  void activity.quiet(1000).then(() => seen.push('patient'))
  void activity.quiet(10).then(() => seen.push('late'))
  activity.end()
  await vi.advanceTimersByTimeAsync(10)
  expect(seen).toEqual(['late'])
  activity.end()
  await vi.advanceTimersByTimeAsync(0)
  expect(seen).toEqual(['late', 'patient'])
})

test('work is done when nothing has been under way for a while, until the signal', async () => {
  const activity = newActivity()
  const [work, stop] = [vi.fn(), new AbortController()]
  activity.whenIdle(200, 2000, work, stop.signal)
  activity.begin()
  await vi.advanceTimersByTimeAsync(5000)
  expect(work).not.toHaveBeenCalled()
  activity.end()
  await vi.advanceTimersByTimeAsync(199)
  activity.begin()
  activity.end()
  await vi.advanceTimersByTimeAsync(199)
  expect(work).not.toHaveBeenCalled()
  await vi.advanceTimersByTimeAsync(1)
  expect(work).toHaveBeenCalledTimes(1)
  activity.begin()
  activity.end()
  stop.abort()
  await vi.advanceTimersByTimeAsync(5000)
  expect(work).toHaveBeenCalledTimes(1)
})

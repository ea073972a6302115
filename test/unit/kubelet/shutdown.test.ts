/** How long pods have when the node shuts down. */
import { describe, expect, test } from 'vitest'
import { periodOf, shutdownPeriods } from '#node-agent/kubelet/shutdown.ts'
import { newPod } from './pods.ts'

const none = { shutdownGracePeriod: 0, shutdownGracePeriodCriticalPods: 0 }
describe('periods', () => {
  test('none: pods go with the node', () => expect(shutdownPeriods(none)).toEqual([]))
  test('one for all, of which a part is for critical pods', () =>
    expect(shutdownPeriods({ shutdownGracePeriod: 30_000, shutdownGracePeriodCriticalPods: 10_000 })).toEqual([
      { priority: 0, seconds: 20 },
      { priority: 2_000_000_000, seconds: 10 },
    ]))
  const byPriority = [
    { priority: 10_000, shutdownGracePeriodSeconds: 20 },
    { priority: 0, shutdownGracePeriodSeconds: 60 },
    { priority: 1000, shutdownGracePeriodSeconds: 30 },
  ]
  const periods = shutdownPeriods({ ...none, shutdownGracePeriodByPodPriority: byPriority })
  test.each([
    [undefined, 60],
    [-5, 60],
    [0, 60],
    [999, 60],
    [1000, 30],
    [9999, 30],
    [2_000_001_000, 20],
  ])('a pod of priority %s has %i s', (priority, seconds) =>
    expect(periodOf(periods, newPod(priority === undefined ? {} : { priority })).seconds).toBe(seconds),
  )
})

import { expect, test } from 'vitest'
import type { Lease } from '#shared/api/coordination/lease.ts'
import { held, mayAcquire, observe } from '#shared/client/leaderelection.ts'

const lease = (holderIdentity: string): Lease =>
  ({
    metadata: { name: 'x' },
    spec: { holderIdentity, leaseDurationSeconds: 15, acquireTime: 'then', renewTime: 'then', leaseTransitions: 3 },
  }) as Lease

test('a lease is taken when it is free, ours, or was not renewed for its duration since we saw it change', () => {
  expect(mayAcquire({ lease: lease('b'), at: 1000 }, 'a', 15_999)).toBe(false)
  expect(mayAcquire({ lease: lease('b'), at: 1000 }, 'a', 16_000)).toBe(true)
  expect(mayAcquire({ lease: lease('a'), at: 1000 }, 'a', 1001)).toBe(true)
  expect(mayAcquire({ lease: lease(''), at: 1000 }, 'a', 1001)).toBe(true)
})

test('a change of holder counts as a transition, a renewal does not', () => {
  expect(held(lease('a'), 'a', 15_000, 'now').spec).toMatchObject({ acquireTime: 'then', renewTime: 'now', leaseTransitions: 3 })
  expect(held(lease('b'), 'a', 15_000, 'now').spec).toMatchObject({
    holderIdentity: 'a',
    acquireTime: 'now',
    renewTime: 'now',
    leaseTransitions: 4,
    leaseDurationSeconds: 15,
  })
})

test('what a candidate could not look is not counted, and what it had counted before stays', () => {
  const first = observe(undefined, lease('b'), 1000, false)
  expect(first).toMatchObject({ at: 1000, looked: 1000 })
  const second = observe(first, lease('b'), 3000, false)
  expect(second).toMatchObject({ at: 1000, looked: 3000 })
  // From 3000 to 9000 nothing answered.
  const third = observe(second, lease('b'), 9000, true)
  expect(third).toMatchObject({ at: 7000, looked: 9000 })
  expect(mayAcquire(third, 'a', 21_999)).toBe(false)
  expect(mayAcquire(third, 'a', 22_000)).toBe(true)
  const renewed = { ...lease('b'), spec: { ...lease('b').spec, renewTime: 'now' } } as Lease
  expect(observe(third, renewed, 9500, false)).toMatchObject({ at: 9500, looked: 9500 })
  expect(observe(third, lease('c'), 9500, false)).toMatchObject({ at: 9500, looked: 9500 })
})

import { expect, test } from 'vitest'
import type { Lease } from '#shared/api/coordination/lease.ts'
import { held, mayAcquire } from '#shared/client/leaderelection.ts'

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

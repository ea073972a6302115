import { expect, test } from 'vitest'
import { secondsAt, stepFor } from '#control-plane/controller-manager/nodettl.ts'

/** The annotation while a cluster has these sizes one after the other. */
function told(...sizes: number[]): number[] {
  let step = 0
  return sizes.map(size => secondsAt((step = stepFor(size, step))))
}

test('the larger the cluster, the longer kubelets may keep what they read', () => {
  expect(told(1, 100, 101, 500, 501, 1001, 2001, 5000)).toEqual([0, 0, 15, 15, 30, 60, 300, 300])
  expect(told(5000)).toEqual([300])
})
test('a cluster at a border does not change to and fro', () => {
  expect(told(101, 100, 95, 90, 89, 100)).toEqual([15, 15, 15, 15, 0, 0])
  expect(told(1001, 900, 899, 450, 449)).toEqual([60, 60, 30, 30, 15])
})

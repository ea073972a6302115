/** kubectl top in a cluster as it is started. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../../fixtures/cluster.ts'
import { sharedCluster, type SharedCluster } from '../../fixtures/shared-cluster.ts'

let cluster: SharedCluster
beforeAll(async () => {
  cluster = await sharedCluster()
}, 120_000)
afterAll(() => cluster?.stop(), 60_000)

test('kubectl top tells what nodes and pods use', async () => {
  expect(await cluster.kubectl('get', 'apiservice', 'v1beta1.metrics.k8s.io', '--no-headers')).toMatch(/kube-system\/metrics-server +True/)
  await cluster.kubectl('run', 'busy', '--image=busybox', '--', 'sh', '-c', 'while true; do :; done')
  const cpu = async (): Promise<number> =>
    Number(/^busy +(\d+)m +\d+Mi/m.exec(await cluster.kubectl('top', 'pod', 'busy', '--no-headers'))?.[1] ?? NaN)
  // It is never idle, however busy the machine is.
  await eventually(async () => (await cpu()) > 10, 'a pod that computes is seen to')
  const nodes = await cluster.kubectl('get', 'nodes', '-o', 'name')
  const top = await cluster.kubectl('top', 'nodes', '--no-headers')
  expect(top.trim().split('\n')).toHaveLength(nodes.trim().split('\n').length)
  await cluster.kubectl('delete', 'pod', 'busy', '--grace-period=1')
}, 120_000)

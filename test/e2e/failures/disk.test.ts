/** A disk that is full under nats-server: writes fail with a clear error, what runs runs on, all is well when there is space again. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, expect } from 'vitest'
import type { Client } from '#shared/client/client.ts'
import { listMounts, mount, unmount } from '#shared/linux/mount.ts'
import { startCluster, type ClusterFixture } from '../../fixtures/cluster.ts'
import { clientOf, eventually, processes, row, traffic, untilAllIsWell } from './setup.ts'

let cluster: ClusterFixture
let client: Client
let address = ''
const small = async (dir: string, size: string): Promise<void> => {
  await mkdir(dir, { recursive: true })
  await mount('tmpfs', 'cox-e2e-disk', dir, [`size=${size}`])
}
beforeAll(async () => {
  cluster = await startCluster({
    nodes: 2,
    prepare: async dir => {
      await small(path.join(dir, 'nats'), '64m')
    },
  })
  client = clientOf(cluster)
  await cluster.kubectl('create', 'deployment', 'web', '--image=registry.k8s.io/echoserver:1.10', '--replicas=2', '--port=8080')
  await cluster.kubectl('expose', 'deployment', 'web', '--port=80', '--target-port=8080')
  await untilAllIsWell(cluster, client, 'web', 2)
  address = await cluster.kubectl('get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIP}')
}, 150_000)
afterAll(async () => {
  if (!cluster) return
  await cluster.down()
  await unmount((await listMounts()).map(m => m.target).filter(t => t.startsWith(cluster.dir)))
  await cluster.stop()
}, 60_000)

/** Fills the disk of a directory to the last byte; gives what makes space again. */
async function fill(dir: string): Promise<() => Promise<void>> {
  const file = path.join(dir, 'filling')
  await execa('dd', ['if=/dev/zero', `of=${file}`, 'bs=64k'], { reject: false })
  await writeFile(`${file}-rest`, '').catch(() => {})
  return async () => {
    await rm(file)
    await rm(`${file}-rest`, { force: true })
  }
}
const serving = async (): Promise<string[]> => processes(await cluster.ps(), pod => pod.startsWith('web-'))

row('the disk under nats-server is full', 180_000, async round => {
  const before = await serving()
  const served = traffic(`http://${address}/`)
  await cluster.kubectl('create', 'configmap', `before-${round}`, '--from-literal=a=1')
  const makeSpace = await fill(path.join(cluster.dir, 'nats'))
  try {
    const refused = await eventually(async () => {
      const ran = await cluster.tryKubectl('create', 'configmap', `full-${round}-${Date.now()}`, `--from-literal=a=${'x'.repeat(10_000)}`)
      return ran.code !== 0 && ran.stderr
    }, 'a write is refused')
    expect(refused).toMatch(/store|etcd|space|unavailable/i)
  } finally {
    await makeSpace()
  }
  await eventually(async () => (await cluster.tryKubectl('create', 'configmap', `after-${round}`)).code === 0, 'writes work again')
  await cluster.kubectl('get', 'configmap', `before-${round}`)
  await served.stop()
  expect(served.failures).toEqual([])
  await untilAllIsWell(cluster, client, 'web', 2)
  expect(await serving()).toEqual(before)
})

/** As root, with what is left without: plain processes in network namespaces of their own, and Services through a proxy. */
import { execa } from 'execa'
import path from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { eventually, startCluster, type ClusterFixture } from '../fixtures/cluster.ts'

vi.setConfig({ testTimeout: 90_000 })
let cluster: ClusterFixture
beforeAll(async () => {
  cluster = await startCluster({ nodes: 2, flags: ['--runtime', 'process', '--proxy', 'userspace'] })
})
afterAll(() => cluster?.stop())

const curl = async (url: string): Promise<string> => (await execa('curl', ['-s', '-m', '5', url])).stdout
const name = (answer: string): string | undefined => /^Hostname: (\S+)/.exec(answer)?.[1]

test('pods have addresses of their own, and Services lead to all of them, from everywhere', async () => {
  const { kubectl } = cluster
  expect(
    await kubectl('get', 'nodes', '-l', 'coxswain.io/runtime=process,coxswain.io/network=bridge,coxswain.io/proxy=userspace', '-o', 'name'),
  ).toBe('node/node-1\nnode/node-2')
  await kubectl('apply', '-f', path.join(import.meta.dirname, '../../examples/web.yaml'))
  await kubectl('rollout', 'status', 'deployment/web', '--timeout=60s')
  const pods = (await kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].metadata.name}')).split(' ').sort()
  expect(new Set((await kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].status.podIP}')).split(' ')).size).toBe(3)
  const clusterIP = await kubectl('get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIP}')
  const nodePort = await kubectl('get', 'service', 'web', '-o', 'jsonpath={.spec.ports[0].nodePort}')
  const nodeIP = await kubectl('get', 'node', 'node-2', '-o', 'jsonpath={.status.addresses[0].address}')
  for (const url of [`http://${clusterIP}/`, `http://${nodeIP}:${nodePort}/`]) {
    const seen = new Set<string | undefined>()
    await eventually(async () => seen.add(name(await curl(url))).size === 3, `all pods at ${url}`)
    expect([...seen].sort()).toEqual(pods)
  }
  expect(pods).toContain(name(await kubectl('exec', 'deployment/web', '--', 'curl', '-s', '-m', '5', `http://${clusterIP}/`)))
})

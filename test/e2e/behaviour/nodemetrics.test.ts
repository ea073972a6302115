/** What a kubelet says of its node and its pods, by way of the API server and at its own port; files into a pod and out of it. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { eventually } from '../../fixtures/cluster.ts'
import { sharedCluster, type SharedCluster } from '../../fixtures/shared-cluster.ts'

let cluster: SharedCluster
beforeAll(async () => {
  cluster = await sharedCluster()
}, 120_000)
afterAll(() => cluster?.stop(), 60_000)

test('metrics of a pod, with its network, through the proxy of its node', async () => {
  await cluster.kubectl('run', 'asks', '--image=busybox', '--', 'sh', '-c', 'nslookup kubernetes.default; exec sleep 10000')
  await cluster.kubectl('wait', '--for=condition=Ready', 'pod/asks', '--timeout=60s')
  const node = await cluster.kubectl('get', 'pod', 'asks', '-o', 'jsonpath={.spec.nodeName}')
  const ask = (path: string) => cluster.kubectl('get', '--raw', `/api/v1/nodes/${node}/proxy/${path}`)
  const { namespace } = cluster
  const own = `namespace="${namespace}",pod="asks"`
  const sent = new RegExp(`^container_network_transmit_bytes_total\\{.*${own},interface="eth0"\\} (\\d+)`, 'm')
  await eventually(async () => Number(sent.exec(await ask('metrics/cadvisor'))?.[1]) > 0, 'the pod has asked for an address')
  expect(await ask('metrics/cadvisor')).toMatch(
    new RegExp(`^container_cpu_usage_seconds_total\\{container="asks",.*${own},cpu="total"\\}`, 'm'),
  )
  expect(await ask('metrics')).toContain(`kubelet_node_name{node="${node}"} 1`)
  // What was measured is told for some seconds.
  await eventually(async () => (await ask('metrics/resource')).includes(`pod_memory_working_set_bytes{${own}}`), 'the pod is measured')
  expect(JSON.parse(await ask('stats/summary'))).toMatchObject({
    node: { nodeName: node, systemContainers: [{ name: 'kubelet' }, { name: 'pods' }] },
  })
  // Directly, as Prometheus asks.
  const address = await cluster.kubectl('get', 'node', node, '-o', 'jsonpath={.status.addresses[0].address}')
  await cluster.kubectl('create', 'serviceaccount', 'scraper')
  const url = `https://${address}:10250/metrics/resource`
  const code = async (token: string): Promise<string> =>
    (await execa('curl', ['-sk', '--max-time', '10', '-o', '/dev/null', '-w', '%{http_code}', '-H', `Authorization: Bearer ${token}`, url]))
      .stdout
  const token = await cluster.kubectl('create', 'token', 'scraper')
  expect(await code('nobody')).toBe('401')
  expect(await code(token)).toBe('403')
  const role = `scraper-${namespace}`
  await cluster.kubectl('create', 'clusterrole', role, '--verb=get', '--resource=nodes/metrics')
  // What was refused is remembered for a while: another token is another question.
  await cluster.kubectl('create', 'serviceaccount', 'second')
  await cluster.kubectl('create', 'clusterrolebinding', role, `--clusterrole=${role}`, `--serviceaccount=${namespace}:second`)
  expect(await code(await cluster.kubectl('create', 'token', 'second'))).toBe('200')
  await cluster.kubectl('delete', 'clusterrole,clusterrolebinding', role)
  await cluster.kubectl('delete', 'pod', 'asks', '--grace-period=1')
}, 120_000)

test('large files come and go whole', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'cox-cp-'))
  try {
    await cluster.kubectl('run', 'copies', '--image=busybox', '--', 'sleep', '10000')
    await cluster.kubectl('wait', '--for=condition=Ready', 'pod/copies', '--timeout=60s')
    await cluster.kubectl('exec', 'copies', '--', 'sh', '-c', 'head -c 50000000 /dev/urandom >/tmp/one')
    await cluster.kubectl('cp', 'copies:/tmp/one', join(directory, 'one'))
    await cluster.kubectl('cp', join(directory, 'one'), 'copies:/tmp/two')
    await cluster.kubectl('exec', 'copies', '--', 'cmp', '/tmp/one', '/tmp/two')
    expect((await readFile(join(directory, 'one'))).length).toBe(50_000_000)
    await cluster.kubectl('delete', 'pod', 'copies', '--grace-period=1')
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}, 120_000)

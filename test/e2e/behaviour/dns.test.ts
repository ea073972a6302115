/** Names of the cluster, from within pods: Services, headless ones with their pods' names, aliases; also while the node-agent is away. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../../fixtures/cluster.ts'
import { sharedCluster, type SharedCluster } from '../../fixtures/shared-cluster.ts'

let cluster: SharedCluster
let namespace = ''

beforeAll(async () => {
  cluster = await sharedCluster()
  namespace = cluster.namespace
  await cluster.kubectl('run', 'client', '--image=busybox', '--restart=Never', '--', 'sleep', '3600')
  await cluster.kubectl('wait', '--for=condition=Ready', 'pod/client', '--timeout=60s')
}, 180_000)
afterAll(() => cluster?.stop(), 60_000)

/** The addresses that the pod's C library finds. */
async function addresses(name: string): Promise<string[]> {
  const { stdout } = await cluster.tryKubectl('exec', 'client', '--', 'getent', 'ahostsv4', name)
  return [...new Set(stdout.split('\n').flatMap(line => line.split(' ')[0] || []))].sort()
}
const find = (name: string, expected: string[]): Promise<true> =>
  eventually(async () => JSON.stringify(await addresses(name)) === JSON.stringify(expected.sort()), `${name} is ${expected.join(', ')}`)

test('Services by every name that a pod may use', async () => {
  await cluster.kubectl('create', 'service', 'clusterip', 'web', '--tcp=80:8080')
  const ip = await cluster.kubectl('get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIP}')
  for (const name of ['web', `web.${namespace}`, `web.${namespace}.svc`, `web.${namespace}.svc.cluster.local`]) await find(name, [ip])
  await find('kubernetes.default', [
    await cluster.kubectl('get', 'service', 'kubernetes', '-n', 'default', '-o', 'jsonpath={.spec.clusterIP}'),
  ])
  await cluster.kubectl('create', 'service', 'externalname', 'other', `--external-name=web.${namespace}.svc.cluster.local`)
  await find('other', [ip])
  await cluster.kubectl('delete', 'service', 'web', 'other')
  await find('web', [])
}, 120_000)

test('a headless Service’s pods by their own names', async () => {
  await cluster.kubectl('create', 'service', 'clusterip', 'peers', '--clusterip=None', '--tcp=80')
  const overrides = JSON.stringify({ spec: { hostname: 'first', subdomain: 'peers' } })
  await cluster.kubectl(
    'run',
    'peer',
    '--image=busybox',
    '--labels=app=peers',
    '--restart=Never',
    `--overrides=${overrides}`,
    '--',
    'sleep',
    '3600',
  )
  await cluster.kubectl('wait', '--for=condition=Ready', 'pod/peer', '--timeout=60s')
  const ip = await cluster.kubectl('get', 'pod', 'peer', '-o', 'jsonpath={.status.podIP}')
  await find('peers', [ip])
  await find('first.peers', [ip])
  expect((await cluster.kubectl('exec', 'peer', '--', 'hostname', '-f')).trim()).toBe(`first.peers.${namespace}.svc.cluster.local`)
  expect((await cluster.kubectl('exec', 'client', '--', 'getent', 'hosts', ip)).trim()).toContain(
    `first.peers.${namespace}.svc.cluster.local`,
  )
  await cluster.kubectl('delete', 'pod/peer', 'service/peers', '--wait', '--grace-period=1')
}, 120_000)

test('a pod with the policy Default, or in the node’s network, has the node’s resolvers', async () => {
  const overrides = JSON.stringify({ spec: { dnsPolicy: 'Default' } })
  await cluster.kubectl('run', 'plain', '--image=busybox', '--restart=Never', `--overrides=${overrides}`, '--', 'cat', '/etc/resolv.conf')
  await cluster.kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/plain', '--timeout=60s')
  expect(await cluster.kubectl('logs', 'plain')).not.toContain('cluster.local')
  await cluster.kubectl('delete', 'pod', 'plain')
})

test('a stub domain and hosts of the ConfigMap coredns are in force at once; what is not honoured is told in its events', async () => {
  const corefile = async (): Promise<string> =>
    cluster.kubectl('get', 'configmap', 'coredns', '-n', 'kube-system', '-o', 'jsonpath={.data.Corefile}')
  const set = (text: string): Promise<string> =>
    cluster.kubectl(
      'patch',
      'configmap',
      'coredns',
      '-n',
      'kube-system',
      '--type=merge',
      '-p',
      JSON.stringify({ data: { Corefile: text } }),
    )
  const before = await eventually(corefile, 'there is a Corefile')
  try {
    const stub = `${namespace}.corp.example {\n  hosts {\n    192.0.2.77 db.${namespace}.corp.example\n  }\n  autopath @kubernetes\n}\n`
    await set(`${before}\n${stub}`)
    await find(`db.${namespace}.corp.example`, ['192.0.2.77'])
    await eventually(
      async () =>
        (await cluster.kubectl('get', 'events', '-n', 'kube-system', '--field-selector', 'reason=CorefileNotHonored')).includes('autopath'),
      'an event names the directive',
    )
    await set('. {')
    await eventually(
      async () =>
        (await cluster.kubectl('get', 'events', '-n', 'kube-system', '--field-selector', 'reason=InvalidCorefile')).includes('line 1'),
      'an event says what is wrong',
    )
    await find(`db.${namespace}.corp.example`, ['192.0.2.77'])
  } finally {
    await set(before)
  }
  await find(`db.${namespace}.corp.example`, [])
}, 120_000)

/** A cluster of both families: nodes, pods and Services with IPv4 and IPv6 addresses, names, load balancers and policies of both. */
import { execa } from 'execa'
import { once } from 'node:events'
import { isIPv4, isIPv6 } from 'node:net'
import path from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { eventually, startCluster, type ClusterFixture } from '../fixtures/cluster.ts'
import { call, parrot } from '../fixtures/parrot.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })
let cluster: ClusterFixture
beforeAll(async () => {
  cluster = await startCluster({ nodes: 2, flags: ['--dual-stack'] })
  await cluster.kubectl('apply', '-f', path.join(import.meta.dirname, '../../examples/web.yaml'))
  await cluster.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s')
})
afterAll(() => cluster?.stop())

const host = (ip: string): string => (isIPv6(ip) ? `[${ip}]` : ip)
const curl = async (url: string): Promise<string> => (await execa('curl', ['-gs', '-m', '3', url], { reject: false })).stdout
const name = (answer: string): string | undefined => /^Hostname: (\S+)/.exec(answer)?.[1]
const get = async (...args: string[]): Promise<string[]> => (await cluster.kubectl('get', ...args)).split(' ').filter(Boolean)
const patch = (spec: object): Promise<string> => cluster.kubectl('patch', 'service', 'web', '-p', JSON.stringify({ spec }))
async function untilAllAnswer(url: string): Promise<void> {
  const seen = new Set<string | undefined>()
  await eventually(async () => {
    const from = name(await curl(url))
    return from !== undefined && seen.add(from).size === 3
  }, `all pods at ${url}`)
}

test('nodes and pods have an address of each family', async () => {
  for (const at of ['{.items[*].status.addresses[?(@.type=="InternalIP")].address}', '{.items[*].spec.podCIDRs[*]}']) {
    const found = (await get('nodes', '-o', `jsonpath=${at}`)).map(text => text.split('/')[0]!)
    expect(found.map(isIPv4)).toEqual([true, false, true, false])
  }
  const ips = await get('pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].status.podIPs[*].ip}')
  expect(ips.map(isIPv6)).toEqual([false, true, false, true, false, true])
  const [pod] = await get('pods', '-l', 'app=web', '-o', 'jsonpath={.items[0].metadata.name}')
  const hosts = await cluster.kubectl('exec', pod!, '--', 'cat', '/etc/hosts')
  for (const ip of ips.slice(0, 2)) expect(hosts).toContain(`${ip}\t${pod}`)
  // Each reaches each, on both nodes.
  for (const ip of ips)
    expect(name(await cluster.kubectl('exec', pod!, '--', 'curl', '-gs', '-m', '3', `http://${host(ip)}:8080/`))).toBeTruthy()
})

test('a Service of one family becomes one of both and is one again', async () => {
  expect(await get('service', 'web', '-o', 'jsonpath={.spec.ipFamilies[*]}')).toEqual(['IPv4'])
  await patch({ ipFamilyPolicy: 'RequireDualStack', type: 'LoadBalancer' })
  const clusterIPs = await get('service', 'web', '-o', 'jsonpath={.spec.clusterIPs[*]}')
  expect(clusterIPs.map(isIPv6)).toEqual([false, true])
  await eventually(
    async () =>
      (await get('endpointslices', '-l', 'kubernetes.io/service-name=web', '-o', 'jsonpath={.items[*].addressType}')).sort().join() ===
      'IPv4,IPv6',
    'a slice of each family',
  )
  const balancers = await eventually(async () => {
    const ips = await get('service', 'web', '-o', 'jsonpath={.status.loadBalancer.ingress[*].ip}')
    return ips.length === 2 && ips
  }, 'a load balancer of both families')
  const [nodePort] = await get('service', 'web', '-o', 'jsonpath={.spec.ports[0].nodePort}')
  const nodes = await get('node', 'node-2', '-o', 'jsonpath={.status.addresses[?(@.type=="InternalIP")].address}')
  for (const ip of [...clusterIPs, ...balancers]) await untilAllAnswer(`http://${host(ip)}/`)
  for (const ip of nodes) await untilAllAnswer(`http://${host(ip)}:${nodePort}/`)
  const inPod = (...command: string[]): Promise<string> => cluster.kubectl('exec', 'deployment/web', '--', ...command)
  expect(await inPod('nslookup', '-type=AAAA', 'web.default.svc.cluster.local')).toContain(`Address: ${clusterIPs[1]}`)
  expect(await inPod('nslookup', clusterIPs[1]!)).toContain('name = web.default.svc.cluster.local.')
  for (const family of ['-4', '-6']) expect(name(await inPod('curl', family, '-s', '-m', '3', 'http://web/'))).toBeTruthy()
  await patch({ ipFamilyPolicy: 'SingleStack' })
  expect(await get('service', 'web', '-o', 'jsonpath={.spec.clusterIPs[*]}')).toEqual([clusterIPs[0]])
  await eventually(async () => (await curl(`http://${host(clusterIPs[1]!)}/`)) === '', 'nobody at the address that was given back')
  expect(name(await curl(`http://${clusterIPs[0]}/`))).toBeTruthy()
})

test('a Service of IPv6 alone, and policies hold for both families', async () => {
  await cluster.kubectl(
    'expose',
    'deployment',
    'web',
    '--name=six',
    '--port=80',
    '--target-port=8080',
    '--overrides={"spec":{"ipFamilies":["IPv6"]}}',
  )
  const [six] = await get('service', 'six', '-o', 'jsonpath={.spec.clusterIPs[*]}')
  expect(isIPv6(six!)).toBe(true)
  const [four] = await get('service', 'web', '-o', 'jsonpath={.spec.clusterIP}')
  await cluster.kubectl('create', 'deployment', 'client', '--image=registry.k8s.io/echoserver:1.10')
  await cluster.kubectl('rollout', 'status', 'deployment/client', '--timeout=60s')
  const reached = async (): Promise<boolean[]> =>
    Promise.all(
      [four!, six!].map(async ip => {
        const { code } = await cluster.tryKubectl(
          'exec',
          'deployment/client',
          '--',
          'curl',
          '-gsf',
          '-m',
          '1',
          '-o',
          '/dev/null',
          `http://${host(ip)}/`,
        )
        return code === 0
      }),
    )
  const untilReached = (both: [boolean, boolean]): Promise<unknown> =>
    eventually(async () => JSON.stringify(await reached()) === JSON.stringify(both), `IPv4 and IPv6 reached: ${both.join()}`)
  const policy = (from: string): Promise<string> =>
    cluster.apply(
      `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web}\nspec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress], ingress: ${from}}\n`,
    )
  await untilReached([true, true])
  await policy('[]')
  await untilReached([false, false])
  await policy('[{from: [{podSelector: {matchLabels: {app: client}}}]}]')
  await untilReached([true, true])
  // Blocks are of one family.
  await policy('[{from: [{ipBlock: {cidr: "::/0"}}]}]')
  await untilReached([false, true])
})

test('load balancers that move: connections by either family stay at the node where they began', async () => {
  const moving = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'moving' },
    spec: {
      type: 'LoadBalancer',
      externalTrafficPolicy: 'Local',
      ipFamilyPolicy: 'RequireDualStack',
      selector: { app: 'parrot' },
      ports: [{ port: 80, targetPort: 8080 }],
    },
  }
  await cluster.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [parrot('node-1'), parrot('node-2'), moving] }))
  await cluster.kubectl('wait', '--for=condition=Ready', 'pod', '-l', 'app=parrot', '--timeout=60s')
  const ips = await eventually(async () => {
    const found = await get('service', 'moving', '-o', 'jsonpath={.status.loadBalancer.ingress[*].ip}')
    return found.length === 2 && found
  }, 'an address of each family')
  const open = await Promise.all(ips.map(ip => eventually(() => call(ip), `${ip} answers`)))
  expect(open[0]!.name).toBe(open[1]!.name)
  await cluster.kubectl('label', 'pod', open[0]!.name, 'app-')
  for (const ip of ips)
    await eventually(async () => {
      const other = await call(ip)
      other.socket.destroy()
      return other.name !== open[0]!.name
    }, `${ip} has moved`)
  for (const { socket } of open) {
    socket.write('still here')
    expect(String((await once(socket, 'data'))[0])).toBe('still here')
    socket.destroy()
  }
})

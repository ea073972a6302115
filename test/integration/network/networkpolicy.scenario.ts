/** A node with three pods, and a machine beside it that is another node with a pod and the outside as well; policies come by hand. */
import assert from 'node:assert/strict'
import { logger } from '#shared/component/log.ts'
import type { Namespace } from '#shared/api/core/namespace.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import type { NetworkPolicy, NetworkPolicySpec } from '#shared/api/networking/networkpolicy.ts'
import { run } from '#shared/linux/run.ts'
import { openBridgeNetwork } from '#node-agent/network/bridge.ts'
import type { PodNetwork } from '#node-agent/network/network.ts'
import { startNetworkPolicies, type NetworkPolicies } from '#node-agent/networkpolicy/networkpolicy.ts'
import { startProxy } from '#node-agent/proxy/proxy.ts'
import { newProxyStatus } from '#node-agent/proxy/status.ts'
import { eventually, type Scenario } from '../../fixtures/in-node.ts'
import { handInformer } from './hand-informer.ts'
import { asker, serve, type Asker } from './traffic.ts'

const NODE_IP = '10.9.255.11'
const OUTSIDE = '10.9.255.1'
const REMOTE = '10.9.2.2'
const options = { podCIDR: '10.9.1.0/24', clusterCIDR: '10.9.0.0/17', serviceCIDR: '10.9.128.0/18', nodeIP: NODE_IP }
const VIP = '10.9.128.10'

let network: PodNetwork
let enforcing: NetworkPolicies
let end = new AbortController()
const ips: Record<string, string> = { node: NODE_IP, outside: OUTSIDE, remote: REMOTE }
const askers: Record<string, Asker> = {}
const policies = handInformer<NetworkPolicy>()
const pods = handInformer<Pod>()
const namespaces = handInformer<Namespace>()
let following = 0

const podOf = (name: string, labels: Record<string, string>, nodeName: string, port = 80): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { namespace: 'default', name, uid: name, labels },
  spec: { nodeName, containers: [{ name: 'c', ports: [{ name: 'web', protocol: 'TCP', containerPort: port }] }] } as unknown as Pod['spec'],
  status: { podIP: ips[name] },
})
const policy = (name: string, spec: NetworkPolicySpec): void =>
  policies.set({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { namespace: 'default', name, uid: name }, spec })
const setNamespace = (labels: Record<string, string>): void =>
  namespaces.set({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default', labels }, spec: {} })
const noPolicies = (): void => policies.list().forEach(p => policies.delete(p))

function start(): void {
  end = new AbortController()
  enforcing = startNetworkPolicies(
    {
      nodeName: 'node-1',
      policies,
      follow: signal => {
        following++
        signal.addEventListener('abort', () => following--, { once: true })
        return { pods, namespaces }
      },
      log: logger('networkpolicy'),
    },
    end.signal,
  )
}
async function startPod(name: string, labels: Record<string, string>, port = 80): Promise<void> {
  const { ip } = await network.setUp({ uid: name, namespace: 'default', name, hostPorts: [], sysctls: {} })
  ips[name] = ip
  const pod = podOf(name, labels, 'node-1', port)
  await enforcing.enforce(pod, [ip])
  pods.set(pod)
}
const table = async (): Promise<string> => run('nft', ['list', 'table', 'ip', 'coxswain-networkpolicy']).catch(() => '')

type How = 'tcp' | 'udp'
/** Who gets an answer, of those that are named. */
async function reaches(from: readonly string[], to: string, port = 80, how: How = 'tcp'): Promise<string[]> {
  const answers = await Promise.all(from.map(async who => [who, await askers[who]![how](ips[to] ?? to, port)] as const))
  return answers.filter(([, answer]) => /^\d+\.\d/.test(answer)).map(([who]) => who)
}
const all = ['a', 'b', 'c', 'remote', 'outside', 'node']
const untilReaches = (from: readonly string[], to: string, expected: readonly string[], port = 80, how: How = 'tcp'): Promise<void> =>
  eventually(async () => assert.deepEqual(await reaches(from, to, port, how), expected))

export const scenario: Scenario = {
  async 'without policies there are no rules, nobody follows pods, and a pod starts at once'() {
    for (const name of ['outside', 'remote']) await run('ip', ['netns', 'add', name])
    await run('ip', ['-batch', '-'], {
      input: `link add eth0 type veth peer name eth0 netns outside\naddr add ${NODE_IP}/24 dev eth0\nlink set eth0 up\nroute add 10.9.2.0/24 via ${OUTSIDE}\n`,
    })
    await run('ip', ['-n', 'outside', '-batch', '-'], {
      input: `addr add ${OUTSIDE}/24 dev eth0\nlink set eth0 up\nroute add 10.9.1.0/24 via ${NODE_IP}\nlink add pod type veth peer name eth0 netns remote\naddr add 10.9.2.1/24 dev pod\nlink set pod up\n`,
    })
    await run('ip', ['netns', 'exec', 'outside', 'sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward'])
    await run('ip', ['-n', 'remote', '-batch', '-'], {
      input: `addr add ${REMOTE}/24 dev eth0\nlink set eth0 up\nroute add default via 10.9.2.1\n`,
    })
    network = await openBridgeNetwork({ ...options, nonMasqueradeCIDRs: ['10.9.255.0/24'] })
    setNamespace({ team: 'x' })
    start()
    await startPod('a', { app: 'web' })
    await startPod('b', { app: 'client' })
    await startPod('c', { app: 'other' })
    pods.set(podOf('remote', { app: 'client' }, 'node-2'))
    for (const name of ['a', 'b', 'c']) {
      askers[name] = asker(`pod-${ips[name]}`)
      await serve(`pod-${ips[name]}`, [80, 81])
    }
    askers['outside'] = asker('outside')
    askers['remote'] = asker('remote')
    askers['node'] = asker('')
    await Promise.all([serve('outside', [80, 81]), serve('remote', [80, 81]), serve('', [80])])
    assert.equal(await table(), '')
    assert.equal(following, 0)
    assert.deepEqual(await reaches(all, 'a'), all)
    assert.deepEqual(await reaches(all, 'a', 80, 'udp'), all)
    assert.deepEqual(await reaches(['a'], 'remote'), ['a'])
  },

  async 'default deny: the node, with its probes, and the pod itself get in; what the pod asks for is answered'() {
    policy('deny', { podSelector: { matchLabels: { app: 'web' } }, policyTypes: ['Ingress'] })
    await untilReaches(all, 'a', ['a', 'node'])
    assert.deepEqual(await reaches(all, 'a', 80, 'udp'), ['a', 'node'])
    assert.deepEqual(await reaches(['a'], 'remote'), ['a'])
    assert.deepEqual(await reaches(['a'], 'b', 80, 'udp'), ['a'])
    assert.deepEqual(await reaches(['a'], 'outside'), ['a'])
    assert.equal(following, 1)
  },

  async 'pods by their labels, on this node and on others; labels and namespaces change'() {
    const from = [{ podSelector: { matchLabels: { app: 'client' } }, namespaceSelector: { matchLabels: { team: 'x' } } }]
    policy('allow', { podSelector: { matchLabels: { app: 'web' } }, policyTypes: ['Ingress'], ingress: [{ from, ports: [{ port: 80 }] }] })
    await untilReaches(all, 'a', ['a', 'b', 'remote', 'node'])
    assert.deepEqual(await reaches(['b'], 'a', 81), [])
    assert.deepEqual(await reaches(['b'], 'a', 80, 'udp'), [])
    pods.set(podOf('c', { app: 'client' }, 'node-1'))
    pods.set(podOf('remote', { app: 'other' }, 'node-2'))
    await untilReaches(all, 'a', ['a', 'b', 'c', 'node'])
    setNamespace({})
    await untilReaches(all, 'a', ['a', 'node'])
    setNamespace({ team: 'x' })
    await untilReaches(all, 'a', ['a', 'b', 'c', 'node'])
    pods.set(podOf('c', { app: 'other' }, 'node-1'))
    pods.set(podOf('remote', { app: 'client' }, 'node-2'))
    await untilReaches(all, 'a', ['a', 'b', 'remote', 'node'])
  },

  async 'a connection ends when it is no longer allowed, and goes on when it is again'() {
    assert.match(await askers['remote']!.tcp(ips['a']!, 80), /^10/)
    assert.equal(await askers['remote']!.again(), 'again')
    policy('allow', {
      podSelector: {},
      policyTypes: ['Ingress'],
      ingress: [{ from: [{ podSelector: { matchLabels: { app: 'nobody' } } }] }],
    })
    await untilReaches(['remote'], 'a', [])
    assert.match(await askers['b']!.tcp(REMOTE, 80), /^10/)
    noPolicies()
    await untilReaches(['remote'], 'a', ['remote'])
  },

  async 'without policies again there is no table'() {
    await eventually(async () => assert.equal(await table(), ''))
    assert.equal(following, 0)
  },

  async 'blocks of addresses with exceptions, ranges of ports, UDP'() {
    policy('block', {
      podSelector: { matchLabels: { app: 'web' } },
      policyTypes: ['Ingress'],
      ingress: [
        {
          from: [{ ipBlock: { cidr: '10.9.0.0/16', except: ['10.9.2.0/24', '10.9.1.0/24'] } }],
          ports: [
            { protocol: 'TCP', port: 81, endPort: 90 },
            { protocol: 'UDP', port: 80 },
          ],
        },
      ],
    })
    await untilReaches(all, 'a', ['a', 'node'])
    assert.deepEqual(await reaches(all, 'a', 81), ['a', 'outside', 'node'])
    assert.deepEqual(await reaches(all, 'a', 80, 'udp'), ['a', 'outside', 'node'])
    assert.deepEqual(await reaches(all, 'a', 81, 'udp'), ['a', 'node'])
    noPolicies()
  },

  async 'what goes out: through a Service it is the pod behind it that counts, by its own port or its name'() {
    const services = handInformer<Service>()
    const slices = handInformer<EndpointSlice>()
    const service = { clusterIP: VIP, ports: [{ port: 8000, protocol: 'TCP', targetPort: 80 }] }
    services.set({ metadata: { name: 'web', namespace: 'default' }, spec: service } as unknown as Service)
    const to = (who: string): void =>
      slices.set({
        metadata: { name: 'web-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'web' } },
        addressType: 'IPv4',
        ports: [{ name: '', protocol: 'TCP', port: 80 }],
        endpoints: [{ addresses: [ips[who]], nodeName: 'node-1', conditions: { ready: true } }],
      } as unknown as EndpointSlice)
    to('a')
    const { synced } = startProxy(
      {
        services,
        endpointSlices: slices,
        nodes: handInformer<Node>(),
        status: newProxyStatus(),
        nodeName: 'node-1',
        family: 'IPv4',
        nodeIPs: [NODE_IP],
        clusterCIDR: options.clusterCIDR,
        serviceCIDR: options.serviceCIDR,
        log: logger('proxy'),
      },
      new AbortController().signal,
    )
    await synced
    await untilReaches(['b'], VIP, ['b'], 8000)
    policy('out', {
      podSelector: { matchLabels: { app: 'client' } },
      policyTypes: ['Egress'],
      egress: [{ to: [{ podSelector: { matchLabels: { app: 'web' } } }], ports: [{ port: 'web' }] }],
    })
    await untilReaches(['b'], 'outside', [])
    assert.deepEqual(await reaches(['b'], 'a'), ['b'])
    assert.deepEqual(await reaches(['b'], VIP, 8000), ['b'])
    assert.deepEqual(await reaches(['b'], 'c'), [])
    assert.deepEqual(await reaches(['b'], 'remote'), [])
    // The node is always reached, and others reach the pod.
    assert.deepEqual(await reaches(['b'], 'node'), ['b'])
    assert.deepEqual(await reaches(all, 'b'), all)
    to('c')
    await untilReaches(['b'], VIP, [], 8000)
    // It reaches itself by way of a Service, too.
    to('b')
    policy('in', { podSelector: {}, policyTypes: ['Ingress', 'Egress'] })
    await untilReaches(['b'], VIP, ['b'], 8000)
    assert.deepEqual(await reaches(['c'], VIP, 8000), [])
    noPolicies()
    await untilReaches(['c'], VIP, ['c'], 8000)
  },

  async 'a port by its name is each pod’s own'() {
    policy('named', { podSelector: {}, policyTypes: ['Ingress'], ingress: [{ ports: [{ port: 'web' }] }] })
    pods.set(podOf('c', { app: 'other' }, 'node-1', 81))
    await untilReaches(['remote'], 'c', [])
    assert.deepEqual(await reaches(['remote'], 'c', 81), ['remote'])
    assert.deepEqual(await reaches(['remote'], 'a', 80), ['remote'])
    assert.deepEqual(await reaches(['remote'], 'a', 81), [])
    noPolicies()
    await untilReaches(['remote'], 'c', ['remote'])
  },

  async 'rules are there when a pod may start, also for an address that was another’s'() {
    policy('deny', { podSelector: { matchLabels: { app: 'late' } }, policyTypes: ['Ingress', 'Egress'] })
    await startPod('d', { app: 'late' })
    const rules = await table()
    assert.equal(rules.split(`${ips['d']} : goto`).length, 3, rules)
    enforcing.release('d')
    await network.tearDown('d')
    pods.delete(podOf('d', {}, 'node-1'))
    await eventually(async () => assert.equal(await table(), ''))
    await startPod('e', { app: 'late' })
    assert.match(await table(), new RegExp(`${ips['e']} : goto`))
  },

  async 'the next node-agent keeps the rules of the last until it knows what they should be; a pod that the API forgot stays isolated'() {
    end.abort()
    const before = await table()
    noPolicies()
    policy('deny', { podSelector: { matchLabels: { app: 'web' } }, policyTypes: ['Ingress'] })
    const known = Promise.withResolvers<void>()
    Object.assign(pods, { synced: known.promise })
    start()
    const late = enforcing.enforce(podOf('a', { app: 'web' }, 'node-1'), [ips['a']!])
    assert.equal(await Promise.race([late.then(() => 'enforced'), new Promise(r => setTimeout(r, 200, 'waits'))]), 'waits')
    assert.equal(await table(), before)
    known.resolve()
    await late
    assert.deepEqual(await reaches(all, 'a'), ['a', 'node'])
    pods.delete(podOf('a', {}, 'node-1'))
    policy('other', { podSelector: { matchLabels: { app: 'client' } }, policyTypes: ['Ingress'] })
    await untilReaches(['c'], 'b', [])
    assert.deepEqual(await reaches(['c'], 'a'), [])
  },

  async 'what somebody else did to the table is made good by the next write that fails'() {
    pods.set(podOf('a', { app: 'web' }, 'node-1'))
    await run('nft', ['flush', 'map', 'ip', 'coxswain-networkpolicy', 'ingress-pods'])
    policies.delete(policies.get('default', 'other')!)
    await untilReaches(['c'], 'a', [])
    assert.deepEqual(await reaches(['c'], 'b'), ['c'])
  },

  async 'a thousand policies for three pods'() {
    const started = performance.now()
    for (let i = 0; i < 1000; i++)
      policy(`p${i}`, {
        podSelector: {},
        policyTypes: ['Ingress'],
        ingress: [
          {
            from: [{ podSelector: { matchLabels: { app: `client-${i}` } } }, { ipBlock: { cidr: `172.16.${i >> 8}.${i & 255}/32` } }],
            ports: [{ port: 80 }],
          },
        ],
      })
    for (let i = 0; i < 2000; i++)
      pods.set({ ...podOf(`x${i}`, { app: `client-${i % 1000}` }, 'node-3'), status: { podIP: `10.9.${16 + (i >> 8)}.${i & 255}` } })
    await untilReaches(['remote'], 'a', [])
    console.log(`1,000 policies and 2,000 pods: ${Math.round(performance.now() - started)} ms`)
    const one = performance.now()
    pods.set(podOf('remote', { app: 'client-999' }, 'node-2'))
    await eventually(async () => assert.match(await table(), /10\.9\.2\.2/))
    console.log(`one pod's labels: ${Math.round(performance.now() - one)} ms, most of it to list the table`)
    assert.deepEqual(await reaches(['remote', 'b'], 'a'), ['remote'])
    noPolicies()
    await untilReaches(all, 'a', all)
  },
}

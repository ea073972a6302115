import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { logger } from '#shared/component/log.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { Service } from '#shared/api/core/service.ts'
import { run } from '#shared/linux/run.ts'
import { openBridgeNetwork } from '#node-agent/network/bridge.ts'
import type { PodNetwork } from '#node-agent/network/network.ts'
import { setRoutes } from '#shared/linux/routes.ts'
import { startProxy } from '#node-agent/proxy/proxy.ts'
import { newProxyStatus } from '#node-agent/proxy/status.ts'
import { eventually, type Scenario } from '../../fixtures/in-node.ts'
import { handInformer } from './hand-informer.ts'

const NODE_IP = '10.9.255.11'
const options = { podCIDR: '10.9.1.0/24', clusterCIDR: '10.9.0.0/17', serviceCIDR: '10.9.128.0/18', nodeIP: NODE_IP }
let network: PodNetwork
const ips = new Map<string, string>()
const pod = (uid: string, more: Partial<Parameters<PodNetwork['setUp']>[0]> = {}) => ({
  uid,
  namespace: 'default',
  name: uid,
  hostPorts: [],
  sysctls: {},
  ...more,
})
const setUp = async (uid: string, more = {}): Promise<string> => {
  const { ip, namespacePath } = await network.setUp(pod(uid, more))
  assert.equal(namespacePath, `/run/netns/pod-${ip}`)
  ips.set(uid, ip)
  return ip
}

/** Serves `<name> <client's address>` to every TCP connection on `port` in a pod. */
async function serve(uid: string, port: number): Promise<void> {
  const code = `require('net').createServer(s => s.end('${uid} ' + s.remoteAddress)).listen(${port}, '0.0.0.0', () => console.log('up'))`
  const server = spawn('ip', ['netns', 'exec', `pod-${ips.get(uid)}`, process.execPath, '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await new Promise(resolve => server.stdout.once('data', resolve))
}
/** A process in a pod ('' for the node, 'outside' for a machine beside it) that connects where it is told to, line by line. */
const askers = new Map<string, AsyncGenerator<string, void, string>>()
async function* asker(from: string): AsyncGenerator<string, void, string> {
  const code = `const net = require('net'); const one = (host, port, localPort) => new Promise(r => { const s = net.connect({ host, port, localPort, timeout: 1000 }).on('data', d => r(String(d))).on('error', e => r(e.code)).on('timeout', () => { s.destroy(); r('timeout') }) });
    require('readline').createInterface(process.stdin).on('line', async l => { const [ip, port, times, from] = JSON.parse(l); const a = []; for (let i = 0; i < times; i++) a.push(await one(ip, port, from)); console.log(JSON.stringify(a)) })`
  const namespace = from === '' ? [] : ['ip', 'netns', 'exec', from === 'outside' ? from : `pod-${ips.get(from)}`]
  const [command, ...args] = [...namespace, process.execPath, '-e', code]
  const child = spawn(command!, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const answers = createInterface(child.stdout)[Symbol.asyncIterator]()
  for (let question = yield ''; ;) {
    child.stdin.write(`${question}\n`)
    question = yield (await answers.next()).value as string
  }
}
/** What `times` connections from a place (and from a port of it) get, or the error's code. */
async function ask(from: string, ip: string, port: number, times = 1, localPort?: number): Promise<string[]> {
  const known = askers.get(from)
  const place = known ?? asker(from)
  if (!known) {
    askers.set(from, place)
    await place.next('')
  }
  return JSON.parse((await place.next(JSON.stringify([ip, port, times, localPort]))).value as string) as string[]
}

/** Answers every datagram on `port` in a pod with the pod's name. */
async function serveUdp(uid: string, port: number): Promise<void> {
  const code = `const s = require('dgram').createSocket('udp4'); s.on('message', (_, r) => s.send('${uid}', r.port, r.address)); s.bind(${port}, () => console.log('up'))`
  const server = spawn('ip', ['netns', 'exec', `pod-${ips.get(uid)}`, process.execPath, '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await new Promise(resolve => server.stdout.once('data', resolve))
}
/** One socket in a pod that asks again and again; `ask` is what it got, '' for nothing. */
function askUdp(from: string, ip: string, port: number): { ask(): Promise<string>; end(): void } {
  const code = `const s = require('dgram').createSocket('udp4'); let got = () => {}; s.on('message', m => got(String(m)))
    require('readline').createInterface(process.stdin).on('line', () => { const t = setTimeout(() => got(''), 300); got = a => { clearTimeout(t); got = () => {}; console.log(a) }; s.send('x', ${port}, '${ip}') })`
  const child = spawn('ip', ['netns', 'exec', `pod-${ips.get(from)}`, process.execPath, '-e', code], { stdio: ['pipe', 'pipe', 'inherit'] })
  const answers = createInterface(child.stdout)[Symbol.asyncIterator]()
  return {
    ask: async () => (child.stdin.write('\n'), (await answers.next()).value as string),
    end: () => void child.kill('SIGKILL'),
  }
}
/** Python that sends an SCTP INIT from a pod to where its arguments say, with the checksum that connection tracking wants. */
const sctpInit = `import socket, struct, sys
def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8): crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff
chunk = struct.pack('>BBHIIHHI', 1, 0, 20, 7, 65535, 1, 1, 1)
head = struct.pack('>HHI', 40001, int(sys.argv[2]), 0)
packet = head + struct.pack('<I', crc32c(head + bytes(4) + chunk)) + chunk
socket.socket(socket.AF_INET, socket.SOCK_RAW, 132).sendto(packet, (sys.argv[1], 0))`
/** Python that says to which port the first SCTP packet comes. */
const sctpPort = `import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 132); s.settimeout(20); print('up', flush=True)
packet = s.recv(2000); print(struct.unpack('>H', packet[22:24])[0], flush=True)`
/** How many sets of clients there are, of endpoints whose names fit. */
const affinitySets = async (endpoint = ''): Promise<number> =>
  (await run('nft', ['list', 'table', 'ip', 'kube-proxy'])).match(new RegExp(`^\\tset affinity-${endpoint}`, 'gm'))?.length ?? 0
/** Python that announces an address as eth0's, unasked. */
const arp = (ip: string): string => `import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(('eth0', 0))
mac = bytes.fromhex(open('/sys/class/net/eth0/address').read().strip().replace(':', '')); ip = socket.inet_aton('${ip}')
for op in (1, 2): s.send(b'\\xff' * 6 + mac + b'\\x08\\x06\\0\\1\\x08\\0\\x06\\x04\\0' + bytes([op]) + mac + ip + b'\\xff' * 6 + ip)`

const services = handInformer<Service>()
const slices = handInformer<EndpointSlice>()
const nodes = handInformer<Node>()
const status = newProxyStatus()
const proxyEnd = new AbortController()
const service = (spec: object, name = 'web') =>
  ({
    metadata: { name, namespace: 'default' },
    spec: { clusterIP: '10.9.128.10', ports: [{ port: 80, protocol: 'TCP', targetPort: 8080, nodePort: 30080 }], ...spec },
  }) as unknown as Service
const slice = (endpoints: object[], name = 'web') =>
  ({
    metadata: { name: `${name}-1`, namespace: 'default', labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ name: '', protocol: 'TCP', port: 8080 }],
    endpoints,
  }) as unknown as EndpointSlice
const endpoint = (uid: string, conditions = {}) => ({
  addresses: [ips.get(uid)],
  nodeName: 'node-1',
  conditions: { ready: true, ...conditions },
})
const names = (answers: string[]): string[] => [...new Set(answers.map(a => a.split(' ')[0]!))].sort()

export const scenario: Scenario = {
  async 'a node beside a machine'() {
    await run('ip', ['netns', 'add', 'outside'])
    const outside = `link add eth0 type veth peer name eth0 netns outside\naddr add ${NODE_IP}/24 dev eth0\nlink set eth0 up\n`
    await run('ip', ['-batch', '-'], { input: outside })
    await run('ip', ['-n', 'outside', '-batch', '-'], {
      input: `addr add 10.9.255.1/24 dev eth0\nlink set eth0 up\nroute add 10.9.1.0/24 via ${NODE_IP}\nroute add 10.9.128.0/18 via ${NODE_IP}\n`,
    })
    network = await openBridgeNetwork(options)
  },

  async 'pods reach each other, the node and the machine beside it, with their own addresses'() {
    const [a, b] = await Promise.all([setUp('a', { sysctls: { 'net.core.somaxconn': '777' } }), setUp('b')])
    assert.notEqual(a, b)
    await Promise.all([serve('a', 8080), serve('b', 8080)])
    assert.deepEqual(await ask('b', a, 8080), [`a ${b}`])
    assert.deepEqual(await ask('outside', a, 8080), ['a 10.9.255.1'])
    assert.equal((await ask('', a, 8080))[0]!.split(' ')[0], 'a')
    assert.deepEqual(await run('ip', ['netns', 'exec', `pod-${a}`, 'cat', '/proc/sys/net/core/somaxconn']), '777\n')
  },

  async 'an address of the cluster that nobody has is unreachable at once'() {
    assert.deepEqual(await ask('a', '10.9.77.3', 80), ['EHOSTUNREACH'])
    assert.deepEqual(await ask('', '10.9.77.3', 80), ['EHOSTUNREACH'])
  },

  async 'setting up again changes nothing, also after a restart; host ports lead to the pod'() {
    const hostPorts = [
      { hostIP: '', hostPort: 8088, containerPort: 8080, protocol: 'TCP' },
      { hostIP: NODE_IP, hostPort: 9090, containerPort: 8080, protocol: 'TCP' },
    ]
    const { ip } = await network.setUp(pod('a', { hostPorts }))
    assert.equal(ip, ips.get('a'))
    network = await openBridgeNetwork(options)
    assert.equal((await network.setUp(pod('a', { hostPorts }))).ip, ip)
    assert.deepEqual(
      names([
        ...(await ask('outside', NODE_IP, 8088)),
        ...(await ask('outside', NODE_IP, 9090)),
        ...(await ask('b', NODE_IP, 8088)),
        ...(await ask('', NODE_IP, 9090)),
        ...(await ask('a', NODE_IP, 8088)),
      ]),
      ['a'],
    )
    // At the node's own loopback address too; a pod's stays its own.
    assert.deepEqual(names(await ask('', '127.0.0.1', 8088)), ['a'])
    assert.deepEqual(await ask('b', '127.0.0.1', 8088), ['ECONNREFUSED'])
    assert.notEqual(await setUp('c'), ip)
  },

  async 'a pod sends from its own address alone, and is told of no packet that is not for it'() {
    const [a, b] = [ips.get('a')!, ips.get('b')!]
    const inB = (...command: string[]) => run('ip', ['netns', 'exec', `pod-${b}`, ...command])
    await inB('ip', 'addr', 'add', `${a}/32`, 'dev', 'eth0')
    // It says to the node and to everybody on the bridge that the address is here.
    await inB('python3', '-c', arp(a))
    assert.deepEqual(names(await ask('', a, 8080, 3)), ['a'])
    assert.deepEqual(names(await ask('outside', a, 8080, 3)), ['a'])
    const spoofed = await run('ip', [
      'netns',
      'exec',
      `pod-${b}`,
      'python3',
      '-c',
      `import socket; s = socket.socket(); s.settimeout(0.5); s.bind(('${a}', 0)); print(s.connect_ex(('${NODE_IP}', 8088)))`,
    ])
    assert.notEqual(spoofed.trim(), '0')
    await inB('ip', 'addr', 'del', `${a}/32`, 'dev', 'eth0')
    assert.deepEqual(names(await ask('b', a, 8080)), ['a'])
  },

  async 'routes to other nodes are exactly those asked for'() {
    await setRoutes(new Map([['10.9.2.0/24', { via: '10.9.255.12' }], ['10.9.3.0/24', { via: '10.9.255.13' }]])) // prettier-ignore
    await setRoutes(new Map([['10.9.2.0/24', { via: '10.9.255.14' }]]))
    assert.equal((await run('ip', ['route', 'show', 'proto', '120'])).trim(), '10.9.2.0/24 via 10.9.255.14 dev eth0')
    await assert.rejects(setRoutes(new Map([['10.9.4.0/24', { via: '192.0.2.1' }]])), /ip/)
    await setRoutes(new Map())
  },

  async 'a service spreads over its ready endpoints, from pods, the node and outside'() {
    await serve('c', 8080)
    services.set(service({ type: 'NodePort' }))
    slices.set(slice([endpoint('a'), endpoint('b'), endpoint('c', { ready: false })]))
    const proxy = startProxy(
      {
        services,
        endpointSlices: slices,
        nodes,
        status,
        log: logger('test'),
        nodeName: 'node-1',
        family: 'IPv4' as const,
        nodeIPs: [NODE_IP],
        ...options,
      },
      proxyEnd.signal,
    )
    await proxy.synced
    for (const [from, ip, port] of [
      ['c', '10.9.128.10', 80],
      ['', '10.9.128.10', 80],
      ['outside', '10.9.128.10', 80],
      ['outside', NODE_IP, 30080],
      ['a', NODE_IP, 30080],
      ['', NODE_IP, 30080],
    ] as const) {
      assert.deepEqual(names(await ask(from, ip, port, 24)), ['a', 'b'], `${from} ${ip}:${port}`)
    }
    // A pod keeps its address on the way to a service, also to one beside it; to itself it cannot.
    assert.ok((await ask('c', '10.9.128.10', 80)).every(a => a.endsWith(ips.get('c')!)))
    assert.deepEqual(names(await ask('a', '10.9.128.10', 80, 24)), ['a', 'b'])
    // So it does at a port of its own node, where others are known by the node's.
    assert.ok((await ask('c', NODE_IP, 30080, 8)).every(a => a.endsWith(ips.get('c')!)))
    assert.ok((await ask('outside', NODE_IP, 30080, 8)).every(a => !a.endsWith('10.9.255.1')))
  },

  async 'endpoints come and go'() {
    slices.set(slice([endpoint('b', { ready: false, serving: true, terminating: true }), endpoint('c')]))
    await eventually(async () => assert.deepEqual(names(await ask('a', '10.9.128.10', 80, 8)), ['c']))
    slices.set(slice([endpoint('b', { ready: false, serving: true, terminating: true })]))
    await eventually(async () => assert.deepEqual(names(await ask('a', '10.9.128.10', 80, 8)), ['b']))
    slices.set(slice([]))
    await eventually(async () => assert.deepEqual(await ask('a', '10.9.128.10', 80), ['ECONNREFUSED']))
    for (const from of ['', 'outside'] as const)
      assert.deepEqual([...(await ask(from, '10.9.128.10', 80)), ...(await ask(from, NODE_IP, 30080))], ['ECONNREFUSED', 'ECONNREFUSED'])
    slices.set(slice([endpoint('a'), endpoint('b'), endpoint('c')]))
    await eventually(async () => assert.deepEqual(names(await ask('a', '10.9.128.10', 80, 30)), ['a', 'b', 'c']))
  },

  async 'a connection that a dead endpoint did not answer does not lead the next one from its port there'() {
    const port = 40_000
    slices.set(slice([{ addresses: ['10.9.255.77'], nodeName: 'node-2', conditions: { ready: true } }]))
    await eventually(async () => assert.deepEqual(await ask('a', '10.9.128.10', 80, 1, port), ['timeout']))
    slices.set(slice([endpoint('a'), endpoint('b'), endpoint('c')]))
    await eventually(async () => assert.deepEqual(names(await ask('b', '10.9.128.10', 80, 30)), ['a', 'b', 'c']))
    await eventually(async () => assert.match((await ask('a', '10.9.128.10', 80, 1, port))[0]!, /^[abc] /))
  },

  async 'a port that a service does not have is refused'() {
    assert.deepEqual(await ask('a', '10.9.128.10', 81), ['ECONNREFUSED'])
  },

  async 'session affinity, external address'() {
    services.set(service({ sessionAffinity: 'ClientIP', externalIPs: ['192.0.2.7'] }))
    await eventually(async () => assert.equal(names(await ask('a', '10.9.128.10', 80, 20)).length, 1))
    await run('ip', ['-n', 'outside', 'route', 'add', '192.0.2.7', 'via', NODE_IP])
    assert.equal(names(await ask('outside', '192.0.2.7', 80, 20)).length, 1)
    // Whom it has it keeps, whatever comes and goes beside it and also when the node-agent is new.
    const mine = names(await ask('a', '10.9.128.10', 80))
    const others = ['a', 'b', 'c'].filter(name => name !== mine[0])
    for (const present of [[mine[0]!], [mine[0]!, others[0]!], [mine[0]!, others[1]!]]) {
      slices.set(slice(present.map(name => endpoint(name))))
      await eventually(async () => assert.equal(await affinitySets(), present.length))
      assert.deepEqual(names(await ask('a', '10.9.128.10', 80, 6)), mine)
    }
    const ended = new AbortController()
    const more = {
      services,
      endpointSlices: slices,
      nodes,
      status,
      log: logger('test'),
      nodeName: 'node-1',
      family: 'IPv4' as const,
      nodeIPs: [NODE_IP],
      ...options,
    }
    await startProxy(more, ended.signal).synced
    ended.abort()
    assert.deepEqual(names(await ask('a', '10.9.128.10', 80, 6)), mine)
    slices.set(slice(others.map(name => endpoint(name))))
    await eventually(async () => assert.ok(others.includes(names(await ask('a', '10.9.128.10', 80, 6)).join())))
  },

  async 'a UDP client that keeps its socket comes to the new endpoint'() {
    const udp = (port: number) => ({ ports: [{ port, protocol: 'UDP', targetPort: 5353 }] })
    for (const uid of ['a', 'b']) await serveUdp(uid, 5353)
    const to = (uid: string) => ({ ...slice([endpoint(uid)], 'dns'), ports: [{ name: '', protocol: 'UDP', port: 5353 }] })
    services.set(service({ clusterIP: '10.9.128.53', ...udp(53) }, 'dns'))
    slices.set(to('a') as unknown as EndpointSlice)
    const socket = askUdp('c', '10.9.128.53', 53)
    await eventually(async () => assert.equal(await socket.ask(), 'a'))
    slices.set(to('b') as unknown as EndpointSlice)
    await eventually(async () => assert.equal(await socket.ask(), 'b'))
    socket.end()
  },

  async 'a UDP client keeps its endpoint with session affinity, whatever port it comes from'() {
    await serveUdp('c', 5353)
    services.set(service({ clusterIP: '10.9.128.53', ports: [{ port: 53, protocol: 'UDP' }], sessionAffinity: 'ClientIP' }, 'dns'))
    slices.set({ ...slice([endpoint('a'), endpoint('b'), endpoint('c')], 'dns'), ports: [{ name: '', protocol: 'UDP', port: 5353 }] } as unknown as EndpointSlice) // prettier-ignore
    await eventually(async () => assert.equal(await affinitySets('\\S+/5353'), 3))
    const answers: string[] = []
    for (let i = 0; i < 8; i++) {
      const socket = askUdp('a', '10.9.128.53', 53)
      answers.push(await socket.ask())
      socket.end()
    }
    assert.equal(new Set(answers).size, 1)
    assert.notEqual(answers[0], '')
    services.delete(service({}, 'dns'))
  },

  async 'SCTP goes to an endpoint, as far as the kernel goes that has no such sockets'() {
    services.set(service({ clusterIP: '10.9.128.54', ports: [{ port: 3868, protocol: 'SCTP' }] }, 'sctp'))
    slices.set({ ...slice([endpoint('a')], 'sctp'), ports: [{ name: '', protocol: 'SCTP', port: 3869 }] } as unknown as EndpointSlice)
    const receiver = spawn('ip', ['netns', 'exec', `pod-${ips.get('a')}`, 'python3', '-c', sctpPort], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const lines = createInterface(receiver.stdout)[Symbol.asyncIterator]()
    assert.equal((await lines.next()).value, 'up')
    const heard = lines.next()
    let port: unknown
    void heard.then(({ value }) => (port = value))
    await eventually(async () => {
      await run('ip', ['netns', 'exec', `pod-${ips.get('c')}`, 'python3', '-c', sctpInit, '10.9.128.54', '3868'])
      assert.equal(port, '3869')
    })
    services.delete(service({}, 'sctp'))
  },

  async 'several ports by name, whose numbers differ between pods'() {
    await serve('b', 9090)
    const ports = [
      { name: 'http', port: 80, protocol: 'TCP', targetPort: 'web' },
      { name: 'admin', port: 81, protocol: 'TCP', targetPort: 8080 },
    ]
    services.set(service({ clusterIP: '10.9.128.55', ports }, 'named'))
    const of = (name: string, uid: string, http: number, admin: number) =>
      ({
        ...slice([endpoint(uid)], 'named'),
        metadata: { name, namespace: 'default', labels: { 'kubernetes.io/service-name': 'named' } },
        ports: [{ name: 'http', protocol: 'TCP', port: http }, { name: 'admin', protocol: 'TCP', port: admin }], // prettier-ignore
      }) as unknown as EndpointSlice
    slices.set(of('named-1', 'a', 8080, 8080))
    slices.set(of('named-2', 'b', 9090, 7))
    await eventually(async () => assert.deepEqual(names(await ask('c', '10.9.128.55', 80, 24)), ['a', 'b']))
    assert.deepEqual(names(await ask('c', '10.9.128.55', 81, 24)), ['ECONNREFUSED', 'a'])
    services.delete(service({}, 'named'))
  },

  async 'a balancer’s address is for its source ranges alone'() {
    const balanced = (range: string) =>
      ({
        ...service({ type: 'LoadBalancer', loadBalancerSourceRanges: [range] }),
        status: { loadBalancer: { ingress: [{ ip: '192.0.2.8' }] } },
      }) as unknown as Service
    slices.set(slice([endpoint('a')]))
    await run('ip', ['-n', 'outside', 'route', 'add', '192.0.2.8', 'via', NODE_IP])
    services.set(balanced('10.9.255.0/30'))
    await eventually(async () => assert.deepEqual(names(await ask('outside', '192.0.2.8', 80)), ['a']))
    services.set(balanced('203.0.113.0/24'))
    await eventually(async () => assert.deepEqual(await ask('outside', '192.0.2.8', 80), ['timeout']))
    assert.deepEqual(await ask('c', '192.0.2.8', 80), ['timeout'])
    // The node port and the ClusterIP are everybody's.
    assert.deepEqual(names(await ask('outside', NODE_IP, 30080)), ['a'])
    assert.deepEqual(names(await ask('c', '10.9.128.10', 80)), ['a'])
  },

  async 'endpoints that are for the node’s zone are taken, and others when it moves'() {
    const hinted = (uid: string, zone: string) => ({ ...endpoint(uid), hints: { forZones: [{ name: zone }] } })
    const node = (zone: string) =>
      ({ metadata: { name: 'node-1', namespace: '', labels: { 'topology.kubernetes.io/zone': zone } } }) as unknown as Node
    services.set(service({ type: 'NodePort' }))
    slices.set(slice([hinted('a', 'east'), hinted('b', 'west'), hinted('c', 'west')]))
    await eventually(async () => assert.deepEqual(names(await ask('a', '10.9.128.10', 80, 24)), ['a', 'b', 'c']))
    nodes.set(node('east'))
    await eventually(async () => assert.deepEqual(names(await ask('a', '10.9.128.10', 80, 12)), ['a']))
    nodes.set(node('west'))
    await eventually(async () => assert.deepEqual(names(await ask('a', '10.9.128.10', 80, 24)), ['b', 'c']))
    nodes.set(node('north'))
    await eventually(async () => assert.deepEqual(names(await ask('a', '10.9.128.10', 80, 24)), ['a', 'b', 'c']))
  },

  async 'policy Local keeps to the node and shows the client'() {
    services.set(service({ type: 'NodePort', externalTrafficPolicy: 'Local', internalTrafficPolicy: 'Local' }))
    slices.set(slice([endpoint('a'), { ...endpoint('b'), nodeName: 'node-2' }]))
    await eventually(async () => assert.deepEqual(await ask('outside', NODE_IP, 30080, 8), Array(8).fill('a 10.9.255.1')))
    assert.deepEqual(names(await ask('c', '10.9.128.10', 80, 8)), ['a'])
    slices.set(slice([{ ...endpoint('b'), nodeName: 'node-2' }]))
    await eventually(async () => assert.deepEqual(await ask('outside', NODE_IP, 30080), ['timeout']))
    assert.deepEqual(names(await ask('c', NODE_IP, 30080, 4)), ['b'])
  },

  async 'many services change without leaving anything'() {
    for (let i = 0; i < 200; i++) {
      services.set(service({ clusterIP: `10.9.129.${i}`, ports: [{ port: 80, protocol: 'TCP' }] }, `s${i}`))
      slices.set(slice([endpoint('a')], `s${i}`))
    }
    await eventually(async () => assert.deepEqual(names(await ask('b', '10.9.129.199', 80)), ['a']))
    for (const s of services.list()) services.delete(s)
    for (const s of slices.list()) slices.delete(s)
    await eventually(async () =>
      assert.doesNotMatch(await run('nft', ['list', 'table', 'ip', 'kube-proxy']), /10\.9\.12[89]\.\d+ \.|service-[0-9a-f]{8}/),
    )
    services.set(service({}))
    slices.set(slice([endpoint('a')]))
    await eventually(async () => assert.deepEqual(names(await ask('b', '10.9.128.10', 80)), ['a']))
  },

  async 'rules that somebody else removed are written again'() {
    await run('nft', ['delete', 'table', 'ip', 'kube-proxy'])
    slices.set(slice([endpoint('b')]))
    await eventually(async () => assert.deepEqual(names(await ask('a', '10.9.128.10', 80)), ['b']))
    proxyEnd.abort()
  },

  async 'what belongs to no pod any more goes'() {
    await network.retain(new Set(['b', 'unknown']))
    assert.deepEqual(readdirSync('/run/netns').sort(), ['outside', `pod-${ips.get('b')}`])
    assert.deepEqual(await ask('outside', NODE_IP, 8088), ['ECONNREFUSED'])
    await Promise.all([network.tearDown('b'), network.tearDown('b'), network.tearDown('never')])
    assert.deepEqual(readdirSync('/run/netns'), ['outside'])
    // The processes of the test are still in them; nothing leads there any more.
    assert.equal((await run('ip', ['link', 'show', 'up', 'master', 'cbr0'])).trim(), '')
  },

  async 'networks are made in advance, and after a restart those of no pod go'() {
    const made = (): string[] =>
      readdirSync('/run/netns')
        .filter(name => name !== 'outside')
        .map(name => name.slice('pod-'.length))
    await network.prepare!()
    const ready = made()
    assert.ok(ready.length > 0)
    assert.ok(ready.includes(await setUp('d')))
    assert.deepEqual(made(), ready)
    await serve('d', 8080)
    assert.deepEqual(await ask('outside', ips.get('d')!, 8080), ['d 10.9.255.1'])
    network = await openBridgeNetwork(options)
    assert.deepEqual(made(), [ips.get('d')])
    assert.equal((await network.setUp(pod('d'))).ip, ips.get('d'))
    await Promise.all(Array.from({ length: 5 }, (_, n) => setUp(`more-${n}`)))
    assert.equal(new Set(ips.values()).size, ips.size)
    await network.retain(new Set())
    assert.deepEqual(made(), [])
  },

  async 'what a process had not yet forgotten when it died is forgotten by the next'() {
    const ip = await setUp('dies')
    await run('ip', ['netns', 'del', `pod-${ip}`])
    const known = async (): Promise<string[]> => {
      const texts = await Promise.all([
        run('nft', ['list', 'table', 'bridge', 'coxswain-pods']),
        run('ip', ['neigh', 'show', 'dev', 'cbr0']),
      ])
      return texts.flatMap(t => t.split(/[\n,]/)).filter(line => line.includes(`${ip} `) || line.endsWith(ip))
    }
    assert.notDeepEqual(await known(), [])
    network = await openBridgeNetwork(options)
    assert.deepEqual(await known(), [])
  },
}

/** A node whose pods are connected by the plugins of the system's package, by one configuration after the other. */
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { logger } from '#shared/component/log.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { Service } from '#shared/api/core/service.ts'
import { run } from '#shared/linux/run.ts'
import { openCniNetwork } from '#node-agent/network/cni/cni.ts'
import type { PodNetwork } from '#node-agent/network/network.ts'
import { startProxy } from '#node-agent/proxy/proxy.ts'
import { newProxyStatus } from '#node-agent/proxy/status.ts'
import { eventually, nodeContext, type Scenario } from '../../fixtures/in-node.ts'
import { handInformer } from './hand-informer.ts'
import { asker, serve } from './traffic.ts'

const NODE_IP = '10.9.255.11'
const VIP = '10.9.128.10'
const { directory } = nodeContext()
const conf = join(directory, 'configured')
const ranges = { podCIDR: '10.9.1.0/24', clusterCIDR: '10.9.0.0/17', serviceCIDR: '10.9.128.0/18' }
const open = (): Promise<PodNetwork> =>
  openCniNetwork({ ...ranges, rootDir: directory, conf, binDirs: ['/opt/cni/bin', '/usr/lib/cni'], log: logger('test') })

const ipam = { type: 'host-local', routes: [{ dst: '0.0.0.0/0' }] }
/** A configuration of one main plugin; each replaces the one before. */
function configure(plugin: object): void {
  mkdirSync(conf, { recursive: true })
  const list = { cniVersion: '0.4.0', name: 'test', plugins: [{ capabilities: { ipRanges: true }, ipam, ...plugin }] }
  writeFileSync(join(conf, '10-test.conflist'), JSON.stringify(list))
}
const configureNothing = (): void => rmSync(conf, { recursive: true, force: true })

let network: PodNetwork
const setUp = (uid: string, more: Partial<Parameters<PodNetwork['setUp']>[0]> = {}) =>
  network.setUp({ uid, namespace: 'default', name: uid, hostPorts: [], sysctls: {}, ...more })
const namespaces = (): string[] => readdirSync('/run/netns').filter(name => name.startsWith('cni-'))
/** What host-local has given away. */
const leases = (): string[] => readdirSync('/var/lib/cni/networks/test').filter(name => /^[\d.]+$/.test(name))
const rejects = (uid: string, words: RegExp): Promise<void> => assert.rejects(setUp(uid), words)

export const scenario: Scenario = {
  'without a configuration the node is not ready, and pods say why': async () => {
    await run('ip', ['-batch', '-'], {
      input: `link add up0 type bridge\naddr add ${NODE_IP}/24 dev up0\nlink set up0 up\nroute add default via 10.9.255.1\n`,
    })
    network = await open()
    assert.match(network.notReady!()!, /NetworkPluginNotReady .*cni plugin not initialized/)
    await rejects('early', /network is not ready: .*cni plugin not initialized/)
    assert.deepEqual(namespaces(), [])
  },
  'a configuration that comes makes it ready': async () => {
    const told = new Promise<void>(resolve => network.onChange!(() => resolve()))
    // As a DaemonSet of a network does it, in what it sees as /etc/cni/net.d.
    writeFileSync(
      join(directory, 'cni', 'net.d', '05-own.conflist'),
      JSON.stringify({ cniVersion: '0.4.0', name: 'own', plugins: [{ type: 'no-such-plugin' }] }),
    )
    await told
    assert.equal(network.notReady!(), undefined)
    await rejects('early', /failed to find plugin "no-such-plugin" in path/)
    assert.deepEqual(namespaces(), [])
    rmSync(join(directory, 'cni', 'net.d', '05-own.conflist'))
  },
  'a plugin that can hold back packets is told how fast a pod may be': async () => {
    mkdirSync(conf, { recursive: true })
    const plugins = [
      { type: 'ptp', capabilities: { ipRanges: true }, ipam },
      { type: 'bandwidth', capabilities: { bandwidth: true } },
    ]
    writeFileSync(join(conf, '10-test.conflist'), JSON.stringify({ cniVersion: '0.4.0', name: 'test', plugins }))
    const { ip } = await setUp('slow', {
      annotations: { 'kubernetes.io/ingress-bandwidth': '8M', 'kubernetes.io/egress-bandwidth': '4M' },
    })
    const shaped = async (): Promise<string> => run('tc', ['qdisc', 'show'])
    assert.match(await shaped(), new RegExp(`tbf .*dev ${network.linkOf!(ip)} root .*rate 8Mbit`))
    assert.match(await shaped(), /tbf .*rate 4Mbit/)
    await network.tearDown('slow')
    assert.doesNotMatch(await shaped(), /tbf/)
    await assert.rejects(setUp('slower', { annotations: { 'kubernetes.io/ingress-bandwidth': '1' } }), /unreasonably small/)
    rmSync(join(conf, '10-test.conflist'))
    await network.tearDown('slower')
  },
  'pods have addresses of the range of their node and reach each other': async () => {
    configure({ type: 'ptp' })
    const [a, b] = await Promise.all([setUp('a'), setUp('b', { sysctls: { 'net.ipv4.ip_local_port_range': '40000 40100' } })])
    assert.match(a.ip, /^10\.9\.1\./)
    assert.equal(a.namespacePath, '/run/netns/cni-a')
    await serve('cni-a', [80])
    assert.equal(await asker('cni-b').tcp(a.ip, 80), b.ip)
    assert.equal(
      await asker('').tcp(a.ip, 80),
      (await run('ip', ['-json', 'route', 'get', a.ip]).then(t => JSON.parse(t) as [{ prefsrc: string }]))[0].prefsrc,
    )
    assert.equal(await run('ip', ['netns', 'exec', 'cni-b', 'cat', '/proc/sys/net/ipv4/ip_local_port_range']), '40000\t40100\n')
    assert.match(await run('ip', ['link', 'show', network.linkOf!(a.ip)]), /master|veth/)
  },
  'a port of the node leads to a pod': async () => {
    const hostPorts = [{ hostIP: '', hostPort: 8080, containerPort: 80, protocol: 'TCP' }]
    const { ip } = await setUp('a', { hostPorts })
    assert.equal(await asker('cni-b').tcp(NODE_IP, 8080), (await setUp('b')).ip)
    assert.match(ip, /^10\.9\.1\./)
  },
  'a restarted node-agent finds its pods': async () => {
    const before = (await setUp('a')).ip
    network = await open()
    assert.equal((await setUp('a')).ip, before)
    assert.equal(leases().length, 2)
  },
  'what a pod had is given back, also when the node-agent did not live to see it': async () => {
    await network.tearDown('a')
    await network.tearDown('a')
    await network.tearDown('never-heard-of')
    network = await open()
    await network.retain(new Set())
    assert.deepEqual([leases(), namespaces()], [[], []])
  },
  'plugins of a restarted node-agent look at the pods that run, and are told who is there': async () => {
    const calls = join(directory, 'calls')
    const result = { cniVersion: '1.1.0', interfaces: [{ name: 'eth0', sandbox: 's' }], ips: [{ address: '10.9.1.99/24', interface: 0 }] }
    writeFileSync(
      join(directory, 'cni', 'bin', 'told'),
      `#!/bin/sh\necho "$CNI_COMMAND $CNI_CONTAINERID $(cat | grep -o '"cni.dev.*]')" >>${calls}\necho '${JSON.stringify(result)}'\n`,
      { mode: 0o755 },
    )
    writeFileSync(join(conf, '10-test.conflist'), JSON.stringify({ cniVersion: '1.1.0', name: 'test', plugins: [{ type: 'told' }] }))
    await setUp('a')
    await setUp('b')
    network = await open()
    await network.retain(new Set(['a']))
    const valid = '"cni.dev/valid-attachments":[{"containerID":"a","ifname":"eth0"}]'
    assert.deepEqual(readFileSync(calls, 'utf8').split('\n').map(l => l.trim()).slice(2, -1), ['DEL b', 'CHECK a', `GC  ${valid}`]) // prettier-ignore
    await network.tearDown('a')
    configure({ type: 'ptp' })
  },
  'an address is given back though the namespace is gone, as after a reboot': async () => {
    await setUp('a')
    await run('ip', ['netns', 'del', 'cni-a'])
    const again = await setUp('a')
    assert.equal(leases().length, 1)
    assert.deepEqual(leases(), [again.ip])
    await network.tearDown('a')
  },
  'what a plugin fails with is told, and nothing is left': async () => {
    configure({ type: 'ptp', ipam: { type: 'no-such-ipam' } })
    await rejects('bad', /plugin type="ptp" failed \(add\): failed to find plugin "no-such-ipam"/)
    configure({ type: 'ptp', ipam: { type: 'host-local', ranges: [[{ subnet: 'nonsense' }]] }, capabilities: {} })
    await rejects('bad', /plugin type="ptp" failed \(add\): .*nonsense/)
    assert.deepEqual([leases(), namespaces()], [[], []])
  },
  'pods of one bridge reach themselves and each other by a Service': async () => {
    configure({ type: 'bridge', bridge: 'cni0', isGateway: true, hairpinMode: true })
    const [a, b] = await Promise.all([setUp('a'), setUp('b')])
    await serve('cni-a', [80])
    const [services, slices] = [handInformer<Service>(), handInformer<EndpointSlice>()]
    const end = new AbortController()
    const log = logger('test')
    const options = {
      family: 'IPv4' as const,
      nodeName: 'n1',
      nodeIPs: [NODE_IP],
      clusterCIDR: ranges.clusterCIDR,
      serviceCIDR: ranges.serviceCIDR,
    }
    startProxy({ services, endpointSlices: slices, nodes: handInformer<Node>(), ...options, status: newProxyStatus(), log }, end.signal)
    services.set({
      metadata: { name: 'web', namespace: 'default' },
      spec: { clusterIP: VIP, clusterIPs: [VIP], ipFamilies: ['IPv4'], ports: [{ port: 8000, protocol: 'TCP', targetPort: 80 }] },
    } as unknown as Service)
    slices.set({
      metadata: { name: 'web-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'web' } },
      addressType: 'IPv4',
      ports: [{ name: '', protocol: 'TCP', port: 80 }],
      endpoints: [{ addresses: [a.ip], nodeName: 'n1', conditions: { ready: true } }],
    } as unknown as EndpointSlice)
    await eventually(async () => assert.equal(await asker('cni-b').tcp(VIP, 8000), b.ip))
    // From itself: an address of the node's.
    assert.match(await asker('cni-a').tcp(VIP, 8000), /^10\.9\./)
    end.abort()
    await network.retain(new Set())
    configureNothing()
    assert.match(network.notReady!()!, /cni plugin not initialized/)
  },
}

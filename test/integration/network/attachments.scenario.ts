/** Pods of the node's own network that ask for more, from plugins of the system's package. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { logger } from '#shared/component/log.ts'
import { run } from '#shared/linux/run.ts'
import { withAttachments } from '#node-agent/network/attachments/attachments.ts'
import { networksAnnotation } from '#node-agent/network/attachments/selection.ts'
import { statusAnnotation, type NetworkStatus } from '#node-agent/network/attachments/status.ts'
import { openBridgeNetwork } from '#node-agent/network/bridge.ts'
import { parseNetwork } from '#node-agent/network/cni/config.ts'
import { prepareCniDirectories } from '#node-agent/network/cni/cni.ts'
import type { PodNetwork } from '#node-agent/network/network.ts'
import { nodeContext, type Scenario } from '../../fixtures/in-node.ts'
import { asker, serve } from './traffic.ts'

const { directory } = nodeContext()
const ipam = (subnet: string) => ({ type: 'host-local', ranges: [[{ subnet }]] })
/** Definitions by namespace and name. */
const definitions: Record<string, object> = {
  'default/storage': { cniVersion: '0.4.0', type: 'macvlan', master: 'up0', mode: 'bridge', ipam: ipam('192.168.7.0/24') },
  'lab/side': {
    cniVersion: '0.3.1',
    plugins: [{ type: 'bridge', bridge: 'side0', ipam: ipam('192.168.8.0/24'), capabilities: { mac: true } }],
  },
  'default/broken': { cniVersion: '0.4.0', type: 'macvlan', master: 'no-such-link', ipam: ipam('192.168.9.0/24') },
}
const told = new Map<string, string>()
let network: PodNetwork

async function open(): Promise<PodNetwork> {
  const bridge = await openBridgeNetwork({
    podCIDR: '10.9.1.0/24',
    clusterCIDR: '10.9.0.0/17',
    serviceCIDR: '10.9.128.0/18',
    nodeIP: '10.9.255.11',
  })
  return withAttachments(bridge, {
    directory: join(directory, 'cni', 'attachments'),
    programs: ['/opt/cni/bin', '/usr/lib/cni'],
    prepare: () => prepareCniDirectories(directory),
    find({ namespace, name }) {
      const found = definitions[`${namespace}/${name}`]
      return found ? Promise.resolve(parseNetwork(JSON.stringify(found), name)) : Promise.reject(new Error(`cannot find ${name}`))
    },
    annotate: (pod, annotations) => Promise.resolve(void told.set(pod.uid, annotations[statusAnnotation]!)),
    log: logger('test'),
  })
}
const setUp = (uid: string, asked: string) =>
  network.setUp({
    ...{ uid, namespace: 'default', name: uid, hostPorts: [], sysctls: {} },
    annotations: { [networksAnnotation]: asked, ...(told.has(uid) ? { [statusAnnotation]: told.get(uid)! } : {}) },
  })
const statusOf = (uid: string): NetworkStatus[] => JSON.parse(told.get(uid)!) as NetworkStatus[]
const leases = (name: string): string[] => readdirSync(`/var/lib/cni/networks/${name}`).filter(file => /^[\d.]+$/.test(file))

export const scenario: Scenario = {
  'a pod has the networks that it asks for beside its own, and is told of them': async () => {
    await run('ip', ['-batch', '-'], { input: 'link add up0 type veth peer name up1\nlink set up0 up\nlink set up1 up\n' })
    network = await open()
    const { ip } = await setUp('a', 'storage, lab/side@lab0')
    const [own, storage, side, ...more] = statusOf('a')
    assert.deepEqual(more, [])
    assert.deepEqual([own!.name, own!.interface, own!.ips, own!.default], ['bridge', 'eth0', [ip], true])
    assert.deepEqual([storage!.name, storage!.interface], ['default/storage', 'net1'])
    assert.match(storage!.ips[0]!, /^192\.168\.7\./)
    assert.deepEqual([side!.name, side!.interface], ['lab/side', 'lab0'])
    assert.match(side!.ips[0]!, /^192\.168\.8\./)
  },
  'pods of one network reach each other by it, and by their own': async () => {
    const { ip } = await setUp(
      'b',
      '[{"name": "storage", "interface": "disk0"}, {"name": "side", "namespace": "lab", "mac": "02:00:00:00:00:42"}]',
    )
    const [, storage, side] = statusOf('b')
    assert.equal(side!.mac, '02:00:00:00:00:42')
    await serve(`pod-${ip}`, [80])
    const from = (await setUp('a', 'storage, lab/side@lab0')).ip
    const ask = asker(`pod-${from}`)
    assert.equal(await ask.tcp(storage!.ips[0]!, 80), statusOf('a')[1]!.ips[0])
    assert.equal(await ask.tcp(side!.ips[0]!, 80), statusOf('a')[2]!.ips[0])
    assert.equal(await ask.tcp(ip, 80), from)
  },
  'a restarted node-agent leaves them as they are, whatever the annotation says by now': async () => {
    const before = told.get('a')
    network = await open()
    await setUp('a', 'storage')
    assert.equal(told.get('a'), before)
  },
  'the way of everything else leads to where the annotation says': async () => {
    const routes = async (ip: string): Promise<string> => run('ip', ['-n', `pod-${ip}`, 'route', 'show', 'default'])
    const asked = '[{"name": "storage", "default-route": ["192.168.7.1"]}]'
    const { ip } = await setUp('r', asked)
    assert.match(await routes(ip), /^default via 192\.168\.7\.1 dev net1 *$/m)
    assert.equal((await routes(ip)).trim().split('\n').length, 1)
    // A restarted node-agent finds it so.
    await setUp('r', asked)
    assert.equal((await routes(ip)).trim().split('\n').length, 1)
    await network.tearDown('r')
  },
  'what cannot be had is told, and what was had is given back': async () => {
    await assert.rejects(setUp('c', 'storage,broken'), /plugin type="macvlan" failed \(add\): Link not found/)
    await assert.rejects(setUp('c', 'storage,nowhere'), /cannot find nowhere/)
    await assert.rejects(setUp('c', 'storage@eth0'), /annotation k8s.v1.cni.cncf.io\/networks: the interface eth0 would be there twice/)
    assert.equal(leases('storage').length, 2)
    await network.tearDown('c')
  },
  'all of it is given back with the pod': async () => {
    await network.tearDown('a')
    assert.deepEqual([leases('storage').length, leases('side').length], [1, 1])
    // The node-agent was away when the other one went.
    network = await open()
    await network.retain(new Set())
    assert.deepEqual([leases('storage'), leases('side')], [[], []])
    assert.equal(existsSync('/run/netns/pod-10.9.1.3'), false)
  },
}

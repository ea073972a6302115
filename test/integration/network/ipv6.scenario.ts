/** Pods with an IPv6 address beside their own: from pod to pod, by a port of the node, and from nobody else's address. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { run } from '#shared/linux/run.ts'
import { openBridgeNetwork } from '#node-agent/network/bridge.ts'
import type { PodNetwork } from '#node-agent/network/network.ts'
import type { Scenario } from '../../fixtures/in-node.ts'

const NODE_IP = 'fd00:9:3::b'
let network: PodNetwork
const open = (): Promise<PodNetwork> =>
  openBridgeNetwork({
    ...{ podCIDR: '10.9.1.0/24', clusterCIDR: '10.9.0.0/17', serviceCIDR: '10.9.128.0/18', nodeIP: '10.9.255.11' },
    ipv6: {
      ...{ nodeIP: NODE_IP, podCIDR: 'fd00:9:1::100/120', clusterCIDR: 'fd00:9:1::/64', serviceCIDR: 'fd00:9:2::/112' },
      nonMasqueradeCIDRs: ['fd00:9:3::/64'],
    },
  })
interface Pod {
  namespace: string
  first: string
  second: string
}
const setUp = async (uid: string, port?: number): Promise<Pod> => {
  const hostPorts = port === undefined ? [] : [{ hostIP: '', hostPort: port, containerPort: 80, protocol: 'TCP' }]
  const { ip, ips = [], namespacePath } = await network.setUp({ uid, namespace: 'default', name: uid, hostPorts, sysctls: {} })
  return { namespace: namespacePath.slice('/run/netns/'.length), first: ip, second: ips[1] ?? '' }
}
/** Answers on port 80 with the caller's address. */
async function serve({ namespace }: Pod): Promise<void> {
  const code = `require('net').createServer(s => s.end(s.remoteAddress)).listen(80, '::', () => console.log('up'))`
  const server = spawn('ip', ['netns', 'exec', namespace, process.execPath, '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
  await new Promise(resolve => server.stdout.once('data', resolve))
}
/** What comes back from there; `none` when nothing does. `source` is an address to call from. */
async function ask(from: Pod | undefined, host: string, port: number, source?: string): Promise<string> {
  const code = `const s = require('net').connect({ host: '${host}', port: ${port}${source ? `, localAddress: '${source}'` : ''} }); s.setTimeout(1500, () => s.destroy())
    let got = 'none'; s.on('data', d => (got = String(d))).on('error', () => {}).on('close', () => console.log(got))`
  const within = from ? ['ip', 'netns', 'exec', from.namespace] : ['env']
  const [program = '', ...args] = [...within, process.execPath, '-e', code]
  return (await run(program, args)).trim()
}

let a: Pod
let b: Pod

export const scenario: Scenario = {
  'pods reach each other, each by its own address, whose number is that of the first family': async () => {
    await run('ip', ['-batch', '-'], { input: `link add up0 type bridge\naddr add ${NODE_IP}/64 dev up0 nodad\nlink set up0 up\n` })
    network = await open()
    ;[a, b] = await Promise.all([setUp('a', 8080), setUp('b')])
    for (const { first, second } of [a, b]) assert.equal(second, `fd00:9:1::1${Number(first.split('.')[3]).toString(16).padStart(2, '0')}`)
    await serve(a)
    assert.equal(await ask(b, a.second, 80), b.second)
  },
  'a port of the node leads to the pod by both families': async () => {
    assert.equal(await ask(b, NODE_IP, 8080), b.second)
    assert.notEqual(await ask(undefined, NODE_IP, 8080), 'none')
    // To itself as somebody else: the answer would not leave the pod.
    assert.notEqual(await ask(a, NODE_IP, 8080), 'none')
  },
  'nobody sends from an address that is not its own': async () => {
    const stolen = 'fd00:9:1::1fe'
    await run('ip', ['-n', b.namespace, 'addr', 'add', `${stolen}/128`, 'dev', 'eth0', 'nodad'])
    // The way back would be there: the pod's packets alone are in question.
    await run('ip', ['route', 'add', `${stolen}/128`, 'via', b.second, 'dev', 'cbr0', 'onlink'])
    assert.equal(await ask(b, a.second, 80, stolen), 'none')
    assert.equal(await ask(b, a.second, 80, b.second), b.second)
    await run('ip', ['-n', b.namespace, 'addr', 'del', `${stolen}/128`, 'dev', 'eth0'])
  },
  'a restarted node-agent finds both, and all goes with the pod': async () => {
    network = await open()
    assert.deepEqual(await setUp('a', 8080), a)
    assert.equal(await ask(b, NODE_IP, 8080), b.second)
    await Promise.all(['a', 'b'].map(uid => network.tearDown(uid)))
    assert.equal((await run('ip', ['-6', 'neigh', 'show', 'dev', 'cbr0', 'nud', 'permanent'])).includes(a.second), false)
    assert.equal((await run('nft', ['list', 'table', 'ip6', 'coxswain-hostports'])).includes(a.second), false)
    assert.equal((await run('nft', ['list', 'set', 'bridge', 'coxswain-pods', 'allowed6'])).includes(a.second), false)
  },
}

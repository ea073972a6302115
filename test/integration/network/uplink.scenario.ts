/** A machine with a bridge for a cluster, a namespace that is a node of it, and one that is the outside: it knows no way to the cluster. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { lowerBridge, raiseBridge } from '#control-plane/cli/network.ts'
import { addresses } from '#control-plane/cli/state.ts'
import { run } from '#shared/linux/run.ts'
import type { Scenario } from '../../fixtures/in-node.ts'
import { asker, serve, type Asker } from './traffic.ts'

const at = addresses(7)
const other = addresses(8)
const MACHINE = '203.0.113.2'
const OUTSIDE = '203.0.113.1'
let node: Asker
let outside: Asker

const ip = (namespace: string, ...lines: string[]): Promise<string> =>
  run('ip', [...(namespace === '' ? [] : ['-n', namespace]), '-batch', '-'], { input: `${lines.join('\n')}\n` })
const forwards = (link: string): string => readFileSync(`/proc/sys/net/ipv4/conf/${link}/forwarding`, 'utf8').trim()
const rules = async (): Promise<string> =>
  [await run('nft', ['list', 'ruleset']), await run('iptables', ['-S'])].join('').replace(/counter packets \d+ bytes \d+/g, 'counter')

async function plugInNode(name = 'node'): Promise<void> {
  await ip(
    '',
    `netns add ${name}`,
    `link add ${at.link(1)} type veth peer name eth0 netns ${name}`,
    `link set ${at.link(1)} master ${at.bridge} up`,
  )
  await ip(name, 'link set lo up', `addr add ${at.nodeIP(1)}/24 dev eth0`, 'link set eth0 up', `route add default via ${at.host}`)
  node = asker(name)
}

export const scenario: Scenario = {
  async 'a machine without an uplink: nothing is forwarded by anything but the bridge'() {
    // The links of this network namespace, not of the one that it was made in.
    await run('mount', ['-t', 'sysfs', 'sysfs', '/sys'])
    writeFileSync('/proc/sys/net/ipv4/ip_forward', '0')
    await raiseBridge(at)
    assert.equal(forwards(at.bridge), '1')
    await lowerBridge(at)
    assert.equal((await run('nft', ['list', 'ruleset'])).includes('coxswain'), false)
  },

  async 'the outside is reached from a node, with the machine’s address; it reaches nobody'() {
    await ip(
      '',
      'netns add outside',
      'link add up0 type veth peer name eth0 netns outside',
      `addr add ${MACHINE}/24 dev up0`,
      'link set up0 up',
    )
    await ip('outside', `addr add ${OUTSIDE}/24 dev eth0`, 'link set eth0 up', `route add ${at.all} via ${MACHINE}`)
    await ip('', `route add default via ${OUTSIDE}`)
    writeFileSync('/proc/sys/net/ipv4/conf/up0/forwarding', '0')
    await raiseBridge(at)
    await plugInNode()
    await serve('outside', [80])
    await serve('node', [80])
    outside = asker('outside')
    assert.equal(await node.tcp(OUTSIDE, 80), MACHINE)
    assert.equal(await node.udp(OUTSIDE, 80), MACHINE)
    assert.equal(await outside.tcp(at.nodeIP(1), 80), 'timeout')
    assert.equal(readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8').trim(), '0')
  },

  async 'addresses of the cluster never leave it; the machine reaches its nodes with its own'() {
    assert.match(await node.tcp(at.podCIDR(9).replace('.0/24', '.2'), 80), /^(EHOSTUNREACH|timeout)$/)
    assert.equal(await asker('').tcp(at.nodeIP(1), 80), at.host)
  },

  async 'raising again changes nothing; a second cluster keeps the way open when the first goes'() {
    const before = await rules()
    await raiseBridge(at)
    assert.equal(await rules(), before)
    await raiseBridge(other)
    // Where bridged packets are filtered, the other's bridge has a rule by now: one that accepts is no reason to accept more.
    await run('iptables', ['-A', 'FORWARD', '-i', other.bridge, '-o', other.bridge, '-j', 'ACCEPT'])
    await raiseBridge(at)
    assert.equal((await run('iptables', ['-S', 'FORWARD'])).includes('ctstate'), false)
    await run('iptables', ['-D', 'FORWARD', '-i', other.bridge, '-o', other.bridge, '-j', 'ACCEPT'])
    await lowerBridge(other)
    assert.equal(await node.tcp(OUTSIDE, 80), MACHINE)
    assert.equal(forwards('up0'), '1')
    assert.equal(await rules(), before)
  },

  async 'all is as it was when the cluster is down'() {
    await ip('', `link del ${at.link(1)}`)
    await lowerBridge(at)
    assert.equal(forwards('up0'), '0')
    assert.equal((await run('nft', ['list', 'ruleset'])).includes('coxswain'), false)
  },

  async 'beside Docker, which drops what it does not know, nobody else’s rules change'() {
    writeFileSync('/proc/sys/net/ipv4/ip_forward', '1')
    await run('iptables', ['-P', 'FORWARD', 'DROP'])
    await run('iptables', ['-A', 'FORWARD', '-i', 'docker0', '-j', 'ACCEPT'])
    const before = await rules()
    await raiseBridge(at)
    await plugInNode('again')
    assert.equal(await node.tcp(OUTSIDE, 80), MACHINE)
    assert.equal(await outside.tcp(at.nodeIP(1), 80), 'timeout')
    await lowerBridge(at)
    assert.equal(await rules(), before)
    // Whom the machine forwards for goes on.
    assert.equal(forwards('up0'), '1')
  },
}

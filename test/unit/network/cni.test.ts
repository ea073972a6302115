/** What of CNI is text: configurations, results, and the annotation for more networks. */
import { describe, expect, test } from 'vitest'
import { parseNetworks } from '#node-agent/network/attachments/selection.ts'
import { bandwidthOf } from '#node-agent/network/cni/bandwidth.ts'
import { parseNetwork } from '#node-agent/network/cni/config.ts'
import { readResult } from '#node-agent/network/cni/result.ts'

describe('configurations', () => {
  test('a single plugin is a list of one', () => {
    expect(parseNetwork('{"cniVersion": "0.4.0", "name": "n", "type": "ptp", "mtu": 1400}')).toEqual({
      cniVersion: '0.4.0',
      name: 'n',
      plugins: [{ type: 'ptp', mtu: 1400 }],
    })
  })
  test.each([
    ['{"plugins": [{"type": "ptp"}]}', 'name'],
    ['{"name": "n", "plugins": []}', 'no plugins in list'],
    ['{"name": "n", "type": "../../bin/sh"}', 'type'],
    ['{"name": "../n", "type": "ptp"}', 'name'],
    ['null', ''],
    ['{', ''],
  ])('%s is refused', (text, words) => expect(() => parseNetwork(text)).toThrow(words))
  test('a definition lends its name to what has none', () => expect(parseNetwork('{"type": "macvlan"}', 'lan').name).toBe('lan'))
})

describe('results', () => {
  test('addresses are those of the pod, IPv4 first', () => {
    const result = {
      cniVersion: '1.0.0',
      interfaces: [{ name: 'veth1' }, { name: 'eth0', mac: '02:00:00:00:00:01', sandbox: '/run/netns/x' }],
      ips: [
        { address: 'fd00::2/64', interface: 1 },
        { address: '10.1.0.2/24', interface: 1, gateway: '10.1.0.1' },
        { address: '10.9.0.1/24', interface: 0 },
      ],
    }
    expect(readResult(result, 'eth0')).toEqual({ ips: ['10.1.0.2', 'fd00::2'], mac: '02:00:00:00:00:01', dns: {}, hostLink: 'veth1' })
  })
  test('of the oldest versions', () => expect(readResult({ ip4: { ip: '10.1.0.2/24' } }, 'eth0').ips).toEqual(['10.1.0.2']))
  test('what is none is refused', () => expect(() => readResult({ ips: [{}] }, 'eth0')).toThrow('ips.0.address'))
})

describe('the annotation', () => {
  test('short and long forms', () => {
    expect(parseNetworks('a, other/b@lan0 ,c', 'default').map(s => [s.namespace, s.name, s.ifname])).toEqual([
      ['default', 'a', 'net1'],
      ['other', 'b', 'lan0'],
      ['default', 'c', 'net3'],
    ])
    expect(parseNetworks('[{"name": "a", "ips": ["10.1.0.9/24"], "cni-args": {"x": 1}}]', 'default')).toEqual([
      { namespace: 'default', name: 'a', ifname: 'net1', capabilities: { ips: ['10.1.0.9/24'] }, cniArgs: { x: 1 } },
    ])
  })
  test('where everything goes that has no better way', () =>
    expect(parseNetworks('[{"name": "a", "default-route": ["10.1.0.1", "fd00::1"]}, {"name": "b", "default-route": []}]', 'd')).toEqual([
      { namespace: 'd', name: 'a', ifname: 'net1', capabilities: {}, defaultRoute: ['10.1.0.1', 'fd00::1'] },
      { namespace: 'd', name: 'b', ifname: 'net2', capabilities: {} },
    ]))
  test('none', () => expect([parseNetworks(undefined, 'd'), parseNetworks(' ', 'd'), parseNetworks('[]', 'd')]).toEqual([[], [], []]))
  test.each([
    ['a@eth0', 'twice'],
    ['a@x,b@x', 'twice'],
    ['a/b/c', 'not of the form'],
    ['[{"name": "a", "interface": "longer-than-a-link-has"}]', 'interface'],
    ['[{"name": "a", "default-route": ["nowhere"]}]', 'default-route'],
    ['[{"name": "a", "default-route": ["10.1.0.1", "10.1.0.2"]}]', 'one default route'],
    ['[{"name": "a", "default-route": ["10.1.0.1"]}, {"name": "b", "default-route": ["10.2.0.1"]}]', 'one default route'],
    ['[{"namespace": "a"}]', 'name'],
    ['[', ''],
  ])('%s is refused', (text, words) => expect(() => parseNetworks(text, 'default')).toThrow(words))
})

describe('bandwidth', () => {
  const of = (ingress?: string, egress?: string) =>
    bandwidthOf({
      ...(ingress === undefined ? {} : { 'kubernetes.io/ingress-bandwidth': ingress }),
      ...(egress === undefined ? {} : { 'kubernetes.io/egress-bandwidth': egress }),
    })
  test('is what the annotations say, in bits a second', () => {
    expect([bandwidthOf(undefined), of()]).toEqual([{}, {}])
    expect(of('10M')).toEqual({ bandwidth: { ingressRate: 10_000_000, ingressBurst: 4_294_967_295 } })
    expect(of('1Ki', '2k').bandwidth).toMatchObject({ ingressRate: 1024, egressRate: 2000 })
  })
  test.each([
    ['999', 'unreasonably small'],
    ['2P', 'unreasonably large'],
    ['fast', 'quantities must match'],
  ])('%s is refused', (text, words) => expect(() => of(text)).toThrow(words))
})

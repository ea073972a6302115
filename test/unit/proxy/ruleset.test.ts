import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import type { Service } from '#shared/api/core/service.ts'
import { portEndpoints } from '#node-agent/proxy/endpoints.ts'
import { parseFlows, staleFlows, udpChanged } from '#node-agent/proxy/conntrack.ts'
import { diffScript, emptyRuleset, isProxied, mergeRulesets, serviceRuleset, type Ruleset } from '#node-agent/proxy/ruleset.ts'

const options = { nodeName: 'n1', nodeIPs: ['10.0.255.11'], clusterCIDR: '10.0.0.0/17', serviceCIDR: '10.0.128.0/18' }
const service = (spec: object, metadata = {}): Service =>
  ({
    metadata: { name: 'web', namespace: 'ns', ...metadata },
    spec: { clusterIP: '10.0.128.1', ports: [{ name: 'http', port: 80, protocol: 'TCP' }], ...spec },
  }) as unknown as Service
const slice = (
  endpoints: object[],
  ports: object[] = [{ name: 'http', protocol: 'TCP', port: 8080 }],
  addressType = 'IPv4',
): EndpointSlice => ({ metadata: {}, addressType, ports, endpoints }) as unknown as EndpointSlice
const at = (ip: string, nodeName = 'n1', conditions = {}) => ({ addresses: [ip], nodeName, conditions })
const elements = (r: Ruleset, name: Parameters<Ruleset['elements']['get']>[0]) => Object.fromEntries(r.elements.get(name)!)

describe('endpoints of a port', () => {
  test('ready ones; absent conditions count as ready', () => {
    const slices = [
      slice([at('10.0.1.1'), at('10.0.1.2', 'n2', { ready: false }), { addresses: ['10.0.1.3'] }]),
      slice([at('10.0.1.1'), at('10.0.0.9', 'n2')]),
    ]
    const { cluster, local } = portEndpoints(slices, 'http', 'TCP', 'n1')
    expect(cluster.map(e => e.ip)).toEqual(['10.0.0.9', '10.0.1.1', '10.0.1.3'])
    expect(local.map(e => e.ip)).toEqual(['10.0.1.1'])
  })
  test('terminating ones that serve, when none is ready, for each scope by itself', () => {
    const slices = [
      slice([
        at('10.0.1.1', 'n1', { ready: false, serving: true, terminating: true }),
        at('10.0.1.2', 'n2'),
        at('10.0.1.4', 'n1', { ready: false, serving: false, terminating: true }),
      ]),
    ]
    const { cluster, local } = portEndpoints(slices, 'http', 'TCP', 'n1')
    expect(cluster.map(e => e.ip)).toEqual(['10.0.1.2'])
    expect(local.map(e => e.ip)).toEqual(['10.0.1.1'])
  })
  test('of the right port name, protocol and address family', () => {
    const ports = [{ name: 'dns', protocol: 'UDP', port: 53 }, { name: 'http', protocol: 'TCP', port: 81 }] // prettier-ignore
    expect(portEndpoints([slice([at('10.0.1.1')], ports)], 'http', 'TCP', 'n1').cluster).toEqual([
      { ip: '10.0.1.1', port: 81, local: true },
    ])
    expect(portEndpoints([slice([at('10.0.1.1')], ports)], 'dns', 'TCP', 'n1').cluster).toEqual([])
    expect(portEndpoints([slice([at('fd00::1')], undefined, 'IPv6'), slice([at('not-an-ip')])], 'http', 'TCP', 'n1').cluster).toEqual([])
  })
})

describe('session affinity', () => {
  const rulesOf = (seconds: number, ...ips: string[]) =>
    serviceRuleset(
      service({ sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: seconds } } }),
      [slice(ips.map(ip => at(ip)))],
      options,
    )
  test('an endpoint keeps its clients, for as long as the service says, while others come and go', () => {
    const [two, three] = [rulesOf(60, '10.0.1.1', '10.0.1.2'), rulesOf(60, '10.0.1.1', '10.0.1.2', '10.0.1.3')]
    expect([...two.affinity.values()]).toEqual(Array(2).fill('type ipv4_addr; flags dynamic,timeout; timeout 60s;'))
    expect([...two.affinity.keys()].every(name => three.affinity.has(name))).toBe(true)
    const script = diffScript(two, three)
    expect(script.match(/(add|delete) set/g)).toEqual(['add set'])
    expect([...rulesOf(61, '10.0.1.1').affinity.keys()]).not.toEqual([...rulesOf(60, '10.0.1.1').affinity.keys()])
  })
})

describe('UDP flows', () => {
  const line = (dst: string, dport: number, from: string, sport: number, unreplied = '') =>
    `udp      17 25 src=10.0.1.5 dst=${dst} sport=4000 dport=${dport} ${unreplied}src=${from} dst=10.0.1.5 sport=${sport} dport=4000 mark=0 use=1\n`
  test('that lead to what is no endpoint are stale, and no others', () => {
    const udp = serviceRuleset(
      service({ type: 'NodePort', ports: [{ name: 'dns', port: 53, protocol: 'UDP', nodePort: 30053 }] }),
      [slice([at('10.0.1.1')], [{ name: 'dns', protocol: 'UDP', port: 5353 }])],
      options,
    ).udp
    const flows = parseFlows(
      line('10.0.128.1', 53, '10.0.1.1', 5353) +
        line('10.0.128.1', 53, '10.0.1.9', 5353) +
        line('10.0.255.11', 30053, '10.0.1.9', 5353, '[UNREPLIED] ') +
        line('10.0.255.11', 30054, '10.0.1.9', 5353) +
        line('10.0.128.7', 53, '10.0.1.9', 5353) +
        line('192.0.2.1', 53, '192.0.2.1', 53),
    )
    expect(flows).toHaveLength(6)
    expect(staleFlows(flows, udp, options.nodeIPs, options.serviceCIDR).map(f => `${f.destination}:${f.port} ${f.endpoint}`)).toEqual([
      '10.0.128.1:53 10.0.1.9',
      '10.0.255.11:30053 10.0.1.9',
      '10.0.128.7:53 10.0.1.9',
    ])
  })
  test('are looked at when endpoints change', () => {
    const of = (...ips: string[]) => new Map([['10.0.128.1:53', new Set(ips)]])
    expect(udpChanged(of('a'), of('a'))).toBe(false)
    expect(udpChanged(of('a'), of('b'))).toBe(true)
    expect(udpChanged(of('a'), new Map())).toBe(true)
  })
})

describe('rules of a service', () => {
  test('spreads by chance over all endpoints', () => {
    const rules = serviceRuleset(service({}), [slice([at('10.0.1.1'), at('10.0.2.1', 'n2')])], options)
    expect([...rules.chains.values()]).toEqual([
      [
        'ip daddr 10.0.128.1 ip saddr != 10.0.0.0/17 jump mark-for-masquerade',
        'meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.0.1.1 . 8080, 1 : 10.0.2.1 . 8080 }',
      ],
    ])
    const [chain] = rules.chains.keys()
    expect(elements(rules, 'service-ips')).toEqual({ '10.0.128.1 . tcp . 80': `goto ${chain}` })
    expect(elements(rules, 'hairpin-connections')).toEqual({ '10.0.1.1 . 10.0.1.1': '' })
    expect(elements(rules, 'cluster-ips')).toEqual({ '10.0.128.1': '' })
  })
  test('refuses when there is no endpoint', () => {
    const rules = serviceRuleset(service({ externalIPs: ['192.0.2.1'], ports: [{ name: 'http', port: 80, nodePort: 30080 }] }), [], options)
    expect(rules.chains.size).toBe(0)
    expect(elements(rules, 'no-endpoint-services')).toEqual({
      '10.0.128.1 . tcp . 80': 'goto reject-chain',
      '192.0.2.1 . tcp . 80': 'goto reject-chain',
    })
    expect(elements(rules, 'no-endpoint-nodeports')).toEqual({ 'tcp . 30080': 'goto reject-chain' })
  })
  test('with the external policy Local drops what comes from outside when the endpoints are elsewhere', () => {
    const rules = serviceRuleset(
      service({ externalTrafficPolicy: 'Local', ports: [{ name: 'http', port: 80, nodePort: 30080 }] }),
      [slice([at('10.0.2.1', 'n2')])],
      options,
    )
    expect(elements(rules, 'no-endpoint-nodeports')).toEqual({ 'tcp . 30080': 'drop' })
    expect([...rules.chains].find(([name]) => name.startsWith('external-'))?.[1]).toHaveLength(3)
  })
  test('services that are not ours', () => {
    for (const spec of [{ clusterIP: 'None' }, { clusterIP: undefined }, { type: 'ExternalName' }])
      expect(isProxied(service(spec))).toBe(false)
    expect(isProxied(service({}, { labels: { 'service.kubernetes.io/service-proxy-name': 'other' } }))).toBe(false)
    expect(serviceRuleset(service({ clusterIP: 'fd00::1' }), [], options)).toEqual(emptyRuleset())
  })
})

describe('from one state to another', () => {
  const ruleset = fc
    .array(
      fc.record({
        name: fc.constantFrom('a', 'b', 'c', 'd'),
        port: fc.integer({ min: 1, max: 3 }),
        ips: fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 3 }),
        sessionAffinity: fc.constantFrom('None', 'ClientIP'),
        nodePort: fc.option(fc.constantFrom(30001, 30002), { nil: undefined }),
      }),
      { maxLength: 4 },
    )
    .map(all =>
      mergeRulesets(
        all.map(({ name, port, ips, nodePort, sessionAffinity }) =>
          serviceRuleset(
            service(
              { sessionAffinity, clusterIP: `10.0.128.${name.charCodeAt(0)}`, ports: [{ name: 'http', port, protocol: 'TCP', nodePort }] },
              { name },
            ),
            [slice(ips.map(n => at(`10.0.1.${n}`, n % 2 ? 'n1' : 'n2')))],
            options,
          ),
        ),
      ),
    )

  /** What nft does with a script, strictly: nothing may be added twice or removed when absent, and no chain may go that is named. */
  function apply(state: Ruleset, script: string): Ruleset {
    const chains = new Map([...state.chains].map(([name, rules]) => [name, [...rules]]))
    const sets = new Map([...state.elements].map(([name, entries]) => [name, new Map(entries)]))
    const affinity = new Map(state.affinity)
    for (const line of script.split('\n').filter(Boolean)) {
      const [, verb, what, name, rest = ''] = /^(\w+) (\w+) ip kube-proxy (\S+) ?(.*)$/.exec(line)!
      if (what === 'set') {
        const rules = [...chains.values()].flat()
        if (verb === 'add') expect(affinity.has(name!) || !affinity.set(name!, rest.slice(2, -2))).toBe(false)
        else expect(!rules.some(r => r.includes(`@${name} `)) && affinity.delete(name!)).toBe(true)
      } else if (verb === 'add' && what === 'chain') chains.set(name!, chains.get(name!) ?? [])
      else if (verb === 'flush') expect(chains.has(name!) && chains.set(name!, [])).toBeTruthy()
      else if (verb === 'add' && what === 'rule') {
        for (const [, target = ''] of rest.matchAll(/goto ([^\s,]+)/g)) expect(chains.has(target)).toBe(true)
        for (const [, set = ''] of rest.matchAll(/@(affinity\S+)/g)) expect(affinity.has(set)).toBe(true)
        chains.get(name!)!.push(rest)
      } else if (verb === 'delete' && what === 'chain') {
        expect(
          [...sets.values()].flatMap(s => [...s.values()]).some(v => v === `goto ${name}`) ||
            [...chains.values()].flat().some(r => r.endsWith(`goto ${name}`)),
        ).toBe(false)
        expect(chains.delete(name!)).toBe(true)
      } else {
        const set = sets.get(name as never)!
        for (const element of rest.slice(2, -2).split(', ')) {
          const [key, value = ''] = element.split(' : ') as [string, string?]
          if (verb === 'add') expect(set.has(key)).toBe(false)
          if (verb === 'add') set.set(key, value)
          else expect(set.delete(key)).toBe(true)
        }
      }
    }
    return { chains, elements: sets, affinity, udp: new Map() }
  }
  const sorted = (r: Ruleset) => [[...r.chains].sort(), [...r.affinity].sort(), [...r.elements].map(([name, e]) => [name, [...e].sort()])]

  test('the script leads exactly there', () => {
    fc.assert(fc.property(ruleset, ruleset, (from, to) => void expect(sorted(apply(from, diffScript(from, to)))).toEqual(sorted(to))))
  })
  test('nothing is written when nothing changed', () => {
    fc.assert(fc.property(ruleset, same => void expect(diffScript(same, same)).toBe('')))
  })
  test('of two services with one element the first has it', () => {
    const one = serviceRuleset(service({}, { name: 'one' }), [], options)
    const two = serviceRuleset(service({}, { name: 'two' }), [slice([at('10.0.1.1')])], options)
    expect(elements(mergeRulesets([one, two]), 'cluster-ips')).toEqual({ '10.0.128.1': '' })
  })
})

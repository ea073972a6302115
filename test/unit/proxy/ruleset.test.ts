import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import type { Service } from '#shared/api/core/service.ts'
import { portEndpoints } from '#node-agent/proxy/endpoints.ts'
import { parseFlows, staleFlows, udpChanged } from '#node-agent/proxy/conntrack.ts'
import { newKernelTable } from '#node-agent/proxy/kernel.ts'
import { emptyRuleset, isProxied, serviceRuleset, type Ruleset } from '#node-agent/proxy/ruleset.ts'
import { arranged } from '#node-agent/proxy/selections.ts'

const options = {
  family: 'IPv4' as const,
  nodeName: 'n1',
  nodeIPs: ['10.0.255.11'],
  clusterCIDR: '10.0.0.0/17',
  serviceCIDR: '10.0.128.0/18',
}
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
const elements = (r: Ruleset, name: Parameters<Ruleset['elements']['get']>[0]) => Object.fromEntries(r.elements.get(name) ?? [])

const here = { nodeName: 'n1', zone: 'z1' }

describe('endpoints of a port', () => {
  test('ready ones; absent conditions count as ready', () => {
    const slices = [
      slice([at('10.0.1.1'), at('10.0.1.2', 'n2', { ready: false }), { addresses: ['10.0.1.3'] }]),
      slice([at('10.0.1.1'), at('10.0.0.9', 'n2')]),
    ]
    const { cluster, local } = portEndpoints(slices, 'http', 'TCP', here)
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
    const { cluster, local } = portEndpoints(slices, 'http', 'TCP', here)
    expect(cluster.map(e => e.ip)).toEqual(['10.0.1.2'])
    expect(local.map(e => e.ip)).toEqual(['10.0.1.1'])
  })
  test('of the right port name, protocol and address family', () => {
    const ports = [{ name: 'dns', protocol: 'UDP', port: 53 }, { name: 'http', protocol: 'TCP', port: 81 }] // prettier-ignore
    expect(portEndpoints([slice([at('10.0.1.1')], ports)], 'http', 'TCP', here).cluster).toEqual([
      { ip: '10.0.1.1', port: 81, local: true },
    ])
    expect(portEndpoints([slice([at('10.0.1.1')], ports)], 'dns', 'TCP', here).cluster).toEqual([])
    expect(portEndpoints([slice([at('fd00::1')], undefined, 'IPv6'), slice([at('not-an-ip')])], 'http', 'TCP', here).cluster).toEqual([])
  })
})

describe('endpoints by hints', () => {
  const hinted = (ip: string, nodeName: string, zones: string[], nodes: string[] = []) => ({
    ...at(ip, nodeName),
    hints: { forZones: zones.map(name => ({ name })), ...(nodes.length > 0 ? { forNodes: nodes.map(name => ({ name })) } : {}) },
  })
  const ips = (endpoints: object[], place: object = here) =>
    portEndpoints([slice(endpoints)], 'http', 'TCP', place as typeof here).cluster.map(e => e.ip)
  const [mine, near, far] = [
    hinted('10.0.1.1', 'n1', ['z1'], ['n1']),
    hinted('10.0.2.1', 'n2', ['z1'], ['n2']),
    hinted('10.0.3.1', 'n3', ['z2'], ['n3']),
  ]
  test('those for the node, else those for its zone', () => {
    expect(ips([mine, near, far])).toEqual(['10.0.1.1'])
    expect(ips([near, far])).toEqual(['10.0.2.1'])
    expect(ips([hinted('10.0.1.1', 'n1', ['z1']), near, far])).toEqual(['10.0.1.1', '10.0.2.1'])
  })
  test('all, when one says nothing or none is for the zone', () => {
    expect(ips([near, far, at('10.0.4.1', 'n4')])).toHaveLength(3)
    expect(ips([far], { nodeName: 'n1', zone: 'z1' })).toEqual(['10.0.3.1'])
    expect(ips([near, far], { nodeName: 'n9' })).toHaveLength(2)
  })
  test('those that are not ready do not count', () => {
    expect(ips([near, far, at('10.0.4.1', 'n4', { ready: false })])).toEqual(['10.0.2.1'])
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
    const table = newKernelTable({ ...options })
    table.set('ns/web', two)
    table.script()
    table.written()
    table.set('ns/web', three)
    expect(table.script().match(/(add|delete) set/g)).toEqual(['add set'])
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
    expect(staleFlows(flows, udp, options).map(f => `${f.destination}:${f.port} ${f.endpoint}`)).toEqual([
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
    const [[name, selection] = []] = rules.selections
    expect(selection).toEqual({ map: 'endpoints-tcp', values: ['10.0.1.1 . 8080', '10.0.2.1 . 8080'] })
    expect([...rules.chains]).toEqual([['pick-tcp-2', 'meta l4proto tcp dnat ip to meta mark . numgen random mod 2 map @endpoints-tcp']])
    expect(elements(rules, 'service-ids')).toEqual({ '10.0.128.1 . tcp . 80': `<${name}>` })
    expect(elements(rules, 'service-ips')).toEqual({ '10.0.128.1 . tcp . 80': 'goto pick-tcp-2' })
    expect(elements(rules, 'hairpin-connections')).toEqual({ '10.0.1.1 . 10.0.1.1': '' })
    expect(elements(rules, 'cluster-ips')).toEqual({ '10.0.128.1': '' })
  })
  test('a balancer’s address is for its source ranges alone, as far as the proxy answers for it', () => {
    const of = {
      ...service({ type: 'LoadBalancer', externalIPs: ['192.0.2.1'], loadBalancerSourceRanges: [' 198.51.100.0/24', 'fd00::/8'] }),
      status: { loadBalancer: { ingress: [{ ip: '192.0.2.8' }, { ip: '192.0.2.9', ipMode: 'Proxy' }] } },
    } as Service
    const rules = serviceRuleset(of, [slice([at('10.0.1.1')])], options)
    const [[frontend, verdict] = []] = Object.entries(elements(rules, 'firewall-ips'))
    expect(frontend).toBe('192.0.2.8 . tcp . 80')
    expect(rules.chains.get(verdict!.slice('goto '.length))).toBe('ip saddr 198.51.100.0/24 return\nip saddr 192.0.2.8 return\ndrop')
    expect(Object.keys(elements(rules, 'service-ips'))).toEqual(['10.0.128.1 . tcp . 80', '192.0.2.1 . tcp . 80', '192.0.2.8 . tcp . 80'])
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
    expect([...rules.chains].find(([name]) => name.startsWith('external-'))?.[1].split('\n')).toHaveLength(3)
  })
  test('services that are not ours', () => {
    for (const spec of [{ clusterIP: 'None' }, { clusterIP: undefined }, { type: 'ExternalName' }])
      expect(isProxied(service(spec))).toBe(false)
    expect(isProxied(service({}, { labels: { 'service.kubernetes.io/service-proxy-name': 'other' } }))).toBe(false)
    expect(isProxied(service({}, { labels: { 'service.kubernetes.io/headless': '' } }))).toBe(false)
    expect(serviceRuleset(service({ clusterIP: 'fd00::1' }), [], options)).toEqual(emptyRuleset())
  })
})

describe('slots of a selection', () => {
  test('hold exactly what is wanted, without gaps, and what stays stays where it can', () => {
    const list = fc.uniqueArray(fc.constantFrom(...'abcdefgh'), { maxLength: 8 })
    fc.assert(
      fc.property(list, list, (from, to) => {
        const slots = arranged(from, to)
        expect([...slots].sort()).toEqual([...to].sort())
        const stay = from.filter((v, n) => to.includes(v) && n < to.length)
        expect(stay.every(v => slots[from.indexOf(v)] === v)).toBe(true)
      }),
    )
  })
})

describe('from one state to another', () => {
  interface Kernel {
    chains: Map<string, string[]>
    sets: Map<string, Map<string, string>>
    affinity: Map<string, string>
  }
  const change = fc.record({
    name: fc.constantFrom('a', 'b', 'c', 'd'),
    port: fc.integer({ min: 1, max: 3 }),
    ips: fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 5 }),
    sessionAffinity: fc.constantFrom('None', 'ClientIP'),
    externalTrafficPolicy: fc.constantFrom('Cluster', 'Local'),
    nodePort: fc.option(fc.constantFrom(30001, 30002), { nil: undefined }),
    gone: fc.boolean(),
    lost: fc.integer({ min: 0, max: 9 }).map(n => n === 0),
  })
  type Change = typeof change extends fc.Arbitrary<infer T> ? T : never
  const rulesOf = ({ name, port, ips, nodePort, gone, sessionAffinity, externalTrafficPolicy }: Change) => {
    const spec = { sessionAffinity, externalTrafficPolicy, clusterIP: `10.0.128.${name.charCodeAt(0)}`, ports: [{ name: 'http', port, protocol: 'TCP', nodePort }] } // prettier-ignore
    return gone
      ? undefined
      : serviceRuleset(service(spec, { name }), [slice(ips.map(n => at(`10.0.1.${n}`, n % 2 ? 'n1' : 'n2')))], options)
  }

  /** What nft does with a script, strictly: nothing may be added twice or removed when absent, and no chain may go that is named. */
  function apply(state: Kernel, script: string): Kernel {
    const fresh = script.startsWith('table ')
    const { chains, sets, affinity } = fresh ? { chains: new Map<string, string[]>(), sets: new Map<string, Map<string, string>>(), affinity: new Map<string, string>() } : state // prettier-ignore
    for (const line of script
      .slice(fresh ? script.lastIndexOf('\n}\n') + 3 : 0)
      .split('\n')
      .filter(Boolean)) {
      const [, verb, what, name, rest = ''] = /^(\w+) (\w+) ip kube-proxy (\S+) ?(.*)$/.exec(line)!
      const rules = () => [...chains.values()].flat()
      if (what === 'set') {
        if (verb === 'add') expect(affinity.has(name!) || !affinity.set(name!, rest.slice(2, -2))).toBe(false)
        else expect(!rules().some(r => r.includes(`@${name} `)) && affinity.delete(name!)).toBe(true)
      } else if (verb === 'add' && what === 'chain') chains.set(name!, chains.get(name!) ?? [])
      else if (verb === 'flush') expect(chains.has(name!) && chains.set(name!, [])).toBeTruthy()
      else if (verb === 'add' && what === 'rule') {
        for (const [, target = ''] of rest.matchAll(/goto ([^\s,]+)/g)) expect(chains.has(target)).toBe(true)
        for (const [, set = ''] of rest.matchAll(/@(affinity\S+)/g)) expect(affinity.has(set)).toBe(true)
        chains.get(name!)!.push(rest)
      } else if (verb === 'delete' && what === 'chain') {
        const values = [...sets.values()].flatMap(s => [...s.values()])
        expect([...values, ...rules()].some(v => v.endsWith(`goto ${name}`))).toBe(false)
        expect(chains.delete(name!)).toBe(true)
      } else {
        const set = sets.get(name!) ?? new Map<string, string>()
        sets.set(name!, set)
        for (const element of rest.slice(2, -2).split(', ')) {
          const [key, value = ''] = element.split(' : ') as [string, string?]
          if (verb === 'add') expect(set.has(key)).toBe(false)
          if (verb === 'add')
            for (const [, target = ''] of value.matchAll(/goto (\S+)/g)) expect(chains.has(target) || target === 'reject-chain').toBe(true)
          if (verb === 'add') set.set(key, value)
          else expect(set.delete(key)).toBe(true)
        }
      }
    }
    return { chains, sets, affinity }
  }
  /** With what a selection holds in place of its number. */
  function meaning({ chains, sets, affinity }: Kernel) {
    const held = (id: string): string =>
      ['endpoints-tcp', 'endpoint-chains']
        .flatMap(map => [...(sets.get(map) ?? [])].flatMap(([key, value]) => (key.startsWith(`${id} . `) ? [value] : [])))
        .sort()
        .join()
    const named = (text: string): string => text.replace(/^\d+$/, held).replace(/(?<=mark set )\d+/, held)
    return {
      chains: [...chains].map(([name, rules]) => `${name} ${rules.map(named).join()}`).sort(),
      elements: [...sets].flatMap(([map, all]) =>
        [...all].map(([key, value]) => `${map} ${map.startsWith('endpoint') ? value : `${key} ${named(value)}`}`),
      ).sort(), // prettier-ignore
      affinity: [...affinity].sort(),
    }
  }

  test('scripts lead exactly there, one after the other, also when the kernel has lost it all', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 8 }), changes => {
        let state: Kernel = { chains: new Map(), sets: new Map(), affinity: new Map() }
        const table = newKernelTable(options)
        const wanted = new Map<string, Ruleset | undefined>()
        for (const one of changes) {
          if (one.lost) table.lost()
          wanted.set(one.name, rulesOf(one))
          table.set(one.name, wanted.get(one.name))
          state = apply(state, table.script())
          table.written()
          expect(table.script()).toBe('')
        }
        const fresh = newKernelTable(options)
        for (const [name, rules] of wanted) fresh.set(name, rules)
        expect(meaning(state)).toEqual(meaning(apply(state, fresh.script())))
      }),
    )
  })
  test('of two services with one element the first has it, and the other when that is gone', () => {
    const [one, two] = ['one', 'two'].map(name =>
      serviceRuleset(service({ externalIPs: ['192.0.2.1'] }, { name }), [slice([at(name === 'one' ? '10.0.1.1' : '10.0.1.2')])], options),
    )
    const table = newKernelTable(options)
    table.set('ns/two', two)
    table.set('ns/one', one)
    let state = apply({ chains: new Map(), sets: new Map(), affinity: new Map() }, table.script())
    table.written()
    const goesTo = () => state.sets.get('endpoints-tcp')!.get(`${state.sets.get('service-ids')!.get('192.0.2.1 . tcp . 80')} . 0`)
    expect(goesTo()).toBe('10.0.1.1 . 8080')
    table.set('ns/one', undefined)
    state = apply(state, table.script())
    expect(goesTo()).toBe('10.0.1.2 . 8080')
  })
})

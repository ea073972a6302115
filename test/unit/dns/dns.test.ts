import { BlockList } from 'node:net'
import { decode, encode, type DecodedPacket, type Packet } from 'dns-packet'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Service } from '#shared/api/core/service.ts'
import { defaultCorefile, parseCorefile } from '#shared/network/corefile.ts'
import { answer, type Resolver } from '#node-agent/dns/answer.ts'
import type { EndpointGroup, View } from '#node-agent/dns/view.ts'

const service = (name: string, spec: object): Service =>
  ({ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'default' }, spec }) as unknown as Service
const services = new Map(
  [
    service('web', { clusterIP: '10.1.0.5', ports: [{ name: 'http', port: 80 }, { name: 'dns', port: 53, protocol: 'UDP' }] }), // prettier-ignore
    service('db', { clusterIP: 'None', ports: [{ name: 'pg', port: 5432 }] }),
    service('none', { clusterIP: 'None' }),
    service('outside', { type: 'ExternalName', externalName: 'www.example.com' }),
    service('alias', { type: 'ExternalName', externalName: 'web.default.svc.cluster.local' }),
    service('circle', { type: 'ExternalName', externalName: 'circle.default.svc.cluster.local' }),
  ].map(s => [s.metadata.name, s]),
)
const groups: Record<string, EndpointGroup[]> = {
  db: [
    {
      addresses: [
        { ip: '10.2.0.7', host: 'db-0' },
        { ip: '10.2.0.8', host: '10-2-0-8' },
      ],
      ports: [{ name: 'pg', protocol: 'TCP', port: 5432 }],
    },
  ],
}
const view: View = {
  service: (namespace, name) => (namespace === 'default' ? services.get(name) : undefined),
  hasNamespace: namespace => namespace === 'default',
  endpoints: (_, name) => groups[name] ?? [],
  namesOf: ip => (ip === '10.1.0.5' ? ['web.default'] : ip === '10.2.0.7' ? ['db-0.db.default'] : []),
}
const asked: string[] = []
const ranges = new BlockList()
ranges.addSubnet('10.1.0.0', 16, 'ipv4')
const resolver = (corefile = defaultCorefile('cluster.local')): Resolver => ({
  view,
  domain: 'cluster.local',
  corefile: parseCorefile(corefile),
  ranges,
  kept: new Map(),
  forwarder: {
    async ask(query) {
      const { id, questions = [] } = decode(query)
      const [{ name = '' } = {}] = questions
      asked.push(name)
      if (name === 'dead.example.com') return undefined
      return encode({ type: 'response', id: id ?? 0, questions, answers: [{ name, type: 'A', ttl: 60, data: '93.184.216.34' }] })
    },
    close: () => {},
  },
})
async function ask(
  name: string,
  type: string,
  packet: Partial<Packet> = {},
  tcp = false,
  corefile?: string,
): Promise<DecodedPacket & { rcode?: string }> {
  const query = encode({ type: 'query', id: 7, flags: 256, questions: [{ name, type: type as 'A' }], ...packet })
  return decode((await answer(resolver(corefile), query, tcp))!)
}
const data = (packet: Packet) => (packet.answers ?? []).map(a => ('data' in a ? a.data : undefined))
const under = (name: string) => `${name}.default.svc.cluster.local`

describe('names of the cluster', () => {
  test('Services: addresses, and ports', async () => {
    expect(data(await ask(under('web'), 'A'))).toEqual(['10.1.0.5'])
    expect(await ask(under('web'), 'AAAA')).toMatchObject({ rcode: 'NOERROR', answers: [], authorities: [{ type: 'SOA' }] })
    const srv = await ask(under('_http._tcp.web'), 'SRV')
    expect(data(srv)).toEqual([{ priority: 0, weight: 100, port: 80, target: under('web') }])
    expect(srv.additionals).toMatchObject([{ type: 'A', data: '10.1.0.5', name: under('web') }])
    expect(data(await ask(under('_dns._udp.web'), 'SRV'))).toMatchObject([{ port: 53 }])
    expect(data(await ask(under('web'), 'SRV'))).toHaveLength(2)
    for (const name of ['_http._udp.web', '_no._tcp.web', 'x.web', 'absent', '_sctp.web'])
      expect((await ask(under(name), 'SRV')).rcode, name).toBe('NXDOMAIN')
    expect((await ask(under('_tcp.web'), 'A')).rcode).toBe('NOERROR')
  })
  test('headless Services: endpoints by their names', async () => {
    expect(data(await ask(under('db'), 'A')).sort()).toEqual(['10.2.0.7', '10.2.0.8'])
    expect(data(await ask(under('db-0.db'), 'A'))).toEqual(['10.2.0.7'])
    expect(data(await ask(under('10-2-0-8.db'), 'A'))).toEqual(['10.2.0.8'])
    const srv = await ask(under('_pg._tcp.db'), 'SRV')
    expect(
      data(srv)
        .map(d => (d as { target: string }).target)
        .sort(),
    ).toEqual([under('10-2-0-8.db'), under('db-0.db')])
    expect(srv.additionals).toHaveLength(2)
    expect((await ask(under('none'), 'A')).rcode).toBe('NXDOMAIN')
  })
  test('aliases are followed, in the cluster and outside', async () => {
    expect(data(await ask(under('outside'), 'A'))).toEqual(['www.example.com', '93.184.216.34'])
    expect(data(await ask(under('alias'), 'A'))).toEqual([under('web'), '10.1.0.5'])
    expect(data(await ask(under('outside'), 'CNAME'))).toEqual(['www.example.com'])
    expect(data(await ask(under('circle'), 'A')).length).toBeLessThan(20)
  })
  test('pods, reverse names, the zone itself', async () => {
    expect(data(await ask('10-2-3-4.default.pod.cluster.local', 'A'))).toEqual(['10.2.3.4'])
    expect((await ask('nonsense.default.pod.cluster.local', 'A')).rcode).toBe('NXDOMAIN')
    expect(data(await ask('5.0.1.10.in-addr.arpa', 'PTR'))).toEqual([under('web')])
    expect(data(await ask('7.0.2.10.in-addr.arpa', 'PTR'))).toEqual([under('db-0.db')])
    expect(data(await ask('dns-version.cluster.local', 'TXT')).map(String)).toEqual(['1.1.0'])
    expect(data(await ask('cluster.local', 'NS'))).toEqual(['ns.dns.cluster.local'])
    expect((await ask('cluster.local', 'SOA')).answers).toHaveLength(1)
    for (const [name, code] of [
      ['svc.cluster.local', 'NOERROR'],
      ['default.svc.cluster.local', 'NOERROR'],
      ['other.svc.cluster.local', 'NXDOMAIN'],
      ['nothing.cluster.local', 'NXDOMAIN'],
    ] as const)
      // prettier-ignore
      expect((await ask(name, 'A')).rcode, name).toBe(code)
  })
  test('however they are written', async () => {
    const { answers, questions } = await ask('WEB.Default.svc.Cluster.Local', 'A')
    expect([questions?.[0]?.name, answers?.[0]?.name]).toEqual(['WEB.Default.svc.Cluster.Local', 'WEB.Default.svc.Cluster.Local'])
  })
})

describe('other names', () => {
  test('are asked of the resolvers; a name of the cluster never is', async () => {
    asked.length = 0
    expect(data(await ask('www.example.com', 'A'))).toEqual(['93.184.216.34'])
    expect((await ask('dead.example.com', 'A')).rcode).toBe('SERVFAIL')
    await ask('www.example.com.default.svc.cluster.local', 'A')
    await ask('9.9.9.10.in-addr.arpa', 'PTR')
    expect((await ask('9.9.1.10.in-addr.arpa', 'PTR')).rcode).toBe('NXDOMAIN')
    expect(asked).toEqual(['www.example.com', 'dead.example.com', '9.9.9.10.in-addr.arpa'])
  })
})

describe('by the Corefile', () => {
  const corefile = `. {
    kubernetes cluster.local in-addr.arpa { 
      pods disabled
      ttl 30
    }
    hosts {
      192.0.2.1 printer.lan  scanner.lan
      fallthrough
    }
    rewrite name exact shop.example.com web.default.svc.cluster.local
    rewrite name suffix .old.example.com .example.com
    rewrite name suffix .shop.org .default.svc.cluster.local answer auto
    rewrite continue ttl exact late.org 60-
    rewrite name regex ^(.*)\\.org\\.$ {1}.default.svc.cluster.local
    forward . /etc/resolv.conf
  }`
  const get = (name: string, type = 'A') => ask(name, type, {}, false, corefile)
  test('hosts, both ways', async () => {
    expect(data(await get('Printer.lan'))).toEqual(['192.0.2.1'])
    expect((await get('printer.lan', 'AAAA')).rcode).toBe('NOERROR')
    expect(data(await get('1.2.0.192.in-addr.arpa', 'PTR')).sort()).toEqual(['printer.lan', 'scanner.lan'])
  })
  test('names that stand for others, in the cluster and outside, and who asks sees his own', async () => {
    const own = await get('shop.example.com')
    expect([own.answers?.[0]?.name, data(own)]).toEqual(['shop.example.com', ['10.1.0.5']])
    asked.length = 0
    const outside = await get('www.old.example.com')
    expect([outside.answers?.[0]?.name, data(outside), asked]).toEqual(['www.old.example.com', ['93.184.216.34'], ['www.example.com']])
  })
  test('names in data of records, and times', async () => {
    const srv = await get('_http._tcp.web.shop.org', 'SRV')
    expect([srv.answers?.[0]?.name, data(srv)]).toEqual(['_http._tcp.web.shop.org', [expect.objectContaining({ target: 'web.shop.org' })]])
    expect(srv.additionals).toMatchObject([{ name: 'web.shop.org', data: '10.1.0.5' }])
    expect((await get('web.org')).answers).toMatchObject([{ name: 'web.org', ttl: 30, data: '10.1.0.5' }])
    services.set('late', service('late', { clusterIP: '10.1.0.6' }))
    expect((await get('late.org')).answers).toMatchObject([{ name: 'late.org', ttl: 60 }])
  })
  test('how long answers may be kept, and that pods have no names', async () => {
    expect((await get(under('web'))).answers).toMatchObject([{ ttl: 30 }])
    expect((await get('10-2-3-4.default.pod.cluster.local')).rcode).toBe('NXDOMAIN')
  })
})

describe('packets', () => {
  test('names are told by where they were told before', async () => {
    groups['many'] = [{ addresses: Array.from({ length: 20 }, (_, i) => ({ ip: `10.3.0.${i}`, host: `h${i}` })), ports: [] }]
    services.set('many', service('many', { clusterIP: 'None' }))
    const query = encode({ type: 'query', id: 7, questions: [{ name: under('many'), type: 'A' }] })
    const made = (await answer(resolver(), query, false))!
    // Pointer, type, class, ttl, length, address: 16 bytes each.
    expect(made.length).toBe(query.length + 20 * 16)
    expect(decode(made).answers?.every(a => a.name === under('many'))).toBe(true)
    const ptr = encode({ type: 'query', id: 7, questions: [{ name: '5.0.1.10.in-addr.arpa', type: 'PTR' }] })
    expect(data(decode((await answer(resolver(), ptr, false))!))).toEqual([under('web')])
  })
  test('what does not fit is cut, and told whole over TCP or to who takes more', async () => {
    groups['many'] = [{ addresses: Array.from({ length: 40 }, (_, i) => ({ ip: `10.3.0.${i}`, host: `h${i}` })), ports: [] }]
    services.set('many', service('many', { clusterIP: 'None' }))
    const small = await ask(under('many'), 'A')
    expect([small.flag_tc, small.answers?.length]).toEqual([true, 0])
    expect((await ask(under('many'), 'A', {}, true)).answers).toHaveLength(40)
    const options = [{ type: 'OPT', name: '.', udpPayloadSize: 4096, flags: 0, options: [] }] as unknown as Packet['additionals']
    const large = await ask(under('many'), 'A', { additionals: options })
    expect([large.answers?.length, large.additionals?.[0]?.type]).toEqual([40, 'OPT'])
  })
  test('a kept answer has the id of each query', async () => {
    const one = resolver()
    for (const id of [1, 2]) {
      const query = encode({ type: 'query', id, questions: [{ name: under('web'), type: 'A' }] })
      expect(decode((await answer(one, query, false))!).id).toBe(id)
    }
    expect(one.kept.size).toBe(1)
  })
  test('nothing that comes breaks it, and no answer is answered', async () => {
    const whole = encode({ type: 'query', id: 1, questions: [{ name: under('web'), type: 'A' }] })
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.uint8Array({ maxLength: 80 }),
          fc
            .tuple(fc.nat(whole.length - 1), fc.integer({ min: 0, max: 255 }))
            .map(([at, byte]) => Uint8Array.from(whole).fill(byte, at, at + 1)),
        ),
        async bytes => {
          const query = Buffer.from(bytes)
          const made = await answer(resolver(), query, false)
          if (query.length < 12 || query[2]! & 0x80) expect(made).toBeUndefined()
          else {
            expect(made!.readUInt16BE(0)).toBe(query.readUInt16BE(0))
            expect(made![2]! & 0x80).toBe(0x80)
            decode(made!)
          }
        },
      ),
      { numRuns: 500 },
    )
  })
})

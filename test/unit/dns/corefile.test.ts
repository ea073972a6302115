import { expect, test } from 'vitest'
import { blockFor, defaultCorefile, parseCorefile } from '#shared/network/corefile.ts'
import { renamed, rewritten } from '#shared/network/rewrites.ts'

test('the cluster’s own is honoured whole', () => {
  const { blocks, ignored } = parseCorefile(defaultCorefile('cluster.local'))
  expect(ignored).toEqual([])
  expect(blocks).toMatchObject([
    {
      zones: [''],
      cache: { success: 30, denial: 30 },
      kubernetes: { ttl: 5, pods: true },
      forwards: [{ from: '', to: ['system'], policy: 'random' }],
    },
  ])
})

test('stub domains: the longest zone answers', () => {
  const corefile = parseCorefile(`
    # ours
    corp.example.com:53, lan {
      errors
      forward . 10.0.0.53 10.0.0.54:5353 [fd00::53]:53 {
        policy sequential
        force_tcp
        except www.corp.example.com
      }
      cache {
        success 1000 60
        denial 1000 5
      }
    }
    . {
      forward . 9.9.9.9
    }
  `)
  expect(corefile.ignored).toEqual([])
  const zones = (name: string) => blockFor(corefile, name)?.zones
  expect(zones('a.b.corp.example.com')).toEqual(['corp.example.com', 'lan'])
  expect(zones('notcorp.example.com')).toEqual([''])
  expect(corefile.blocks[0]).toMatchObject({
    cache: { success: 60, denial: 5 },
    forwards: [
      {
        to: [
          { address: '10.0.0.53', port: 53 },
          { address: '10.0.0.54', port: 5353 },
          { address: 'fd00::53', port: 53 },
        ],
        policy: 'sequential',
        forceTcp: true,
        except: ['www.corp.example.com'],
      },
    ],
  })
})

test('what is not honoured is named with its line', () => {
  const { ignored } = parseCorefile(
    '.:1053 {\n  autopath @kubernetes\n  template IN A example {\n    rcode NXDOMAIN\n  }\n  forward . tls://9.9.9.9\n}\n',
  )
  expect(ignored.map(text => text.split(' ').slice(0, 3).join(' '))).toEqual([
    'line 1: .:1053',
    'line 2: autopath',
    'line 3: template',
    'line 6: forward',
  ])
})

test('what cannot be read says where', () => {
  for (const [text, message] of [
    ['. {\n', "line 1: '{' is never closed"],
    ['}\n', "line 1: '}' without '{'"],
    ['. {\n forward . nonsense\n}', 'line 2: nonsense is no address'],
    ['. {\n forward .\n}', 'line 2: forward needs'],
    ['. {\n kubernetes {\n ttl x\n }\n}', 'line 3: x is no whole number'],
    ['errors', 'line 1: a server block has braces'],
  ] as const)
    expect(() => parseCorefile(text), text).toThrow(message)
})

test('hosts of another key of the ConfigMap, as k3s has them', () => {
  const text = '. {\n  hosts /etc/coredns/NodeHosts {\n    ttl 60\n    192.0.2.9 own\n    fallthrough\n  }\n  hosts /etc/hosts\n}\n'
  const { blocks, ignored } = parseCorefile(text, {
    NodeHosts: '# ours\n192.0.2.1 node-1 one.lan.\n\n192.0.2.2\tnode-2 # two\nabc nonsense\n',
  })
  expect(blocks[0]!.hosts).toMatchObject({ ttl: 60, fallthrough: true })
  expect([...blocks[0]!.hosts!.addresses].map(([name, ips]) => `${name} ${ips.join()}`)).toEqual([
    'node-1 192.0.2.1',
    'one.lan 192.0.2.1',
    'node-2 192.0.2.2',
    'own 192.0.2.9',
  ])
  expect(ignored).toEqual(['line 7: a file of hosts that is no key of the ConfigMap (/etc/hosts) is not honoured'])
})

const rewrites = (...lines: string[]) => {
  const { blocks, ignored } = parseCorefile(`. {\n${lines.map(l => `rewrite ${l}\n`).join('')}}\n`)
  expect(ignored).toEqual([])
  return blocks[0]!.rewrites
}
test('rewriting names', () => {
  for (const [line, name, expected] of [
    ['name a.b c.d', 'a.b', 'c.d'],
    ['name exact A.b. c.d', 'x.a.b', undefined],
    ['name prefix old- new-', 'old-web.x', 'new-web.x'],
    ['name suffix .b .c', 'a.b', 'a.c'],
    ['name suffix .b. .c.', 'a.b', 'a.c'],
    ['name substring b x', 'a.b.b', 'a.x.x'],
    ['name regex (.*)-(us-west-1)\\.example\\.org {1}.service.{2}.consul', 'ftp-us-west-1.example.org', 'ftp.service.us-west-1.consul'],
    ['name regex ^a\\.b\\.$ c.d.', 'a.b', 'c.d'],
    ['name regex ^a\\.b\\.$ c.d.', 'a.b.c', undefined],
  ] as const)
    expect(rewritten(rewrites(line), name)?.name, `${line}: ${name}`).toBe(expected)
  // The first that fits, unless it says otherwise.
  expect(rewritten(rewrites('name suffix .x .y', 'name suffix .y .z'), 'a.x')?.name).toBe('a.y')
  expect(rewritten(rewrites('continue name suffix .x .y', 'name suffix .y .z'), 'a.x')?.name).toBe('a.z')
})

test('rewriting answers: back to what was asked, or as it is told', () => {
  const names = (lines: string[], asked: string, ...all: [of: 'name' | 'value', name: string][]): string[] => {
    const { answers } = rewritten(rewrites(...lines), asked)!
    return all.map(([of, name]) => renamed(answers, of, name))
  }
  expect(names(['name a.b c.d'], 'a.b', ['name', 'c.d'], ['name', 'x.c.d'], ['name', 'other'], ['value', 'c.d'])).toEqual(
    ['a.b', 'x.a.b', 'other', 'a.b'], // prettier-ignore
  )
  // What else would not be taken for an answer.
  expect(names(['name suffix .x .y'], 'a.x', ['name', 'a.y'], ['value', 'a.y'])).toEqual(['a.x', 'a.y'])
  expect(names(['name suffix .x .y answer auto'], 'a.x', ['name', 'b.y'], ['value', 'c.y'])).toEqual(['b.x', 'c.x'])
  const block = ['stop {\nname regex (.*)-(us)\\.rocks {1}.service.{2}.consul\nanswer name (.*)\\.service\\.(us)\\.consul {1}-{2}.rocks\n}']
  expect(names(block, 'ftp-us.rocks', ['name', 'ftp.service.us.consul'], ['value', 'ftp.service.us.consul'])).toEqual([
    'ftp-us.rocks',
    'ftp.service.us.consul',
  ])
  const value = ['name suffix .arpa .arpa answer auto answer value (.*)\\.service\\.consul\\. {1}.rocks.']
  expect(names(value, '1.arpa', ['name', '1.arpa'], ['value', 'x.service.consul'])).toEqual(['1.arpa', 'x.rocks'])
  expect(names(['continue name suffix .x .y', 'name suffix .y .z'], 'a.x', ['name', 'a.z'])).toEqual(['a.x'])
  expect(rewritten(rewrites('ttl regex (.*)\\.org 30-300'), 'a.org')).toEqual({
    name: 'a.org',
    answers: [{ of: 'ttl', least: 30, most: 300 }],
  })
})

test('rules for rewriting that are none say why, fields that are not honoured are named', () => {
  for (const [line, message] of [
    ['name nonsense a b', 'line 2: rewrite: it needs a type'],
    ['name regex ( b', 'line 2: rewrite: error parsing regexp'],
    ['name suffix a b answer name x', 'line 2: rewrite: "answer name" is none'],
    ['ttl a.b soon', 'line 2: rewrite: it needs a name, and seconds'],
  ])
    expect(() => rewrites(line!), line).toThrow(message)
  expect(parseCorefile('. {\nrewrite type ANY HINFO\n}\n').ignored).toEqual(['line 2: rewrite type ANY is not honoured'])
})

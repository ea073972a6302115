import { expect, test } from 'vitest'
import { blockFor, defaultCorefile, parseCorefile, rewritten } from '#shared/network/corefile.ts'

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

test('rewriting names', () => {
  const rule = (match: 'exact' | 'prefix' | 'suffix' | 'substring', from: string, to: string) => [{ match, from, to }]
  expect(rewritten(rule('exact', 'a.b', 'c.d'), 'a.b')).toBe('c.d')
  expect(rewritten(rule('exact', 'a.b', 'c.d'), 'x.a.b')).toBeUndefined()
  expect(rewritten(rule('prefix', 'old-', 'new-'), 'old-web.x')).toBe('new-web.x')
  expect(rewritten(rule('suffix', '.b', '.c'), 'a.b')).toBe('a.c')
  expect(rewritten(rule('substring', 'b', 'x'), 'a.b.b')).toBe('a.x.x')
})

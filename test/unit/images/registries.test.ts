import { describe, expect, it } from 'vitest'
import { parseChallenges } from '#node-agent/registry/challenge.ts'
import { parseRegistries, readRegistries } from '#node-agent/registry/registries.ts'

const bases = (text: string, registry: string): string[] =>
  parseRegistries(text, 'r.yaml')
    .endpoints(registry)
    .map(e => e.base.href)

describe('registries.yaml', () => {
  it('is not needed', () => {
    const of = (registry: string): string => readRegistries(undefined).endpoints(registry)[0]!.base.href
    expect(of('docker.io')).toBe('https://registry-1.docker.io/v2/')
    expect(of('quay.io')).toBe('https://quay.io/v2/')
    expect(of('localhost:5000')).toBe('http://localhost:5000/v2/')
    expect(of('127.0.0.1:5000')).toBe('http://127.0.0.1:5000/v2/')
    expect(of('127.example')).toBe('https://127.example/v2/')
  })

  it('names mirrors, which come before the registry, or take its place', () => {
    const text = `
mirrors:
  docker.io: {endpoint: ["https://mirror.example", "http://10.0.0.1:5000/proxy/hub/"]}
  plain.example:5000: {endpoint: ["http://plain.example:5000"]}
  "*": {endpoint: ["https://all.example"]}`
    expect(bases(text, 'docker.io')).toEqual([
      'https://mirror.example/v2/',
      'http://10.0.0.1:5000/proxy/hub/',
      'https://registry-1.docker.io/v2/',
    ])
    expect(bases(text, 'plain.example:5000')).toEqual(['http://plain.example:5000/v2/'])
    expect(bases(text, 'quay.io')).toEqual(['https://all.example/v2/', 'https://quay.io/v2/'])
  })

  it('rewrites names for mirrors, and has credentials for hosts', () => {
    const text = `
mirrors:
  docker.io: {endpoint: ["https://mirror.example"], rewrite: {"^library/(.*)": "hub/$1"}}
configs:
  mirror.example: {auth: {username: u, password: p}}
  docker.io: {auth: {auth: ${Buffer.from('a:b:c').toString('base64')}}}`
    const [mirror, hub] = parseRegistries(text, 'r.yaml').endpoints('docker.io')
    expect([mirror!.rewrite('library/nginx'), mirror!.rewrite('bitnami/nginx'), hub!.rewrite('library/nginx')]).toEqual([
      'hub/nginx',
      'bitnami/nginx',
      'library/nginx',
    ])
    expect([mirror!.credentials, hub!.credentials]).toEqual([
      { username: 'u', password: 'p' },
      { username: 'a', password: 'b:c' },
    ])
  })

  it('is refused with a line that names the place', () => {
    for (const [text, message] of [
      ['mirrors: {docker.io: {endpoint: ["ftp://x"]}}', 'r.yaml: mirrors.docker.io.endpoint.0: must be https://HOST'],
      ['mirrors: {docker.io: {endpoint: ["https://user:pw@x"]}}', 'must be https://HOST'],
      ['mirrors: {docker.io: {rewrite: {"(": x}}}', 'r.yaml: mirrors.docker.io.rewrite.(: '],
      ['configs: {x: {tls: {ca_file: /nowhere}}}', "r.yaml: ENOENT: no such file or directory, open '/nowhere'"],
      ['config: {}', 'r.yaml: the file: Unrecognized key: "config"'],
      ['a: [', 'r.yaml: '],
    ] as const)
      expect(() => parseRegistries(text, 'r.yaml')).toThrow(message)
  })
})

describe('challenges', () => {
  it('are read one by one', () => {
    expect(
      parseChallenges('Bearer realm="https://auth.example/token",service="a, b",scope="repository:x:pull", Basic realm=plain'),
    ).toEqual([
      { scheme: 'bearer', parameters: { realm: 'https://auth.example/token', service: 'a, b', scope: 'repository:x:pull' } },
      { scheme: 'basic', parameters: { realm: 'plain' } },
    ])
    expect(parseChallenges('Basic realm="a \\"quoted\\" one"')[0]!.parameters).toEqual({ realm: 'a "quoted" one' })
    expect(parseChallenges('Basic')).toEqual([{ scheme: 'basic', parameters: {} }])
  })

  it('that are none end the list', () => {
    for (const text of ['', '=', 'Bearer realm=', 'Bearer realm="', '"', 'a=b', ',,,', 'Bearer __proto__="x"'])
      expect(() => parseChallenges(text)).not.toThrow()
    expect(parseChallenges('Basic realm=a, Bearer realm="open')).toHaveLength(2)
  })
})

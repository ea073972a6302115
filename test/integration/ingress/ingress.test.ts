/** Ingresses through a real HAProxy: which rule wins, annotations, TLS, and that neither endpoints nor rules that change cost a request. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Secret } from '#shared/api/core/secret.ts'
import { makeAuthority, sign } from '#shared/certificates/certificate.ts'
import { traffic } from '../../fixtures/traffic.ts'
import { backend, ingress, startProxy, type Backend, type Proxy } from '../../fixtures/ingressproxy.ts'

let proxy: Proxy
const backends: Backend[] = []
async function service(name: string, count = 1): Promise<Backend[]> {
  const made = await Promise.all(Array.from({ length: count }, () => backend(name)))
  backends.push(...made)
  proxy.endpoints(
    name,
    made.map(b => b.address),
  )
  return made
}
beforeAll(async () => {
  proxy = await startProxy()
  for (const name of ['a', 'b', 'c', 'd']) await service(name)
})
afterAll(async () => {
  await proxy?.stop()
  await Promise.all(backends.map(b => b.close()))
})
/** Which Service answers, or the status. */
async function who(host: string, url: string, headers?: Record<string, string>): Promise<string> {
  const { status, body } = await proxy.ask(host, url, headers)
  return status === 200 ? (JSON.parse(body) as { name: string }).name : String(status)
}

test('the path that says most wins, by elements; hosts before wildcards before none', async () => {
  await proxy.serve(
    ingress('one', 'x.example.com', { '/': 'a', '/foo': 'b', '=/foo': 'c', '/foo/bar': 'd' }),
    ingress('two', 'x.example.com', { '/two': 'd', '/foo': 'a' }),
    ingress('wild', '*.example.com', { '/': 'b' }),
    ingress('any', undefined, { '/any': 'c' }),
  )
  for (const [host, url, expected] of [
    ['x.example.com', '/', 'a'],
    ['x.example.com:8080', '/', 'a'],
    ['X.Example.com', '/foo', 'c'],
    ['x.example.com', '/foo?q=1', 'c'],
    ['x.example.com', '/foo/', 'b'],
    ['x.example.com', '/foo/x', 'b'],
    ['x.example.com', '/foobar', 'a'],
    ['x.example.com', '/foo/bar', 'd'],
    ['x.example.com', '/foo/bar/baz', 'd'],
    ['x.example.com', '/foo/barbaz', 'b'],
    ['x.example.com', '/two', 'd'],
    ['y.example.com', '/foo', 'b'],
    ['y.z.example.com', '/foo', '404'],
    ['example.com', '/', '404'],
    ['other.org', '/any/x', 'c'],
    ['other.org', '/', '404'],
    ['x.example.com', '/foo/../bar', '400'],
  ] as const)
    expect(await who(host, url), `${host}${url}`).toBe(expected)
})

test('a default backend takes the rest', async () => {
  await proxy.serve(
    ingress('one', 'x.example.com', { '/foo': 'b' }),
    ingress('rest', undefined, {}, {}, { rules: [], defaultBackend: { service: { name: 'd', port: { number: 80 } } } }),
  )
  expect([await who('x.example.com', '/'), await who('q', '/'), await who('x.example.com', '/foo')]).toEqual(['d', 'd', 'b'])
})

test('what is wrong is a problem of its own', async () => {
  const secret = { hosts: ['s.example.com'], secretName: 'none' }
  const { problems } = await proxy.serve(
    ingress('good', 'x.example.com', { '/': 'a' }),
    ingress('expression', 'x.example.com', { '~/(': 'b' }, { 'use-regex': 'true' }),
    ingress('path', 'x.example.com', { '/a b': 'b' }),
    ingress('size', 'x.example.com', { '/size': 'b' }, { 'proxy-body-size': '8 m\nserver evil' }),
    ingress('range', 'x.example.com', { '/range': 'b' }, { 'whitelist-source-range': '10.0.0.0/33' }),
    ingress('guarded', 'x.example.com', { '/guarded': 'b' }, { 'auth-url': 'http://a.example.com/' }),
    ingress('idle', 'x.example.com', { '/idle': 'c' }, { 'limit-rps': '5', 'canary-weight': '1', affinity: 'cookie' }),
    ingress('shared', 'x.example.com', { '/shared': 'c' }, { 'enable-cors': 'true', 'cors-allow-origin': 'https://x.org, x' }),
    ingress('missing', 'x.example.com', { '/missing': 'nobody' }),
    ingress('secret', 's.example.com', { '/': 'b' }, { 'ssl-redirect': 'false' }, { tls: [secret] }),
  )
  expect(problems.map(p => [p.about.split('/')[2], p.message])).toEqual([
    ['expression', '"/(" is no regular expression'],
    ['path', 'path "/a b" has characters that a URL\'s path cannot have'],
    ['size', 'annotation proxy-body-size: "8 m\nserver evil" is no size'],
    ['range', 'annotation whitelist-source-range: "10.0.0.0/33" is no address range'],
    ['guarded', 'annotation auth-url is not honoured, and without it everybody would be let in'],
    ['idle', 'annotation limit-rps has no effect'],
    ['idle', 'annotation canary-weight has no effect'],
    ['shared', 'annotation enable-cors: "x" is no origin'],
    ['missing', 'Service "default/nobody" does not exist'],
    ['secret', 'Secret "default/none" does not exist, or is not of type kubernetes.io/tls'],
  ])
  expect(await who('x.example.com', '/')).toBe('a')
  expect(await who('x.example.com', '/size')).toBe('a')
  expect(await who('x.example.com', '/guarded')).toBe('a')
  expect(await who('x.example.com', '/idle')).toBe('c')
  expect(await who('x.example.com', '/missing')).toBe('503')
  expect(await who('s.example.com', '/')).toBe('b')
})

test('annotations: rewriting, redirects, sizes, sources, canaries, affinity', async () => {
  const [first] = await service('two', 2)
  await proxy.serve(
    ingress('plain', 'r.example.com', { '/': 'a' }),
    ingress('rewrite', 'r.example.com', { '~/app(/|$)(.*)': 'b' }, { 'rewrite-target': '/$2', 'use-regex': 'true' }),
    ingress('whole', 'w.example.com', { '/old': 'b' }, { 'rewrite-target': '/new' }),
    ingress('root', 'root.example.com', { '/': 'a' }, { 'app-root': '/start' }),
    ingress('small', 'small.example.com', { '/': 'a' }, { 'proxy-body-size': '1k' }),
    ingress('shut', 'shut.example.com', { '/': 'a' }, { 'whitelist-source-range': '10.0.0.0/8, 192.0.2.1' }),
    ingress('open', 'open.example.com', { '/': 'a' }, { 'whitelist-source-range': '127.0.0.0/8' }),
    ingress('main', 'c.example.com', { '/': 'a' }),
    ingress('canary', 'c.example.com', { '/': 'b' }, { canary: 'true', 'canary-by-header': 'X-Canary', 'canary-weight': '30' }),
    ingress('sticky', 't.example.com', { '/': 'two' }, { affinity: 'cookie', 'session-cookie-name': 'route' }),
    ingress('shared', 'shared.example.com', { '/': 'a' }, { 'enable-cors': 'true', 'cors-allow-origin': 'https://*.x.org, https://y.org' }),
    ingress('moved', 'm.example.com', { '/': 'a' }, { 'permanent-redirect': 'https://example.org/100%' }),
  )
  const asked = async (host: string, url: string): Promise<{ url: string; headers: Record<string, string> }> =>
    JSON.parse((await proxy.ask(host, url)).body) as { url: string; headers: Record<string, string> }
  expect((await asked('r.example.com', '/app/x/y?q=1')).url).toBe('/x/y?q=1')
  expect((await asked('r.example.com', '/APP')).url).toBe('/')
  expect((await asked('r.example.com', '/apple')).url).toBe('/apple')
  expect((await asked('w.example.com', '/old/x')).url).toBe('/new')
  expect((await asked('r.example.com', '/')).headers).toMatchObject({
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-proto': 'http',
    'x-forwarded-host': 'r.example.com',
  })
  expect((await proxy.ask('root.example.com', '/')).headers.location).toBe('/start')
  expect(await who('root.example.com', '/x')).toBe('a')
  expect(await who('small.example.com', '/', { 'content-length': '1025' })).toBe('413')
  expect([await who('shut.example.com', '/'), await who('open.example.com', '/')]).toEqual(['403', 'a'])
  expect((await proxy.ask('m.example.com', '/')).headers.location).toBe('https://example.org/100%')
  const origins = ['https://a.x.org', 'https://y.org', 'https://z.org'].map(async origin => {
    const { headers } = await proxy.ask('shared.example.com', '/', { origin })
    return [headers['access-control-allow-origin'], headers['access-control-allow-credentials']]
  })
  expect(await Promise.all(origins)).toEqual([['https://a.x.org', 'true'], ['https://y.org', 'true'], [undefined, undefined]]) // prettier-ignore
  expect(await who('c.example.com', '/', { 'x-canary': 'always' })).toBe('b')
  expect(await who('c.example.com', '/', { 'x-canary': 'never' })).toBe('a')
  const drawn = await Promise.all(Array.from({ length: 400 }, () => who('c.example.com', '/')))
  const share = drawn.filter(n => n === 'b').length
  // 30 % of 400 is 120; ten standard deviations off would be 92.
  expect(share).toBeGreaterThan(28)
  expect(share).toBeLessThan(212)

  const cookie = String((await proxy.ask('t.example.com', '/')).headers['set-cookie']).split(';')[0]!
  expect(cookie).toMatch(/^route=/)
  const seen = new Set<string>()
  first!.server.on('request', () => seen.add('first'))
  const hits = (): number => seen.size
  await proxy.ask('t.example.com', '/', { cookie })
  const one = hits()
  for (let i = 0; i < 5; i++) await proxy.ask('t.example.com', '/', { cookie })
  expect(hits()).toBe(one)
})

test('TLS by the name that the client says, from Secrets; HTTP is sent there', async () => {
  const ca = makeAuthority()
  const put = (name: string, host: string): void => {
    const { cert, key } = sign(ca, { commonName: host, names: { dns: [host], ips: [] } })
    const encode = (text: string): string => Buffer.from(text).toString('base64')
    proxy.secrets.set(`default/${name}`, { data: { 'tls.crt': encode(cert), 'tls.key': encode(key) } } as unknown as Secret)
  }
  put('one', 'one.example.com')
  put('two', 'two.example.com')
  const tls = (host: string, secretName: string) => ({ tls: [{ hosts: [host], secretName }] })
  const { problems } = await proxy.serve(
    ingress('one', 'one.example.com', { '/': 'a' }, {}, tls('one.example.com', 'one')),
    ingress('two', 'two.example.com', { '/': 'b' }, { 'ssl-redirect': 'false' }, tls('two.example.com', 'two')),
  )
  expect(problems).toEqual([])
  const one = await proxy.askSecurely('one.example.com', '/x')
  expect([one.subject, (JSON.parse(one.body) as { name: string }).name]).toEqual(['one.example.com', 'a'])
  expect((await proxy.askSecurely('two.example.com', '/')).subject).toBe('two.example.com')
  expect((await proxy.askSecurely('other.example.com', '/')).subject).toBe('default')
  const sent = await proxy.ask('one.example.com', '/x?y=1')
  expect([sent.status, sent.headers.location]).toEqual([308, 'https://one.example.com/x?y=1'])
  expect(await who('two.example.com', '/')).toBe('b')
})

test('WebSocket', async () => {
  const socket = await backend('socket')
  backends.push(socket)
  socket.server.on('upgrade', (req, connection) => {
    const accept = createHash('sha1').update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
    connection.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    )
    connection.pipe(connection)
  })
  proxy.endpoints('socket', [socket.address])
  await proxy.serve(ingress('socket', 's.example.com', { '/': 'socket' }))
  const client = connect(proxy.ports.http, '127.0.0.1')
  client.write(
    'GET / HTTP/1.1\r\nHost: s.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  )
  const text = await new Promise<string>((resolve, reject) => {
    let all = ''
    client.on('error', reject).on('data', (chunk: Buffer) => {
      all += String(chunk)
      if (all.endsWith('\r\n\r\n')) client.write('hello')
      if (all.endsWith('hello')) resolve(all)
    })
  })
  client.destroy()
  expect(text).toContain('101 Switching Protocols')
})

test('endpoints come and go under load, and rules change: no request fails', async () => {
  const all = await Promise.all(Array.from({ length: 12 }, (_, i) => backend(`e${i}`)))
  const serve = (rules: number) =>
    proxy.serve(
      ingress('load', 'localhost', { '/': 'load' }),
      ...Array.from({ length: rules }, (_, i) => ingress(`more-${i}`, `more-${i}.example.com`, { '/': 'a' })),
    )
  proxy.endpoints('load', [all[0]!.address, all[1]!.address])
  await serve(0)
  const asking = traffic(`http://localhost:${proxy.ports.http}/`, 3)
  const outcomes: string[] = []
  for (let round = 0; round < 12; round++) {
    const at = [round % 12, (round + 1) % 12].map(n => all[n]!.address)
    proxy.endpoints('load', at)
    outcomes.push((await serve(0)).outcome)
  }
  expect(new Set(outcomes)).toEqual(new Set(['same', 'changed']))
  proxy.endpoints(
    'load',
    all.map(b => b.address),
  )
  for (const rules of [1, 2, 3]) expect((await serve(rules)).outcome).toBe('reloaded')
  // A controller that is started again finds the proxy as it is: nothing is reloaded.
  await proxy.reopen()
  expect((await serve(3)).outcome).toBe('changed')
  // An endpoint that dies before anybody has heard.
  await all[3]!.close()
  for (let i = 0; i < 30; i++) await proxy.ask('localhost', '/')
  await asking.stop()
  expect(asking.sent).toBeGreaterThan(20)
  expect(asking.failures).toEqual([])
  await Promise.all(all.map(b => b.close()))
})

test('a connection that has been asked by, and is kept, is answered after a reload', async () => {
  expect((await proxy.serve(ingress('kept', 'kept.example.com', { '/': 'a' }))).outcome).toBe('reloaded')
  const socket = connect(proxy.ports.http, '127.0.0.1')
  const asks = (more: string): boolean => socket.write(`GET / HTTP/1.1\r\nhost: kept.example.com\r\n${more}\r\n`)
  asks('')
  await once(socket, 'data')
  expect((await proxy.serve(ingress('kept', 'kept.example.com', { '/': 'b' }))).outcome).toBe('reloaded')
  // The new worker answers, so the other one ends.
  expect(await who('kept.example.com', '/')).toBe('b')
  const answer = text(socket)
  asks('connection: close\r\n')
  expect(await answer).toContain('200 OK')
})

test('a new configuration is in force only when the worker of before takes no connections', async () => {
  await proxy.serve(ingress('slow', 'slow.example.com', { '/': 'a' }))
  await expect.poll(() => proxy.workers().length).toBe(1)
  const [former] = proxy.workers()
  process.kill(former!, 'SIGSTOP')
  let inForce = false
  const served = proxy.serve(ingress('slow', 'slow.example.com', { '/': 'b' })).then(() => (inForce = true))
  try {
    await expect.poll(() => proxy.workers().length).toBe(2)
    // Nothing tells that something does not happen.
    await Promise.race([served, delay(1000)])
    expect(inForce).toBe(false)
  } finally {
    process.kill(former!, 'SIGCONT')
  }
  await served
  expect(await who('slow.example.com', '/')).toBe('b')
})

test('a thousand Ingresses', async () => {
  const many = Array.from({ length: 1000 }, (_, i) => ingress(`i${i}`, `h${i}.example.com`, { '/': 'a', '/b': 'b' }))
  expect((await proxy.serve(...many)).outcome).toBe('reloaded')
  expect([await who('h0.example.com', '/'), await who('h999.example.com', '/b/c'), await who('h1000.example.com', '/')]).toEqual([
    'a',
    'b',
    '404',
  ])
}, 60_000)

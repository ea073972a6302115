import { once } from 'node:events'
import { connect as connectHttp2, createSecureServer, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { guardSessions } from '#control-plane/apiserver/http/sessions.ts'
import { guardStuck } from '#control-plane/apiserver/http/stuck.ts'
import { natsTransport } from '#shared/bus/api-client.ts'
import type { Transport } from '#shared/bus/transport.ts'
import { logger } from '#shared/component/log.ts'
import { startTestApiServer, type ApiServerFixture } from '../../fixtures/apiserver.ts'
import { get } from '../bus/setup.ts'
import { configMap, configMaps, letEverybody } from './setup.ts'

const quiet = logger('test')
quiet.level = 'silent'
let api: ApiServerFixture
beforeAll(async () => {
  api = await startTestApiServer({ maxRequestsInflight: 4, maxMutatingRequestsInflight: 4 })
  await letEverybody(api.rest)
})
afterAll(() => api?.stop())

const dial = async (protocol: 'h2' | 'http/1.1', as: 'admin' | 'nobody' = 'nobody'): Promise<TLSSocket> => {
  const socket = connectTls({
    port: api.server.port,
    host: '127.0.0.1',
    ca: api.ca.cert,
    ALPNProtocols: [protocol],
    ...(as === 'admin' ? { cert: api.admin.cert, key: api.admin.key } : {}),
  })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  return socket
}
/** What comes until the server closes the connection. */
const rest = async (socket: TLSSocket): Promise<string> => {
  let text = ''
  socket.setEncoding('utf8').on('data', (piece: string) => (text += piece))
  await once(socket, 'close')
  return text
}
/** As somebody whose requests are limited. */
const post = (length: number, more = '') =>
  `POST ${configMaps}${more} HTTP/1.1\r\nHost: x\r\nImpersonate-User: jane\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n{`

describe('a body is not read before it is known whose it is', () => {
  test('over HTTP/1.1', async () => {
    const socket = await dial('http/1.1')
    socket.write(post(3_000_000))
    expect(await rest(socket)).toMatch(/^HTTP\/1.1 403 Forbidden\r\n/)
  })

  test('over HTTP/2', async () => {
    const session = connectHttp2(api.url, { ca: api.ca.cert })
    const codes = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const stream = session.request({ ':method': 'POST', ':path': configMaps }, { endStream: false })
        stream.on('error', () => {}).resume()
        const [headers] = (await once(stream, 'response')) as [{ ':status': number }]
        if (!stream.closed) await once(stream, 'close')
        return headers[':status']
      }),
    )
    expect(new Set(codes)).toEqual(new Set([403]))
    session.destroy()
  })
})

test('a body that never ends has the time of its request, and gives its seat back', async () => {
  const sockets = await Promise.all(Array.from({ length: 10 }, () => dial('http/1.1', 'admin')))
  for (const socket of sockets) socket.write(post(3_000_000, '?timeout=1s'))
  expect(new Set((await Promise.all(sockets.map(rest))).map(text => text.slice(0, 12)))).toEqual(new Set(['HTTP/1.1 504']))
  expect((await api.rest('POST', configMaps, configMap('after'))).code).toBe(201)
})

test('who fills the seats of a level keeps neither others from it, nor heartbeats', async () => {
  // Both identities have their own half of the four seats.
  const sockets = await Promise.all(Array.from({ length: 10 }, () => dial('http/1.1', 'admin')))
  for (const socket of sockets) socket.write(post(3_000_000))
  const other = natsTransport(await api.nats.connect('system:kube-scheduler'))
  const node = natsTransport(await api.nats.connect('system:node:n1'))
  const write = async (transport: Transport, method: string, path: string, body: object): Promise<number> => {
    const headers = { 'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json' }
    return (await get(transport, path, { method, headers, body: Buffer.from(JSON.stringify(body)) })).code
  }
  expect(await write(other, 'POST', configMaps, configMap('other'))).toBe(201)
  const leases = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases'
  const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'n1' }, spec: {} }
  expect(await write(other, 'POST', leases, lease)).toBe(201)
  const busy = Array.from({ length: 50 }, (_, i) => write(other, 'POST', configMaps, configMap(`busy-${i}`)))
  expect(await write(node, 'PATCH', `${leases}/n1`, { spec: { holderIdentity: 'n1' } })).toBe(200)
  expect(new Set(await Promise.all(busy))).toEqual(new Set([201]))
  await Promise.all([other.close(), node.close()])
  for (const socket of sockets) socket.destroy()
})

describe('a flood of frames that are no request ends its connection', () => {
  const frame = (type: number, stream: number, payload: Buffer): Buffer => {
    const head = Buffer.alloc(9)
    head.writeUIntBE(payload.length, 0, 3)
    head[3] = type
    head.writeUInt32BE(stream, 5)
    return Buffer.concat([head, payload])
  }
  const one = Buffer.from([0, 0, 0, 1])
  test.each([
    ['DATA', frame(0, 1, Buffer.alloc(0))],
    ['PRIORITY', frame(2, 1, Buffer.alloc(5))],
    ['SETTINGS', frame(4, 0, Buffer.alloc(0))],
    ['PING', frame(6, 0, Buffer.alloc(8))],
    ['WINDOW_UPDATE', frame(8, 0, one)],
    ['an unknown type', frame(99, 0, Buffer.alloc(100))],
  ])('%s', async (_, flood) => {
    const socket = await dial('h2')
    socket.resume()
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
    socket.write(frame(4, 0, Buffer.alloc(0)))
    // The head of GET /, with a body to come.
    const head = frame(1, 1, Buffer.from([0x82, 0x87, 0x84]))
    head[4] = 4
    socket.write(head)
    const many = Buffer.concat(Array.from({ length: 1000 }, () => flood))
    const send = (): void => {
      while (!socket.destroyed && socket.write(many));
    }
    socket.on('drain', send)
    send()
    await new Promise(resolve => socket.on('close', resolve))
  })
})

test('an HTTP/2 session without requests is closed, one with a request is not', async () => {
  const server = createSecureServer({ key: api.admin.key, cert: api.admin.cert })
  server.on('stream', stream => (stream as ServerHttp2Stream).respond({ ':status': 200 }))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = guardSessions(server, { idleMs: 100, log: logger('test') })
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  const [idle, busy] = [0, 1].map(() => connectHttp2(url, { rejectUnauthorized: false }))
  const stream = busy!.request({ ':path': '/' })
  await once(stream, 'response')
  await once(idle!, 'close')
  expect(busy!.closed).toBe(false)
  stream.close()
  await once(busy!, 'close')
  stop()
  server.close()
})

test('an answer that its client does not take is given up, alone', async () => {
  const server = createSecureServer({ key: api.admin.key, cert: api.admin.cert })
  const { promise: closed, resolve: givenUp } = Promise.withResolvers<void>()
  server.on('stream', (opened, headers) => {
    const stream = opened as ServerHttp2Stream
    stream.on('error', () => {})
    stream.respond({ ':status': 200 })
    if (headers[':path'] === '/watch') return void stream.write('event')
    stream.once('close', givenUp)
    stream.end(Buffer.alloc(100_000))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = guardStuck(server, { stuckMs: 200, log: quiet })
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  // Its window takes ten bytes of each stream.
  const session = connectHttp2(url, { rejectUnauthorized: false, settings: { initialWindowSize: 10 } })
  const open = (path: string) => {
    const stream = session.request({ ':path': path })
    stream.on('error', () => {})
    return stream.pause()
  }
  const [watch] = [open('/watch'), open('/large')] as const
  await closed
  expect([watch.closed, session.closed]).toEqual([false, false])
  stop()
  session.destroy()
  server.close()
})

describe('a head that is too large is refused', () => {
  const long = `${configMaps}?labelSelector=${'a,'.repeat(700_000)}`
  test('over HTTP/2', async () => {
    const session = connectHttp2(api.url, { ...api.admin, ca: api.ca.cert, maxSendHeaderBlockLength: 4 << 20 })
    session.on('error', () => {})
    const stream = session.request({ ':path': long })
    stream.on('error', () => {})
    let code = 0
    stream.on('response', h => (code = h[':status'] ?? 0))
    // nghttp2 ends the session: a field has at most 64 KiB.
    await new Promise(resolve => stream.once('close', resolve))
    expect(code).not.toBe(200)
    session.destroy()
    expect((await api.rest('GET', configMaps)).code).toBe(200)
  })

  test('over NATS', async () => {
    const transport = natsTransport(await api.nats.connect('system:kube-controller-manager'))
    const send = (headers: Record<string, string>, query = '') => get(transport, configMaps, { headers, query })
    expect((await send({}, long.slice(long.indexOf('?') + 1))).code).toBe(431)
    expect((await send({ 'x-long': 'x'.repeat(1_100_000) })).code).toBe(431)
    expect((await send({ 'x-long': 'x'.repeat(100_000) })).code).toBe(200)
    await transport.close()
  })
})

test('a URL of many selectors is served by every transport', async () => {
  const names = Array.from({ length: 7400 }, (_, i) => `n${i}`).join()
  const path = `${configMaps}?labelSelector=${encodeURIComponent(`app in (${names})`)}`
  expect(path.length).toBeGreaterThan(58_000)
  expect((await api.rest('GET', path)).code).toBe(200)
  const session = connectHttp2(api.url, { ...api.admin, ca: api.ca.cert, maxSendHeaderBlockLength: 4 << 20 })
  const stream = session.request({ ':path': path }).resume()
  const [headers] = (await once(stream, 'response')) as [{ ':status': number }]
  expect(headers[':status']).toBe(200)
  session.destroy()
})

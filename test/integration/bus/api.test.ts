import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { natsTransport } from '#shared/bus/api-client.ts'
import type { BusConnection } from '#shared/bus/connection.ts'
import { encodeRequest } from '#shared/bus/frames.ts'
import { StatusError } from '#shared/machinery/status.ts'
import { serveApi, type ApiHandler, type ApiService } from '#control-plane/apiserver/bus/serve.ts'
import { startNats, type NatsFixture } from '../../fixtures/nats.ts'
import { bytes, endless, get, json, recordedLog, until } from './setup.ts'

let nats: NatsFixture
let server: BusConnection
let node: BusConnection
let service: ApiService | undefined
const { log, lines } = recordedLog()
beforeAll(async () => {
  nats = await startNats()
  server = await nats.connect('system:apiserver')
  node = await nats.connect('system:node:node-1.example.com')
})
afterAll(() => nats?.stop())
afterEach(async () => {
  await service?.close()
  service = undefined
  lines.length = 0
})
const serve = async (handler: ApiHandler, options = {}, connection = server) => {
  service = serveApi(connection, handler, { log, ...options })
  await connection.nats.flush()
  return service
}

describe('requests', () => {
  test('arrive whole, with the identity that NATS vouches for', async () => {
    await serve(async (request, user) => ({
      code: 201,
      headers: { 'content-type': 'application/json', 'x-answer': 'yes' },
      body: Buffer.from(
        JSON.stringify({
          method: request.method,
          path: request.path,
          query: [...request.query],
          accept: request.headers['accept'],
          body: Buffer.from(request.body).toString(),
          user,
        }),
      ),
    }))
    const transport = natsTransport(node)
    const response = await get(transport, '/api/v1/namespaces/a%20b/pods', {
      method: 'POST',
      query: 'labelSelector=a%3Db,c&x=ü',
      headers: { Accept: 'application/json;ü' },
      body: Buffer.from('{"ü":1}'),
    })
    expect(response).toMatchObject({ code: 201, headers: { 'x-answer': 'yes' } })
    expect(await json(response)).toEqual({
      method: 'POST',
      path: '/api/v1/namespaces/a%20b/pods',
      query: [
        ['labelSelector', 'a=b,c'],
        ['x', 'ü'],
      ],
      accept: 'application/json;ü',
      body: '{"ü":1}',
      user: { name: 'system:node:node-1.example.com', groups: ['system:nodes', 'system:authenticated'] },
    })
    for (const [identity, groups] of [
      ['system:admin', ['system:masters', 'system:authenticated']],
      ['system:kube-scheduler', ['system:authenticated']],
    ] as const) {
      const other = natsTransport(await nats.connect(identity))
      expect(await json(await get(other, '/'))).toMatchObject({ user: { name: identity, groups } })
      await other.close()
    }
    await transport.close()
  })

  test('large bodies both ways', async () => {
    await serve(async request => ({ code: 200, headers: {}, body: Buffer.concat([request.body, Buffer.alloc(20 << 20, 'x')]) }))
    const transport = natsTransport(node)
    const body = Buffer.alloc(3 << 20, 'y')
    const answer = await bytes((await get(transport, '/', { method: 'POST', body })).body)
    expect(answer.length).toBe(23 << 20)
    expect(answer.subarray(0, 3 << 20).equals(body)).toBe(true)
    await transport.close()
  })

  test('failures become a Status; the server lives on', async () => {
    await serve(async request => {
      if (request.path === '/known') throw new StatusError(409, 'Conflict', 'no', { name: 'x' })
      throw new Error('unforeseen')
    })
    const transport = natsTransport(node)
    expect(await json(await get(transport, '/known'))).toMatchObject({
      kind: 'Status',
      code: 409,
      reason: 'Conflict',
      message: 'no',
      details: { name: 'x' },
    })
    expect(await json(await get(transport, '/unknown'))).toMatchObject({
      code: 500,
      reason: 'InternalError',
      message: 'Internal error occurred: unforeseen',
    })
    await transport.close()
  })

  test('no server: fails at once; no answer: fails at the deadline, and the handler is told', async () => {
    const transport = natsTransport(node)
    await expect(get(transport, '/')).rejects.toMatchObject({ name: 'TransportError', code: 'unavailable' })
    let aborted = false
    await serve(
      request =>
        new Promise((_, reject) => request.signal.addEventListener('abort', () => ((aborted = true), reject(new Error('aborted'))))),
    )
    await expect(get(transport, '/slow', { timeoutMs: 100 })).rejects.toMatchObject({
      code: 'timeout',
      message: 'no answer to GET /slow in 100 ms',
    })
    await until(() => aborted, 'the handler to be told')
    aborted = false
    const stop = new AbortController()
    const request = get(transport, '/slow', { signal: stop.signal })
    await until(() => service?.active === 1, 'the request')
    stop.abort(new Error('changed my mind'))
    await expect(request).rejects.toThrow('changed my mind')
    await until(() => aborted && service?.active === 0, 'the handler to be told')
    await transport.close()
  })

  test('two servers share the requests; when one goes the other answers', async () => {
    const second = await nats.connect('system:apiserver')
    const counts = [0, 0]
    const handler =
      (i: number): ApiHandler =>
      async () => (counts[i]!++, { code: 200, headers: {}, body: Buffer.from(String(i)) })
    await serve(handler(0))
    const other = serveApi(second, handler(1), { log })
    await second.nats.flush()
    const transport = natsTransport(node)
    await Promise.all(Array.from({ length: 100 }, () => get(transport, '/')))
    expect(counts[0]! > 10 && counts[1]! > 10).toBe(true)
    await other.close()
    const before = counts[0]!
    for (let i = 0; i < 20; i++) expect((await get(transport, '/')).code).toBe(200)
    expect(counts[0]).toBe(before + 20)
    await transport.close()
  })
})

describe('a request whose server says nothing', () => {
  /** One server that serves, and one that did and now takes requests without a word. `gone` ends it. */
  const beside = async () => {
    const second = await nats.connect('system:apiserver')
    const ok: ApiHandler = async () => ({ code: 200, headers: {}, body: Buffer.from('ok') })
    await serve(ok)
    const other = serveApi(second, ok, { log })
    await second.nats.flush()
    const transport = natsTransport(node)
    await Promise.all(Array.from({ length: 50 }, () => get(transport, '/')))
    let swallowed = 0
    second.nats.subscribe('api.*.*')
    second.nats.subscribe('api.*', { queue: 'apiserver', callback: () => void swallowed++ })
    await other.close()
    const codes = async (method: string) =>
      new Set(
        await Promise.all(
          Array.from({ length: 20 }, () =>
            get(transport, '/', { method, timeoutMs: 60_000 }).then(
              r => r.code,
              (e: { code: string }) => e.code,
            ),
          ),
        ),
      )
    const gone = async () => {
      await until(() => swallowed >= 10, 'some to be swallowed')
      await second.close()
    }
    return { codes, gone, end: () => Promise.all([transport.close(), second.close()]) }
  }

  test('because it died: is sent again when it only reads, is an error soon when it writes', async () => {
    const { codes, gone, end } = await beside()
    const [reads, writes] = [codes('GET'), codes('PUT')]
    await gone()
    expect(await reads).toEqual(new Set([200]))
    expect(await writes).toEqual(new Set([200, 'lost']))
    await end()
  })

  test('because it died just then: is an error soon, whenever it is noticed that it died', async () => {
    const second = await nats.connect('system:apiserver')
    let begun = 0
    const other = serveApi(
      second,
      async request => (request.method === 'GET' ? endless(request, { sent: 0, over: false }) : (begun++, new Promise<never>(() => {}))),
      { log },
    )
    await second.nats.flush()
    const transports = []
    // Each asks at its own times whether the server lives.
    for (let i = 0; i < 4; i++) {
      const transport = natsTransport(node)
      transports.push(transport)
      await get(transport, '/watch')
      await new Promise(resolve => setTimeout(resolve, 250))
    }
    const writes = transports.map(transport => get(transport, '/', { method: 'PUT', timeoutMs: 60_000 }).catch((e: Error) => e.message))
    await until(() => begun === writes.length, 'all to be begun')
    await second.close()
    expect(await Promise.all(writes)).toEqual(writes.map(() => 'the API server is gone'))
    await Promise.all([other.close(), ...transports.map(t => t.close())])
  })

  test('because it hangs: is given up long before its deadline', async () => {
    const { codes, end } = await beside()
    expect(await codes('PUT')).toEqual(new Set([200, 'lost']))
    await end()
  })
})

describe('streams', () => {
  test('come piece by piece until the reader stops', async () => {
    const state = { sent: 0, over: false }
    await serve(async request => endless(request, state))
    const transport = natsTransport(node)
    const { body } = await get(transport, '/watch')
    let n = 0
    for await (const piece of body as AsyncIterable<Uint8Array>) {
      expect(Buffer.from(piece).toString()).toBe('event\n')
      if (++n === 10) break
    }
    await until(() => state.over && service?.active === 0, 'the server to stop')
    await transport.close()
  })

  test('end with the signal', async () => {
    const state = { sent: 0, over: false }
    await serve(async request => endless(request, state))
    const transport = natsTransport(node)
    const stop = new AbortController()
    const { body } = await get(transport, '/watch', { signal: stop.signal })
    const read = bytes(body)
    setImmediate(() => stop.abort())
    await expect(read).rejects.toMatchObject({ name: 'AbortError' })
    await until(() => state.over && service?.active === 0, 'the server to stop')
    await transport.close()
  })

  test('wait for a reader that does not read, and go on when it does', async () => {
    const state = { sent: 0, over: false }
    await serve(async request => endless(request, state, Buffer.alloc(256 << 10), 0))
    const transport = natsTransport(node)
    const { body } = await get(transport, '/watch')
    await until(() => state.sent >= 3 << 20, 'the window to be full')
    let sent = 0
    // Held back: as much as before after many turns of the loop.
    await until(async () => {
      const same = sent === state.sent
      sent = state.sent
      await new Promise(resolve => setTimeout(resolve, 100))
      return same
    }, 'the server to wait')
    expect(state.sent).toBeLessThan(6 << 20)
    let read = 0
    for await (const piece of body as AsyncIterable<Uint8Array>) if ((read += piece.length) > 30 << 20) break
    await until(() => state.over, 'the server to stop')
    await transport.close()
  })

  test('end with an error when the server breaks off, shuts down or is gone', async () => {
    const second = await nats.connect('system:apiserver')
    const state = { sent: 0, over: false }
    const transport = natsTransport(node)
    await serve(async () => ({
      code: 200,
      headers: {},
      body: (async function* () {
        yield Buffer.from('some')
        throw new Error('disk on fire')
      })(),
    }))
    await expect(get(transport, '/').then(r => bytes(r.body))).rejects.toMatchObject({ code: 'lost', message: 'disk on fire' })
    await service?.close()
    await serve(async request => endless(request, state))
    const closing = bytes((await get(transport, '/watch')).body)
    void service?.close()
    await expect(closing).rejects.toMatchObject({ code: 'lost', message: 'the API server is shutting down' })
    await serve(async request => endless(request, state), {}, second)
    const killed = bytes((await get(transport, '/watch')).body)
    await second.close()
    await expect(killed).rejects.toMatchObject({ code: 'lost', message: 'the API server is gone' })
    await transport.close()
  })

  test('of a client that went silent are freed', async () => {
    const state = { sent: 0, over: false }
    await serve(async request => endless(request, state), { clientSilenceMs: 1_000 })
    const gone = await nats.connect('system:kube-scheduler')
    const { body } = await get(natsTransport(gone), '/watch')
    void bytes(body).catch(() => {})
    await until(() => state.sent > 0, 'the stream')
    await gone.close()
    await until(() => state.over && service?.active === 0, 'the server to notice')
    expect(lines.some(l => String(l['msg']).includes('a client is silent'))).toBe(true)
  })

  test('end when nats-server is killed; requests work again after its restart', async () => {
    const state = { sent: 0, over: false }
    await serve(async request =>
      request.path === '/watch' ? endless(request, state) : { code: 200, headers: {}, body: Buffer.from('ok') },
    )
    const transport = natsTransport(node)
    const read = bytes((await get(transport, '/watch')).body)
    const killed = nats.kill()
    await expect(read).rejects.toMatchObject({ code: 'lost' })
    await killed
    await until(() => state.over, 'the server to stop')
    await nats.restart()
    let answer: number | undefined
    await until(
      async () =>
        (answer = await get(transport, '/').then(
          r => r.code,
          () => undefined,
        )) !== undefined,
      'an answer',
    )
    expect(answer).toBe(200)
    await transport.close()
  })
})

test('garbage is dropped and counted, with few lines, and the server lives', async () => {
  let calls = 0
  await serve(async () => (calls++, { code: 200, headers: {}, body: Buffer.from('ok') }))
  const subject = 'api.system:node:node-1/example/com'
  const inbox = '_INBOX.system:node:node-1/example/com.client'
  const whole = { method: 'GET', path: '/', timeoutMs: 1000, headers: {} }
  const good = encodeRequest(whole)
  const odd = (other: object) => encodeRequest({ ...whole, ...other })
  const cut = Buffer.from(good)
  cut.writeUInt32BE(good.length, 0)
  const notJson = Buffer.from(good)
  notJson.write('[', 4)
  const junk: [string, Uint8Array | string, object][] = [
    [subject, '', {}],
    [subject, Buffer.from([0xff, 0, 1]), { reply: `${inbox}.1` }],
    [subject, good, {}],
    [subject, good, { reply: 'registry._.pods.default.evil' }],
    [subject, good, { reply: '$JS.API.STREAM.DELETE.registry' }],
    [subject, good, { reply: '_INBOX.system:node:node-2.client.1' }],
    [subject, good, { reply: '_INBOX.system:apiserver.client.1' }],
    [subject, good, { reply: `${inbox}.1.2` }],
    [subject, good, { reply: inbox }],
    [subject, cut, { reply: `${inbox}.2` }],
    [subject, notJson, { reply: `${inbox}.2` }],
    [subject, odd({ method: 'get' }), { reply: `${inbox}.2` }],
    [subject, odd({ method: 7 }), { reply: `${inbox}.2` }],
    [subject, odd({ path: 'api' }), { reply: `${inbox}.3` }],
    [subject, odd({ path: undefined }), { reply: `${inbox}.3` }],
    [subject, odd({ timeoutMs: 'soon' }), { reply: `${inbox}.4` }],
    [subject, odd({ timeoutMs: 0 }), { reply: `${inbox}.4` }],
    [subject, odd({ headers: [1] }), { reply: `${inbox}.5` }],
    [subject, odd({ headers: { 'a b': 'c' } }), { reply: `${inbox}.5` }],
    [subject, Buffer.from([0, 0, 0, 4, ...Buffer.from('null')]), { reply: `${inbox}.5` }],
    [`${subject}.all`, 'not json', {}],
    [`${subject}.all`, '{"client":7}', {}],
    [`${subject}.all`, '{"client":"x"}', { reply: '_INBOX.system:node:node-2.x.y' }],
  ]
  for (const [to, data, options] of junk) node.nats.publish(to, data, options)
  const transport = natsTransport(node)
  expect((await get(transport, '/')).code).toBe(200)
  expect(calls).toBe(1)
  const said = () => lines.reduce((n, l) => n + Number(l['messages'] ?? 1), 0)
  await until(() => said() === junk.length, 'all of it to be said')
  for (let i = 0; i < 5_000; i++) node.nats.publish(`${subject}.all`, 'x'.repeat(1_000), { reply: `${'long.'.repeat(300)}x` })
  await until(() => said() === junk.length + 5_000, 'the flood to be said')
  expect(lines.length).toBeLessThan(30)
  expect(JSON.stringify(lines).length).toBeLessThan(15_000)
  await transport.close()
})

import { once } from 'node:events'
import { connect as tlsConnect } from 'node:tls'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { addServiceAccount, configMap, configMaps, merge, pods } from './setup.ts'

let api: ApiServerFixture
let rest: Rest
beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
})
afterAll(() => api?.stop())
// Whatever came before, the server serves.
afterEach(async () => expect((await rest('GET', '/livez')).text).toBe('ok'))

const yaml = { headers: { 'content-type': 'application/yaml' } }

describe('bodies', () => {
  it('that cannot be read are 400', async () => {
    const bodies: [string, RegExp][] = [
      ['', /couldn't get version\/kind; json parse error: unexpected end of JSON input/],
      ['{not json', /invalid character 'n' looking for beginning of object key string/],
      ['[]', /cannot unmarshal array/],
      ['"text"', /./],
      ['{"kind":"Secret","apiVersion":"v1"}', /Secret in version "v1" cannot be handled as a ConfigMap/],
      ['{"kind":"ConfigMap","apiVersion":"v9"}', /does not match the expected API version \(v1\)/],
      ['{"metadata":{"name":5}}', /json: cannot unmarshal number into Go struct field/],
      ['{"metadata":{"name":"a"},"data":{"a":1}}', /cannot unmarshal number/],
      ['{"metadata":"x"}', /cannot unmarshal string/],
      ['{"kind":5}', /./],
      [`${'['.repeat(100_000)}`, /./],
      [`{"metadata":{"name":"deep"},"data":${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}}`, /./],
    ]
    for (const [body, message] of bodies) {
      const answer = await rest('POST', configMaps, body)
      expect(answer.body, body.slice(0, 60)).toMatchObject({
        kind: 'Status',
        code: 400,
        reason: 'BadRequest',
        message: expect.stringMatching(message),
      })
    }
    expect((await rest('POST', configMaps, 'a: [', yaml)).body).toMatchObject({ code: 400 })
    expect((await rest('POST', configMaps, '&a [*a, *a]', yaml)).body).toMatchObject({ code: 400 })
    expect((await rest('POST', configMaps, Buffer.from([0xff, 0xfe, 0x00]), {})).body.code).toBe(400)
  })

  it('of other types are 415', async () => {
    for (const type of ['text/plain', 'application/xml', 'application/x-www-form-urlencoded']) {
      expect((await rest('POST', configMaps, '{}', { headers: { 'content-type': type } })).body).toMatchObject({
        code: 415,
        reason: 'UnsupportedMediaType',
      })
    }
    const zipped = gzipSync(JSON.stringify(configMap('zipped')))
    expect((await rest('POST', configMaps, zipped, { headers: { 'content-encoding': 'gzip' } })).body).toMatchObject({ code: 415 })
    expect(
      (await rest('POST', configMaps, Buffer.from('k8s\0garbage'), { headers: { 'content-type': 'application/vnd.kubernetes.protobuf' } }))
        .body,
    ).toMatchObject({ code: 400 })
  })

  it('that are too large are 413', async () => {
    const body = JSON.stringify(configMap('large', { a: 'x'.repeat(3 * 1024 * 1024) }))
    expect((await rest('POST', configMaps, body)).body).toMatchObject({ code: 413, reason: 'RequestEntityTooLarge' })
    expect((await rest('POST', configMaps, body, { headers: { 'transfer-encoding': 'chunked' } })).code).toBe(413)
  })

  it('that are too large are 413 for a client that sends all before it reads, too', async () => {
    const { hostname, port } = new URL(api.url)
    const socket = tlsConnect({ host: hostname, port: Number(port), ca: api.ca.cert, cert: api.admin.cert, key: api.admin.key })
    await once(socket, 'secureConnect')
    const body = Buffer.from(JSON.stringify(configMap('large', { a: 'x'.repeat(3 * 1024 * 1024) })))
    const head = `POST ${configMaps} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`
    socket.pause()
    const write = (bytes: Buffer | string): Promise<void> =>
      new Promise((resolve, reject) => socket.write(bytes, e => (e ? reject(e) : resolve())))
    try {
      await write(head)
      for (let at = 0; at < body.length; at += 65_536) await write(body.subarray(at, at + 65_536))
      socket.resume()
      const [answer] = (await once(socket, 'data')) as [Buffer]
      expect(answer.toString()).toMatch(/^HTTP\/1\.1 413 /)
    } finally {
      socket.destroy()
    }
  })

  it('that break rules are 422 with all causes', async () => {
    const { body } = await rest('POST', configMaps, configMap('Bad_Name', { 'bad key': 'x' }, { labels: { 'a b': 'c d' } }))
    expect(body).toMatchObject({ code: 422, reason: 'Invalid', details: { name: 'Bad_Name', kind: 'ConfigMap' } })
    expect(body.details.causes.map((c: { field: string }) => c.field).sort()).toEqual([
      'data[bad key]',
      'metadata.labels',
      'metadata.labels',
      'metadata.name',
    ])
    expect((await rest('POST', configMaps, {})).body.message).toBe(
      'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
    )
    expect((await rest('POST', configMaps, configMap('else', {}, { namespace: 'kube-system' }))).body.message).toBe(
      'the namespace of the provided object does not match the namespace sent on the request',
    )
  })

  it('with unknown fields are warned about, or refused, or taken as they are', async () => {
    const odd = JSON.stringify(configMap('odd')).replace('"data":', '"colour":"red","data":{},"data":')
    const warned = await rest('POST', `${configMaps}?dryRun=All`, odd)
    expect(warned.code).toBe(201)
    expect(warned.headers['warning']).toBe('299 - "duplicate field \\"data\\"", 299 - "unknown field \\"colour\\""')
    expect((await rest('POST', `${configMaps}?dryRun=All&fieldValidation=Ignore`, odd)).headers['warning']).toBeUndefined()
    expect((await rest('POST', `${configMaps}?dryRun=All&fieldValidation=Strict`, odd)).body).toMatchObject({
      code: 400,
      message:
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: duplicate field "data", unknown field "colour"',
    })
    expect((await rest('POST', `${configMaps}?fieldValidation=Maybe`, odd)).body).toMatchObject({ code: 422, reason: 'Invalid' })
    expect((await rest('POST', `${configMaps}?dryRun=Some`, configMap('x'))).body.message).toContain('dryRun: Unsupported value')
  })
})

describe('patches', () => {
  it('that make no sense are refused', async () => {
    await rest('POST', configMaps, configMap('target'))
    const json = { headers: { 'content-type': 'application/json-patch+json' } }
    for (const [body, how, code] of [
      ['{', merge, 400],
      ['[]', merge, 400],
      ['{"data":{"a":5}}', merge, 422],
      ['{"metadata":{"name":"other"}}', merge, 400],
      ['{}', json, 400],
      ['[{"op":"fly","path":"/data"}]', json, 422],
      ['[{"op":"remove","path":"/nowhere"}]', json, 422],
      [JSON.stringify(Array.from({ length: 10_001 }, () => ({ op: 'test', path: '/data/a', value: '1' }))), json, 413],
    ] as const) {
      const answer = await rest('PATCH', `${configMaps}/target`, body, how)
      expect(answer.code, `${body.slice(0, 60)} ${answer.text.slice(0, 200)}`).toBe(code)
      expect(answer.body.kind).toBe('Status')
    }
  })
})

describe('paths', () => {
  it('that nothing serves', async () => {
    expect((await rest('GET', '/api/v1/unicorns')).body).toMatchObject({
      code: 404,
      reason: 'NotFound',
      message: 'the server could not find the requested resource',
    })
    expect((await rest('GET', '/apis/example.com/v1/unicorns')).text).toBe('404 page not found\n')
    expect((await rest('GET', '/nowhere')).text).toBe('404 page not found\n')
    expect((await rest('GET', '/api/v1/namespaces/default/configmaps/x/wings')).code).toBe(404)
    expect((await rest('GET', '/api/v1/namespaces/default/nodes')).code).toBe(404)
    expect((await rest('POST', '/api/v1/configmaps', configMap('x'))).body).toMatchObject({ code: 405, reason: 'MethodNotAllowed' })
    expect((await rest('PUT', configMaps, configMap('x'))).code).toBe(405)
    expect((await rest('OPTIONS', '/api/v1')).body).toMatchObject({
      code: 405,
      message: 'the server does not allow this method on the requested resource',
    })
    expect((await rest('GET', '/api/v1/namespaces/default/configmaps/%ff')).body).toMatchObject({ code: 400 })
    expect((await rest('GET', `${configMaps}?timeout=soon`)).body).toMatchObject({ code: 400 })
    expect((await rest('GET', '/api/v1/namespaces/..%2f..%2fx/configmaps/y')).code).toBe(404)
    expect((await rest('GET', '/api/v1/namespaces/default/pods/a/exec?command=x')).code).toBe(404)
  })
})

it('an object that has become too large for the store is told so', async () => {
  await addServiceAccount(rest)
  const containers = Array.from({ length: 40_000 }, (_, i) => ({ name: `c${i}`, image: 'x' }))
  expect((await rest('POST', pods, { metadata: { name: 'huge' }, spec: { containers } })).body).toMatchObject({
    code: 413,
    reason: 'RequestEntityTooLarge',
    message: 'etcdserver: request is too large',
  })
})

describe('connections', () => {
  const open = (): Promise<ReturnType<typeof tlsConnect>> =>
    new Promise((resolve, reject) => {
      const socket = tlsConnect(
        { host: '127.0.0.1', port: api.server.port, ca: api.ca.cert, cert: api.admin.cert, key: api.admin.key },
        () => resolve(socket),
      )
      socket.once('error', reject)
    })
  const reply = (socket: ReturnType<typeof tlsConnect>): Promise<string> =>
    new Promise(resolve => {
      let text = ''
      socket.on('data', d => (text += String(d)))
      socket.on('error', () => {})
      socket.on('close', () => resolve(text))
    })

  it('with garbage are answered and closed', async () => {
    const socket = await open()
    const answer = reply(socket)
    socket.write('\x00\x01garbage\r\n\r\n')
    expect(await answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/)
  })

  it('with huge headers are answered and closed', async () => {
    const socket = await open()
    const answer = reply(socket)
    socket.write(`GET /livez HTTP/1.1\r\nhost: x\r\n`)
    for (let i = 0; i < 40; i++) socket.write(`x-${i}: ${'y'.repeat(60_000)}\r\n`, () => {})
    expect(await answer).toMatch(/^HTTP\/1\.1 431|^$/)
  })

  it('that break off in the middle hurt nobody', async () => {
    for (const text of [
      `POST ${configMaps} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"meta`,
      `GET ${configMaps}?watch=true HTTP/1.1\r\nhost: x\r\n\r\n`,
      'GET /api',
    ]) {
      const socket = await open()
      socket.on('error', () => {})
      await new Promise<void>(resolve => socket.write(text, () => resolve()))
      socket.destroy()
    }
    const w = await rest.watch(`${configMaps}?watch=true`)
    w.stop()
  })

  it('without TLS are closed', async () => {
    const { connect } = await import('node:net')
    await new Promise<void>(resolve => {
      const socket = connect(api.server.port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\n\r\n'))
      socket.on('error', () => {})
      socket.on('close', () => resolve())
    })
  })
})

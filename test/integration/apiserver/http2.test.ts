import { rm, writeFile } from 'node:fs/promises'
import { connect, type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders } from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls, TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { makeAuthority } from '#shared/certificates/certificate.ts'
import { startTestApiServer, type ApiServerFixture } from '../../fixtures/apiserver.ts'
import { configMap, configMaps } from './setup.ts'

const frontProxyCa = join(tmpdir(), `cox-front-proxy-${process.pid}.crt`)
let api: ApiServerFixture
let session: ClientHttp2Session
beforeAll(async () => {
  // With a front proxy, as a whole cluster has one: whether it is it that asks is to be seen from the certificates above a client's.
  await writeFile(frontProxyCa, (await makeAuthority()).cert)
  api = await startTestApiServer({ requestheaderClientCaFile: frontProxyCa })
  session = connect(api.url, { ca: api.ca.cert, cert: api.admin.cert, key: api.admin.key })
})
afterAll(async () => {
  session?.destroy()
  await api?.stop()
  await rm(frontProxyCa, { force: true })
})

interface Reply {
  code: number
  headers: IncomingHttpHeaders
  text: string
  body: any // any: objects of all kinds
}
function open(
  method: string,
  path: string,
  body?: string | Buffer,
  more: Record<string, string> = {},
): { stream: ClientHttp2Stream; headers: Promise<IncomingHttpHeaders> } {
  const stream = session.request(
    { ':method': method, ':path': path, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...more },
    { endStream: body === undefined },
  )
  const headers = new Promise<IncomingHttpHeaders>((resolve, reject) => stream.once('response', resolve).once('error', reject))
  if (body !== undefined) stream.end(body)
  return { stream, headers }
}
async function rest(method: string, path: string, body?: unknown, more: Record<string, string> = {}): Promise<Reply> {
  const { stream, headers } = open(method, path, body === undefined ? undefined : Buffer.isBuffer(body) ? body : JSON.stringify(body), more)
  const { ':status': code, ...fields } = await headers
  const chunks: Buffer[] = []
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk)
  const text = Buffer.concat(chunks).toString()
  return { code: Number(code), headers: fields, text, body: text === '' || fields['content-encoding'] ? undefined : JSON.parse(text) }
}

test('reads and writes, many at once', async () => {
  expect((await rest('POST', configMaps, configMap('one'))).code).toBe(201)
  const made = await Promise.all(
    Array.from({ length: 300 }, (_, i) => rest('POST', configMaps, configMap(`m${i}`, { text: 'x'.repeat(20_000) }))),
  )
  expect(new Set(made.map(r => r.code))).toEqual(new Set([201]))
  const one = await rest('GET', `${configMaps}/one`)
  expect([one.code, one.headers['content-type'], one.headers['content-length'], one.body.data]).toEqual([
    200,
    'application/json',
    String(Buffer.byteLength(one.text)),
    { a: '1' },
  ])
  // Six megabytes, in pieces.
  const all = await rest('GET', configMaps)
  expect(all.body.items.length).toBe(301)
  expect((await rest('GET', configMaps, undefined, { 'accept-encoding': 'gzip' })).headers['content-encoding']).toBe('gzip')
  expect((await rest('GET', `${configMaps}/none`)).body).toMatchObject({ kind: 'Status', reason: 'NotFound' })
  const head = await rest('HEAD', `${configMaps}/one`)
  expect([head.code, head.text, head.headers['content-length']]).toEqual([200, '', one.headers['content-length']])
  expect((await rest('DELETE', `${configMaps}/one`)).code).toBe(200)
})

test('many watches over one connection; each ends when its client has enough', async () => {
  const watch = async () => {
    const { stream, headers } = open(
      'GET',
      `${configMaps}?watch=true&resourceVersion=0&sendInitialEvents=false&resourceVersionMatch=NotOlderThan&fieldSelector=metadata.name%3Dwatched`,
    )
    expect((await headers)[':status']).toBe(200)
    // any: as above
    const event = new Promise<any>(resolve => {
      let text = ''
      stream.on('data', (piece: Buffer) => {
        text += piece.toString()
        if (text.endsWith('\n')) resolve(JSON.parse(text))
      })
    })
    return { stream, event }
  }
  const watches = await Promise.all(Array.from({ length: 100 }, watch))
  await rest('POST', configMaps, configMap('watched'))
  const events = await Promise.all(watches.map(w => w.event))
  expect(new Set(events.map(e => `${e.type} ${e.object.metadata.name}`))).toEqual(new Set(['ADDED watched']))
  const running = async (): Promise<number> =>
    Number(/^apiserver_longrunning_requests\{.*configmaps.*\} (\d+)$/m.exec((await api.rest('GET', '/metrics')).text)?.[1])
  expect(await running()).toBe(100)
  for (const { stream } of watches) stream.close()
  await expect.poll(running, { timeout: 10_000 }).toBe(0)
})

test('the certificates of a connection are looked at once, however much comes over it', async () => {
  const looks = vi.spyOn(TLSSocket.prototype, 'getPeerCertificate')
  try {
    for (const one of [rest, api.rest]) {
      await one('GET', '/api/v1/namespaces/default')
      looks.mockClear()
      for (let i = 0; i < 5; i++) expect((await one('GET', '/api/v1/namespaces/default')).code).toBe(200)
      expect(looks).not.toHaveBeenCalled()
    }
  } finally {
    looks.mockRestore()
  }
})

test('a body that is too large is refused, and the connection goes on', async () => {
  const large = Buffer.alloc(4 << 20, ' ')
  for (const announced of [undefined, { 'content-length': String(large.length) }]) {
    const refused = await rest('POST', configMaps, large, announced)
    expect([refused.code, refused.body.reason]).toEqual([413, 'RequestEntityTooLarge'])
  }
  expect((await rest('GET', `${configMaps}/m1`)).code).toBe(200)
})

test('clients that speak HTTP/1.1, or say nothing about it, are served too', async () => {
  for (const offered of [['http/1.1'], undefined]) {
    const socket = connectTls({
      port: api.server.port,
      host: '127.0.0.1',
      ca: api.ca.cert,
      cert: api.admin.cert,
      key: api.admin.key,
      ...(offered ? { ALPNProtocols: offered } : {}),
    })
    socket.write('GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
    let text = ''
    for await (const chunk of socket as AsyncIterable<Buffer>) text += chunk.toString()
    expect(text).toMatch(/^HTTP\/1.1 200 OK\r\n/)
  }
})

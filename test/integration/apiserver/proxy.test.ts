/** The proxy subresources, through a node that is the test: what it dials are servers of this machine. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer, request as httpsRequest } from 'node:https'
import { connect as connectHttp2 } from 'node:http2'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import WebSocket, { WebSocketServer } from 'ws'
import { natsTransport } from '#shared/bus/api-client.ts'
import { serveSessions } from '#shared/bus/sessions.ts'
import { nodeSubject } from '#shared/bus/subjects.ts'
import { newClient } from '#shared/client/rest.ts'
import { logger } from '#shared/component/log.ts'
import type { Kubelet } from '#node-agent/kubelet/kubelet.ts'
import { serveKubeletPort } from '#node-agent/kubelet/server/port.ts'
import { kubeletStreams } from '#node-agent/kubelet/server/streams.ts'
import { kubeletRequests } from '#node-agent/kubelet/server/requests.ts'
import type { Sampler, Summary } from '#node-agent/kubelet/stats/sampler.ts'
import { dial } from '#node-agent/kubelet/sessions/dial.ts'
import { serveHttp } from '#node-agent/kubelet/sessions/http.ts'
import { failure, finish } from '#node-agent/kubelet/sessions/result.ts'
import { startTestApiServer, type ApiServerFixture } from '../../fixtures/apiserver.ts'
import { runTool } from '../../fixtures/kubectl.ts'
import { get, json } from '../bus/setup.ts'
import { addServiceAccount, bindTo, merge, pod, pods } from './setup.ts'

let api: ApiServerFixture
let plain: Server
let tls: Server
const node = 'system:node:n1'
const stop = new AbortController()
// Loopback addresses are nobody's to proxy to.
const address = Object.values(networkInterfaces())
  .flat()
  .find(i => i && !i.internal && i.family === 'IPv4')!.address
const portOf = (server: Server): number => (server.address() as AddressInfo).port
const proxy = (kind: string, name: string) => `/api/v1/namespaces/default/${kind}/${name}/proxy`

const read = async (from: IncomingMessage): Promise<Buffer> => Buffer.concat(await Array.fromAsync(from as AsyncIterable<Buffer>))

const serve: RequestListener = (req, res) => {
  const { pathname } = new URL(req.url!, 'http://x')
  if (pathname === '/page') return void res.writeHead(200, { 'content-type': 'text/html' }).end('<a href="/x">test</a><a href="y">y</a>')
  if (pathname === '/zipped')
    return void res
      .writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'content-encoding': 'gzip' })
      .end(gzipSync('<img src="/i.png">'))
  if (pathname === '/moved') return void res.writeHead(302, { location: `http://${address}:${portOf(plain)}/there/?q=1` }).end()
  if (pathname === '/cookies')
    return void res
      .writeHead(200, { 'set-cookie': ['a=1', 'b=2'], 'access-control-allow-origin': '*', connection: 'x-hop', 'x-hop': '1' })
      .end()
  if (pathname === '/early') {
    // As Go's server: the answer, the end of this side, and some patience with what still comes.
    const { socket } = req
    res.writeHead(413, { connection: 'close' }).end('too much')
    socket.destroySoon = () => socket.end()
    return void req.resume()
  }
  if (pathname === '/large') return void res.end(Buffer.alloc(20 << 20, 'x'))
  if (pathname === '/endless') {
    res.write('one\n')
    res.once('close', () => (endlessClosed = true))
    return
  }
  void read(req).then(body =>
    res.writeHead(pathname === '/teapot' ? 418 : 200, { 'content-type': 'application/json' }).end(
      JSON.stringify({
        method: req.method,
        url: req.url,
        headers: req.headers,
        length: body.length,
        body: body.subarray(0, 100).toString(),
      }),
    ),
  )
}
let endlessClosed = false
const nothing = () => Promise.resolve()
const noPods = kubeletStreams({
  verbs: { exec: nothing, attach: nothing, portforward: nothing },
  knows: () => false,
  log: logger('test'),
})

beforeAll(async () => {
  api = await startTestApiServer()
  plain = createServer(serve).listen(0, address)
  tls = createTlsServer({ key: api.admin.key, cert: api.admin.cert }, serve).listen(0, address)
  await Promise.all([once(plain, 'listening'), once(tls, 'listening')])
  const sockets = new WebSocketServer({ server: plain, path: '/ws' })
  sockets.on('connection', socket => socket.on('message', data => socket.send(`echo: ${String(data)}`)))
  const connection = await api.nats.connect(node)
  const summary = () => Promise.resolve({ node: { nodeName: 'n1' }, pods: [] } as unknown as Summary)
  const kubelet = { workers: () => [], activePods: () => [] } as unknown as Kubelet
  const sampler = { summary } as unknown as Sampler
  const requests = kubeletRequests({ kubelet, sampler, nodeName: 'n1', rootDir: '/', configuration: { maxPods: 7 }, log: logger('test') })
  for (const [verb, run] of Object.entries({ dial, http: serveHttp(requests, noPods, stop.signal) }))
    serveSessions(connection, nodeSubject(node, verb), async session => finish(session, await run(session).catch(failure)))
  await connection.flush()
  const { rest } = api
  await addServiceAccount(rest)
  const containers = [{ name: 'c', image: 'nginx', ports: [{ containerPort: portOf(plain) }] }]
  await rest('POST', pods, pod('web', { containers }))
  await bindTo(rest, 'web', 'n1')
  const running = { phase: 'Running', podIP: address, podIPs: [{ ip: address }] }
  await rest('PATCH', `${pods}/web/status`, { status: running }, merge)
  await rest('POST', '/api/v1/nodes', { metadata: { name: 'n1' } })
  await rest('PATCH', '/api/v1/nodes/n1/status', { status: { addresses: [{ type: 'InternalIP', address }] } }, merge)
  const ports = [
    { name: 'http', port: 80 },
    { name: 'tls', port: 443 },
  ]
  await rest('POST', '/api/v1/namespaces/default/services', { metadata: { name: 'web' }, spec: { ports } })
  const addresses = [{ ip: address, targetRef: { kind: 'Pod', namespace: 'default', name: 'web' } }]
  const endpointPorts = [
    { name: 'http', port: portOf(plain) },
    { name: 'tls', port: portOf(tls) },
  ]
  await rest('POST', '/api/v1/namespaces/default/endpoints', { metadata: { name: 'web' }, subsets: [{ addresses, ports: endpointPorts }] })
})
afterAll(async () => {
  stop.abort()
  await api?.stop()
  plain?.close()
  plain?.closeAllConnections()
  tls?.close()
})

describe('a request reaches', () => {
  test('a pod by its first port, a port, and over TLS', async () => {
    for (const name of ['web', `web:${portOf(plain)}`, `http:web:${portOf(plain)}`, `https:web:${portOf(tls)}`])
      expect((await api.rest('GET', `${proxy('pods', name)}/a/b?c=d%20e`)).body, name).toMatchObject({ method: 'GET', url: '/a/b?c=d%20e' })
  })

  test('a service by name and number of a port', async () => {
    for (const name of ['web:http', 'web:80', 'http:web:http', 'https:web:443', 'https:web:tls'])
      expect((await api.rest('GET', `${proxy('services', name)}/`)).body, name).toMatchObject({ url: '/' })
  })

  test('the kubelet, and ports of its node', async () => {
    for (const name of ['n1', 'n1:10250']) expect((await api.rest('GET', `/api/v1/nodes/${name}/proxy/healthz`)).text).toBe('ok')
    expect((await api.rest('GET', '/api/v1/nodes/n1/proxy/pods')).body).toMatchObject({ kind: 'PodList', items: [] })
    expect((await api.rest('GET', '/api/v1/nodes/n1/proxy/none')).code).toBe(404)
    expect((await api.rest('GET', `/api/v1/nodes/n1:${portOf(plain)}/proxy/x`)).body).toMatchObject({ url: '/x' })
  })

  test('with kubectl', async () => {
    const { stdout } = await runTool('kubectl', api.kubeconfig, ['get', '--raw', `${proxy('services', 'web:http')}/with/kubectl`])
    expect(JSON.parse(stdout)).toMatchObject({ url: '/with/kubectl' })
  })

  test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])('with the method %s and its body', async method => {
    const reply = await api.rest(method, `${proxy('pods', 'web')}/x`, 'some text', { headers: { 'content-type': 'text/plain' } })
    expect(reply.body).toMatchObject({ method, body: 'some text' })
  })

  test('with what the client says, but not with its credentials', async () => {
    const headers = { accept: 'x/y', 'x-own': '1', authorization: 'Bearer x', connection: 'keep-alive, x-drop', 'x-drop': '1' }
    const { body } = await api.rest('GET', `${proxy('pods', 'web')}/h`, undefined, { headers })
    expect(body.headers).toMatchObject({
      accept: 'x/y',
      'x-own': '1',
      host: new URL(api.url).host,
      'x-forwarded-uri': `${proxy('pods', 'web')}/h`,
    })
    expect(Object.keys(body.headers)).not.toEqual(expect.arrayContaining(['authorization']))
    expect(body.headers['x-drop']).toBeUndefined()
  })

  test('over NATS', async () => {
    const transport = natsTransport(await api.nats.connect('system:admin'))
    const answer = await get(transport, `${proxy('pods', 'web')}/bus`, { method: 'POST', body: Buffer.from('x') })
    expect(await json(answer)).toMatchObject({ method: 'POST', url: '/bus', body: 'x' })
    const refused = await get(transport, `${proxy('pods', 'web')}/ws`, { headers: { connection: 'upgrade', upgrade: 'websocket' } })
    expect([refused.code, await json(refused)]).toMatchObject([
      400,
      { message: 'a request over NATS cannot upgrade its connection: use HTTPS' },
    ])
    await transport.close()
  })

  test('over HTTP/2', async () => {
    const session = connectHttp2(api.url, { ca: api.ca.cert, cert: api.admin.cert, key: api.admin.key })
    const stream = session.request({ ':method': 'POST', ':path': `${proxy('pods', 'web')}/h2` })
    stream.end('two')
    expect(JSON.parse((await Array.fromAsync(stream as AsyncIterable<Buffer>)).join(''))).toMatchObject({ url: '/h2', body: 'two' })
    session.destroy()
  })
})

describe('an answer', () => {
  test('keeps its code', async () => expect((await api.rest('GET', `${proxy('pods', 'web')}/teapot`)).code).toBe(418))

  test('has its links led through the proxy', async () => {
    const prefix = proxy('services', 'web:http')
    expect((await api.rest('GET', `${prefix}/page`)).text).toBe(`<a href="${prefix}/x">test</a><a href="y">y</a>`)
    expect((await api.rest('GET', `${prefix}/moved`)).headers.location).toBe(`${prefix}/there/?q=1`)
    const req = await open('GET', `${prefix}/zipped`)
    const [res] = (await once(req.end(), 'response')) as [IncomingMessage]
    expect(gunzipSync(await read(res)).toString()).toBe(`<img src="${prefix}/i.png">`)
  })

  test('of HEAD has no body', async () => {
    const reply = await api.rest('HEAD', `${proxy('pods', 'web')}/page`)
    expect([reply.code, reply.text, reply.headers['content-type']]).toEqual([200, '', 'text/html'])
  })

  test('comes with all cookies, without what is between server and proxy', async () => {
    const { headers } = await api.rest('GET', `${proxy('pods', 'web')}/cookies`)
    expect(headers['set-cookie']).toEqual(['a=1', 'b=2'])
    expect([headers['access-control-allow-origin'], headers['x-hop']]).toEqual([undefined, undefined])
  })

  test('to the proxy itself leads to its root', async () => {
    for (const method of ['GET', 'HEAD']) {
      const reply = await api.rest(method, `${proxy('pods', 'web')}?method=${method}`)
      expect([reply.code, reply.headers.location]).toEqual([301, `${proxy('pods', 'web')}/?method=${method}`])
    }
    expect((await api.rest('POST', proxy('pods', 'web'))).body).toMatchObject({ method: 'POST', url: '/' })
  })
})

const open = async (method: string, path: string, headers: Record<string, string> = {}) => {
  const { hostname, port } = new URL(api.url)
  const req = httpsRequest({ method, path, hostname, port, headers, ca: api.ca.cert, cert: api.admin.cert, key: api.admin.key })
  req.on('error', () => {})
  return req
}

describe('bytes', () => {
  test('stream up, more than a body may have elsewhere', async () => {
    const req = await open('PUT', `${proxy('pods', 'web')}/up`)
    for (let i = 0; i < 20; i++) if (!req.write(Buffer.alloc(1 << 20))) await once(req, 'drain')
    req.end()
    const [res] = (await once(req, 'response')) as [IncomingMessage]
    expect(JSON.parse((await read(res)).toString())).toMatchObject({ length: 20 << 20 })
  })

  test('the answer of a server that does not wait for all of it is told', async () => {
    const req = await open('PUT', `${proxy('pods', 'web')}/early`)
    const response = once(req, 'response') as Promise<[IncomingMessage]>
    const fill = async () => {
      for (let i = 0; i < 50 && !req.destroyed; i++)
        if (!req.write(Buffer.alloc(1 << 20))) await Promise.race([once(req, 'drain'), once(req, 'close')])
      req.end()
    }
    void fill().catch(() => {})
    const [res] = await response
    expect([res.statusCode, (await read(res)).toString()]).toEqual([413, 'too much'])
    req.destroy()
  })

  test('stream down as they come, and the server hears when nobody reads any more', async () => {
    expect((await api.rest('GET', `${proxy('pods', 'web')}/large`)).text.length).toBe(20 << 20)
    const req = (await open('GET', `${proxy('pods', 'web')}/endless`)).end()
    const [res] = (await once(req, 'response')) as [IncomingMessage]
    expect(String((await once(res, 'data'))[0])).toBe('one\n')
    req.destroy()
    await expect.poll(() => endlessClosed).toBe(true)
  })

  test('go both ways on an upgraded connection', async () => {
    const url = `${api.url.replace('https', 'wss')}${proxy('services', 'web:http')}/ws`
    const socket = new WebSocket(url, { ca: api.ca.cert, cert: api.admin.cert, key: api.admin.key })
    await once(socket, 'open')
    socket.send('hello')
    expect(String((await once(socket, 'message'))[0])).toBe('echo: hello')
    socket.close()
    await once(socket, 'close')
  })

  test('an upgrade that the server refuses is told', async () => {
    const req = (await open('GET', `${proxy('services', 'https:web:tls')}/teapot`, { connection: 'Upgrade', upgrade: 'x' })).end()
    const [res] = (await once(req, 'response')) as [IncomingMessage]
    expect([res.statusCode, JSON.parse((await read(res)).toString()).headers.upgrade]).toEqual([418, 'x'])
    const other = (await open('GET', `${proxy('services', 'https:web:tls')}/x`, { connection: 'Upgrade', upgrade: 'x' })).end()
    const [refused] = (await once(other, 'response')) as [IncomingMessage]
    expect([refused.statusCode, JSON.parse((await read(refused)).toString()).message]).toEqual([
      500,
      'Internal error occurred: invalid upgrade response: status code 200',
    ])
  })
})

describe('a request is refused', () => {
  const message = async (path: string) => {
    const { code, body } = await api.rest('GET', path)
    return [code, body.message]
  }
  test('when nothing is there', async () => {
    expect(await message(`${proxy('pods', 'none')}/`)).toEqual([404, 'pods "none" not found'])
    expect(await message(`${proxy('services', 'web:none')}/`)).toEqual([503, 'no endpoints available for service "web:none"'])
    expect(await message(`${proxy('services', 'web:81')}/`)).toEqual([503, 'no service port 81 found for service "web"'])
    expect(await message('/api/v1/nodes/none/proxy/healthz')).toEqual([404, 'nodes "none" not found'])
    const closed = createServer().listen(0, address)
    await once(closed, 'listening')
    const port = portOf(closed)
    closed.close()
    await once(closed, 'close')
    expect(await message(`${proxy('pods', `web:${port}`)}/`)).toEqual([
      503,
      `error trying to reach service: dial tcp ${address}:${port}: connect: connection refused`,
    ])
  })

  test('when the name is no name, or the address nobody’s to reach', async () => {
    expect(await message(`${proxy('pods', 'a:b:c:d')}/`)).toEqual([400, 'invalid pod request "a:b:c:d"'])
    expect(await message(`${proxy('services', 'ftp:web:80')}/`)).toEqual([400, 'invalid service request "ftp:web:80"'])
    expect(await message(`${proxy('pods', 'web:x')}/`)).toEqual([400, 'invalid port "x"'])
    await api.rest('POST', pods, pod('inward'))
    await bindTo(api.rest, 'inward', 'n1')
    for (const ip of ['127.0.0.1', '169.254.169.254', '::1']) {
      await api.rest('PATCH', `${pods}/inward/status`, { status: { podIP: ip, podIPs: [{ ip }] } }, merge)
      expect(await message(`${proxy('pods', 'inward:80')}/`)).toEqual([400, 'address not allowed'])
    }
  })
})

test('a request without credentials goes nowhere', async () => {
  expect((await api.rest('GET', `${proxy('pods', 'web')}/x`, undefined, { as: 'nobody' })).code).toBe(403)
})

describe('the port of the kubelet', () => {
  test('answers whom the API server knows, about what it lets them see', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'kubelet-port-'))
    const { rest } = api
    const rbac = '/apis/rbac.authorization.k8s.io/v1'
    const rules = [{ apiGroups: [''], resources: ['nodes/metrics', 'nodes/configz'], verbs: ['get'] }]
    await rest('POST', `${rbac}/clusterroles`, { metadata: { name: 'scraper' }, rules })
    const subjects = [{ kind: 'ServiceAccount', name: 'default', namespace: 'default' }]
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'scraper' }
    await rest('POST', `${rbac}/clusterrolebindings`, { metadata: { name: 'scraper' }, subjects, roleRef })
    const asked = await rest('POST', '/api/v1/namespaces/default/serviceaccounts/default/token', { spec: {} })
    const { token } = (asked.body as { status: { token: string } }).status
    const kubelet = { workers: () => [], activePods: () => [] } as unknown as Kubelet
    const log = logger('test')
    const options = { kubelet, sampler: {} as Sampler, nodeName: 'n1', rootDir: dir, configuration: { maxPods: 7 }, log }
    const client = newClient(natsTransport(await api.nats.connect(node)))
    const own = new AbortController()
    const server = serveKubeletPort({ ...options, client, nodeIP: address }, kubeletRequests(options), noPods, own.signal, 0)
    await once(server, 'listening')
    const ask = async (path: string, bearer?: string): Promise<[number, string]> => {
      const headers = bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }
      const req = httpsRequest({ host: address, port: portOf(server as Server), path, headers, rejectUnauthorized: false }).end()
      const [res] = (await once(req, 'response')) as [IncomingMessage]
      return [res.statusCode ?? 0, (await read(res)).toString()]
    }
    try {
      expect(await ask('/metrics')).toEqual([401, 'Unauthorized'])
      expect(await ask('/metrics', 'nonsense')).toEqual([401, 'Unauthorized'])
      const [code, metrics] = await ask('/metrics', token)
      expect([code, metrics]).toEqual([200, expect.stringContaining('kubelet_node_name{node="n1"} 1')])
      expect(await ask('/configz', token)).toEqual([200, '{"kubeletconfig":{"maxPods":7}}'])
      const user = 'system:serviceaccount:default:default'
      expect(await ask('/pods', token)).toEqual([403, `Forbidden (user=${user}, verb=get, resource=nodes, subresource(s)=[pods proxy])\n`])
      expect(await ask('/logs/', token)).toEqual([403, `Forbidden (user=${user}, verb=get, resource=nodes, subresource(s)=[log])\n`])
      // A command is for those who may all of it.
      const upgrade = async (bearer?: string): Promise<number> => {
        const headers = {
          connection: 'Upgrade',
          upgrade: 'SPDY/3.1',
          ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
        }
        const where = { host: address, port: portOf(server as Server), path: '/exec/default/web/c?command=true&output=1' }
        const req = httpsRequest({ ...where, method: 'POST', headers, rejectUnauthorized: false }).end()
        const [res] = (await once(req, 'response')) as [IncomingMessage]
        return res.resume().statusCode ?? 0
      }
      expect([await upgrade(), await upgrade(token)]).toEqual([401, 403])
      await rest(
        'PATCH',
        `${rbac}/clusterroles/scraper`,
        { rules: [{ ...rules[0], resources: ['nodes/proxy'], verbs: ['create'] }] },
        merge,
      )
      const again = await rest('POST', '/api/v1/namespaces/default/serviceaccounts/default/token', { spec: { expirationSeconds: 700 } })
      // Who was refused is remembered for a while, by name; that the pod is not there is told to those who may ask.
      await expect
        .poll(() => upgrade((again.body as typeof asked.body & { status: { token: string } }).status.token), { timeout: 40_000 })
        .toBe(404)
      const { mtimeMs } = await stat(join(dir, 'pki/kubelet.crt'))
      expect(mtimeMs).toBeGreaterThan(0)
    } finally {
      own.abort()
      await rm(dir, { recursive: true, force: true })
    }
  })
})

/** The Gateway API through a real HAProxy: matches and their precedence, filters, weights, listeners, grants, and what objects are told. */
import { Client, credentials, Metadata, Server, ServerCredentials, status as grpcStatus, type ServiceError } from '@grpc/grpc-js'
import { connect as connectHTTP2 } from 'node:http2'
import { get, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect as connectTLS, createServer as createTLSServer } from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import type { Service } from '#shared/api/core/service.ts'
import { makeAuthority, sign } from '#shared/certificates/certificate.ts'
import type { Secret } from '#shared/api/core/secret.ts'
import { gatewayRouting, type GatewayObjects } from '#control-plane/ingress-controller/gateway/gateway.ts'
import type { GatewayPlace } from '#control-plane/ingress-controller/gateway/services.ts'
import type {
  Gateway,
  GatewayClass,
  GRPCRoute,
  HTTPRoute,
  ReferenceGrant,
  TLSRoute,
} from '#control-plane/ingress-controller/gateway/types.ts'
import { freePort } from '../../fixtures/free-port.ts'
import { backend, startProxy, type Backend, type Proxy } from '../../fixtures/ingressproxy.ts'

const controller = 'coxswain.io/ingress-controller'
let proxy: Proxy
const backends: Backend[] = []
const elsewhere = new Map<string, Service>()
/** The proxy's ports for those of Gateways; others are their own. */
const inner = new Map<number, number>()
beforeAll(async () => {
  proxy = await startProxy()
  for (const port of [80, 443, 28_080]) inner.set(port, await freePort())
  for (const name of ['a', 'b', 'c']) {
    const made = await backend(name)
    backends.push(made)
    proxy.endpoints(name, [made.address])
  }
})
afterAll(async () => {
  await proxy?.stop()
  await Promise.all(backends.map(b => b.close()))
})

const ofClass = { metadata: { name: 'coxswain', generation: 1 }, spec: { controllerName: controller } } as unknown as GatewayClass
const gateway = (listeners: object[] = [{ name: 'http', port: 80, protocol: 'HTTP' }], name = 'public'): Gateway =>
  ({
    metadata: { name, namespace: 'default', generation: 3 },
    spec: { gatewayClassName: 'coxswain', listeners },
  }) as unknown as Gateway
let age = 0
const route = (name: string, rules: object[], more: object = {}, namespace = 'default'): HTTPRoute =>
  ({
    metadata: { name, namespace, generation: 2, creationTimestamp: new Date(1_700_000_000_000 + 1000 * age++).toISOString() },
    spec: { parentRefs: [{ name: 'public', namespace: 'default' }], rules, ...more },
  }) as unknown as HTTPRoute
const to = (name: string, weight = 1, more: object = {}) => ({ name, port: 80, weight, ...more })

const here = { addresses: [{ type: 'IPAddress', value: '192.0.2.1' }], inner: (port: number) => inner.get(port) ?? port }
async function serve(
  httpRoutes: HTTPRoute[],
  more: Partial<GatewayObjects> = {},
  grants: ReferenceGrant[] = [],
  placeOf: (g: Gateway) => GatewayPlace = () => here,
) {
  const objects = { classes: [ofClass], gateways: [gateway()], httpRoutes, grpcRoutes: [], ...more }
  const view = {
    ...proxy.known,
    service: (namespace: string, name: string) => proxy.known.service(namespace, name) ?? elsewhere.get(`${namespace}/${name}`),
    labelsOfNamespace: (name: string) => ({ 'kubernetes.io/metadata.name': name }),
    grants,
  }
  const { routing, statuses } = gatewayRouting(objects, view, controller, placeOf)
  await proxy.route(routing)
  return statuses
}
const ask = (host: string, url: string, headers: Record<string, string> = {}) => proxy.ask(host, url, headers, inner.get(80)!)
async function who(host: string, url: string, headers?: Record<string, string>): Promise<string> {
  const { status, body } = await ask(host, url, headers)
  return status === 200 ? (JSON.parse(body) as { name: string }).name : String(status)
}
const reasons = (conditions: readonly { type: string; status: string; reason: string }[] | undefined): string[] =>
  (conditions ?? []).map(c => `${c.type}=${c.status} ${c.reason}`)

test('the match that says most wins: path, method, headers, query; else the older route', async () => {
  const header = (name: string, value: string, type = 'Exact') => ({ headers: [{ type, name, value }] })
  await serve([
    route('one', [
      { matches: [{ path: { type: 'PathPrefix', value: '/' } }], backendRefs: [to('a')] },
      { matches: [{ path: { type: 'PathPrefix', value: '/p' }, ...header('x-v', '2') }], backendRefs: [to('b')] },
      { matches: [{ path: { type: 'PathPrefix', value: '/p' }, method: 'DELETE' }], backendRefs: [to('c')] },
      { matches: [{ path: { type: 'Exact', value: '/p/exact' } }], backendRefs: [to('c')] },
      { matches: [{ queryParams: [{ name: 'q', value: 'b' }] }], backendRefs: [to('b')] },
      { matches: [{ path: { type: 'RegularExpression', value: '/r[0-9]+$' } }], backendRefs: [to('b')] },
    ]),
    route('younger', [{ backendRefs: [to('c')] }]),
    route('named', [{ backendRefs: [to('b')] }], { hostnames: ['*.example.com', 'example.org'] }),
    route('expression', [{ matches: [header('x-v', '^[0-9]+$', 'RegularExpression')], backendRefs: [to('c')] }], { hostnames: ['re.org'] }),
  ])
  for (const [host, url, headers, expected] of [
    ['x', '/', {}, 'a'],
    ['x', '/p', {}, 'a'],
    ['x', '/p', { 'x-v': '2' }, 'b'],
    ['x', '/p/exact', { 'x-v': '2' }, 'c'],
    ['x', '/?q=b', {}, 'b'],
    ['x', '/?q=c', {}, 'a'],
    ['x', '/r12', {}, 'b'],
    ['x', '/r12x', {}, 'a'],
    ['a.b.example.com', '/', {}, 'b'],
    ['example.com', '/', {}, 'a'],
    ['example.org', '/', {}, 'b'],
    ['re.org', '/', { 'x-v': '12' }, 'c'],
    ['re.org', '/', { 'x-v': 'x' }, '404'],
  ] as const)
    expect(await who(host, url, headers), `${host}${url} ${JSON.stringify(headers)}`).toBe(expected)
})

test('filters', async () => {
  const filter = (type: string, more: object) => ({ type, ...more })
  await serve([
    route('filters', [
      {
        matches: [{ path: { type: 'PathPrefix', value: '/headers' } }],
        filters: [
          filter('RequestHeaderModifier', { requestHeaderModifier: { set: [{ name: 'x-a', value: '50% "$1"' }], remove: ['x-gone'] } }),
          filter('ResponseHeaderModifier', { responseHeaderModifier: { add: [{ name: 'x-b', value: 'b' }] } }),
        ],
        backendRefs: [to('a')],
      },
      {
        matches: [{ path: { type: 'PathPrefix', value: '/old' } }],
        filters: [
          filter('URLRewrite', { urlRewrite: { hostname: 'inner', path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/new' } } }),
        ],
        backendRefs: [to('a')],
      },
      {
        matches: [{ path: { type: 'PathPrefix', value: '/away' } }],
        filters: [
          filter('RequestRedirect', {
            requestRedirect: {
              scheme: 'https',
              hostname: 'example.org',
              path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/' },
              statusCode: 301,
            },
          }),
        ],
      },
      {
        matches: [{ path: { type: 'PathPrefix', value: '/secure' } }],
        filters: [filter('RequestRedirect', { requestRedirect: { scheme: 'https' } })],
      },
      { matches: [{ path: { type: 'PathPrefix', value: '/nobody' } }] },
    ]),
  ])
  const asked = async (url: string, headers = {}): Promise<{ url: string; headers: Record<string, string> }> =>
    JSON.parse((await ask('x', url, headers)).body) as { url: string; headers: Record<string, string> }
  const seen = await asked('/headers', { 'x-gone': '1' })
  expect(seen.headers['x-a']).toBe('50% "$1"')
  expect(seen.headers['x-gone']).toBeUndefined()
  expect((await ask('x', '/headers')).headers['x-b']).toBe('b')
  const rewritten = await asked('/old/x?q=1')
  expect([rewritten.url, rewritten.headers.host]).toEqual(['/new/x?q=1', 'inner'])
  expect([(await asked('/old')).url, (await asked('/old/')).url]).toEqual(['/new', '/new/'])
  expect((await ask('x', '/away')).headers.location).toBe('https://example.org/')
  expect((await ask('X:80', '/secure?q=1')).headers.location).toBe('https://x/secure?q=1')
  const away = await ask('x', '/away/x?q=1')
  expect([away.status, away.headers.location]).toEqual([301, 'https://example.org/x?q=1'])
  expect(await who('x', '/nobody')).toBe('500')
})

test('redirects: the port is that of the scheme that is given, else the listener’s', async () => {
  const other = await freePort()
  const redirect = (path: string, requestRedirect: object) => ({
    matches: [{ path: { type: 'PathPrefix', value: path } }],
    filters: [{ type: 'RequestRedirect', requestRedirect: { hostname: 'example.org', ...requestRedirect } }],
  })
  const listeners = [
    { name: 'usual', port: 80, protocol: 'HTTP' },
    { name: 'other', port: other, protocol: 'HTTP' },
  ]
  await serve(
    [
      route('redirects', [
        redirect('/nothing', {}),
        redirect('/80', { port: 80 }),
        redirect('/443', { port: 443 }),
        redirect('/https', { scheme: 'https' }),
        redirect('/https-8443', { scheme: 'https', port: 8443 }),
      ]),
    ],
    { gateways: [gateway(listeners)] },
  )
  const at = (port: number, path: string): Promise<string | undefined> =>
    new Promise((resolve, reject) => get({ port, path, agent: false }, r => (r.resume(), resolve(r.headers.location))).on('error', reject))
  const http = inner.get(80)!
  for (const [port, path, expected] of [
    [http, '/nothing', 'http://example.org/nothing'],
    [http, '/80', 'http://example.org/80'],
    [http, '/443', 'http://example.org:443/443'],
    [http, '/https', 'https://example.org/https'],
    [http, '/https-8443', 'https://example.org:8443/https-8443'],
    [other, '/nothing', `http://example.org:${other}/nothing`],
    [other, '/80', 'http://example.org/80'],
    [other, '/https', 'https://example.org/https'],
  ] as const)
    expect(await at(port, path), `${port}${path}`).toBe(expected)
})

test('sharing across origins', async () => {
  const shared = (path: string, cors: object) => ({
    matches: [{ path: { type: 'PathPrefix', value: path } }],
    filters: [{ type: 'CORS', cors }],
    backendRefs: [to('a')],
  })
  await serve([
    route('cors', [
      shared('/some', {
        allowOrigins: ['https://www.foo.com', 'https://*.bar.com:443'],
        allowMethods: ['GET', 'OPTIONS'],
        allowHeaders: ['x-1', 'x-2'],
        exposeHeaders: ['x-3'],
        allowCredentials: true,
        maxAge: 3600,
      }),
      shared('/any', { allowOrigins: ['*'], allowMethods: ['*'], allowHeaders: ['*'] }),
    ]),
  ])
  const ask = (method: string, path: string, headers: Record<string, string>): Promise<[number, Record<string, unknown>]> =>
    new Promise((resolve, reject) => {
      request({ port: inner.get(80)!, path, method, headers, agent: false }, r => {
        r.resume()
        const told = Object.entries(r.headers).filter(([name]) => name.startsWith('access-control-'))
        resolve([r.statusCode!, Object.fromEntries(told.map(([name, value]) => [name.slice('access-control-'.length), value]))])
      })
        .on('error', reject)
        .end()
    })
  const preflight = { 'access-control-request-method': 'PUT', 'access-control-request-headers': 'x-1, x-9' }
  const granted = {
    'allow-credentials': 'true',
    'allow-headers': 'x-1, x-2',
    'allow-methods': 'GET, OPTIONS',
    'expose-headers': 'x-3',
    'max-age': '3600',
  }
  for (const origin of ['https://www.foo.com', 'https://a.b.bar.com'])
    expect(await ask('OPTIONS', '/some', { origin, ...preflight })).toEqual([204, { ...granted, 'allow-origin': origin }])
  for (const origin of ['https://foo.com', 'http://www.foo.com', 'https://www.foo.com.evil.org'])
    expect(await ask('OPTIONS', '/some', { origin, ...preflight })).toEqual([204, {}])
  expect(await ask('GET', '/some', { origin: 'https://www.foo.com' })).toEqual([
    200,
    { 'allow-origin': 'https://www.foo.com', 'allow-credentials': 'true', 'expose-headers': 'x-3' },
  ])
  expect(await ask('GET', '/some', { origin: 'https://foo.com' })).toEqual([200, {}])
  // It is asked itself.
  expect(await ask('OPTIONS', '/some', {})).toEqual([200, {}])
  expect(await ask('OPTIONS', '/any', { origin: 'http://x', ...preflight })).toEqual([
    204,
    { 'allow-origin': 'http://x', 'allow-methods': 'PUT', 'allow-headers': 'x-1, x-9', 'max-age': '5' },
  ])
})

test('what is for a listener with a host name is not for one with less of it, or none', async () => {
  const listeners = [
    { name: 'all', port: 80, protocol: 'HTTP' },
    { name: 'wild', port: 80, protocol: 'HTTP', hostname: '*.iso.org' },
    { name: 'wilder', port: 80, protocol: 'HTTP', hostname: '*.in.iso.org' },
    { name: 'one', port: 80, protocol: 'HTTP', hostname: 'a.in.iso.org' },
  ]
  const at = (sectionName: string, hostnames: string[] = []) =>
    route(`to-${sectionName}`, [{ matches: [{ path: { type: 'PathPrefix', value: `/${sectionName}` } }], backendRefs: [to('a')] }], {
      parentRefs: [{ name: 'public', sectionName }],
      hostnames,
    })
  // Of the last one there are no routes. Routes may name hosts that another listener has more to say of.
  const named = ['other.org', '*.iso.org', '*.in.iso.org', 'a.in.iso.org']
  for (const routes of [
    [at('all'), at('wild', ['x.iso.org', '*.iso.org']), at('wilder')],
    [at('all', named), at('wild', [...named, 'x.iso.org']), at('wilder', named)],
  ]) {
    await serve(routes, { gateways: [gateway(listeners)] })
    await isolated()
  }
})
async function isolated(): Promise<void> {
  for (const [host, served] of [
    ['other.org', ['/all']],
    ['y.iso.org', ['/wild']],
    ['x.iso.org', ['/wild']],
    ['b.in.iso.org', ['/wilder']],
    ['a.in.iso.org', []],
  ] as const) {
    const found = await Promise.all(['/all', '/wild', '/wilder'].map(async url => [url, await who(host, url)]))
    expect(
      found.filter(([, answer]) => answer !== '404').map(([url]) => url),
      host,
    ).toEqual(served)
  }
}

test('what is asked for by a connection for another listener is misdirected', async () => {
  const { cert, key } = sign(makeAuthority(), { commonName: 'x', names: { dns: ['a.org', '*.w.org', 'b.w.org', 'c.org'], ips: [] } })
  const encode = (text: string): string => Buffer.from(text).toString('base64')
  proxy.secrets.set('default/many', { data: { 'tls.crt': encode(cert), 'tls.key': encode(key) } } as unknown as Secret)
  const listener = (name: string, hostname?: string) => ({
    ...{ name, port: 443, protocol: 'HTTPS', tls: { certificateRefs: [{ name: 'many' }] } },
    ...(hostname ? { hostname } : {}),
  })
  const listeners = [listener('any'), listener('a', 'a.org'), listener('wild', '*.w.org'), listener('b', 'b.w.org')]
  const at = (sectionName: string, hostnames: string[] = []) =>
    route(sectionName, [{ backendRefs: [to('a')] }], { parentRefs: [{ name: 'public', sectionName }], hostnames })
  await serve([at('any', ['c.org']), at('a'), at('wild'), at('b')], { gateways: [gateway(listeners)] })
  const status = async (servername: string, host: string): Promise<number> =>
    (await proxy.askSecurely(host, '/', inner.get(443)!, servername)).status
  for (const [servername, host, expected] of [
    ['c.org', 'c.org', 200],
    ['c.org', 'a.org', 421],
    ['c.org', 'd.org', 404],
    ['d.org', 'c.org', 200],
    ['a.org', 'a.org', 200],
    ['a.org', 'c.org', 421],
    ['x.w.org', 'y.w.org', 200],
    ['x.w.org', 'b.w.org', 421],
    ['b.w.org', 'b.w.org', 200],
    ['b.w.org', 'x.w.org', 421],
  ] as const)
    expect(await status(servername, host), `${servername} ${host}`).toBe(expected)
})

test('headers are matched whole; of two matches of one name the first counts', async () => {
  const headers = (...all: [string, string][]) => [{ headers: all.map(([name, value]) => ({ name, value })) }]
  await serve([
    route('headers', [
      { matches: headers(['x-a', 'one,two']), backendRefs: [to('a')] },
      { matches: headers(['x-b', '1'], ['X-B', '2']), backendRefs: [to('b')] },
    ]),
  ])
  expect(await who('x', '/', { 'x-a': 'one,two' })).toBe('a')
  expect(await who('x', '/', { 'x-a': 'two' })).toBe('404')
  expect(await who('x', '/', { 'x-b': '1' })).toBe('b')
})

test('a route answers at its Gateway alone, each with its own certificate for the same name; without a port it waits', async () => {
  const encode = (text: string): string => Buffer.from(text).toString('base64')
  for (const name of ['first', 'second']) {
    const { cert, key } = tls(name)
    proxy.secrets.set(`default/${name}`, { data: { 'tls.crt': encode(cert), 'tls.key': encode(key) } } as unknown as Secret)
  }
  const named = (name: string): Gateway =>
    gateway(
      [
        { name: 'http', port: 80, protocol: 'HTTP' },
        { name: 'https', port: 443, protocol: 'HTTPS', hostname: 'same.org', tls: { certificateRefs: [{ name }] } },
      ],
      name,
    )
  const at = (name: string, to: object) => route(name, [{ backendRefs: [to] }], { parentRefs: [{ name }], hostnames: ['same.org'] })
  const ports: Record<string, [plain: number, secure: number]> = {
    first: [await freePort(), await freePort()],
    second: [await freePort(), await freePort()],
  }
  const waiting = gateway(undefined, 'waiting')
  const gateways = [named('first'), named('second'), waiting]
  const routes = [at('first', to('a')), at('second', to('b')), at('waiting', to('c'))]
  const statuses = await serve(routes, { gateways }, [], g => ({
    addresses: [],
    inner: port => ports[g.metadata.name!]?.[port === 80 ? 0 : 1],
  }))
  for (const [name, body] of [
    ['first', 'a'],
    ['second', 'b'],
  ] as const) {
    const [plain, secure] = ports[name]!
    expect(JSON.parse((await proxy.ask('same.org', '/', {}, plain)).body)).toMatchObject({ name: body })
    const answer = await proxy.askSecurely('same.org', '/', secure)
    expect([answer.subject, (JSON.parse(answer.body) as { name: string }).name]).toEqual([name, body])
  }
  expect((await proxy.ask('same.org', '/')).status).toBe(404)
  const { conditions, listeners } = statuses.gateways.get(waiting)!
  expect(reasons(conditions)).toEqual(['Accepted=True Accepted', 'Programmed=False AddressNotAssigned'])
  expect(reasons(listeners![0]!.conditions)).toContain('Programmed=False Pending')
})

test('who refers to what is not there, or asks for what is not served, is told', async () => {
  const refers = (name: string, more: object) => route(name, [{ backendRefs: [to('a')] }], { parentRefs: [{ name: 'public', ...more }] })
  const routes = [
    refers('section', { sectionName: 'nobody' }),
    refers('port', { port: 81 }),
    refers('both', { sectionName: 'http', port: 81 }),
  ]
  const made = await serve([...routes, refers('stranger', { name: 'private' })])
  expect(routes.map(r => reasons(made.httpRoutes.get(r)?.parents?.[0]?.conditions)[0])).toEqual(
    routes.map(() => 'Accepted=False NoMatchingParent'),
  )
  expect(made.httpRoutes.size).toBe(3)

  const told = async (spec: object, listener: object = {}): Promise<string[]> => {
    const one = gateway([{ name: 'http', port: 80, protocol: 'HTTP', ...listener }])
    Object.assign(one.spec, spec)
    const status = (await serve([], { gateways: [one] })).gateways.get(one)!
    return [...reasons(status.conditions), reasons(status.listeners![0]!.conditions)[0]!]
  }
  expect(await told({ infrastructure: { parametersRef: { group: '', kind: 'ConfigMap', name: 'x' } } })).toEqual([
    'Accepted=False InvalidParameters',
    'Programmed=False Invalid',
    'Accepted=False Pending',
  ])
  expect((await told({ addresses: [{ type: 'Hostname', value: 'x.org' }] }))[0]).toBe('Accepted=False UnsupportedAddress')
  expect((await told({ addresses: [{ value: '192.0.2.9' }] }))[1]).toBe('Programmed=False AddressNotUsable')
  expect((await told({ addresses: [{ value: '192.0.2.1' }] }))[1]).toBe('Programmed=True Programmed')
  // Everybody would be let in.
  const validation = { caCertificateRefs: [{ group: '', kind: 'ConfigMap', name: 'ca' }] }
  const https = { name: 'https', port: 443, protocol: 'HTTPS', tls: { certificateRefs: [] } }
  expect((await told({ tls: { frontend: { default: { validation } } } }, https))[2]).toBe('Accepted=False UnsupportedValue')
  const strange = { ...ofClass, spec: { controllerName: controller, parametersRef: {} } } as unknown as GatewayClass
  const { classes } = await serve([], { classes: [strange] })
  expect(reasons(classes.get(strange)?.conditions)).toEqual(['Accepted=False InvalidParameters'])
})

test('weights; a backend that is not there is its share of failures, a slow one ends', async () => {
  const slow = await backend('slow', () => {})
  backends.push(slow)
  proxy.endpoints('slow', [slow.address])
  const statuses = await serve([
    route('weights', [
      { matches: [{ path: { type: 'PathPrefix', value: '/w' } }], backendRefs: [to('a', 3), to('b', 1), to('c', 0)] },
      { matches: [{ path: { type: 'PathPrefix', value: '/half' } }], backendRefs: [to('a'), to('missing')] },
      { matches: [{ path: { type: 'PathPrefix', value: '/slow' } }], backendRefs: [to('slow')], timeouts: { request: '100ms' } },
    ]),
  ])
  const count = async (url: string): Promise<Record<string, number>> => {
    const counts: Record<string, number> = {}
    for (const name of await Promise.all(Array.from({ length: 400 }, () => who('x', url)))) counts[name] = (counts[name] ?? 0) + 1
    return counts
  }
  const weighted = await count('/w')
  // 300 and 100; ten standard deviations are 87.
  expect(weighted['a']).toBeGreaterThan(213)
  expect(weighted['b']).toBeGreaterThan(13)
  expect(weighted['c']).toBeUndefined()
  const half = await count('/half')
  expect(half['a']).toBeGreaterThan(100)
  expect(half['500']).toBeGreaterThan(100)
  expect(await who('x', '/slow')).toBe('504')
  const [status] = statuses.httpRoutes.values()
  expect(reasons(status!.parents![0]!.conditions)).toEqual(['Accepted=True Accepted', 'ResolvedRefs=False BackendNotFound'])
})

test('listeners: host names, TLS, namespaces; and what everybody is told', async () => {
  const ca = makeAuthority()
  const { cert, key } = sign(ca, { commonName: 'tls.example.com', names: { dns: ['tls.example.com'], ips: [] } })
  const encode = (text: string): string => Buffer.from(text).toString('base64')
  proxy.secrets.set('default/tls', { data: { 'tls.crt': encode(cert), 'tls.key': encode(key) } } as unknown as Secret)
  const listeners = [
    { name: 'http', port: 80, protocol: 'HTTP', hostname: '*.example.com' },
    { name: 'all', port: 80, protocol: 'HTTP', hostname: 'all.org', allowedRoutes: { namespaces: { from: 'All' } } },
    { name: 'https', port: 443, protocol: 'HTTPS', hostname: 'tls.example.com', tls: { certificateRefs: [{ name: 'tls' }] } },
    { name: 'odd', port: 28_080, protocol: 'HTTP' },
    { name: 'tcp', port: 81, protocol: 'TCP' },
  ]
  const at = (name: string, sectionName: string, more: object = {}, namespace = 'default') =>
    route(
      name,
      [{ backendRefs: [to(name === 'secure' ? 'b' : 'a')] }],
      { parentRefs: [{ name: 'public', namespace: 'default', sectionName }], ...more },
      namespace,
    )
  const routes = [
    at('plain', 'http'),
    at('secure', 'https'),
    at('other', 'http', { hostnames: ['other.org'] }),
    at('foreign', 'http', {}, 'elsewhere'),
    at('welcome', 'all', {}, 'elsewhere'),
    route('strange', [{ filters: [{ type: 'ExtensionRef' }], backendRefs: [to('a')] }]),
  ]
  const statuses = await serve(routes, { gateways: [gateway(listeners)] })
  expect([await who('x.example.com', '/'), await who('other.org', '/'), await who('tls.example.com', '/')]).toEqual(['a', '404', 'a'])
  const secure = await proxy.askSecurely('tls.example.com', '/', inner.get(443)!)
  expect([secure.subject, (JSON.parse(secure.body) as { name: string }).name]).toEqual(['tls.example.com', 'b'])
  // Its Service is of another namespace than this test's.
  expect(await who('all.org', '/')).toBe('500')

  const [status] = statuses.gateways.values()
  expect(status!.addresses).toEqual([{ type: 'IPAddress', value: '192.0.2.1' }])
  expect(reasons(status!.conditions)).toEqual(['Accepted=True ListenersNotValid', 'Programmed=True Programmed'])
  expect(status!.listeners!.map(l => [l.name, l.attachedRoutes, reasons(l.conditions)[0]])).toEqual([
    ['http', 1, 'Accepted=True Accepted'],
    ['all', 1, 'Accepted=True Accepted'],
    ['https', 1, 'Accepted=True Accepted'],
    ['odd', 0, 'Accepted=True Accepted'],
    ['tcp', 0, 'Accepted=False UnsupportedProtocol'],
  ])
  const told = routes.map(r => [r.metadata.name, reasons(statuses.httpRoutes.get(r)?.parents?.[0]?.conditions)[0]])
  expect(told).toEqual([
    ['plain', 'Accepted=True Accepted'],
    ['secure', 'Accepted=True Accepted'],
    ['other', 'Accepted=False NoMatchingListenerHostname'],
    ['foreign', 'Accepted=False NotAllowedByListeners'],
    ['welcome', 'Accepted=True Accepted'],
    ['strange', 'Accepted=False UnsupportedValue'],
  ])
  expect(statuses.classes.get(ofClass)?.conditions?.[0]?.status).toBe('True')
})

test('Services of other namespaces by a ReferenceGrant; GRPCRoutes', async () => {
  const far = route('far', [{ backendRefs: [to('a', 1, { namespace: 'default' })] }], { hostnames: ['far.org'] }, 'elsewhere')
  const open = gateway([{ name: 'http', port: 80, protocol: 'HTTP', allowedRoutes: { namespaces: { from: 'All' } } }])
  await serve([far], { gateways: [open] })
  expect(await who('far.org', '/')).toBe('500')
  const grant = {
    metadata: { name: 'g', namespace: 'default' },
    spec: {
      from: [{ group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', namespace: 'elsewhere' }],
      to: [{ group: '', kind: 'Service' }],
    },
  } as unknown as ReferenceGrant
  const grpc = {
    ...route('grpc', []),
    spec: {
      parentRefs: [{ name: 'public' }],
      hostnames: ['grpc.org'],
      rules: [{ matches: [{ method: { service: 'pkg.Echo', method: 'Say' } }], backendRefs: [to('a')] }],
    },
  } as unknown as GRPCRoute
  const statuses = await serve([far], { gateways: [open], grpcRoutes: [grpc] }, [grant])
  expect(await who('far.org', '/')).toBe('a')
  expect(await who('grpc.org', '/pkg.Echo/Other')).toBe('404')
  // The backend speaks no HTTP/2.
  expect(await who('grpc.org', '/pkg.Echo/Say')).toMatch(/^50[23]$/)
  expect(reasons(statuses.grpcRoutes.get(grpc)?.parents?.[0]?.conditions)[0]).toBe('Accepted=True Accepted')
})

const tls = (name: string): { cert: string; key: string } => sign(makeAuthority(), { commonName: name, names: { dns: [name], ips: [] } })
/** Over TLS with this name for the server: whose certificate it shows, and what it says first. */
function greeting(port: number, servername: string, alpn?: string[]): Promise<[subject: string, text: string]> {
  return new Promise((resolve, reject) => {
    const socket = connectTLS({ port, servername, rejectUnauthorized: false, ...(alpn ? { ALPNProtocols: alpn } : {}) })
    let [text, subject] = ['', '']
    socket.on('data', (chunk: Buffer) => (text += String(chunk)))
    socket.once('close', () => (subject === '' ? reject(new Error('no server')) : resolve([subject, text])))
    socket.once('error', reject)
    socket.once('secureConnect', () => {
      subject = String(socket.getPeerCertificate().subject?.CN)
      socket.write('x')
    })
  })
}

test('listeners at other ports; TLS by name, passed through or ended; and HTTPS beside it', async () => {
  const [http, secure] = [await freePort(), await freePort()]
  const encode = (text: string): string => Buffer.from(text).toString('base64')
  for (const name of ['ended.org', 'web.org']) {
    const { cert, key } = tls(name)
    proxy.secrets.set(`default/${name}`, { data: { 'tls.crt': encode(cert), 'tls.key': encode(key) } } as unknown as Secret)
  }
  const inside = createTLSServer(tls('inside.org'), socket => socket.end('inside'))
  inside.on('tlsClientError', () => {})
  await new Promise<void>(resolve => inside.listen(0, '127.0.0.1', resolve))
  const plain = (await import('node:net')).createServer(socket => (socket.on('error', () => {}), socket.end('plain')))
  await new Promise<void>(resolve => plain.listen(0, '127.0.0.1', resolve))
  proxy.endpoints('inside', [`127.0.0.1:${(inside.address() as AddressInfo).port}`])
  proxy.endpoints('plain', [`127.0.0.1:${(plain.address() as AddressInfo).port}`])
  const certificate = (name: string) => ({ mode: 'Terminate', certificateRefs: [{ name }] })
  const listeners = [
    { name: 'http', port: http, protocol: 'HTTP' },
    { name: 'usual', port: 80, protocol: 'HTTP' },
    { name: 'through', port: secure, protocol: 'TLS', hostname: '*.through.org', tls: { mode: 'Passthrough' } },
    { name: 'ended', port: secure, protocol: 'TLS', hostname: 'ended.org', tls: certificate('ended.org') },
    { name: 'web', port: secure, protocol: 'HTTPS', hostname: 'web.org', tls: certificate('web.org') },
    { name: 'clash', port: http, protocol: 'HTTPS', hostname: 'x.org', tls: certificate('web.org') },
  ]
  const tlsRoute = (name: string, sectionName: string, hostnames: string[], service: string): TLSRoute =>
    ({
      ...route(name, []),
      spec: { parentRefs: [{ name: 'public', sectionName }], hostnames, rules: [{ backendRefs: [to(service)] }] },
    }) as unknown as TLSRoute
  const tlsRoutes = [
    tlsRoute('through', 'through', ['a.through.org'], 'inside'),
    tlsRoute('ended', 'ended', ['ended.org'], 'plain'),
    tlsRoute('wrong', 'web', ['web.org'], 'inside'),
    tlsRoute('missing', 'through', ['b.through.org'], 'missing'),
  ]
  const at = (name: string, sectionName: string, service: string) =>
    route(name, [{ backendRefs: [to(service)] }], { parentRefs: [{ name: 'public', sectionName }] })
  try {
    // The one that clashes takes the other one with it, as the Gateway API has it.
    const clashing = await serve([at('odd', 'http', 'a')], { gateways: [gateway(listeners)] })
    const told = [...clashing.gateways.values()][0]!.listeners!.map(l => [
      l.name,
      reasons(l.conditions).find(r => r.startsWith('Conflicted')),
    ])
    expect(told).toContainEqual(['http', 'Conflicted=True ProtocolConflict'])
    expect(told).toContainEqual(['clash', 'Conflicted=True ProtocolConflict'])
    expect(told).toContainEqual(['web', 'Conflicted=False NoConflicts'])

    const routes = [at('odd', 'http', 'a'), at('usual', 'usual', 'b'), at('web', 'web', 'c')]
    const statuses = await serve(routes, { gateways: [gateway(listeners.slice(0, -1))], tlsRoutes })
    const answer = await new Promise<string>((resolve, reject) => {
      get({ port: http, path: '/', agent: false }, r => {
        let body = ''
        r.on('data', (chunk: Buffer) => (body += String(chunk))).on('end', () => resolve(body))
      }).on('error', reject)
    })
    expect((JSON.parse(answer) as { name: string; headers: object }).name).toBe('a')
    expect((JSON.parse(answer) as { headers: object }).headers).toMatchObject({ 'x-forwarded-port': String(http) })
    expect(await who('any', '/')).toBe('b')
    expect(await greeting(secure, 'a.through.org')).toEqual(['inside.org', 'inside'])
    expect(await greeting(secure, 'ended.org')).toEqual(['ended.org', 'plain'])
    const web = await new Promise<string>((resolve, reject) => {
      const session = connectHTTP2(`https://localhost:${secure}`, { servername: 'web.org', rejectUnauthorized: false }).on('error', reject)
      const stream = session.request({ ':path': '/', ':authority': 'web.org' })
      let body = ''
      stream.on('data', (chunk: Buffer) => (body += String(chunk))).on('end', () => (session.close(), resolve(body)))
    })
    expect((JSON.parse(web) as { name: string }).name).toBe('c')
    await expect(greeting(secure, 'b.through.org')).rejects.toThrow()
    expect(tlsRoutes.map(r => reasons(statuses.tlsRoutes.get(r)?.parents?.[0]?.conditions))).toEqual([
      ['Accepted=True Accepted', 'ResolvedRefs=True ResolvedRefs'],
      ['Accepted=True Accepted', 'ResolvedRefs=True ResolvedRefs'],
      ['Accepted=False NotAllowedByListeners', 'ResolvedRefs=True ResolvedRefs'],
      ['Accepted=True Accepted', 'ResolvedRefs=False BackendNotFound'],
    ])
    const kinds = [...statuses.gateways.values()][0]!.listeners!.map(l => l.supportedKinds.map(k => k.kind).join())
    expect(kinds).toEqual(['HTTPRoute,GRPCRoute', 'HTTPRoute,GRPCRoute', 'TLSRoute', 'TLSRoute', 'HTTPRoute,GRPCRoute'])
  } finally {
    inside.close()
    plain.close()
  }
})

test('copies of requests, with their bodies, to somebody whose answers nobody waits for', async () => {
  const seen: string[] = []
  let told = (): void => {}
  const copies = await backend('copies', (req, res) => {
    let body = ''
    req
      .on('data', (chunk: Buffer) => (body += String(chunk)))
      .on('end', () => {
        seen.push(`${req.method} ${req.url} ${req.headers['x-a']} ${body}`)
        told()
        setTimeout(() => res.end(), 20_000).unref()
      })
  })
  backends.push(copies)
  proxy.endpoints('copies', [copies.address])
  const mirror = (path: string, more: object = {}) => ({
    matches: [{ path: { type: 'PathPrefix', value: path } }],
    filters: [{ type: 'RequestMirror', requestMirror: { backendRef: { name: 'copies', port: 80 }, ...more } }],
    backendRefs: [to('a')],
  })
  await serve([route('copied', [mirror('/all'), mirror('/none', { percent: 0 })])])
  const post = (path: string): Promise<number> =>
    new Promise((resolve, reject) => {
      const headers = { host: 'x', 'x-a': '1' }
      const asked = request(
        { port: inner.get(80)!, path, method: 'POST', headers, agent: false },
        r => (r.resume(), resolve(r.statusCode!)),
      )
      asked.on('error', reject).end('hello')
    })
  const copied = new Promise<void>(resolve => (told = resolve))
  expect(await post('/none')).toBe(200)
  expect(await post('/all?q=1')).toBe(200)
  await copied
  expect(seen).toEqual(['POST /all?q=1 1 hello'])
})

test('gRPC by a real client and server, methods by expressions; WebSockets; no aliases', async () => {
  const server = new Server()
  const bytes = (b: Buffer): Buffer => b
  const method = (path: string) => ({
    path,
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  })
  for (const service of ['pkg.Echo', 'pkg.Other'])
    server.addService(
      { Say: method(`/${service}/Say`), Shout: method(`/${service}/Shout`) } as never,
      {
        Say: (call: { request: Buffer; metadata: Metadata }, done: (e: null, b: Buffer) => void) =>
          done(null, Buffer.from(`${service} ${String(call.request)}`)),
        Shout: (_: unknown, done: (e: object) => void) => done({ code: grpcStatus.RESOURCE_EXHAUSTED, details: 'hoarse' }),
      } as never,
    )
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (e, p) => (e ? reject(e) : resolve(p))),
  )
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await new Promise(resolve => sockets.once('listening', resolve))
  sockets.on('connection', socket => socket.on('message', (text: Buffer) => socket.send(`echo ${String(text)}`)))
  proxy.endpoints('grpc', [`127.0.0.1:${port}`])
  proxy.endpoints('sockets', [`127.0.0.1:${(sockets.address() as AddressInfo).port}`])
  proxy.endpoints('alias', [])
  proxy.known.service('default', 'alias')!.spec.type = 'ExternalName'
  const grpc = {
    ...route('grpc', []),
    spec: {
      parentRefs: [{ name: 'public' }],
      rules: [
        {
          matches: [{ method: { type: 'RegularExpression', service: 'pkg[.](Echo|Else)', method: 'S[a-z]+' } }],
          backendRefs: [to('grpc')],
        },
      ],
    },
  } as unknown as GRPCRoute
  const aliased = route('alias', [{ matches: [{ path: { type: 'PathPrefix', value: '/alias' } }], backendRefs: [to('alias')] }])
  const statuses = await serve(
    [route('ws', [{ matches: [{ path: { type: 'PathPrefix', value: '/ws' } }], backendRefs: [to('sockets')] }]), aliased],
    { grpcRoutes: [grpc] },
  )
  const client = new Client(`127.0.0.1:${inner.get(80)!}`, credentials.createInsecure())
  const call = (path: string): Promise<string> =>
    new Promise(resolve =>
      client.makeUnaryRequest(
        path,
        bytes,
        bytes,
        Buffer.from('hi'),
        { deadline: Date.now() + 10_000 },
        (e: ServiceError | null, b?: Buffer) => resolve(e ? `${grpcStatus[e.code]} ${e.details}` : String(b)),
      ),
    )
  try {
    expect(await call('/pkg.Echo/Say')).toBe('pkg.Echo hi')
    // Trailers come through.
    expect(await call('/pkg.Echo/Shout')).toBe('RESOURCE_EXHAUSTED hoarse')
    expect(await call('/pkg.Other/Say')).toMatch(/^UNIMPLEMENTED/)
    expect(await call('/pkg.echo/Say')).toMatch(/^UNIMPLEMENTED/)
    const socket = new WebSocket(`ws://127.0.0.1:${inner.get(80)!}/ws`)
    const echo = await new Promise<string>((resolve, reject) => {
      socket
        .on('error', reject)
        .on('open', () => socket.send('hello'))
        .on('message', (text: Buffer) => resolve(String(text)))
    })
    expect(echo).toBe('echo hello')
    socket.terminate()
    expect(await who('x', '/alias')).toBe('500')
    expect(reasons(statuses.httpRoutes.get(aliased)?.parents?.[0]?.conditions)[1]).toBe('ResolvedRefs=False UnsupportedValue')
  } finally {
    client.close()
    server.forceShutdown()
    sockets.close()
  }
})

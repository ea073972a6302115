/** The Gateway API through a real HAProxy: matches and their precedence, filters, weights, listeners, grants, and what objects are told. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Service } from '#shared/api/core/service.ts'
import { makeAuthority, sign } from '#shared/certificates/certificate.ts'
import type { Secret } from '#shared/api/core/secret.ts'
import { gatewayRouting, type GatewayObjects } from '#control-plane/ingress-controller/gateway/gateway.ts'
import type { Gateway, GatewayClass, GRPCRoute, HTTPRoute, ReferenceGrant } from '#control-plane/ingress-controller/gateway/types.ts'
import { backend, startProxy, type Backend, type Proxy } from '../../fixtures/ingressproxy.ts'

const controller = 'coxswain.io/ingress-controller'
let proxy: Proxy
const backends: Backend[] = []
const elsewhere = new Map<string, Service>()
beforeAll(async () => {
  proxy = await startProxy()
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
const gateway = (listeners: object[] = [{ name: 'http', port: 80, protocol: 'HTTP' }]): Gateway =>
  ({
    metadata: { name: 'public', namespace: 'default', generation: 3 },
    spec: { gatewayClassName: 'coxswain', listeners },
  }) as unknown as Gateway
let age = 0
const route = (name: string, rules: object[], more: object = {}, namespace = 'default'): HTTPRoute =>
  ({
    metadata: { name, namespace, generation: 2, creationTimestamp: new Date(1_700_000_000_000 + 1000 * age++).toISOString() },
    spec: { parentRefs: [{ name: 'public', namespace: 'default' }], rules, ...more },
  }) as unknown as HTTPRoute
const to = (name: string, weight = 1, more: object = {}) => ({ name, port: 80, weight, ...more })

async function serve(httpRoutes: HTTPRoute[], more: Partial<GatewayObjects> = {}, grants: ReferenceGrant[] = []) {
  const objects = { classes: [ofClass], gateways: [gateway()], httpRoutes, grpcRoutes: [], ...more }
  const view = {
    ...proxy.known,
    service: (namespace: string, name: string) => proxy.known.service(namespace, name) ?? elsewhere.get(`${namespace}/${name}`),
    labelsOfNamespace: (name: string) => ({ 'kubernetes.io/metadata.name': name }),
    grants,
  }
  const { routing, statuses } = gatewayRouting(objects, view, controller, ['192.0.2.1'])
  await proxy.route(routing)
  return statuses
}
async function who(host: string, url: string, headers?: Record<string, string>): Promise<string> {
  const { status, body } = await proxy.ask(host, url, headers)
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
      { matches: [{ path: { type: 'PathPrefix', value: '/nobody' } }] },
    ]),
  ])
  const asked = async (url: string, headers = {}): Promise<{ url: string; headers: Record<string, string> }> =>
    JSON.parse((await proxy.ask('x', url, headers)).body) as { url: string; headers: Record<string, string> }
  const seen = await asked('/headers', { 'x-gone': '1' })
  expect(seen.headers['x-a']).toBe('50% "$1"')
  expect(seen.headers['x-gone']).toBeUndefined()
  expect((await proxy.ask('x', '/headers')).headers['x-b']).toBe('b')
  const rewritten = await asked('/old/x?q=1')
  expect([rewritten.url, rewritten.headers.host]).toEqual(['/new/x?q=1', 'inner'])
  const away = await proxy.ask('x', '/away/x?q=1')
  expect([away.status, away.headers.location]).toEqual([301, 'https://example.org/x?q=1'])
  expect(await who('x', '/nobody')).toBe('500')
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
    { name: 'odd', port: 8000, protocol: 'HTTP' },
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
    route('strange', [{ filters: [{ type: 'RequestMirror' }], backendRefs: [to('a')] }]),
  ]
  const statuses = await serve(routes, { gateways: [gateway(listeners)] })
  expect([await who('x.example.com', '/'), await who('other.org', '/'), await who('tls.example.com', '/')]).toEqual(['a', '404', 'a'])
  const secure = await proxy.askSecurely('tls.example.com', '/')
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
    ['odd', 0, 'Accepted=False PortUnavailable'],
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

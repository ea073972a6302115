/** Aggregated APIs: a real second API server behind a Service, through two API servers of the cluster. */
import { once } from 'node:events'
import { request as httpsRequest } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { writeFile, mkdtemp, rm } from 'node:fs/promises'
import { networkInterfaces, tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import { natsTransport } from '#shared/bus/api-client.ts'
import { makeAuthority, sign, type Pair } from '#shared/certificates/certificate.ts'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { group, version } from '../../fixtures/aggregated/documents.ts'
import { startAggregatedServer, type AggregatedServer } from '../../fixtures/aggregated/server.ts'
import { runTool } from '../../fixtures/kubectl.ts'
import { until } from '../controllers/setup.ts'
import { get, json } from '../bus/setup.ts'

let dir: string
let api: ApiServerFixture
let rest: Rest
let other: Rest
let servingCa: Pair
let serving: Pair
let remote: AggregatedServer
const address = Object.values(networkInterfaces())
  .flat()
  .find(i => i && !i.internal && i.family === 'IPv4')!.address
const name = `${version}.${group}`
const registration = '/apis/apiregistration.k8s.io/v1/apiservices'
const root = `/apis/${group}/${version}`
const flunders = `${root}/namespaces/default/flunders`
const aggregated = { headers: { accept: 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList' } }

const b64 = (text: string): string => Buffer.from(text).toString('base64')
const apiService = (spec: object = {}) => ({
  metadata: { name },
  spec: {
    group,
    version,
    service: { namespace: 'default', name: 'wardle' },
    caBundle: b64(servingCa.cert),
    groupPriorityMinimum: 2000,
    versionPriority: 200,
    ...spec,
  },
})
const conditionOf = async () => {
  const { body } = await rest('GET', `${registration}/${name}`)
  return body.status?.conditions?.find((c: { type: string }) => c.type === 'Available')
}
const becomes = (status: string, reason: string) =>
  until(`${status} for ${reason}`, async () => {
    const c = await conditionOf()
    if (c?.status === status && c.reason === reason) return c
    throw new Error(JSON.stringify(c))
  })
/** Both API servers know it. */
const served = () =>
  until('both to serve it', async () => {
    for (const one of [rest, other]) {
      if ((await one('GET', flunders)).code !== 200) return false
      const { body } = await one('GET', '/apis', undefined, aggregated)
      const found = body.items.find((g: any) => g.metadata.name === group)?.versions[0] // any: JSON
      if (found?.freshness !== 'Current' || found.resources.length !== 1) return false
    }
    return true
  })
const endpointSlice = (port: number) => ({
  metadata: { name: 'wardle', labels: { 'kubernetes.io/service-name': 'wardle' } },
  addressType: 'IPv4',
  endpoints: [{ addresses: [address], conditions: { ready: true } }],
  ports: [{ name: 'https', port, protocol: 'TCP' }],
})
const slices = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices'

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'cox-aggregation-'))
  const file = async (called: string, text: string): Promise<string> => {
    await writeFile(path.join(dir, called), text, { mode: 0o600 })
    return path.join(dir, called)
  }
  const [frontProxyCa, ca] = await Promise.all([makeAuthority(), makeAuthority()])
  servingCa = ca
  const [client, server] = await Promise.all([
    sign(frontProxyCa, { commonName: 'front-proxy-client' }),
    sign(ca, { commonName: 'wardle', names: { dns: ['wardle.default.svc'], ips: [] } }),
  ])
  serving = server
  api = await startTestApiServer({
    proxyClientCertFile: await file('proxy.crt', client.cert),
    proxyClientKeyFile: await file('proxy.key', client.key),
    requestheaderClientCaFile: await file('proxy-ca.crt', frontProxyCa.cert),
    requestheaderAllowedNames: ['front-proxy-client'],
    requestheaderUidHeaders: ['X-Remote-Uid'],
  })
  rest = api.rest
  other = (await api.startAnother()).rest
  remote = await startAggregatedServer({
    address,
    cert: server.cert,
    key: server.key,
    frontProxy: { ca: frontProxyCa.cert, names: ['front-proxy-client'] },
  })
})
afterAll(async () => {
  await api?.stop()
  await remote?.close()
  await rm(dir, { recursive: true, force: true })
})

it('there are APIServices of what is served here, in upstream’s order, and they come and go with definitions', async () => {
  const { body } = await rest('GET', registration)
  const names: string[] = body.items.map((s: any) => s.metadata.name) // any: JSON
  expect(names).toEqual(expect.arrayContaining(['v1.', 'v1.apps', 'v2.autoscaling', 'v1.apiextensions.k8s.io']))
  expect(names).not.toContain('v1.apiregistration.k8s.io')
  expect(body.items.find((s: any) => s.metadata.name === 'v1.apps')).toMatchObject({
    metadata: { labels: { 'kube-aggregator.kubernetes.io/automanaged': 'onstart' } },
    spec: { group: 'apps', version: 'v1', groupPriorityMinimum: 17_800, versionPriority: 15 },
    status: { conditions: [{ type: 'Available', status: 'True', reason: 'Local', message: 'Local APIServices are always available' }] },
  })
  const definition = {
    metadata: { name: 'gadgets.custom.example.com' },
    spec: {
      group: 'custom.example.com',
      scope: 'Namespaced',
      names: { plural: 'gadgets', kind: 'Gadget' },
      versions: ['v1', 'v2'].map(v => ({
        name: v,
        served: v === 'v1',
        storage: v === 'v1',
        schema: { openAPIV3Schema: { type: 'object' } },
      })),
    },
  }
  const crds = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
  expect((await rest('POST', crds, definition)).code).toBe(201)
  const own = `${registration}/v1.custom.example.com`
  await until('an APIService of it', async () => (await rest('GET', own)).code === 200)
  expect((await rest('GET', own)).body).toMatchObject({
    metadata: { labels: { 'kube-aggregator.kubernetes.io/automanaged': 'true' } },
    spec: { groupPriorityMinimum: 1000, versionPriority: 100 },
  })
  expect((await rest('GET', `${registration}/v2.custom.example.com`)).code).toBe(404)
  // What is kept is made again.
  const { uid } = (await rest('GET', own)).body.metadata
  await rest('DELETE', own)
  await until('another', async () => ![uid, undefined].includes((await rest('GET', own)).body.metadata?.uid))
  await rest('DELETE', `${crds}/gadgets.custom.example.com`)
  await until('it to be gone', async () => (await rest('GET', own)).code === 404)
})

it('its availability is told step by step', async () => {
  expect((await rest('POST', registration, apiService())).code).toBe(201)
  expect(await becomes('False', 'ServiceNotFound')).toMatchObject({ message: 'service/wardle in "default" is not present' })
  const refused = await rest('GET', flunders)
  expect([refused.code, refused.text, refused.headers['content-type']]).toEqual([503, 'service unavailable\n', 'text/plain; charset=utf-8'])
  expect((await rest('GET', flunders, undefined, { as: 'nobody' })).code).toBe(403)
  await rest('POST', '/api/v1/namespaces/default/services', {
    metadata: { name: 'wardle' },
    spec: { ports: [{ name: 'https', port: 8443 }] },
  })
  expect(await becomes('False', 'ServicePortError')).toMatchObject({ message: 'service/wardle in "default" is not listening on port 443' })
  await rest('PATCH', '/api/v1/namespaces/default/services/wardle', [{ op: 'replace', path: '/spec/ports/0/port', value: 443 }], {
    headers: { 'content-type': 'application/json-patch+json' },
  })
  expect(await becomes('False', 'EndpointsNotFound')).toMatchObject({
    message: 'cannot find endpointslices for service/wardle in "default"',
  })
  await rest('POST', slices, { ...endpointSlice(remote.port), endpoints: [] })
  expect(await becomes('False', 'MissingEndpoints')).toMatchObject({
    message: 'endpointslices for service/wardle in "default" have no addresses with port name "https"',
  })
  await rest('PUT', `${slices}/wardle`, endpointSlice(1))
  expect(await becomes('False', 'FailedDiscoveryCheck')).toMatchObject({
    message: expect.stringContaining(`dial tcp ${address}:1: connect: connection refused`),
  })
  await rest('PUT', `${slices}/wardle`, endpointSlice(remote.port))
  expect(await becomes('True', 'Passed')).toMatchObject({ message: 'all checks passed' })
  await served()
})

it('kubectl shows what is available', async () => {
  const { stdout } = await runTool('kubectl', api.kubeconfig, ['get', 'apiservices'])
  const lines = stdout.split('\n').map(line => line.split(/\s+/).slice(0, 3))
  expect(lines).toEqual(
    expect.arrayContaining([
      ['NAME', 'SERVICE', 'AVAILABLE'],
      ['v1.apps', 'Local', 'True'],
      [name, 'default/wardle', 'True'],
    ]),
  )
})

describe('a request', () => {
  it('is passed on as it is, with who asks and nothing of his credentials', async () => {
    const headers = {
      'x-remote-user': 'root',
      'x-remote-group': 'system:masters',
      'x-remote-extra-a': 'b',
      'impersonate-user': 'jané',
      'impersonate-group': 'dev',
      'impersonate-uid': '42',
      'impersonate-extra-Scopes%2Fa': 'view',
    }
    await rest('POST', '/apis/rbac.authorization.k8s.io/v1/clusterroles', {
      metadata: { name: 'flunders' },
      rules: [{ verbs: ['*'], apiGroups: [group], resources: ['*'] }],
    })
    const may = { roleRef: { kind: 'ClusterRole', name: 'flunders' }, subjects: [{ kind: 'Group', name: 'dev' }] }
    await rest('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', { metadata: { name: 'flunders' }, ...may })
    const before = remote.requests.length
    const { body } = await rest('GET', `${root}/whoami?a=b%20c&a=d`, undefined, {
      headers: { ...headers, 'impersonate-user': Buffer.from('jané').toString('latin1') },
    })
    const got = remote.requests.slice(before).find(r => r.url.includes('whoami'))!
    expect(got.url).toBe(`${root}/whoami?a=b%20c&a=d`)
    expect(Object.keys(got.headers).filter(h => h.startsWith('impersonate'))).toEqual([])
    expect(got.headers).toMatchObject({ host: 'wardle.default.svc', 'x-forwarded-for': '127.0.0.1', 'audit-id': expect.any(String) })
    expect(body).toMatchObject({ uid: '42', groups: ['dev', 'system:authenticated'], extra: { 'scopes/a': ['view'] } })
    expect(body.extra).not.toHaveProperty('a')
  })

  it('of every method, with lists and watches, through both servers', async () => {
    const watch = await other.watch(`${flunders}?watch=true`)
    expect((await rest('POST', flunders, { metadata: { name: 'one' }, spec: { reference: 'x' } })).code).toBe(201)
    expect(await watch.next()).toMatchObject({ type: 'ADDED', object: { kind: 'Flunder', metadata: { name: 'one' } } })
    expect((await rest('PUT', `${flunders}/one`, { metadata: { name: 'one' }, spec: { reference: 'y' } })).code).toBe(200)
    expect(await watch.next()).toMatchObject({ type: 'MODIFIED', object: { spec: { reference: 'y' } } })
    expect((await other('GET', flunders)).body.items).toHaveLength(1)
    expect((await rest('POST', flunders, { metadata: { name: 'one' } })).body).toMatchObject({ reason: 'AlreadyExists' })
    expect((await rest('DELETE', `${flunders}/one`)).body).toMatchObject({ status: 'Success' })
    expect(await watch.next()).toMatchObject({ type: 'DELETED' })
    watch.stop()
    expect((await rest('HEAD', flunders)).code).toBe(200)
  })

  it('may have a body of any size, which is passed on as it comes', async () => {
    const { hostname, port } = new URL(api.url)
    const pair = { ca: api.ca.cert, cert: api.admin.cert, key: api.admin.key }
    const req = httpsRequest({ method: 'POST', path: `${flunders}/x/upload`, hostname, port, ...pair })
    for (let i = 0; i < 10; i++) if (!req.write(Buffer.alloc(1 << 20))) await once(req, 'drain')
    req.end()
    const [res] = (await once(req, 'response')) as [IncomingMessage]
    expect(JSON.parse((await Array.fromAsync(res as AsyncIterable<Buffer>)).join(''))).toEqual({ bytes: 10 << 20 })
    req.destroy()
  })

  it('may come over NATS', async () => {
    const transport = natsTransport(await api.nats.connect('system:admin'))
    const created = await get(transport, flunders, { method: 'POST', body: Buffer.from('{"metadata":{"name":"bus"}}') })
    expect([created.code, await json(created)]).toMatchObject([201, { metadata: { name: 'bus' } }])
    await get(transport, `${flunders}/bus`, { method: 'DELETE' })
    await transport.close()
  })

  it('may become another protocol', async () => {
    const pair = { ca: api.ca.cert, cert: api.admin.cert, key: api.admin.key }
    const socket = new WebSocket(`${api.url.replace('https', 'wss')}${flunders}/x/connect`, pair)
    const [first] = await once(socket, 'message')
    expect(JSON.parse(String(first))).toMatchObject({ name: 'kubernetes-admin', groups: expect.arrayContaining(['system:masters']) })
    socket.send('hello')
    expect(String((await once(socket, 'message'))[0])).toBe('hello')
    socket.close()
    await once(socket, 'close')
    const { hostname, port } = new URL(api.url)
    const headers = { connection: 'Upgrade', upgrade: 'SPDY/3.1' }
    const req = httpsRequest({ path: `${flunders}/x/connect`, hostname, port, headers, ...pair }).end()
    const [res, stream] = await once(req, 'upgrade')
    expect(res.headers.upgrade).toBe('SPDY/3.1')
    stream.write('ping')
    expect(String((await once(stream, 'data'))[0])).toBe('ping')
    stream.destroy()
  })
})

it('discovery and OpenAPI hold it, in its place', async () => {
  for (const one of [rest, other]) {
    const { body } = await one('GET', '/apis', undefined, aggregated)
    const names = body.items.map((g: any) => g.metadata.name) // any: JSON
    expect(names[0]).toBe('apiregistration.k8s.io')
    expect(names.indexOf(group)).toBe(names.length - 1)
    expect(body.items.at(-1)).toEqual({
      metadata: { name: group },
      versions: [
        {
          version,
          freshness: 'Current',
          resources: [
            {
              resource: 'flunders',
              responseKind: { group, version, kind: 'Flunder' },
              scope: 'Namespaced',
              singularResource: 'flunder',
              verbs: ['create', 'delete', 'get', 'list', 'update', 'watch'],
              shortNames: ['fl'],
              categories: ['wardle'],
              subresources: [{ subresource: 'upload', responseKind: { group, version, kind: 'Flunder' }, verbs: ['create'] }],
            },
          ],
        },
      ],
    })
    expect((await one('GET', '/apis')).body.groups.at(-1)).toMatchObject({ name: group, preferredVersion: { version } })
    expect((await one('GET', root)).body).toMatchObject({
      kind: 'APIResourceList',
      resources: [{ name: 'flunders' }, { name: 'flunders/upload' }],
    })
    const index = await until('OpenAPI', async () => {
      const { paths } = (await one('GET', '/openapi/v3')).body
      return paths[`apis/${group}/${version}`] && paths
    })
    expect(index['api/v1'].serverRelativeURL).not.toContain('DEAD')
    const v3 = await one('GET', index[`apis/${group}/${version}`].serverRelativeURL)
    expect(Object.keys(v3.body.components.schemas)).toContain('com.example.wardle.v1alpha1.Flunder')
    const v2 = await until('version 2', async () => {
      const found = (await one('GET', '/openapi/v2')).body
      return found.definitions['com.example.wardle.v1alpha1.Flunder'] && found
    })
    const meta = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta'
    expect(v2.definitions[meta].properties).toHaveProperty('uid')
    expect(v2.definitions[`${meta}_v2`].properties).not.toHaveProperty('uid')
    expect(v2.definitions['com.example.wardle.v1alpha1.Flunder'].properties.metadata).toEqual({ $ref: `#/definitions/${meta}_v2` })
    expect(v2.definitions).not.toHaveProperty('com.example.Unused')
    expect(v2.paths).not.toHaveProperty('/apis/other.example.com/v1/things')
    expect(v2.paths[`${root}/namespaces/{namespace}/flunders`].post.parameters[1]).toMatchObject({ name: 'pretty', in: 'query' })
  }
})

it('kubectl works with it', async () => {
  const kubectl = (...args: string[]) => runTool('kubectl', api.kubeconfig, args)
  const manifest = path.join(dir, 'flunder.json')
  await writeFile(
    manifest,
    JSON.stringify({ apiVersion: `${group}/${version}`, kind: 'Flunder', metadata: { name: 'mine' }, spec: { reference: 'a' } }),
  )
  expect((await kubectl('create', '-f', manifest)).stdout.trim()).toBe(`flunder.${group}/mine created`)
  expect((await kubectl('get', 'fl', 'mine', '-o', 'jsonpath={.spec.reference}')).stdout).toBe('a')
  expect((await kubectl('api-resources', '--api-group', group)).stdout).toMatch(/flunders +fl +wardle.example.com\/v1alpha1 +true +Flunder/)
  expect((await kubectl('explain', 'flunder.spec.reference')).stdout).toContain('The name of another flunder.')
  expect((await kubectl('delete', 'flunder', 'mine')).stdout).toContain('deleted')
})

describe('a server that misbehaves breaks nothing', () => {
  const ours = async () => {
    expect((await rest('GET', '/api/v1/namespaces/default')).code).toBe(200)
    expect((await rest('GET', '/openapi/v2')).code).toBe(200)
    expect((await rest('GET', '/apis', undefined, aggregated)).code).toBe(200)
  }
  const renewed = async () => {
    // Another registration asks for everything anew.
    await rest('DELETE', `${registration}/${name}`)
    expect((await rest('GET', root)).code).toBe(404)
    expect((await rest('POST', registration, apiService())).code).toBe(201)
    await becomes('True', 'Passed')
  }
  it('with garbage', async () => {
    const garbage = (body: string) => (_: IncomingMessage, res: { end(text: string): void; setHeader(n: string, v: string): void }) => {
      res.setHeader('content-type', 'application/json')
      res.end(body)
    }
    remote.faults.set(
      /^\/apis$/,
      garbage(
        '{"kind":"APIGroupDiscoveryList","items":[{"metadata":{"name":"wardle.example.com"},"versions":[{"version":"v1alpha1","resources":[{"resource":7}]}]}]}',
      ),
    )
    remote.faults.set(/^\/openapi/, garbage('['.repeat(100_000)))
    await renewed()
    const stale = async () =>
      (await rest('GET', '/apis', undefined, aggregated)).body.items.find((g: any) => g.metadata.name === group)?.versions[0]
    expect(await stale()).toEqual({ version, resources: [], freshness: 'Stale' })
    await ours()
    remote.faults.clear()
    await served()
  })
  it('without discovery in one document, and without OpenAPI of version 3', async () => {
    const notFound = (_: IncomingMessage, res: { writeHead(code: number): { end(): void } }) => void res.writeHead(404).end()
    remote.faults.set(/^\/apis$/, notFound)
    remote.faults.set(/^\/openapi\/v3/, notFound)
    await renewed()
    await served()
    const url = await until(
      'OpenAPI made of version 2',
      async () => (await rest('GET', '/openapi/v3')).body.paths[`apis/${group}/${version}`]?.serverRelativeURL,
    )
    const { body } = await rest('GET', url)
    expect(body.components.schemas['com.example.wardle.v1alpha1.Flunder'].properties.metadata).toEqual({
      $ref: '#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta',
    })
    expect(body.paths[`${root}/namespaces/{namespace}/flunders`].post.requestBody.content['*/*'].schema).toEqual({
      $ref: '#/components/schemas/com.example.wardle.v1alpha1.Flunder',
    })
    const { stdout } = await runTool('kubectl', api.kubeconfig, ['explain', 'flunder.spec.reference'])
    expect(stdout).toContain('The name of another flunder.')
    remote.faults.clear()
  })
  it('by answers that never end, and by none', async () => {
    remote.faults.set(/slow/, () => {})
    remote.faults.set(/cut/, (_, res) => {
      res.writeHead(200, { 'content-type': 'text/plain' })
      res.write('a')
      setImmediate(() => res.destroy())
    })
    expect((await rest('GET', `${root}/slow?timeout=1s`)).code).toBe(504)
    await expect(rest('GET', `${root}/cut`)).rejects.toThrow()
    await ours()
    remote.faults.clear()
  })
  it('by a certificate that is not good', async () => {
    const wrong = await makeAuthority()
    await rest(
      'PATCH',
      `${registration}/${name}`,
      { spec: { caBundle: b64(wrong.cert) } },
      { headers: { 'content-type': 'application/merge-patch+json' } },
    )
    const answer = await until('the refusal', async () => {
      const { code, text } = await rest('GET', flunders)
      return code === 503 && text.includes('x509') && text
    })
    expect(answer).toBe('error trying to reach service: tls: failed to verify certificate: x509: certificate signed by unknown authority\n')
    await rest(
      'PATCH',
      `${registration}/${name}`,
      { spec: { caBundle: null, insecureSkipTLSVerify: true } },
      { headers: { 'content-type': 'application/merge-patch+json' } },
    )
    await served()
  })
  it('by going away', async () => {
    const { port } = remote
    await remote.close()
    await rest(
      'PATCH',
      `${registration}/${name}`,
      { metadata: { labels: { again: 'x' } } },
      { headers: { 'content-type': 'application/merge-patch+json' } },
    )
    await becomes('False', 'FailedDiscoveryCheck')
    for (const one of [rest, other])
      await until('503', async () => {
        const { code, text } = await one('GET', flunders)
        return code === 503 && text === 'service unavailable\n'
      })
    await ours()
    remote = await startAggregatedServer({
      address,
      port,
      cert: serving.cert,
      key: serving.key,
      frontProxy: { ca: servingCa.cert, names: [] },
    })
    await rest('DELETE', `${registration}/${name}`)
    for (const one of [rest, other]) await until('404', async () => (await one('GET', flunders)).code === 404)
  })
})

it('whichever API server goes, the one that is left tells what is available', async () => {
  const two = await startTestApiServer()
  try {
    const second = await two.startAnother()
    const third = await two.startAnother()
    const own = third.rest
    expect((await own('POST', registration, apiService())).code).toBe(201)
    const reason = (wanted: string) =>
      until(wanted, async () => {
        const { body } = await own('GET', `${registration}/${name}`)
        return body.status?.conditions?.some((c: { reason: string }) => c.reason === wanted)
      })
    await reason('ServiceNotFound')
    // One of the three was the first.
    await two.server.close()
    await own('POST', '/api/v1/namespaces/default/services', { metadata: { name: 'wardle' }, spec: { ports: [{ port: 443 }] } })
    await reason('EndpointsNotFound')
    await second.server.close()
    await own('DELETE', '/api/v1/namespaces/default/services/wardle')
    await reason('ServiceNotFound')
  } finally {
    await two.stop()
  }
})

/** Kinds of another API server in the eyes of the controllers that work on every kind there is: a real server behind an APIService. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeAuthority, sign } from '#shared/certificates/certificate.ts'
import { apiServices, configMaps, endpointSlices, namespaces, services } from '#shared/api/kinds.ts'
import type { KubeObject, OwnerReference } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { group, version } from '../../fixtures/aggregated/documents.ts'
import { startAggregatedServer, type AggregatedServer } from '../../fixtures/aggregated/server.ts'
import { startControl, until, type Control } from './setup.ts'

let c: Control
let dir: string
let remote: AggregatedServer
const flunders: Kind = { group, version, kind: 'Flunder', plural: 'flunders', namespaced: true }
const address = Object.values(networkInterfaces())
  .flat()
  .find(i => i && !i.internal && i.family === 'IPv4')!.address

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cox-aggregated-'))
  const file = async (name: string, text: string): Promise<string> => {
    await writeFile(join(dir, name), text, { mode: 0o600 })
    return join(dir, name)
  }
  const [frontProxy, ca] = await Promise.all([makeAuthority(), makeAuthority()])
  const [client, serving] = await Promise.all([
    sign(frontProxy, { commonName: 'front-proxy-client' }),
    sign(ca, { commonName: 'wardle', names: { dns: ['wardle.default.svc'], ips: [] } }),
  ])
  remote = await startAggregatedServer({
    address,
    cert: serving.cert,
    key: serving.key,
    frontProxy: { ca: frontProxy.cert, names: ['front-proxy-client'] },
  })
  c = await startControl({
    proxyClientCertFile: await file('proxy.crt', client.cert),
    proxyClientKeyFile: await file('proxy.key', client.key),
    requestheaderClientCaFile: await file('proxy-ca.crt', frontProxy.cert),
    requestheaderAllowedNames: ['front-proxy-client'],
  })
  await c.control()
  const make = (kind: Kind<any>, ns: string, object: object) => c.client.create(kind, ns, object as never) // any: of several kinds
  await make(services, 'default', { metadata: { name: 'wardle' }, spec: { ports: [{ name: 'https', port: 443 }] } })
  await make(endpointSlices, 'default', {
    metadata: { name: 'wardle', labels: { 'kubernetes.io/service-name': 'wardle' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
    ports: [{ name: 'https', port: remote.port, protocol: 'TCP' }],
  })
  await make(apiServices, '', {
    metadata: { name: `${version}.${group}` },
    spec: {
      group,
      version,
      service: { namespace: 'default', name: 'wardle' },
      caBundle: Buffer.from(ca.cert).toString('base64'),
      groupPriorityMinimum: 2000,
      versionPriority: 200,
    },
  })
  await until('it to be served', () => c.client.list(flunders, 'default'))
})
afterAll(async () => {
  await c?.stop()
  await remote?.close()
  await rm(dir, { recursive: true, force: true })
})

const make = (kind: Kind<any>, ns: string, name: string, owners: OwnerReference[] = []): Promise<KubeObject> =>
  c.client.create(kind, ns, { metadata: { name, ownerReferences: owners } } as never) // any: of several kinds
const refTo = (kind: Kind<any>, { metadata }: KubeObject): OwnerReference => ({
  // any: as above
  apiVersion: kind.group ? `${kind.group}/${kind.version}` : kind.version,
  kind: kind.kind,
  name: metadata.name!,
  uid: metadata.uid!,
})
const gone = (kind: Kind<any>, ns: string, name: string) =>
  // any: as above
  until(`${kind.plural} ${name} to be gone`, () => c.client.get(kind, ns, name).then(() => false, isNotFound), 20_000)

test('they are collected, and own what is collected, though their server does not say when a watch has sent all', async () => {
  const ns = await c.namespace('collected')
  const map = await make(configMaps, ns, 'owner')
  await make(flunders, ns, 'owned', [refTo(configMaps, map)])
  await make(flunders, ns, 'free')
  await c.client.delete(configMaps, ns, 'owner')
  await gone(flunders, ns, 'owned')
  const flunder = await c.client.get(flunders, ns, 'free')
  await make(configMaps, ns, 'of-flunder', [refTo(flunders, flunder)])
  await c.client.delete(flunders, ns, 'free')
  await gone(configMaps, ns, 'of-flunder')
})

test('a namespace is emptied of them one by one', async () => {
  const ns = await c.namespace('emptied')
  await make(flunders, ns, 'a')
  await make(flunders, ns, 'b')
  await c.client.delete(namespaces, '', ns)
  await gone(namespaces, '', ns)
  expect((await c.client.list(flunders, ns)).items).toEqual([])
})

test('while their server is down, a namespace is emptied of all else and says what it waits for', async () => {
  const ns = await c.namespace('down')
  await make(flunders, ns, 'left')
  await make(configMaps, ns, 'rest')
  const listenAt = (port: number) =>
    c.client.patch(endpointSlices, 'default', 'wardle', 'merge', { ports: [{ name: 'https', port, protocol: 'TCP' }] })
  await listenAt(1)
  try {
    await until('the server to be known as down', async () =>
      (await c.client.get(apiServices, '', `${version}.${group}`)).status?.conditions?.some(
        x => x.type === 'Available' && x.status === 'False',
      ),
    )
    await c.client.delete(namespaces, '', ns)
    await gone(configMaps, ns, 'rest')
    const condition = await until('the failure to be told', async () =>
      (await c.client.get(namespaces, '', ns)).status?.conditions?.find(
        x => x.type === 'NamespaceDeletionDiscoveryFailure' && x.status === 'True',
      ),
    )
    expect(condition).toMatchObject({
      reason: 'DiscoveryFailed',
      message: `Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: ${group}/${version}: stale GroupVersion discovery: ${group}/${version}`,
    })
  } finally {
    await listenAt(remote.port)
  }
  await gone(namespaces, '', ns)
  expect((await c.client.list(flunders, ns)).items).toEqual([])
})

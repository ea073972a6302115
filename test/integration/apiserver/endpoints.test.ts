import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture } from '../../fixtures/apiserver.ts'

let api: ApiServerFixture
beforeAll(async () => {
  api = await startTestApiServer({ advertiseAddress: '192.0.2.1' })
})
afterAll(() => api?.stop())

const addresses = async () => {
  const { body } = await api.rest('GET', '/api/v1/namespaces/default/endpoints/kubernetes')
  return body.subsets
    ?.flatMap((s: { addresses: { ip: string }[]; ports: { port: number }[] }) => s.addresses.map(a => `${a.ip}:${s.ports[0]!.port}`))
    .sort()
}
const slices = async () => {
  const { body } = await api.rest(
    'GET',
    '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name%3Dkubernetes',
  )
  return body.items
    .flatMap((s: { endpoints: { addresses: string[] }[]; ports: { port: number }[] }) =>
      s.endpoints.map(e => `${e.addresses[0]}:${s.ports[0]!.port}`),
    )
    .sort()
}

it('the kubernetes Service has the API servers that are alive behind it', async () => {
  const own = `192.0.2.1:${api.server.port}`
  await expect.poll(addresses).toEqual([own])
  await expect.poll(slices).toEqual([own])
  const { server } = await api.startAnother({ advertiseAddress: '192.0.2.2' })
  const both = [own, `192.0.2.2:${server.port}`].sort()
  await expect.poll(addresses).toEqual(both)
  await expect.poll(slices).toEqual(both)
  const leases = await api.rest(
    'GET',
    '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases?labelSelector=apiserver.kubernetes.io/identity%3Dkube-apiserver',
  )
  expect(leases.body.items).toHaveLength(2)
  await server.close()
  expect(await addresses()).toEqual([own])
  expect(await slices()).toEqual([own])
})

it('one that is killed leaves the endpoints soon; two that share an address are one endpoint with two leases', async () => {
  const own = `192.0.2.1:${api.server.port}`
  const leases = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases'
  const { body } = await api.rest('GET', `${leases}?labelSelector=apiserver.kubernetes.io/identity%3Dkube-apiserver`)
  const [mine] = body.items
  const copy = (name: string, address: string) => {
    const { labels } = mine.metadata
    return {
      ...mine,
      metadata: { name, labels, annotations: { 'coxswain.dev/advertise-address': address } },
      spec: { ...mine.spec, holderIdentity: name, renewTime: new Date().toISOString().replace('Z', '000Z') },
    }
  }
  // Nobody renews these.
  expect((await api.rest('POST', leases, copy('apiserver-dead', '192.0.2.9:6443'))).code).toBe(201)
  expect((await api.rest('POST', leases, copy('apiserver-twin', own))).code).toBe(201)
  await expect.poll(addresses, { timeout: 10_000 }).toEqual([own, '192.0.2.9:6443'].sort())
  await expect.poll(addresses, { timeout: 20_000 }).toEqual([own])
  expect(await slices()).toEqual([own])
}, 40_000)

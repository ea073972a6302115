import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture } from '../../fixtures/apiserver.ts'

let api: ApiServerFixture
beforeAll(async () => {
  api = await startTestApiServer({ advertiseAddress: '192.0.2.1' })
})
afterAll(() => api?.stop())

const addresses = async () => {
  const { body } = await api.rest('GET', '/api/v1/namespaces/default/endpoints/kubernetes')
  return body.subsets?.flatMap((s: { addresses: { ip: string }[]; ports: { port: number }[] }) => s.addresses.map(a => `${a.ip}:${s.ports[0]!.port}`)).sort()
}
const slices = async () => {
  const { body } = await api.rest('GET', '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name%3Dkubernetes')
  return body.items.flatMap((s: { endpoints: { addresses: string[] }[]; ports: { port: number }[] }) => s.endpoints.map(e => `${e.addresses[0]}:${s.ports[0]!.port}`)).sort()
}

it('the kubernetes Service has the API servers that are alive behind it', async () => {
  const own = `192.0.2.1:${api.server.port}`
  await expect.poll(addresses).toEqual([own])
  await expect.poll(slices).toEqual([own])
  const { server } = await api.startAnother({ advertiseAddress: '192.0.2.2' })
  const both = [own, `192.0.2.2:${server.port}`].sort()
  await expect.poll(addresses).toEqual(both)
  await expect.poll(slices).toEqual(both)
  const leases = await api.rest('GET', '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases?labelSelector=apiserver.kubernetes.io/identity%3Dkube-apiserver')
  expect(leases.body.items).toHaveLength(2)
  await server.close()
  expect(await addresses()).toEqual([own])
  expect(await slices()).toEqual([own])
})

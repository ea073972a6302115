/** Quotas with the controller that measures them, over two API servers. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { ResourceQuota } from '#shared/api/core/resourcequota.ts'
import type { Service } from '#shared/api/core/service.ts'
import { configMaps, leases, pods, resourceQuotas, services } from '#shared/api/kinds.ts'
import type { Lease } from '#shared/api/coordination/lease.ts'
import type { Rest } from '../../fixtures/apiserver.ts'
import { startControl, until, type Control } from './setup.ts'

let c: Control
let other: Rest
beforeAll(async () => {
  c = await startControl()
  await c.control()
  other = (await c.api.startAnother()).rest
})
afterAll(() => c?.stop())

const quota = async (ns: string, name: string, spec: ResourceQuota['spec']): Promise<void> => {
  await c.client.create(resourceQuotas, ns, { metadata: { name }, spec } as ResourceQuota)
  await until('the quota to be measured', async () => (await used(ns, name)) !== undefined)
}
const used = async (ns: string, name: string) => (await c.client.get(resourceQuotas, ns, name)).status?.used
const becomes = (ns: string, name: string, wanted: Record<string, string>) => expect.poll(() => used(ns, name)).toEqual(wanted)
const pod = (ns: string, name: string, spec: object = {}) =>
  c.client.create(pods, ns, { metadata: { name }, spec: { containers: [{ name: 'c', image: 'x' }], ...spec } } as Pod)
const count = (from: number, ns: string, rest: Rest, n: number) =>
  Array.from({ length: n }, (_, i) => rest('POST', `/api/v1/namespaces/${ns}/configmaps`, { metadata: { name: `m-${from + i}` } }))

test('as much as is allowed, however many ask at once and whom', async () => {
  const ns = await c.namespace('busy')
  const there = (await c.client.list(configMaps, ns)).items.length
  await quota(ns, 'q', { hard: { 'count/configmaps': String(there + 20), configmaps: '100' } })
  const answers = await Promise.all([...count(0, ns, c.api.rest, 25), ...count(25, ns, other, 25)])
  const codes = answers.map(a => a.code)
  expect(codes.filter(code => code === 201)).toHaveLength(20)
  expect(codes.filter(code => code === 403)).toHaveLength(30)
  expect(answers.find(a => a.code === 403)!.body.message).toMatch(
    new RegExp(
      `^configmaps "m-\\d+" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=${there + 20}, limited: count/configmaps=${there + 20}$`,
    ),
  )
  const total = String(there + 20)
  await becomes(ns, 'q', { 'count/configmaps': total, configmaps: total })
  const left = (await c.client.list(configMaps, ns)).items
  expect(left).toHaveLength(there + 20)
  await c.client.delete(configMaps, ns, left.find(m => m.metadata.name?.startsWith('m-'))!.metadata.name!)
  await becomes(ns, 'q', { 'count/configmaps': String(there + 19), configmaps: String(there + 19) })
  expect((await other('POST', `/api/v1/namespaces/${ns}/configmaps`, { metadata: { name: 'again' } })).code).toBe(201)
})

test('a create that fails after it was charged is given back', async () => {
  const ns = await c.namespace('failed')
  await quota(ns, 'q', { hard: { 'count/leases.coordination.k8s.io': '2' } })
  const lease = () => c.client.create(leases, ns, { metadata: { name: 'l' }, spec: {} } as Lease)
  await lease()
  await expect(lease()).rejects.toThrow('already exists')
  await becomes(ns, 'q', { 'count/leases.coordination.k8s.io': '1' })
})

test('pods count with what they request until they have ended; services with their type', async () => {
  const ns = await c.namespace('kinds')
  const resources = { requests: { cpu: '500m' } }
  await quota(ns, 'q', { hard: { pods: '2', 'requests.cpu': '1', 'services.nodeports': '1' } })
  await pod(ns, 'a', { containers: [{ name: 'c', image: 'x', resources }] })
  await expect(pod(ns, 'b')).rejects.toThrow('pods "b" is forbidden: failed quota: q: must specify requests.cpu for: c')
  await becomes(ns, 'q', { pods: '1', 'requests.cpu': '500m', 'services.nodeports': '0' })
  const service = (name: string, type: string) =>
    c.client.create(services, ns, { metadata: { name }, spec: { type, ports: [{ port: 80 }] } } as unknown as Service)
  await service('s', 'NodePort')
  await expect(service('t', 'LoadBalancer')).rejects.toThrow(
    'exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=1, limited: services.nodeports=1',
  )
  await c.client.patch(pods, ns, 'a', 'merge', { status: { phase: 'Succeeded' } }, 'status')
  await c.client.patch(services, ns, 's', 'merge', { spec: { type: 'ClusterIP' } })
  await becomes(ns, 'q', { pods: '0', 'requests.cpu': '0', 'services.nodeports': '0' })
})

test('scopes, and a quota that changes', async () => {
  const ns = await c.namespace('scoped')
  await quota(ns, 'best', { hard: { pods: '1' }, scopes: ['BestEffort'] })
  await quota(ns, 'rest', { hard: { pods: '1' }, scopes: ['NotBestEffort'] })
  await pod(ns, 'a')
  await expect(pod(ns, 'b')).rejects.toThrow('exceeded quota: best')
  await c.client.patch(resourceQuotas, ns, 'best', 'merge', { spec: { hard: { pods: '2', 'count/secrets': '5' } } })
  await expect
    .poll(async () => (await c.client.get(resourceQuotas, ns, 'best')).status)
    .toEqual({ hard: { pods: '2', 'count/secrets': '5' }, used: { pods: '1', 'count/secrets': '0' } })
  await pod(ns, 'b')
  await becomes(ns, 'rest', { pods: '0' })
  await c.client.delete(pods, ns, 'a')
  await becomes(ns, 'best', { pods: '1', 'count/secrets': '0' })
})

test('dry runs are checked, not charged', async () => {
  const ns = await c.namespace('dry')
  const there = String((await c.client.list(configMaps, ns)).items.length)
  await quota(ns, 'q', { hard: { configmaps: there } })
  const answer = await other('POST', `/api/v1/namespaces/${ns}/configmaps?dryRun=All`, { metadata: { name: 'd' } } as ConfigMap)
  expect(answer.body.message).toContain('exceeded quota: q, requested: configmaps=1')
  await c.client.patch(resourceQuotas, ns, 'q', 'merge', { spec: { hard: { configmaps: '9' } } })
  await expect.poll(async () => (await c.client.get(resourceQuotas, ns, 'q')).status?.hard).toEqual({ configmaps: '9' })
  expect((await other('POST', `/api/v1/namespaces/${ns}/configmaps?dryRun=All`, { metadata: { name: 'd' } })).code).toBe(201)
  expect(await used(ns, 'q')).toEqual({ configmaps: there })
})

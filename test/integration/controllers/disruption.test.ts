/** What PodDisruptionBudgets allow, as the controller tells, with pods of real controllers. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Deployment } from '#shared/api/apps/deployment.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { deployments, events, podDisruptionBudgets, pods } from '#shared/api/kinds.ts'
import type { PodDisruptionBudget } from '#shared/api/policy/poddisruptionbudget.ts'
import { StatusError } from '#shared/machinery/status.ts'
import { startControl, startNode, until, type Control } from './setup.ts'

let c: Control
let node: { stop(): void }
/** Whether pods that come now get ready. */
let ready = true
beforeAll(async () => {
  c = await startControl()
  await c.control()
  node = await startNode(c.client, 'node-1', { ready: () => ready })
})
afterAll(async () => {
  node?.stop()
  await c?.stop()
})

const selector = { matchLabels: { app: 'web' } }
const template = { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image: 'nginx' }] } }
const deploy = async (ns: string, replicas: number) => {
  await c.client.create(deployments, ns, { metadata: { name: 'web' }, spec: { replicas, selector, template } } as unknown as Deployment)
  await until('the pods are ready', async () => (await c.client.get(deployments, ns, 'web')).status?.readyReplicas === replicas)
}
const guard = (ns: string, spec: object) =>
  c.client.create(podDisruptionBudgets, ns, { metadata: { name: 'web' }, spec: { selector, ...spec } } as unknown as PodDisruptionBudget)
const allowed = (ns: string, status: object) =>
  until(`the budget to be ${JSON.stringify(status)}`, async () => {
    const now: object = (await c.client.get(podDisruptionBudgets, ns, 'web')).status ?? {}
    return Object.entries(status).every(([name, value]) => (now as Record<string, unknown>)[name] === value)
  })
const evict = (ns: string, name: string) =>
  c.client.post(pods, ns, name, 'eviction', { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace: ns } } as never)

test('a share of what the workload wants may go; evictions take it, new pods give it back', async () => {
  const ns = await c.namespace('share')
  await deploy(ns, 4)
  await guard(ns, { maxUnavailable: '30%' })
  await allowed(ns, { disruptionsAllowed: 2, currentHealthy: 4, desiredHealthy: 2, expectedPods: 4, observedGeneration: 1 })
  const names = (await c.client.list(pods, ns)).items.map(p => p.metadata.name!)
  ready = false
  const results = await Promise.allSettled(names.map(name => evict(ns, name)))
  const refused = results.flatMap(r => (r.status === 'rejected' ? [(r.reason as StatusError).code] : []))
  expect(refused).toEqual([429, 429])
  await allowed(ns, { disruptionsAllowed: 0, currentHealthy: 2 })
  ready = true
  await until('every pod to be ready', async () => {
    const { items } = await c.client.list(pods, ns)
    // The node looks at a pod when it changes.
    for (const { metadata } of items.filter(p => p.status?.phase !== 'Running'))
      await c.client.patch(pods, ns, metadata.name!, 'merge', { metadata: { annotations: { touched: String(Math.random()) } } })
    return items.filter(p => p.status?.phase === 'Running').length === 4
  })
  await allowed(ns, { disruptionsAllowed: 2, currentHealthy: 4 })
  expect((await c.client.get(podDisruptionBudgets, ns, 'web')).status).toMatchObject({
    conditions: [{ type: 'DisruptionAllowed', status: 'True', reason: 'SufficientPods' }],
  })
  await c.client.patch(deployments, ns, 'web', 'merge', { spec: { replicas: 1 } })
  await allowed(ns, { disruptionsAllowed: 1, expectedPods: 1, desiredHealthy: 0 })
})

test('a number of pods must stay, whoever made them', async () => {
  const ns = await c.namespace('number')
  await c.client.create(pods, ns, { metadata: { name: 'alone', labels: { app: 'web' } }, spec: template.spec } as unknown as Pod)
  await guard(ns, { minAvailable: 1 })
  await allowed(ns, { disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1 })
  await expect(evict(ns, 'alone')).rejects.toMatchObject({ code: 429 })
  await c.client.patch(podDisruptionBudgets, ns, 'web', 'merge', { spec: { minAvailable: 0 } })
  await allowed(ns, { disruptionsAllowed: 1, observedGeneration: 2 })
  await evict(ns, 'alone')
})

test('a budget that guards nothing allows nothing, and one whose pods are nobody’s says so', async () => {
  const ns = await c.namespace('nobody')
  await guard(ns, { maxUnavailable: 1 })
  await allowed(ns, { disruptionsAllowed: 0, expectedPods: 0, observedGeneration: 1 })
  await c.client.create(pods, ns, { metadata: { name: 'alone', labels: { app: 'web' } }, spec: template.spec } as unknown as Pod)
  const messageOf = async (reason: string) => (await c.client.list(events, ns)).items.find(e => e.reason === reason)?.message
  expect(await until('the event', () => messageOf('NoPods'))).toBe('No matching pods found')
  expect(await until('the event', () => messageOf('UnmanagedPods'))).toContain(
    '(selector: &LabelSelector{MatchLabels:map[string]string{app: web,},MatchExpressions:[]LabelSelectorRequirement{},}) were found',
  )
})

test('a budget of pods whose controller has no scale allows nothing', async () => {
  const ns = await c.namespace('strange')
  const owner = { apiVersion: 'v1', kind: 'ConfigMap', name: 'kube-root-ca.crt', controller: true }
  const uid = await until(
    'the map',
    async () =>
      (await c.client.raw<{ metadata: { uid: string } }>('GET', `/api/v1/namespaces/${ns}/configmaps/kube-root-ca.crt`)).metadata.uid,
  )
  await c.client.create(pods, ns, {
    metadata: { name: 'strange', labels: { app: 'web' }, ownerReferences: [{ ...owner, uid }] },
    spec: template.spec,
  } as unknown as Pod)
  await guard(ns, { maxUnavailable: 1 })
  await until('the failure', async () => {
    const { status } = await c.client.get(podDisruptionBudgets, ns, 'web')
    const failed = status?.conditions?.find(i => i.reason === 'SyncFailed')
    return failed?.message === 'configmaps does not implement the scale subresource' && status?.disruptionsAllowed === 0
  })
})

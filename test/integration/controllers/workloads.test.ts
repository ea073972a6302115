import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Deployment } from '#shared/api/apps/deployment.ts'
import type { ReplicaSet } from '#shared/api/apps/replicaset.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Service } from '#shared/api/core/service.ts'
import {
  configMaps,
  deployments,
  endpointSlices,
  endpoints,
  events,
  pods,
  replicaSets,
  replicationControllers,
  serviceAccounts,
  services,
} from '#shared/api/kinds.ts'
import type { Kind } from '#shared/api/resource.ts'
import { startInformer } from '#shared/client/reflector.ts'
import { conditionOf } from '#control-plane/controller-manager/deployment/status.ts'
import { quiet, startControl, startNode, until, type Control } from './setup.ts'

let c: Control
let node: { stop(): void }
beforeAll(async () => {
  c = await startControl()
  await c.control()
  node = await startNode(c.client, 'node-1')
})
afterAll(async () => {
  node?.stop()
  await c?.stop()
})

const deployment = (name: string, replicas: number, spec: object = {}): Deployment =>
  ({
    metadata: { name },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: [{ name: 'c', image: 'one', ports: [{ name: 'http', containerPort: 8080 }] }],
        },
      },
      ...spec,
    },
  }) as unknown as Deployment
const get = (ns: string, name: string) => c.client.get(deployments, ns, name)
const complete = (ns: string, name: string, replicas: number) =>
  until(`deployment ${name} to be complete`, async () => {
    const d = await get(ns, name)
    const s = d.status
    return (
      s?.observedGeneration === d.metadata.generation &&
      s?.updatedReplicas === replicas &&
      s.replicas === replicas &&
      s.availableReplicas === replicas &&
      d
    )
  })
const setImage = (ns: string, name: string, image: string) =>
  c.client.patch(deployments, ns, name, 'strategic', { spec: { template: { spec: { containers: [{ name: 'c', image }] } } } })
const messages = async (ns: string) => (await c.client.list(events, ns)).items.map(e => `${e.reason} ${e.message}`)

test('a deployment rolls out, is updated, scaled, undone, paused and resumed', async () => {
  const ns = await c.namespace('roll')
  await c.client.create(deployments, ns, deployment('web', 3))
  const first = await complete(ns, 'web', 3)
  const [rs1] = (await c.client.list(replicaSets, ns)).items
  expect(first.metadata).toMatchObject({ generation: 1, annotations: { 'deployment.kubernetes.io/revision': '1' } })
  expect(conditionOf(first.status, 'Progressing')).toMatchObject({
    status: 'True',
    reason: 'NewReplicaSetAvailable',
    message: `ReplicaSet "${rs1!.metadata.name}" has successfully progressed.`,
  })
  expect(conditionOf(first.status, 'Available')).toMatchObject({ status: 'True', reason: 'MinimumReplicasAvailable' })
  expect(
    await until('events', async () => {
      const m = await messages(ns)
      return m.some(x => x.startsWith('SuccessfulCreate Created pod: web-')) && m.find(x => x.startsWith('ScalingReplicaSet'))
    }),
  ).toBe(`ScalingReplicaSet Scaled up replica set ${rs1!.metadata.name} from 0 to 3`)

  // Never fewer than 3 available (25 % of 3 rounded down) and never more than 4 pods that are not going.
  const stop = new AbortController()
  const informer = startInformer(c.client, pods, { namespace: ns, log: quiet }, stop.signal)
  await informer.synced
  let [fewest, most] = [3, 3]
  informer.subscribe(() => {
    const active = informer.list().filter((p: Pod) => !p.metadata.deletionTimestamp)
    most = Math.max(most, active.length)
    fewest = Math.min(fewest, active.filter(p => p.status?.conditions?.some(x => x.type === 'Ready' && x.status === 'True')).length)
  })
  await setImage(ns, 'web', 'two')
  const second = await complete(ns, 'web', 3)
  stop.abort()
  expect([fewest, most]).toEqual([3, 4])
  expect(second.metadata).toMatchObject({ generation: 2, annotations: { 'deployment.kubernetes.io/revision': '2' } })

  await c.client.patch(deployments, ns, 'web', 'merge', { spec: { replicas: 5 } })
  await complete(ns, 'web', 5)
  const rs2 = (await c.client.list(replicaSets, ns)).items.find(rs => rs.spec.replicas === 5)!
  await until('the event of scaling', async () =>
    (await messages(ns)).includes(`ScalingReplicaSet Scaled up replica set ${rs2.metadata.name} from 3 to 5`),
  )

  // rollout undo: the old template comes back under a new revision.
  await setImage(ns, 'web', 'one')
  const undone = await complete(ns, 'web', 5)
  expect(undone.metadata.annotations).toMatchObject({ 'deployment.kubernetes.io/revision': '3' })
  expect((await c.client.get(replicaSets, ns, rs1!.metadata.name!)).metadata.annotations).toMatchObject({
    'deployment.kubernetes.io/revision': '3',
    'deployment.kubernetes.io/revision-history': '1',
  })
  expect((await c.client.list(replicaSets, ns)).items).toHaveLength(2)

  await c.client.patch(deployments, ns, 'web', 'merge', { spec: { paused: true } })
  await until('the pause', async () => conditionOf((await get(ns, 'web')).status, 'Progressing')?.reason === 'DeploymentPaused')
  await setImage(ns, 'web', 'three')
  await until('the paused generation to be seen', async () => {
    const d = await get(ns, 'web')
    return d.status?.observedGeneration === d.metadata.generation
  })
  expect((await c.client.list(replicaSets, ns)).items).toHaveLength(2)
  await c.client.patch(deployments, ns, 'web', 'merge', { spec: { paused: false, revisionHistoryLimit: 1 } })
  await complete(ns, 'web', 5)
  await until('the history to be cut', async () => (await c.client.list(replicaSets, ns)).items.length === 2)
})

test('Recreate starts new pods only when the old ones are gone', async () => {
  const ns = await c.namespace('recreate')
  await c.client.create(deployments, ns, deployment('web', 2, { strategy: { type: 'Recreate' } }))
  await complete(ns, 'web', 2)
  const stop = new AbortController()
  const informer = startInformer(c.client, pods, { namespace: ns, log: quiet }, stop.signal)
  await informer.synced
  let mixed = false
  informer.subscribe(() => (mixed ||= new Set(informer.list().map(p => p.spec.containers[0]!.image)).size > 1))
  await setImage(ns, 'web', 'two')
  await complete(ns, 'web', 2)
  stop.abort()
  expect(mixed).toBe(false)
})

test('a service has the endpoints of its ready pods', async () => {
  const ns = await c.namespace('endpoints')
  await c.client.create(services, ns, {
    metadata: { name: 'web', labels: { l: 'v' } },
    spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 'http' }] },
  } as unknown as Service)
  const slices = async () => (await c.client.list(endpointSlices, ns, { labelSelector: 'kubernetes.io/service-name=web' })).items
  await until('an empty slice', async () => (await slices()).length === 1 && (await slices())[0]!.endpoints?.length === 0)
  await c.client.create(deployments, ns, deployment('web', 3))
  const slice = await until('three endpoints', async () =>
    (await slices()).find(s => s.endpoints?.filter(e => e.conditions?.ready).length === 3),
  )
  expect(slice).toMatchObject({ addressType: 'IPv4', ports: [{ port: 8080, protocol: 'TCP' }] })
  expect(slice.metadata).toMatchObject({
    labels: { l: 'v', 'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io' },
    ownerReferences: [{ kind: 'Service', name: 'web' }],
  })
  const old = await until('Endpoints', async () =>
    (await c.client.list(endpoints, ns)).items.find(e => e.subsets?.[0]?.addresses?.length === 3),
  )
  expect(old.subsets).toMatchObject([{ ports: [{ port: 8080, protocol: 'TCP' }] }])
  const [pod] = (await c.client.list(pods, ns)).items
  await c.client.patch(
    pods,
    ns,
    pod!.metadata.name!,
    'strategic',
    { status: { conditions: [{ type: 'Ready', status: 'False' }] } },
    'status',
  )
  await until('the pod to leave', async () => (await slices())[0]!.endpoints?.filter(e => e.conditions?.ready).length === 2)
  await c.client.delete(services, ns, 'web')
  await until(
    'slices and endpoints to go',
    async () => (await slices()).length === 0 && (await c.client.list(endpoints, ns)).items.length === 0,
  )
})

test.for([
  { kind: replicaSets, selector: { matchLabels: { app: 'web' } } },
  { kind: replicationControllers, selector: { app: 'web' } },
])('pods of a $kind.kind are adopted and released by their labels, and replaced when they go', async ({ kind, selector }) => {
  const ns = await c.namespace(`adopt-${kind.plural}`)
  const spec = { containers: [{ name: 'c', image: 'one' }], terminationGracePeriodSeconds: 1 }
  await c.client.create(pods, ns, { metadata: { name: 'stray', labels: { app: 'web' } }, spec } as unknown as Pod)
  await c.client.create(kind as Kind<ReplicaSet>, ns, {
    metadata: { name: 'web' },
    spec: { replicas: 2, selector, template: { metadata: { labels: { app: 'web' } }, spec } },
  } as never)
  const ready = () =>
    until('two ready pods', async () => (await c.client.get(kind as Kind<ReplicaSet>, ns, 'web')).status?.readyReplicas === 2)
  await ready()
  expect((await c.client.list(pods, ns)).items).toHaveLength(2)
  expect((await c.client.get(pods, ns, 'stray')).metadata.ownerReferences).toMatchObject([
    { kind: kind.kind, name: 'web', controller: true },
  ])
  await c.client.patch(pods, ns, 'stray', 'merge', { metadata: { labels: { app: 'other' } } })
  await until(
    'the stray pod to be released',
    async () =>
      (await c.client.get(pods, ns, 'stray')).metadata.ownerReferences === undefined && (await c.client.list(pods, ns)).items.length === 3,
  )
  const victim = (await c.client.list(pods, ns, { labelSelector: 'app=web' })).items[0]!
  await c.client.delete(pods, ns, victim.metadata.name!)
  await until('a replacement', async () => {
    const { items } = await c.client.list(pods, ns, { labelSelector: 'app=web' })
    return items.length === 2 && !items.some(p => p.metadata.uid === victim.metadata.uid)
  })
  await ready()
})

test('every namespace has its service account and the root certificate', async () => {
  const ns = await c.namespace('accounts')
  await until('the service account', () => c.client.get(serviceAccounts, ns, 'default'))
  expect((await until('the certificate', () => c.client.get(configMaps, ns, 'kube-root-ca.crt'))).data).toEqual({ 'ca.crt': 'CA' })
  await c.client.delete(serviceAccounts, ns, 'default')
  await until('a new service account', () => c.client.get(serviceAccounts, ns, 'default'))
  await c.client.patch(configMaps, ns, 'kube-root-ca.crt', 'merge', { data: { 'ca.crt': 'x' } })
  await until(
    'the certificate to be put right',
    async () => (await c.client.get(configMaps, ns, 'kube-root-ca.crt')).data?.['ca.crt'] === 'CA',
  )
})

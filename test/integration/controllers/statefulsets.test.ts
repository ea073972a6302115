import { afterAll, beforeAll, expect, test } from 'vitest'
import type { StatefulSet } from '#shared/api/apps/statefulset.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { controllerRevisions, events, persistentVolumeClaims, pods, statefulSets } from '#shared/api/kinds.ts'
import { startInformer } from '#shared/client/reflector.ts'
import { quiet, startControl, startNode, until, type Control } from './setup.ts'

let c: Control
let node: { stop(): void }
/** Pods of this image are never ready. */
const broken = 'broken'
beforeAll(async () => {
  c = await startControl()
  await c.control()
  node = await startNode(c.client, 'node-1', { ready: pod => pod.spec.containers[0]!.image !== broken })
})
afterAll(async () => {
  node?.stop()
  await c?.stop()
})

const statefulSet = (spec: object = {}): StatefulSet =>
  ({
    metadata: { name: 'web' },
    spec: {
      replicas: 3,
      serviceName: 'web',
      selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'c', image: 'one' }] },
      },
      ...spec,
    },
  }) as unknown as StatefulSet
const get = (ns: string) => c.client.get(statefulSets, ns, 'web')
const podsOf = async (ns: string) => (await c.client.list(pods, ns)).items.sort((a, b) => (a.metadata.name! < b.metadata.name! ? -1 : 1))
const names = async (ns: string) => (await podsOf(ns)).map(p => p.metadata.name)
const images = async (ns: string) => (await podsOf(ns)).map(p => p.spec.containers[0]!.image)
const claimsOf = async (ns: string) => (await c.client.list(persistentVolumeClaims, ns)).items.map(i => i.metadata.name).sort()
const patch = (ns: string, spec: object) => c.client.patch(statefulSets, ns, 'web', 'merge', { spec })
const setImage = (ns: string, image: string) =>
  c.client.patch(statefulSets, ns, 'web', 'strategic', { spec: { template: { spec: { containers: [{ name: 'c', image }] } } } })
const complete = (ns: string, n: number, image: string) =>
  until(`${n} pods of ${image} in ${ns}`, async () => {
    const { status: s, metadata } = await get(ns)
    const all = await images(ns)
    return (
      s?.observedGeneration === metadata.generation &&
      s?.replicas === n &&
      (s.availableReplicas ?? 0) === n &&
      (s.updatedReplicas ?? 0) === n &&
      s.currentRevision === s.updateRevision &&
      all.length === n &&
      all.every(i => i === image) &&
      s
    )
  })
const isReady = (p: Pod) =>
  !p.metadata.deletionTimestamp && Boolean(p.status?.conditions?.some(x => x.type === 'Ready' && x.status === 'True'))
/** Follows the pods of a namespace and calls `look` with all of them at each change. */
async function follow(ns: string, look: (all: Pod[], type: string, pod: Pod) => void): Promise<() => void> {
  const stop = new AbortController()
  const informer = startInformer(c.client, pods, { namespace: ns, log: quiet }, stop.signal)
  await informer.synced
  informer.subscribe(e => look(informer.list(), e.type, e.object))
  return () => stop.abort()
}
const ordinal = (p: Pod) => Number(p.metadata.name!.split('-').at(-1))

test('pods come up in order, are updated from the last, and can be rolled back', async () => {
  const ns = await c.namespace('order')
  let wrong = ''
  const made: string[] = []
  const stop = await follow(ns, (all, type, pod) => {
    if (type !== 'ADDED') return
    made.push(pod.metadata.name!)
    for (const p of all) if (ordinal(p) < ordinal(pod) && !isReady(p)) wrong ||= `${pod.metadata.name} before ${p.metadata.name} was ready`
  })
  await c.client.create(statefulSets, ns, statefulSet())
  await complete(ns, 3, 'one')
  expect(made).toEqual(['web-0', 'web-1', 'web-2'])
  expect((await podsOf(ns))[1]).toMatchObject({
    metadata: { labels: { 'statefulset.kubernetes.io/pod-name': 'web-1', 'apps.kubernetes.io/pod-index': '1' } },
    spec: { hostname: 'web-1', subdomain: 'web' },
  })
  await setImage(ns, 'two')
  const { updateRevision } = await complete(ns, 3, 'two')
  expect(made).toEqual(['web-0', 'web-1', 'web-2', 'web-2', 'web-1', 'web-0'])
  const revisions = (await c.client.list(controllerRevisions, ns)).items.sort((a, b) => a.revision - b.revision)
  expect(revisions.map(r => r.revision)).toEqual([1, 2])
  expect((await podsOf(ns)).map(p => p.metadata.labels!['controller-revision-hash'])).toEqual(Array(3).fill(updateRevision))
  // As kubectl rollout undo.
  await c.client.patch(statefulSets, ns, 'web', 'strategic', revisions[0]!.data)
  await complete(ns, 3, 'one')
  expect((await c.client.list(controllerRevisions, ns)).items.map(r => r.revision).sort()).toEqual([2, 3])
  expect(wrong).toBe('')
  await until('the event', async () =>
    (await c.client.list(events, ns)).items.some(e => e.message === 'create Pod web-0 in StatefulSet web successful'),
  )
  stop()
})

test('it grows from the first and shrinks from the last; a pod that goes comes back as itself', async () => {
  const ns = await c.namespace('scale')
  const gone: string[] = []
  const stop = await follow(ns, (_, type, pod) => void (type === 'DELETED' && gone.push(pod.metadata.name!)))
  await c.client.create(statefulSets, ns, statefulSet({ replicas: 1 }))
  await complete(ns, 1, 'one')
  await patch(ns, { replicas: 4 })
  await complete(ns, 4, 'one')
  await patch(ns, { replicas: 1 })
  await complete(ns, 1, 'one')
  expect(gone).toEqual(['web-3', 'web-2', 'web-1'])
  const [before] = await podsOf(ns)
  await c.client.delete(pods, ns, 'web-0')
  await until('another web-0', async () => (await podsOf(ns))[0]?.metadata.uid !== before!.metadata.uid)
  await complete(ns, 1, 'one')
  // One that failed is replaced, too.
  await c.client.patch(pods, ns, 'web-0', 'strategic', { status: { phase: 'Failed' } }, 'status')
  await until('a replacement', async () => (await podsOf(ns))[0]?.status?.phase === 'Running')
  // From another number on.
  await patch(ns, { ordinals: { start: 2 }, replicas: 2 })
  await until('moved ordinals', async () => (await names(ns)).join() === 'web-2,web-3')
  stop()
})

test('in parallel all come and go at once', async () => {
  const ns = await c.namespace('parallel')
  await c.client.create(statefulSets, ns, statefulSet({ podManagementPolicy: 'Parallel', ...brokenTemplate() }))
  await until('three pods that are not ready', async () => (await names(ns)).length === 3)
  // An update gets past pods that do not work.
  await setImage(ns, 'one')
  await complete(ns, 3, 'one')
})
function brokenTemplate(): object {
  const { template } = statefulSet().spec as unknown as { template: { spec: object } }
  return { template: { ...template, spec: { ...template.spec, containers: [{ name: 'c', image: broken }] } } }
}

test('a partition holds an update back; OnDelete leaves it to others', async () => {
  const ns = await c.namespace('partition')
  await c.client.create(statefulSets, ns, statefulSet({ updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 2 } } }))
  await complete(ns, 3, 'one')
  await setImage(ns, 'two')
  await until('the canary', async () => (await images(ns)).join() === 'one,one,two' && (await podsOf(ns)).every(isReady))
  await until('the status', async () => {
    const { status } = await get(ns)
    return status?.updatedReplicas === 1 && status.currentReplicas === 2
  })
  // One below the partition comes back as it was.
  const before = (await podsOf(ns))[0]!
  await c.client.delete(pods, ns, 'web-0')
  await until('web-0 again', async () => (await podsOf(ns))[0]?.metadata.uid !== before.metadata.uid && (await podsOf(ns)).length === 3)
  expect(await images(ns)).toEqual(['one', 'one', 'two'])
  await patch(ns, { updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } } })
  await complete(ns, 3, 'two')
  await patch(ns, { updateStrategy: { type: 'OnDelete', rollingUpdate: null } })
  await setImage(ns, 'three')
  await until('the generation to be seen', async () => {
    const { status, metadata } = await get(ns)
    return status?.observedGeneration === metadata.generation && !status?.updatedReplicas
  })
  await c.client.delete(pods, ns, 'web-1')
  await until('one new pod', async () => (await images(ns)).join() === 'two,three,two')
})

test('several may be missing during an update', async () => {
  const ns = await c.namespace('unavailable')
  const rollingUpdate = { maxUnavailable: 2 }
  await c.client.create(statefulSets, ns, statefulSet({ replicas: 4, updateStrategy: { type: 'RollingUpdate', rollingUpdate } }))
  await complete(ns, 4, 'one')
  let fewest = 4
  const stop = await follow(ns, all => (fewest = Math.min(fewest, all.filter(isReady).length)))
  await setImage(ns, 'two')
  await complete(ns, 4, 'two')
  stop()
  expect(fewest).toBe(2)
})

test('each pod has claims of its own, which stay or go as the policy says', async () => {
  const ns = await c.namespace('claims')
  const volumeClaimTemplates = [
    { metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } } } },
  ]
  await c.client.create(statefulSets, ns, statefulSet({ replicas: 2, volumeClaimTemplates }))
  await complete(ns, 2, 'one')
  expect(await claimsOf(ns)).toEqual(['data-web-0', 'data-web-1'])
  const claimOf = (name: string) => c.client.get(persistentVolumeClaims, ns, name)
  const first = await claimOf('data-web-1')
  expect(first.metadata).toMatchObject({ labels: { app: 'web' } })
  await patch(ns, { replicas: 1 })
  await complete(ns, 1, 'one')
  await patch(ns, { replicas: 2 })
  await complete(ns, 2, 'one')
  expect((await claimOf('data-web-1')).metadata.uid).toBe(first.metadata.uid)

  await patch(ns, { persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Delete', whenScaled: 'Delete' } })
  await until('the set to own its claims', async () => (await claimOf('data-web-1')).metadata.ownerReferences?.[0]?.kind === 'StatefulSet')
  await patch(ns, { replicas: 1 })
  await until('the claim to go', async () => (await claimsOf(ns)).join() === 'data-web-0')
  await patch(ns, { replicas: 2 })
  await complete(ns, 2, 'one')
  expect((await claimOf('data-web-1')).metadata.uid).not.toBe(first.metadata.uid)
  await c.client.delete(statefulSets, ns, 'web', { propagationPolicy: 'Background' })
  await until('everything to go', async () => (await claimsOf(ns)).length === 0 && (await podsOf(ns)).length === 0)
})

test('a name that somebody else has is waited for; labels are put back; a set made anew takes its pods back', async () => {
  const ns = await c.namespace('names')
  const spec = { terminationGracePeriodSeconds: 1, containers: [{ name: 'c', image: 'x' }] }
  await c.client.create(pods, ns, { metadata: { name: 'web-0', labels: { other: 'x' } }, spec } as unknown as Pod)
  await c.client.create(statefulSets, ns, statefulSet({ replicas: 2 }))
  await until('a try', async () => (await get(ns)).status?.observedGeneration === 1)
  await c.client.delete(pods, ns, 'web-0')
  await complete(ns, 2, 'one')
  await c.client.patch(pods, ns, 'web-1', 'merge', { metadata: { labels: { 'statefulset.kubernetes.io/pod-name': null } } })
  await until('the label', async () => (await podsOf(ns))[1]?.metadata.labels?.['statefulset.kubernetes.io/pod-name'] === 'web-1')
  const before = (await podsOf(ns)).map(p => p.metadata.uid)
  await c.client.delete(statefulSets, ns, 'web', { propagationPolicy: 'Orphan' })
  await until('the set to go', async () => (await c.client.list(statefulSets, ns)).items.length === 0)
  expect((await podsOf(ns)).every(p => !p.metadata.ownerReferences)).toBe(true)
  await c.client.create(statefulSets, ns, statefulSet({ replicas: 2 }))
  await complete(ns, 2, 'one')
  expect((await podsOf(ns)).map(p => p.metadata.uid)).toEqual(before)
})

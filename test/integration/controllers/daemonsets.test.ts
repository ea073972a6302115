import { afterAll, beforeAll, expect, test } from 'vitest'
import type { DaemonSet } from '#shared/api/apps/daemonset.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { controllerRevisions, daemonSets, events, nodes, pods } from '#shared/api/kinds.ts'
import { startInformer } from '#shared/client/reflector.ts'
import { nodeOf } from '#control-plane/controller-manager/daemonset/template.ts'
import { quiet, startControl, startNode, until, type Control } from './setup.ts'

let c: Control
const started: { stop(): void }[] = []
/** By namespace: pods of this image are not ready. */
const broken = 'broken'
beforeAll(async () => {
  c = await startControl()
  await c.control()
  for (const [i, zone] of ['a', 'a', 'b'].entries()) {
    const name = `node-${i + 1}`
    const ready = (pod: Pod) => pod.spec.containers[0]!.image !== broken
    started.push(await startNode(c.client, name, { labels: { zone }, binds: pod => nodeOf(pod) === name, ready }))
  }
})
afterAll(async () => {
  for (const n of started) n.stop()
  await c?.stop()
})

const daemonSet = (spec: object = {}, pod: object = {}): DaemonSet =>
  ({
    metadata: { name: 'logs' },
    spec: {
      selector: { matchLabels: { app: 'logs' } },
      template: {
        metadata: { labels: { app: 'logs' } },
        spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'c', image: 'one' }], ...pod },
      },
      ...spec,
    },
  }) as unknown as DaemonSet
const get = (ns: string) => c.client.get(daemonSets, ns, 'logs')
const podsOf = async (ns: string) => (await c.client.list(pods, ns)).items
const nodesOf = async (ns: string) =>
  (await podsOf(ns))
    .filter(p => !p.metadata.deletionTimestamp)
    .map(p => p.spec.nodeName)
    .sort()
const complete = (ns: string, n: number) =>
  until(`${n} pods of ${ns}`, async () => {
    const { status: s, metadata } = await get(ns)
    return (
      s?.observedGeneration === metadata.generation &&
      s?.desiredNumberScheduled === n &&
      s.currentNumberScheduled === n &&
      s.updatedNumberScheduled === n &&
      s.numberAvailable === n &&
      s.numberMisscheduled === 0 &&
      (await podsOf(ns)).length === n &&
      s
    )
  })
const setImage = (ns: string, image: string) =>
  c.client.patch(daemonSets, ns, 'logs', 'strategic', { spec: { template: { spec: { containers: [{ name: 'c', image }] } } } })
/** A second revision of the present state, as two controllers that led at the same time may have made it. */
async function duplicate(ns: string): Promise<string> {
  const [present] = (await c.client.list(controllerRevisions, ns)).items
  const labels = { ...present!.metadata.labels, 'controller-revision-hash': 'twin' }
  const { ownerReferences } = present!.metadata
  const metadata = { name: 'logs-twin', namespace: ns, labels, ...(ownerReferences ? { ownerReferences } : {}) }
  await c.client.create(controllerRevisions, ns, { metadata, data: present!.data, revision: present!.revision + 1 } as typeof present &
    object)
  return present!.metadata.name!
}
const revisionsOf = async (ns: string) =>
  (await c.client.list(controllerRevisions, ns)).items.sort((a, b) => a.revision - b.revision).map(r => r.revision)

test('every node has a pod; an update replaces them one by one, and can be undone', async () => {
  const ns = await c.namespace('roll')
  await c.client.create(daemonSets, ns, daemonSet())
  await complete(ns, 3)
  expect(await nodesOf(ns)).toEqual(['node-1', 'node-2', 'node-3'])
  const stop = new AbortController()
  const informer = startInformer(c.client, pods, { namespace: ns, log: quiet }, stop.signal)
  await informer.synced
  let fewest = 3
  const ready = (p: Pod) => !p.metadata.deletionTimestamp && p.status?.conditions?.some(x => x.type === 'Ready' && x.status === 'True')
  informer.subscribe(() => (fewest = Math.min(fewest, informer.list().filter(ready).length)))
  await setImage(ns, 'two')
  await complete(ns, 3)
  expect(fewest).toBe(2)
  expect(await revisionsOf(ns)).toEqual([1, 2])
  expect((await podsOf(ns)).map(p => p.spec.containers[0]!.image)).toEqual(['two', 'two', 'two'])

  // As kubectl rollout undo: the data of a revision is a patch of the daemon set.
  const [first] = (await c.client.list(controllerRevisions, ns)).items.filter(r => r.revision === 1)
  await c.client.patch(daemonSets, ns, 'logs', 'strategic', first!.data)
  await complete(ns, 3)
  expect((await podsOf(ns)).map(p => p.spec.containers[0]!.image)).toEqual(['one', 'one', 'one'])
  expect(await revisionsOf(ns)).toEqual([2, 3])
  await c.client.patch(daemonSets, ns, 'logs', 'merge', { spec: { revisionHistoryLimit: 0 } })
  await until('the history to be cut', async () => (await revisionsOf(ns)).length === 1)
  stop.abort()
})

test('with a surge no node is without a ready pod', async () => {
  const ns = await c.namespace('surge')
  const updateStrategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } }
  await c.client.create(daemonSets, ns, daemonSet({ updateStrategy }))
  await complete(ns, 3)
  const stop = new AbortController()
  const informer = startInformer(c.client, pods, { namespace: ns, log: quiet }, stop.signal)
  await informer.synced
  let [fewest, most] = [3, 3]
  informer.subscribe(() => {
    const active = informer.list().filter(p => !p.metadata.deletionTimestamp)
    const ready = active.filter(p => p.status?.conditions?.some(x => x.type === 'Ready' && x.status === 'True'))
    fewest = Math.min(fewest, ready.length)
    most = Math.max(most, active.length)
  })
  await setImage(ns, 'two')
  await complete(ns, 3)
  expect([fewest, most]).toEqual([3, 4])
  stop.abort()
})

test('OnDelete waits for somebody else to delete', async () => {
  const ns = await c.namespace('on-delete')
  await c.client.create(daemonSets, ns, daemonSet({ updateStrategy: { type: 'OnDelete' } }))
  await complete(ns, 3)
  await setImage(ns, 'two')
  await until('the new generation to be seen', async () => {
    const { status, metadata } = await get(ns)
    return status?.observedGeneration === metadata.generation && !status?.updatedNumberScheduled
  })
  const [pod] = await podsOf(ns)
  await c.client.delete(pods, ns, pod!.metadata.name!)
  await until('one new pod', async () => (await get(ns)).status?.updatedNumberScheduled === 1)
  expect((await podsOf(ns)).map(p => p.spec.containers[0]!.image).sort()).toEqual(['one', 'one', 'two'])
})

test('labels and taints of nodes decide', async () => {
  const ns = await c.namespace('placed')
  await c.client.create(daemonSets, ns, daemonSet({}, { nodeSelector: { zone: 'a' } }))
  await complete(ns, 2)
  expect(await nodesOf(ns)).toEqual(['node-1', 'node-2'])
  await c.client.patch(nodes, '', 'node-3', 'merge', { metadata: { labels: { zone: 'a' } } })
  await complete(ns, 3)
  await c.client.patch(nodes, '', 'node-3', 'merge', { metadata: { labels: { zone: 'b' } } })
  await complete(ns, 2)
  // Cordoned nodes keep theirs, and get new ones.
  await c.client.patch(nodes, '', 'node-1', 'merge', { spec: { unschedulable: true } })
  const victim = (await podsOf(ns)).find(p => p.spec.nodeName === 'node-1')!
  await c.client.delete(pods, ns, victim.metadata.name!)
  await until('another', async () => (await podsOf(ns)).some(p => p.spec.nodeName === 'node-1' && p.metadata.uid !== victim.metadata.uid))
  await c.client.patch(nodes, '', 'node-1', 'merge', { spec: { unschedulable: null } })
  const taints = (effect?: string) =>
    c.client.patch(nodes, '', 'node-2', 'merge', { spec: { taints: effect ? [{ key: 'mine', value: 'x', effect }] : null } })
  await taints('NoExecute')
  await complete(ns, 1)
  await taints()
  await complete(ns, 2)
})

test('a pod that failed is replaced, with a word about it', async () => {
  const ns = await c.namespace('failed')
  await c.client.create(daemonSets, ns, daemonSet({}, { nodeSelector: { zone: 'b' } }))
  await complete(ns, 1)
  const [pod] = await podsOf(ns)
  await c.client.patch(pods, ns, pod!.metadata.name!, 'strategic', { status: { phase: 'Failed' } }, 'status')
  await until(
    'another pod',
    async () => (await podsOf(ns)).every(p => p.metadata.uid !== pod!.metadata.uid) && (await podsOf(ns)).length === 1,
  )
  const text = `FailedDaemonPod Found failed daemon pod ${ns}/${pod!.metadata.name} on node node-3, will try to kill it`
  await until('the event', async () => (await c.client.list(events, ns)).items.some(e => `${e.reason} ${e.message}` === text))
})

test('one that is deleted without its pods can be made anew and takes them and its history back', async () => {
  const ns = await c.namespace('orphan')
  await c.client.create(daemonSets, ns, daemonSet())
  await complete(ns, 3)
  const before = (await podsOf(ns)).map(p => p.metadata.uid).sort()
  await c.client.delete(daemonSets, ns, 'logs', { propagationPolicy: 'Orphan' })
  await until('the set to go', async () => (await c.client.list(daemonSets, ns)).items.length === 0)
  expect((await podsOf(ns)).every(p => !p.metadata.ownerReferences)).toBe(true)
  await c.client.create(daemonSets, ns, daemonSet())
  await complete(ns, 3)
  expect((await podsOf(ns)).map(p => p.metadata.uid).sort()).toEqual(before)
  expect(await revisionsOf(ns)).toEqual([1])
})

test('an update that does not work stops after the first node', async () => {
  const ns = await c.namespace('stuck')
  await c.client.create(daemonSets, ns, daemonSet())
  await complete(ns, 3)
  await setImage(ns, broken)
  await until('one new pod', async () => (await get(ns)).status?.updatedNumberScheduled === 1)
  expect((await get(ns)).status).toMatchObject({ numberAvailable: 2, numberUnavailable: 1 })
  await setImage(ns, 'one')
  await complete(ns, 3)
})

test('of two revisions of one state the newest stays, and pods of the other are its own', async () => {
  const ns = await c.namespace('twins')
  await c.client.create(daemonSets, ns, daemonSet())
  await complete(ns, 3)
  const uids = (await podsOf(ns)).map(p => p.metadata.uid).sort()
  const first = await duplicate(ns)
  await c.client.patch(daemonSets, ns, 'logs', 'merge', { metadata: { annotations: { look: 'again' } } })
  await until('the older one to go', async () => {
    const left = (await c.client.list(controllerRevisions, ns)).items.map(r => r.metadata.name)
    return left.length === 1 && left[0] !== first
  })
  await complete(ns, 3)
  const now = await podsOf(ns)
  expect(now.map(p => p.metadata.labels?.['controller-revision-hash'])).toEqual(['twin', 'twin', 'twin'])
  expect(now.map(p => p.metadata.uid).sort()).toEqual(uids)
})

/**
 * The scheduler's decisions, in this process and without an API: queue, snapshot, decision, assumption and the watch's confirmation of each
 * pod, on clusters that are full of pods already.
 */
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { nodes as nodeKind, pods as podKind } from '#shared/api/kinds.ts'
import { ClusterCache } from '#control-plane/scheduler/cache.ts'
import { Action, nodeChanges, resourceOf } from '#control-plane/scheduler/clusterevent.ts'
import { SchedulerMetrics } from '#control-plane/scheduler/metrics.ts'
import { Nominator } from '#control-plane/scheduler/nominator.ts'
import { defaultPlugins } from '#control-plane/scheduler/plugins/registry.ts'
import { podTopologySpread } from '#control-plane/scheduler/plugins/pod-topology-spread.ts'
import type { Handle } from '#control-plane/scheduler/framework.ts'
import { newProfile, queueSortOf, type PluginConfig, type SharedHandle } from '#control-plane/scheduler/profile.ts'
import { SchedulingQueue } from '#control-plane/scheduler/queue.ts'
import { schedule } from '#control-plane/scheduler/schedule.ts'
import type { Row } from './measurement.ts'

const sizes = [
  { nodes: 1000, podsEach: 10, target: 2000 },
  { nodes: 5000, podsEach: 30, target: 1000 },
]
const scheduled = 3000
/** What is left of a node that has ten pods or thirty, and a little less. */
const wholeNode = '28'

/** What the pods ask for beyond resources. */
interface Shape {
  readonly more: (owner: string) => object
  /** Pods of one node, and none but it. */
  readonly filling?: true
  /** So many pods that no node has room for wait beside them. */
  readonly stuck?: number
  /** Whether pods that are alike may have their nodes from one search. */
  readonly batches?: true
}
const shapes: Readonly<Record<string, Shape>> = {
  basic: { more: () => ({}), batches: true },
  'anti-affinity': {
    batches: true,
    more: owner => ({
      affinity: {
        podAntiAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: [
            { labelSelector: { matchLabels: { app: owner } }, topologyKey: 'kubernetes.io/hostname' },
          ],
        },
      },
    }),
  },
  'topology spread': {
    batches: true,
    more: owner => ({
      topologySpreadConstraints: [
        {
          maxSkew: 2,
          topologyKey: 'topology.kubernetes.io/zone',
          whenUnsatisfiable: 'DoNotSchedule',
          labelSelector: { matchLabels: { app: owner } },
        },
      ],
    }),
  },
  'beside 1,000 that fit nowhere': { more: () => ({}), batches: true, stuck: 1000 },
  'a node each, batched': { more: () => ({}), filling: true, batches: true },
  'a node each, not batched': { more: () => ({}), filling: true },
}

const nodeOf = (name: string): Node =>
  ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      labels: {
        'kubernetes.io/hostname': name,
        'kubernetes.io/os': 'linux',
        'topology.kubernetes.io/zone': `zone-${Number(name.slice(name.indexOf('-') + 1)) % 3}`,
      },
    },
    spec: {},
    status: { allocatable: { cpu: '32', memory: '128Gi', pods: '110' }, conditions: [{ type: 'Ready', status: 'True' }] },
  }) as unknown as Node

const podText = (name: string, owner: string, nodeName?: string, more: object = {}, cpu = '100m'): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'default',
      uid: name,
      generation: 1,
      labels: { app: owner },
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: owner, uid: owner, controller: true }],
    },
    spec: {
      containers: [{ name: 'main', image: 'pause', resources: { requests: { cpu, memory: '64Mi' } }, ports: [{ containerPort: 80 }] }],
      tolerations: [{ key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 }],
      schedulerName: 'default-scheduler',
      ...more,
      ...(nodeName ? { nodeName } : {}),
    },
    status: { phase: nodeName ? 'Running' : 'Pending' },
  })

/** Without the default spreading over nodes and zones, with which no pod is like another. */
const unspread = (handle: SharedHandle): PluginConfig[] => [
  ...defaultPlugins.filter(p => p.plugin(handle as Handle).name !== 'PodTopologySpread'),
  { plugin: podTopologySpread({ defaultingType: 'List', defaultConstraints: [] }), weight: 2 },
]

function measure(size: (typeof sizes)[number], { more, filling, batches, stuck = 0 }: Shape): { rate: number; cpuMs: number } {
  const cache = new ClusterCache()
  const nominator = new Nominator()
  // The default plugins ask nothing else of it to make a decision.
  const informer = () => ({ get: () => undefined, list: () => [], byIndex: () => [], addIndex: () => {}, subscribe: () => {} })
  const handle = { nominator, informer, metrics: new SchedulerMetrics(), snapshot: () => cache.snapshot() } as unknown as SharedHandle
  const count = filling ? Math.min(scheduled, size.nodes * 0.8) : scheduled
  const cpuEach = filling ? wholeNode : undefined
  const profile = newProfile({ schedulerName: 'default-scheduler', plugins: filling ? unspread(handle) : defaultPlugins }, handle)
  const profiles = new Map([[profile.schedulerName, profile]])
  const queue = new SchedulingQueue({ profiles, less: queueSortOf([profile]), wake: () => {} })
  const names = Array.from({ length: size.nodes }, (_, i) => `node-${i}`)
  for (const name of names) cache.setNode(nodeOf(name))
  names.forEach((name, i) => {
    for (let k = 0; k < size.podsEach; k++) cache.setPod(JSON.parse(podText(`old-${i}-${k}`, `rs-${(i + k) % 500}`, name)) as Pod)
  })
  const resource = resourceOf(podKind)
  let start = 0
  let cycles = 0
  /** Those that fill nodes come one controller after the other, as a Deployment makes them; the others of twenty at once. */
  const ownerOf = (i: number): string => `rs-${filling ? Math.floor(i / 100) : i % 20}`
  const round = (from: number, count: number): void => {
    for (let i = 0; i < count; i++)
      queue.add(JSON.parse(podText(`new-${from + i}`, ownerOf(i), undefined, more(ownerOf(i)), cpuEach)) as Pod)
    for (let queued = queue.pop(), i = 0; queued; queued = queue.pop(), i++) {
      const snapshot = cache.snapshot()
      const decision = schedule(queued.info, snapshot, profile, { start, ...(batches ? { cycle: cycles++ } : {}) })
      if (decision.node === undefined) throw new Error('a pod of the bench fits nowhere')
      start = (start + decision.looked) % snapshot.nodes.length
      cache.assume(queued.info, decision.node)
      queue.decided(queued.info.uid)
      queue.done(queued.info.uid)
      const { owner = '' } = queued.info
      const confirmed = JSON.parse(podText(queued.info.uid, owner, decision.node, more(owner), cpuEach)) as Pod
      cache.setPod(confirmed)
      queue.happened({ resource, action: Action.Add, object: confirmed })
      // The heartbeats of the nodes between.
      const name = names[i % names.length]!
      const action = nodeChanges(nodeOf(name), nodeOf(name))
      cache.setNode(nodeOf(name), action !== 0)
      queue.happened({ resource: resourceOf(nodeKind), action })
    }
  }
  for (let i = 0; i < stuck; i++) queue.add(JSON.parse(podText(`stuck-${i}`, 'rs-stuck', undefined, {}, '1000')) as Pod)
  for (let queued = queue.pop(); queued; queued = queue.pop()) {
    const decision = schedule(queued.info, cache.snapshot(), profile)
    if (decision.node !== undefined) throw new Error('a pod that is too large for every node fits')
    queue.unschedulable(queued, decision.diagnosis.rejectedBy)
  }
  const warm = filling ? 50 : 500
  round(0, warm)
  const cpu = process.cpuUsage()
  const began = performance.now()
  round(warm, count)
  const seconds = (performance.now() - began) / 1000
  const { user, system } = process.cpuUsage(cpu)
  queue.close()
  return { rate: count / seconds, cpuMs: (user + system) / 1000 / count }
}

export async function measureScheduler(): Promise<Row[]> {
  return sizes.flatMap(size =>
    Object.entries(shapes).flatMap(([shape, of]) => {
      const { rate, cpuMs } = measure(size, of)
      const name = `decisions, ${size.nodes} nodes x ${size.podsEach} pods${shape === 'basic' ? '' : `, ${shape}`}`
      return [
        { name, unit: '/s', value: rate, ...(shape === 'basic' ? { target: size.target } : {}) } as const,
        { name: `${name}: CPU of one`, unit: 'ms', value: cpuMs } as const,
      ]
    }),
  )
}

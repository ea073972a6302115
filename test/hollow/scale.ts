/**
 * `node test/hollow/scale.ts --nodes 5000 --pods 150000`: how a control plane holds a large cluster that is there already. What is stored
 * are copies of what a small cluster had made; then the control plane starts, and with it hollow nodes. Prints what it measures, a line
 * each.
 */
import { writeFile } from 'node:fs/promises'
import { Command } from 'commander'
import type { Deployment } from '#shared/api/apps/deployment.ts'
import type { Namespace } from '#shared/api/core/namespace.ts'
import { deployments, leases, namespaces, nodes, pods, replicaSets } from '#shared/api/kinds.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { natsTransport } from '#shared/bus/api-client.ts'
import { startInformer } from '#shared/client/reflector.ts'
import { logger } from '#shared/component/log.ts'
import { percentile } from '../bench/statistics.ts'
import { until } from '../bench/until.ts'
import { storeObjects } from '../fixtures/storeobjects.ts'
import type { NatsFixture } from '../fixtures/nats.ts'
import { components, startControlPlane, type ControlPlane } from './controlplane.ts'
import { hollowName } from './node.ts'

const options = new Command('scale')
  .option('--nodes <n>', 'how many', Number, 5000)
  .option('--pods <n>', 'how many, in Deployments of a thousand', Number, 150_000)
  .option('--seconds <n>', 'how long heartbeats are looked at', Number, 30)
  .parse()
  .opts<{ nodes: number; pods: number; seconds: number }>()
const each = Math.min(1000, options.pods)
const namespace = 'hollow'
/** Between those of `cox up` and upstream's, for a machine that is too small for what it holds. */
const election = ['--leader-elect-lease-duration', '6s', '--leader-elect-renew-deadline', '4s', '--leader-elect-retry-period', '1s']
const args = {
  // Hollow nodes have no kubelet that it could ask for the volumes of its node.
  'kube-controller-manager': [...election, '--controllers', '*,-local-volume-provisioner-controller'],
  'kube-scheduler': election,
}
const log = logger('scale')
log.level = 'silent'
const stop = new AbortController()

const began = performance.now()
const say = (what: string): void => void process.stdout.write(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${what}\n`)
const seconds = (since: number): string => `${((performance.now() - since) / 1000).toFixed(2)} s`
const processes = [...components, 'nats-server', 'hollow'] as const
async function usage(cluster: ControlPlane, what: string): Promise<void> {
  const lines = processes.map(
    async name => `${name} ${(await cluster.memory(name)).toFixed(0)} MiB, ${(await cluster.cpu(name)).toFixed(1)} s`,
  )
  say(`${what}: ${(await Promise.all(lines)).join('; ')}`)
}

/** Says what part of a core each process took while something went on. */
async function shares(cluster: ControlPlane, what: string, going: () => Promise<unknown>): Promise<void> {
  const [from, started] = [await Promise.all(processes.map(name => cluster.cpu(name))), performance.now()]
  await going()
  const elapsed = (performance.now() - started) / 1000
  const used = await Promise.all(
    processes.map(async (name, i) => `${name} ${((100 * ((await cluster.cpu(name)) - from[i]!)) / elapsed).toFixed(0)} %`),
  )
  say(`CPU of a core ${what}: ${used.join(', ')}`)
}

/** Templates: what a Deployment of one pod on one node has led to. */
interface Made {
  node: KubeObject
  deployment: KubeObject
  replicaSet: KubeObject
  pod: KubeObject
}
async function make(): Promise<Made> {
  const cluster = await startControlPlane(args)
  try {
    cluster.run('hollow', ['--nodes', '1', '--nats-url', cluster.nats.url, '--authority', cluster.authorityFile])
    const { client } = cluster
    const present = async (): Promise<boolean> =>
      client.list(nodes, '').then(
        l => l.items.length === 1,
        () => false,
      )
    await until(present, 'a node')
    await client.create(namespaces, '', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } } as Namespace)
    await client.create(deployments, namespace, {
      metadata: { name: 'd0', namespace },
      spec: {
        replicas: 1,
        selector: { matchLabels: { app: 'd0' } },
        template: {
          metadata: { labels: { app: 'd0' } },
          spec: {
            terminationGracePeriodSeconds: 1,
            containers: [{ name: 'main', image: 'pause', resources: { requests: { cpu: '10m', memory: '16Mi' } } }],
          },
        },
      },
    } as unknown as Deployment)
    await until(async () => (await client.get(deployments, namespace, 'd0')).status?.availableReplicas === 1, 'a pod that runs')
    await usage(cluster, 'with a node and a pod')
    const first = async (kind: typeof nodes | typeof deployments | typeof replicaSets | typeof pods): Promise<KubeObject> =>
      (await client.list<KubeObject>(kind as never, kind === nodes ? '' : namespace)).items[0]!
    return { node: await first(nodes), deployment: await first(deployments), replicaSet: await first(replicaSets), pod: await first(pods) }
  } finally {
    await cluster.stop()
  }
}

const uid = (kind: number, i: number): string => `0000000${kind}-0000-4000-8000-${String(i).padStart(12, '0')}`
/** A copy in which texts are replaced: names, UIDs and addresses occur in many places. */
function copy(of: KubeObject, replaced: readonly (readonly [string, string])[], more: (object: any) => void = () => {}): KubeObject {
  // any: of several kinds
  let text = JSON.stringify(of)
  for (const [from, to] of replaced) text = text.replaceAll(from, to)
  const object = JSON.parse(text) as KubeObject
  delete object.metadata.resourceVersion
  more(object)
  return object
}

async function fill(nats: NatsFixture, made: Made): Promise<void> {
  const connection = (await nats.connect('registry')).nats
  const { node, deployment, replicaSet, pod } = made
  const [dUid, rsUid, podUid, nodeUid] = [deployment, replicaSet, pod, node].map(o => o.metadata.uid ?? '') as [
    string,
    string,
    string,
    string,
  ]
  const rsName = replicaSet.metadata.name ?? ''
  const suffix = rsName.slice('d0'.length)
  const address = (i: number): string => `192.168.${Math.floor(i / 250)}.${(i % 250) + 1}`
  const own = (d: number): (readonly [string, string])[] => [
    [rsName, `d${d}${suffix}`],
    ['"d0"', `"d${d}"`],
    [dUid, uid(1, d)],
    [rsUid, uid(2, d)],
  ]
  const sized = (o: {
    metadata: { annotations?: Record<string, string> }
    spec: { replicas: number }
    status: Record<string, number>
  }): void => {
    o.spec.replicas = each
    for (const field of ['replicas', 'updatedReplicas', 'readyReplicas', 'availableReplicas', 'fullyLabeledReplicas'])
      if (field in o.status) o.status[field] = each
    const annotations = o.metadata.annotations ?? {}
    const sizes = { 'deployment.kubernetes.io/desired-replicas': each, 'deployment.kubernetes.io/max-replicas': Math.ceil(each * 1.25) }
    for (const [name, size] of Object.entries(sizes)) if (name in annotations) annotations[name] = String(size)
  }
  const count = Math.ceil(options.pods / each)
  const numbered = <T>(n: number, one: (i: number) => T): Iterable<T> =>
    Iterator.from({
      next: (
        (i = 0) =>
        () =>
          i < n ? { value: one(i++), done: false } : { value: undefined, done: true }
      )(),
    } as Iterator<T>)
  await storeObjects(connection, { group: '', plural: 'namespaces' }, [
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: namespace, uid: uid(5, 0), creationTimestamp: pod.metadata.creationTimestamp },
      spec: { finalizers: ['kubernetes'] },
      status: { phase: 'Active' },
    } as KubeObject,
  ])
  await storeObjects(
    connection,
    { group: '', plural: 'nodes' },
    numbered(options.nodes, i =>
      copy(node, [
        [`"${hollowName(1)}"`, `"${hollowName(i + 1)}"`],
        [nodeUid, uid(4, i)],
        ['192.168.0.2', address(i + 1)],
      ]),
    ),
  )
  await storeObjects(
    connection,
    { group: 'apps', plural: 'deployments' },
    numbered(count, d => copy(deployment, own(d), sized)),
  )
  await storeObjects(
    connection,
    { group: 'apps', plural: 'replicasets' },
    numbered(count, d => copy(replicaSet, own(d), sized)),
  )
  const podName = pod.metadata.name ?? ''
  await storeObjects(
    connection,
    { group: '', plural: 'pods' },
    numbered(options.pods, i => {
      const at = (i % options.nodes) + 1
      const name = `d${Math.floor(i / each)}${suffix}-${(i % each).toString(36).padStart(5, '0')}`
      return copy(pod, [
        [podName, name],
        [podUid, uid(3, i)],
        ...own(Math.floor(i / each)),
        [`"${hollowName(1)}"`, `"${hollowName(at)}"`],
        ['192.168.0.2', address(at)],
      ])
    }),
  )
}

/** Requests that the API server has answered, by verb and resource. */
async function requests(cluster: ControlPlane): Promise<Map<string, number>> {
  const transport = natsTransport(await cluster.nats.connect('system:admin'))
  const query = new URLSearchParams()
  const { body } = await transport.request({ method: 'GET', path: '/metrics', query, headers: {}, body: new Uint8Array() })
  const parts: Uint8Array[] = []
  if (body instanceof Uint8Array) parts.push(body)
  else for await (const part of body) parts.push(part)
  const counts = new Map<string, number>()
  for (const line of Buffer.concat(parts).toString().split('\n')) {
    const [, labels, value] = /^apiserver_request_total\{(.*)\} (\d+)/.exec(line) ?? []
    if (labels === undefined) continue
    const label = (name: string): string => new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(labels)?.[1] ?? ''
    const what = [label('verb'), label('resource'), label('subresource')].filter(Boolean).join(' ')
    counts.set(what, (counts.get(what) ?? 0) + Number(value))
  }
  return counts
}
function sayRequests(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): void {
  const more = [...after].map(([what, n]) => [what, n - (before.get(what) ?? 0)] as const).filter(([, n]) => n > 0)
  const most = more.sort((a, b) => b[1] - a[1]).slice(0, 12)
  say(`requests: ${most.map(([what, n]) => `${what} ${n}`).join(', ')}`)
}

/** For what a log shows: it is long. */
async function lookEverySecond(done: () => Promise<boolean>): Promise<void> {
  while (!(await done())) await new Promise(resolve => setTimeout(resolve, 1000))
}

/** Times of answers to gets, ms, until `done`. */
async function gets(cluster: ControlPlane, done: () => boolean, template: string): Promise<number[]> {
  const times: number[] = []
  while (!done()) {
    const i = Math.floor(Math.random() * each)
    const sent = performance.now()
    await cluster.client.get(pods, namespace, `d1${template}-${i.toString(36).padStart(5, '0')}`)
    times.push(performance.now() - sent)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  return times
}
const p99 = (times: readonly number[]): string =>
  `${times.length} gets, p50 ${percentile(times, 0.5).toFixed(1)} ms, p99 ${percentile(times, 0.99).toFixed(1)} ms`

const made = await make()
const suffix = made.replicaSet.metadata.name!.slice('d0'.length)
say(`a pod is ${JSON.stringify(made.pod).length} bytes, a node ${JSON.stringify(made.node).length}`)
const cluster = await startControlPlane(args, nats => fill(nats, made))
try {
  const { client } = cluster
  say(`${options.nodes} nodes and ${options.pods} pods are stored`)
  const filled = async (component: 'kube-controller-manager'): Promise<{ msg: string; ms?: number }[]> =>
    (await cluster.log(component)).filter(l => l.msg === 'the caches are filled')
  cluster.run('hollow', ['--nodes', String(options.nodes), '--nats-url', cluster.nats.url, '--authority', cluster.authorityFile])
  let started = performance.now()
  await lookEverySecond(async () => (await filled('kube-controller-manager')).length === 1)
  say(`control plane started to controllers' caches filled: ${seconds(started)}`)
  const renewed = new Map<string, number[]>()
  startInformer(client, leases, { namespace: 'kube-node-lease', log }, stop.signal).subscribe(({ type, object }) => {
    if (type === 'DELETED') return
    const times = renewed.get(object.metadata.name ?? '') ?? []
    times.push(Date.parse(object.spec?.renewTime ?? ''))
    renewed.set(object.metadata.name ?? '', times)
  })
  await until(() => renewed.size >= options.nodes, 'every node has renewed its lease', 300_000)
  say(`all nodes are back: ${seconds(started)}`)
  await usage(cluster, 'all there')

  for (const times of renewed.values()) times.splice(0, times.length - 1)
  let idle: number[] = []
  await shares(cluster, 'while only hearts beat', async () => {
    const end = performance.now() + options.seconds * 1000
    idle = await gets(cluster, () => performance.now() > end, suffix)
  })
  const gaps = [...renewed.values()].flatMap(times => times.slice(1).map((t, i) => t - times[i]!))
  const late = [...renewed.values()].filter(times => Date.now() - times.at(-1)! > 20_000).length
  say(
    `heartbeats (every 10 s): ${gaps.length} gaps, p50 ${percentile(gaps, 0.5)} ms, p99 ${percentile(gaps, 0.99)} ms, longest ${Math.max(...gaps)} ms; nodes late by more than 10 s: ${late}`,
  )
  say(`API meanwhile: ${p99(idle)}`)

  const before = await requests(cluster)
  const update = performance.now()
  await client.patch(deployments, namespace, 'd0', 'strategic', { spec: { template: { metadata: { annotations: { round: '1' } } } } })
  let updated = false
  const during = gets(cluster, () => updated, suffix)
  const deployment = startInformer(client, deployments, { namespace, name: 'd0', log }, stop.signal)
  await shares(cluster, 'meanwhile', () =>
    until(
      () => {
        const d = deployment.get(namespace, 'd0')
        const { observedGeneration, updatedReplicas, replicas, availableReplicas } = d?.status ?? {}
        return (
          observedGeneration === d?.metadata.generation &&
          [updatedReplicas, replicas, availableReplicas].every(n => n === each) &&
          d?.metadata.generation !== made.deployment.metadata.generation
        )
      },
      'the update',
      120_000,
    ).catch((e: Error) => say(e.message)),
  )
  updated = true
  say(`rolling update of ${each} pods: ${seconds(update)}`)
  sayRequests(before, await requests(cluster))
  say(`API meanwhile: ${p99(await during)}`)

  started = performance.now()
  await cluster.restart('kube-controller-manager')
  await shares(cluster, 'meanwhile', () => lookEverySecond(async () => (await filled('kube-controller-manager')).length === 2))
  say(
    `kube-controller-manager killed and started to its caches filled: ${seconds(started)} (of which ${(await filled('kube-controller-manager')).at(-1)?.ms} ms after it led)`,
  )
  const sets = (await client.list(replicaSets, namespace)).items
  say(`pods that replica sets have: ${sets.reduce((n, s) => n + (s.status?.replicas ?? 0), 0)}`)
  const tainted = (await client.list(nodes, '')).items.filter(n => n.spec.taints?.length).length
  say(`tainted nodes: ${tainted}`)
  await usage(cluster, 'at the end')
  if (process.env['SCALE_LOGS'])
    for (const name of components)
      await writeFile(`${process.env['SCALE_LOGS']}/${name}.log`, (await cluster.log(name)).map(l => JSON.stringify(l)).join('\n'))
} finally {
  stop.abort()
  await cluster.stop()
}
process.exit(0)

/**
 * A thousand nodes and ten thousand pods on the real control plane: nats-server, API server, controller-manager and scheduler are processes
 * as in a cluster, the nodes are hollow. HOLLOW_NODES, HOLLOW_PODS and HOLLOW_SECONDS (for each step) change what is asked, and
 * CPU profiles are written to the directory HOLLOW_PROFILE.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Deployment } from '#shared/api/apps/deployment.ts'
import { deployments, leases, namespaces, nodes, pods, replicaSets } from '#shared/api/kinds.ts'
import type { Namespace } from '#shared/api/core/namespace.ts'
import { startInformer } from '#shared/client/reflector.ts'
import { logger } from '#shared/component/log.ts'
import { components, startControlPlane, type ControlPlane } from './controlplane.ts'

const nodeCount = Number(process.env['HOLLOW_NODES'] ?? 1000)
const podCount = Number(process.env['HOLLOW_PODS'] ?? 10_000)
const limitMs = 1000 * Number(process.env['HOLLOW_SECONDS'] ?? 120)
const deploymentCount = 10
const namespace = 'hollow'
const stop = new AbortController()
let cluster: ControlPlane
const log = logger('test')
log.level = 'silent'

const began = performance.now()
const say = (what: string): void => void process.stderr.write(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${what}\n`)
const processes = [...components, 'nats-server', 'hollow'] as const
const cpu = async (): Promise<string> =>
  (await Promise.all(processes.map(async name => `${name} ${(await cluster.cpu(name)).toFixed(1)} s`))).join(', ')

/** Resolves when `holds` does after one of the informer's events; it is asked at once too. */
async function until(
  what: string,
  ms: number,
  informers: { subscribe(handler: () => void): () => void }[],
  holds: () => boolean,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const timer = setTimeout(() => reject(new Error(`${what}: not within ${ms / 1000} s`)), ms)
  const check = (): void => {
    if (holds()) resolve()
  }
  const stops = informers.map(i => i.subscribe(check))
  check()
  try {
    await promise
  } finally {
    clearTimeout(timer)
    for (const end of stops) end()
  }
}

beforeAll(async () => {
  cluster = await startControlPlane()
  cluster.run('hollow', ['--nodes', String(nodeCount), '--nats-url', cluster.nats.url, '--authority', cluster.authorityFile])
  const { client } = cluster
  const nodeInformer = startInformer(client, nodes, { metadataOnly: true, log }, stop.signal)
  await until('all nodes are registered', limitMs, [nodeInformer], () => nodeInformer.list().length === nodeCount)
  say(`${nodeCount} nodes; CPU: ${await cpu()}`)
  await client.create(namespaces, '', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } } as Namespace)
}, limitMs + 30_000)
afterAll(async () => {
  stop.abort()
  await cluster?.stop()
}, 30_000)

const deploymentOf = (name: string, replicas: number): Deployment =>
  ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: [{ name: 'main', image: 'pause', resources: { requests: { cpu: '10m', memory: '16Mi' } } }],
        },
      },
    },
  }) as unknown as Deployment

test(
  `${podCount} pods come to run on ${nodeCount} nodes and go again, and nobody loses a lease`,
  async () => {
    const { client } = cluster
    const informer = startInformer(client, deployments, { namespace, log }, stop.signal)
    const sets = startInformer(client, replicaSets, { namespace, log }, stop.signal)
    const sum = (of: (d: Deployment) => number | undefined): number => informer.list().reduce((n, d) => n + (of(d) ?? 0), 0)
    const names = Array.from({ length: deploymentCount }, (_, i) => `d${i}`)
    const began = performance.now()
    await Promise.all(names.map(name => client.create(deployments, namespace, deploymentOf(name, podCount / deploymentCount))))
    await until('all pods are available', limitMs, [informer], () => sum(d => d.status?.availableReplicas) === podCount)
    const up = performance.now()
    say(`${podCount} pods run, ${(podCount / ((up - began) / 1000)).toFixed(0)}/s; CPU: ${await cpu()}`)

    const list = await client.list(pods, namespace)
    expect(list.items).toHaveLength(podCount)
    expect(list.items.filter(p => !p.spec.nodeName || p.status?.phase !== 'Running')).toEqual([])
    const perNode = Map.groupBy(list.items, p => p.spec.nodeName)
    expect(Math.max(...[...perNode.values()].map(p => p.length))).toBeLessThanOrEqual(110)
    say(
      `on ${perNode.size} nodes, ${Math.min(...[...perNode.values()].map(p => p.length))} to ${Math.max(...[...perNode.values()].map(p => p.length))} each`,
    )

    const scaling = performance.now()
    await Promise.all(names.map(name => client.patch(deployments, namespace, name, 'merge', { spec: { replicas: 0 } })))
    await until(
      'no pod is counted',
      limitMs,
      [informer, sets],
      () => sets.list().every(s => s.status?.replicas === 0) && sum(d => d.status?.replicas) === 0,
    )
    await expect.poll(async () => (await client.list(pods, namespace, { limit: 1 })).items.length, { timeout: limitMs }).toBe(0)
    const down = performance.now()
    say(`gone, ${(podCount / ((down - scaling) / 1000)).toFixed(0)}/s; CPU: ${await cpu()}`)

    for (const component of ['kube-controller-manager', 'kube-scheduler'] as const) {
      const lines = await cluster.log(component)
      const leads = lines.findIndex(l => l.msg === 'became the leader')
      expect(leads, component).toBeGreaterThanOrEqual(0)
      const lost = lines.slice(leads).filter(l => /could not (acquire or )?renew the lease|lost the lease/.test(l.msg))
      expect(lost, component).toEqual([])
      expect((await client.get(leases, 'kube-system', component)).spec?.leaseTransitions, component).toBe(0)
    }
    // A node whose heartbeats are late is tainted.
    expect((await client.list(nodes, '')).items.filter(n => n.spec.taints?.length).map(n => n.metadata.name)).toEqual([])
  },
  3 * limitMs,
)

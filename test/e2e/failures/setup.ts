/** What the rows of the failure table have in common: rounds, targets, traffic, and the look at whether all is well. */
import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { adminClient } from '#control-plane/cli/api.ts'
import type { ProcessRow } from '#control-plane/cli/ps.ts'
import { stateDir } from '#control-plane/cli/state.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { endpointSlices, nodes, pods, services } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { processStartTime } from '#shared/component/processes.ts'
import { eventually, startCluster, type ClusterFixture, type ClusterOptions } from '../../fixtures/cluster.ts'

const rounds = Number(process.env['SOAK_ROUNDS'] ?? 1)

/** One row of the table: a test, or as many in a row as the soak asks for. */
export function row(name: string, timeoutMs: number, run: (round: number) => Promise<void>): void {
  for (let round = 1; round <= rounds; round++) test(rounds === 1 ? name : `${name} [${round} of ${rounds}]`, () => run(round), timeoutMs)
}

/** Deadlines are this much more than what a row promises: the machine may be busy. */
export const patience = 4

/** The administrator's client of a cluster; it is closed when the file ends. */
export const clientOf = (cluster: ClusterFixture): Client => adminClient(stateDir(cluster.dir)).client

export interface Web {
  cluster: ClusterFixture
  client: Client
  /** The Service's. */
  address: string
}
/**
 * What most rows are about: a cluster with a Deployment `web`, whose pods are Ready once they answer requests, and its Service. `container`
 * is more of its container.
 */
export async function startWeb({
  replicas,
  container = {},
  ...options
}: ClusterOptions & { replicas: number; container?: object }): Promise<Web> {
  const cluster = await startCluster(options)
  try {
    const client = clientOf(cluster)
    const labels = { app: 'web' }
    const readinessProbe = { httpGet: { port: 8080 }, periodSeconds: 1, timeoutSeconds: 10 }
    const spec = { containers: [{ name: 'main', image: 'registry.k8s.io/echoserver:1.10', readinessProbe, ...container }] }
    const deployment = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web' },
      spec: { replicas, selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
    }
    const service = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web' },
      spec: { selector: labels, ports: [{ port: 80, targetPort: 8080 }] },
    }
    await cluster.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [deployment, service] }))
    await untilAllIsWell(cluster, client, 'web', replicas)
    return { cluster, client, address: (await client.get(services, 'default', 'web')).spec.clusterIP ?? '' }
  } catch (e) {
    await cluster.stop()
    throw e
  }
}

/** Sends a signal to a process of the cluster that `cox ps` shows, once it shows one. */
export async function signal(
  cluster: ClusterFixture,
  which: (row: ProcessRow) => boolean,
  what: string,
  name: NodeJS.Signals = 'SIGKILL',
): Promise<ProcessRow> {
  const found = await eventually(async () => (await cluster.ps()).find(which), `${what} runs`)
  process.kill(found.pid, name)
  return found
}

/** The first process of each container, as nobody else is it: pod, container, pid and start time. Its children come and go. */
export function processes(rows: readonly ProcessRow[], pod: (name: string) => boolean): string[] {
  const first = new Map<string, { pid: number; start: number }>()
  for (const r of rows) {
    if (r.component !== 'container' || !pod(r.pod ?? '')) continue
    const start = processStartTime(r.pid)
    const name = `${r.pod}/${r.container}`
    if (start !== undefined && start < (first.get(name)?.start ?? Infinity)) first.set(name, { pid: r.pid, start })
  }
  return [...first].map(([name, { pid, start }]) => `${name} ${pid} ${start}`).sort()
}

export const isReady = (pod: Pod): boolean =>
  !pod.metadata.deletionTimestamp && (pod.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True') ?? false)
export const podsOf = async (client: Client, app: string): Promise<Pod[]> =>
  (await client.list(pods, 'default', { labelSelector: `app=${app}` })).items

/** Waits until `count` pods of an app are Ready and nothing of it is on its way in or out. */
export const untilReady = (client: Client, app: string, count: number, timeoutMs = 60_000): Promise<Pod[]> =>
  eventually(
    async () => {
      const all = await podsOf(client, app)
      return all.length === count && all.every(isReady) ? all : undefined
    },
    `${count} pods of ${app} are Ready, and no others are there`,
    timeoutMs,
  )

/**
 * Nothing is wrong any more: nodes Ready and without taints, endpoints exactly the Ready pods, processes exactly the containers that run.
 */
export async function untilAllIsWell(
  cluster: ClusterFixture,
  client: Client,
  app: string,
  count: number,
  timeoutMs = 60_000,
): Promise<void> {
  await eventually(
    async () => {
      // Looked at each time: after a reboot pods show the addresses of their former life for a moment.
      const all = await podsOf(client, app)
      expect(all.filter(isReady).length, `${count} pods of ${app} are Ready, and no others are there`).toBe(count)
      expect(all.length).toBe(count)
      const list = (await client.list(nodes, '')).items
      expect(
        list.filter(n => !n.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True')).map(n => n.metadata.name),
      ).toEqual([])
      expect(list.flatMap(n => n.spec.taints ?? [])).toEqual([])
      const slices = (await client.list(endpointSlices, 'default', { labelSelector: `kubernetes.io/service-name=${app}` })).items
      const serving = slices.flatMap(s => s.endpoints ?? []).filter(e => e.conditions?.ready !== false)
      expect(serving.flatMap(e => e.addresses).sort()).toEqual(all.map(p => p.status?.podIP ?? '').sort())
      const running = (await cluster.ps()).filter(r => r.component === 'container' || r.component === 'shim')
      const known = new Set((await client.list(pods, '')).items.map(p => p.metadata.name))
      expect(running.filter(r => !known.has(r.pod)).map(r => r.command)).toEqual([])
      for (const pod of all)
        expect(
          running.filter(r => r.component === 'container' && r.pod === pod.metadata.name).length,
          `processes of ${pod.metadata.name}`,
        ).toBeGreaterThan(0)
      return true
    },
    'all is well',
    timeoutMs,
  )
}

export { delay, eventually }
export { traffic } from '../../fixtures/traffic.ts'

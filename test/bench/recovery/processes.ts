/** A process dies that is started again by itself: of the control plane by the supervisor, a node-agent by its node. */
import { setTimeout as delay } from 'node:timers/promises'
import { agentOf } from '#control-plane/cli/chaos/processes.ts'
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { configMaps, leases, pods } from '#shared/api/kinds.ts'
import type { Watched } from '../objects.ts'
import { isReady, sleeper } from '../pods.ts'
import { allReady, follow, killed, scale, working, type Scenario, type Stage } from './failure.ts'

/** Writes again and again; resolves when the first one is acknowledged. One that hangs does not keep the next from being tried. */
async function written({ client, namespace }: Stage): Promise<void> {
  const end = performance.now() + 120_000
  for (let n = 0, done = false; !done; n++) {
    if (performance.now() > end) throw new Error('no write is acknowledged')
    const write = client.patch(configMaps, namespace, 'written', 'merge', { data: { n: `${Date.now()} ${n}` } }).then(
      () => (done = true),
      () => delay(20),
    )
    await Promise.race([write, delay(200)])
  }
}

const growth = 'a Deployment that is scaled gets its pod'

/** Scales; resolves when there are three pods of which this is true. */
async function grown(stage: Stage, watch: Watched<Pod>, done: (pod: Pod) => boolean = () => true): Promise<void> {
  await scale(stage, 3)
  await watch.until(all => all.size === 3 && [...all.values()].every(done), growth)
}
/** A server that is told to end while it starts may not hear it. */
const settled = (watch: Watched<Pod>): Promise<void> => watch.until(allReady(3), '3 pods are Ready')

const writesAgain = (process: string): Scenario => ({
  name: `${process} killed`,
  async prepare(stage) {
    await working(stage)
    const { client, namespace, cluster } = stage
    await client.create(configMaps, namespace, { metadata: { name: 'written', namespace } } as ConfigMap)
    let wrote: Promise<void>
    let watch: Watched<Pod>
    return {
      strike: () => killed(cluster.dir, process),
      recoveries: [
        { what: 'a write over HTTPS works', target: 3, done: () => (wrote = written(stage)) },
        {
          what: growth,
          async done() {
            await wrote
            // The watch of before is broken.
            watch = await follow(stage, pods, namespace)
            await grown(stage, watch)
          },
        },
      ],
      async after() {
        await settled(watch)
        await client.delete(configMaps, namespace, 'written')
      },
    }
  },
})

const scalesAgain = (process: string, what: string, done?: (pod: Pod) => boolean): Scenario => ({
  name: `${process} killed`,
  async prepare(stage) {
    const watch = await working(stage)
    return {
      strike: () => killed(stage.cluster.dir, process),
      recoveries: [{ what, done: () => grown(stage, watch, done) }],
      after: () => settled(watch),
    }
  },
})

const nodeAgent: Scenario = {
  name: 'node-agent killed',
  async prepare(stage) {
    const watch = await working(stage)
    const { client, namespace, cluster, nodes } = stage
    const held = await follow(stage, leases, 'kube-node-lease')
    const node = nodes[0] ?? ''
    const pid = agentOf(cluster.dir, node)
    if (pid === undefined) throw new Error(`${node} has no node-agent`)
    let struck = 0
    return {
      strike() {
        struck = Date.now()
        process.kill(pid, 'SIGKILL')
      },
      recoveries: [
        {
          what: 'its lease is renewed',
          target: 1,
          done: () => held.until(all => Date.parse(all.get(node)?.spec.renewTime ?? '') > struck, `${node} renews its lease`),
        },
        {
          what: 'a new pod on its node is Ready',
          async done() {
            await client.create(pods, namespace, sleeper(namespace, 'new', { nodeName: node }))
            await watch.until(all => isReady(all.get('new') ?? ({} as Pod)), 'the new pod is Ready')
          },
        },
      ],
      async after() {
        await client.delete(pods, namespace, 'new')
        await watch.until(all => !all.has('new'), 'the new pod is gone')
      },
    }
  },
}

export const processes: Scenario[] = [
  writesAgain('kube-apiserver'),
  writesAgain('nats-server'),
  scalesAgain('kube-controller-manager', growth),
  scalesAgain('kube-scheduler', 'a new pod is bound', pod => pod.spec.nodeName !== undefined),
  nodeAgent,
]

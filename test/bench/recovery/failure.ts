/** What a row of the failure table is for the bench, and what its rows have in common. */
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import { deployments, nodes, pods } from '#shared/api/kinds.ts'
import { isReady as isNodeReady } from '#control-plane/cli/api.ts'
import { kill, readRecord, untilGone } from '#control-plane/cli/process.ts'
import type { StateDir } from '#control-plane/cli/state.ts'
import { deploymentOf } from '../deployment.ts'
import type { Bench } from '../measurement.ts'
import { watchObjects, type Watched } from '../objects.ts'
import { isReady } from '../pods.ts'

export interface Stage extends Omit<Bench, 'namespace'> {
  /** Where everything is done. */
  namespace: string
  /** Names of the nodes. */
  nodes: readonly string[]
}

/** Something that shows that things work again. */
export interface Recovery {
  what: string
  /** Seconds. */
  target?: number
  /** Asked as soon as it was struck. Resolves when it is so, or later with the time at which it was: ms since the epoch. */
  done(): Promise<number | void>
}

export interface Failure {
  /** Breaks something, or mends it where that is what is measured; the time runs from here. */
  strike(): unknown
  recoveries: Recovery[]
  /** Brings back what does not come back by itself. */
  after?(): Promise<unknown>
}

export interface Scenario {
  name: string
  /** How many nodes it takes: 1 unless given. */
  nodes?: number
  /** Sees to it that all is well, up to the moment before the strike. */
  prepare(stage: Stage): Promise<Failure>
}

/** SIGKILL for a process on record; resolves when it is gone. */
export async function killed(dir: StateDir, name: string): Promise<void> {
  const record = readRecord(dir, name)
  if (!record || !kill(record, 'SIGKILL')) throw new Error(`${name} is not there to be killed`)
  await untilGone(record, 10_000)
}

/** A watch of what is left alone meanwhile; it ends with the measurement. */
export async function follow<T extends KubeObject>({ client, afterwards }: Stage, kind: Kind<T>, namespace: string): Promise<Watched<T>> {
  const watch = await watchObjects(client, kind, namespace)
  afterwards(watch.stop)
  return watch
}

/** Whether a node is Ready, and nobody keeps pods away from it. */
export const isWhole = (node: Node | undefined): boolean => node !== undefined && isNodeReady(node) && !node.spec.taints?.length

const server = { image: 'nginx', readinessProbe: { httpGet: { path: '/', port: 80 }, periodSeconds: 1 } }

/** Makes the Deployment `web` this large. */
export async function scale({ client, namespace }: Stage, replicas: number): Promise<void> {
  const there = (await client.list(deployments, namespace)).items.length > 0
  if (there) await client.patch(deployments, namespace, 'web', 'merge', { spec: { replicas } })
  else await client.create(deployments, namespace, deploymentOf(namespace, 'web', replicas, server))
}

/** This many pods, all of them Ready. */
export const allReady =
  (count: number) =>
  (all: ReadonlyMap<string, Pod>): boolean =>
    all.size === count && [...all.values()].every(isReady)

/**
 * A watch of the Deployment's pods, which are the only ones, once there are this many on nodes that are all well: all components work, for
 * it grew to that.
 */
export async function working(stage: Stage, replicas = 2): Promise<Watched<Pod>> {
  const watch = await follow(stage, pods, stage.namespace)
  const nodeWatch = await follow(stage, nodes, '')
  await nodeWatch.until(all => [...all.values()].every(isWhole), 'all nodes are Ready')
  for (const count of [1, replicas]) {
    await scale(stage, count)
    await watch.until(allReady(count), `${count} pods are Ready`)
  }
  return watch
}

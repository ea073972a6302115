/**
 * The scheduling framework: what a plugin may look at and say. One plugin a file under plugins/; `plugins/registry.ts` lists them.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/
 */
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { NodeInfo } from './nodeinfo.ts'

/** Why a pod does not fit a node. `resolvable` when evicting pods from the node could help. */
export interface Rejection {
  reasons: string[]
  resolvable: boolean
}

/** Something in the cluster changed that may make a waiting pod schedulable. */
export type ClusterEvent =
  | { kind: 'NodeAdd'; node: Node }
  | { kind: 'NodeUpdate'; node: Node; previous: Node }
  | { kind: 'PodAdd' | 'PodDelete' | 'PodUpdate'; pod: Pod }

/** The nodes of one scheduling cycle. */
export interface Snapshot {
  readonly nodes: readonly NodeInfo[]
}

export interface Plugin {
  /** Upstream's name of it. */
  readonly name: string
  /** Once a cycle, before the nodes are looked at: what filter and score need to know about the pod and the cluster. */
  prepare?(pod: Pod, snapshot: Snapshot): unknown
  /** Undefined when the pod fits. */
  filter?(pod: Pod, node: NodeInfo, prepared: unknown): Rejection | undefined
  readonly weight?: number
  /** A raw score of a node that fits; `normalize` brings the raw scores of all nodes to 0..100. */
  score?(pod: Pod, node: NodeInfo, prepared: unknown): number
  normalize?(scores: number[]): number[]
  /** Whether the event may make a pod that this plugin rejected schedulable. */
  mayHelp?(pod: Pod, event: ClusterEvent): boolean
}

export const maxNodeScore = 100

/** Scales scores so that the highest is 100; `reverse` makes the lowest the best. As upstream's DefaultNormalizeScore. */
export function normalizeByMax(scores: number[], reverse = false): number[] {
  const max = Math.max(0, ...scores)
  if (max === 0) return scores.map(() => (reverse ? maxNodeScore : 0))
  return scores.map(s => {
    const scaled = Math.floor((maxNodeScore * s) / max)
    return reverse ? maxNodeScore - scaled : scaled
  })
}

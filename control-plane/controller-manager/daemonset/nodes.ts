/** On which nodes a daemon set's pods belong. */
import type { DaemonSet } from '#shared/api/apps/daemonset.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { matchesNode } from '#shared/scheduling/nodeaffinity.ts'
import { tolerates } from '#shared/scheduling/taints.ts'
import { isTerminating, hasEnded } from '../podcontrol/pods.ts'
import { nodeOf, tolerationsOf } from './template.ts'

/** `run`: a pod is wanted. `stay`: one that is there may stay. */
export interface Fit {
  readonly run: boolean
  readonly stay: boolean
}

/** Says it of each node. */
export function fitsOf(ds: DaemonSet): (node: Node) => Fit {
  const spec = ds.spec.template.spec ?? { containers: [] }
  const tolerations = tolerationsOf(ds)
  return node => {
    if ((spec.nodeName && spec.nodeName !== node.metadata.name) || !matchesNode({ spec }, node)) return { run: false, stay: false }
    const taints = (node.spec.taints ?? []).filter(t => !tolerates(tolerations, t))
    return { run: taints.every(t => t.effect === 'PreferNoSchedule'), stay: taints.every(t => t.effect !== 'NoExecute') }
  }
}

/** The pods by the node they are for. Those that have ended and are on their way out are done with. */
export function podsByNode(pods: readonly LeanPod[]): Map<string, LeanPod[]> {
  const result = new Map<string, LeanPod[]>()
  for (const pod of pods) {
    const node = nodeOf(pod)
    if (node === undefined || (isTerminating(pod) && hasEnded(pod))) continue
    const there = result.get(node)
    if (there) there.push(pod)
    else result.set(node, [pod])
  }
  return result
}

const text = (a: string | undefined, b: string | undefined): number => ((a ?? '') < (b ?? '') ? -1 : (a ?? '') > (b ?? '') ? 1 : 0)
/** Bound ones first, then the oldest. */
export const byAge = (a: LeanPod, b: LeanPod): number =>
  Number(Boolean(b.spec.nodeName)) - Number(Boolean(a.spec.nodeName)) ||
  text(a.metadata.creationTimestamp, b.metadata.creationTimestamp) ||
  text(a.metadata.name, b.metadata.name)

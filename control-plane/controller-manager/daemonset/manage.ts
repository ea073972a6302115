/** One pod on each node that wants one, none elsewhere. pkg/controller/daemon's manage */
import type { DaemonSet } from '#shared/api/apps/daemonset.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { isAvailable, isReady, isTerminating } from '../podcontrol/pods.ts'
import { byAge, type Fit } from './nodes.ts'
import { surge } from './update.ts'
import { revisionHashLabel } from '../history/revisions.ts'

export interface Changes {
  /** Nodes that get a pod. */
  readonly create: readonly string[]
  readonly remove: readonly LeanPod[]
}
export interface Managed extends Changes {
  /** Pods that failed or succeeded; they are removed too, failed ones with a pause. */
  readonly ended: readonly { readonly node: string; readonly pod: LeanPod }[]
}

/** `pods` by node. `now` in ms. */
export function manage(
  ds: DaemonSet,
  nodes: readonly Node[],
  fits: (node: Node) => Fit,
  pods: ReadonlyMap<string, readonly LeanPod[]>,
  hash: string,
  now: number,
): Managed {
  const create: string[] = []
  const remove: LeanPod[] = []
  const ended: { node: string; pod: LeanPod }[] = []
  const surges = surge(ds, nodes.length) > 0
  for (const node of nodes) {
    const name = node.metadata.name ?? ''
    const { run, stay } = fits(node)
    const there = pods.get(name)
    const kept = there?.filter(p => !isTerminating(p)) ?? []
    if (!there) {
      if (run) create.push(name)
    } else if (!stay) remove.push(...kept)
    else {
      const isEnded = (p: LeanPod) => p.status?.phase === 'Failed' || p.status?.phase === 'Succeeded'
      for (const pod of kept.filter(isEnded)) ended.push({ node: name, pod })
      const running = kept.filter(p => !isEnded(p)).sort(byAge)
      if (!surges) remove.push(...running.slice(1))
      else if (running.length === 0 && run) create.push(name)
      else if (running.length > 1) remove.push(...surplus(ds, running, hash, now))
    }
  }
  // The pod collector does not see pods that are for a node that is gone and were never bound.
  const names = new Set(nodes.map(n => n.metadata.name))
  for (const [name, there] of pods) if (!names.has(name)) remove.push(...there.filter(p => !p.spec.nodeName && !isTerminating(p)))
  return { create, remove, ended }
}

/** Of several pods on a node one old and one new may stay, until the new one is available or the old one is not ready. */
function surplus(ds: DaemonSet, running: readonly LeanPod[], hash: string, now: number): LeanPod[] {
  const isNew = (p: LeanPod) => p.metadata.labels?.[revisionHashLabel] === hash
  const [fresh, ...moreFresh] = running.filter(isNew)
  const [old, ...moreOld] = running.filter(p => !isNew(p))
  const replaced = fresh && old && (!isReady(old) || isAvailable(fresh, ds.spec.minReadySeconds ?? 0, now))
  return [...moreFresh, ...moreOld, ...(replaced ? [old] : [])]
}

/** A rolling update: which old pods go next, and where new ones come beside them. pkg/controller/daemon/update.go */
import type { DaemonSet } from '#shared/api/apps/daemonset.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { scaledValue } from '#shared/machinery/intstr.ts'
import { isAvailable, isTerminating } from '../podcontrol/pods.ts'
import type { Changes } from './manage.ts'
import type { Fit } from './nodes.ts'
import { isUpdated } from './template.ts'

const rolling = ({ spec }: DaemonSet) => (spec.updateStrategy?.type === 'RollingUpdate' ? spec.updateStrategy.rollingUpdate : undefined)
/** How many nodes of `desired` may have two pods, an old and a new one. */
export const surge = (ds: DaemonSet, desired: number): number => scaledValue(rolling(ds)?.maxSurge ?? 0, desired, true)
/** How many may have none that is available. */
export const unavailable = (ds: DaemonSet, desired: number): number => scaledValue(rolling(ds)?.maxUnavailable ?? 1, desired, true)

/** The old and the new pod of a node; undefined when there are several of one. */
function pair(ds: DaemonSet, pods: readonly LeanPod[], hash: string): { old: LeanPod | undefined; fresh: LeanPod | undefined } | undefined {
  const kept = pods.filter(p => !isTerminating(p))
  const fresh = kept.filter(p => isUpdated(p, ds, hash))
  const old = kept.filter(p => !isUpdated(p, ds, hash))
  return fresh.length > 1 || old.length > 1 ? undefined : { old: old[0], fresh: fresh[0] }
}

/** `pods` by node. `now` in ms. What is created comes beside an old pod; where there is none, manage() creates it. */
export function rollingUpdate(
  ds: DaemonSet,
  nodes: readonly Node[],
  fits: (node: Node) => Fit,
  pods: ReadonlyMap<string, readonly LeanPod[]>,
  hash: string,
  now: number,
): Changes {
  const wanted = new Set(nodes.filter(n => fits(n).run).map(n => n.metadata.name ?? ''))
  const desired = wanted.size
  const all = new Map(pods)
  for (const name of wanted) if (!all.has(name)) all.set(name, [])
  const available = (pod: LeanPod): boolean => isAvailable(pod, ds.spec.minReadySeconds ?? 0, now)
  const places = [...all].map(([name, there]) => ({ name, pods: pair(ds, there, hash) }))
  const most = surge(ds, desired)
  if (most > 0) return withSurge(places, most, desired, wanted, available)
  return { create: [], remove: inPlace(places, Math.max(unavailable(ds, desired), 1), available) }
}
type Place = { readonly name: string; readonly pods: ReturnType<typeof pair> }

/** Old pods that are not available go at once, others as long as not too many nodes are without an available one. */
function inPlace(places: readonly Place[], most: number, available: (pod: LeanPod) => boolean): LeanPod[] {
  const broken: LeanPod[] = []
  const candidates: LeanPod[] = []
  let missing = 0
  for (const { pods } of places) {
    if (pods?.old && !pods.fresh) {
      if (available(pods.old)) candidates.push(pods.old)
      else {
        broken.push(pods.old)
        missing++
      }
    } else if (!pods?.fresh || pods.old || !available(pods.fresh)) missing++
  }
  return [...broken, ...candidates.slice(0, Math.max(0, most - missing))]
}

/** New pods come beside old ones, which go when the new ones are available. */
function withSurge(
  places: readonly Place[],
  most: number,
  desired: number,
  wanted: ReadonlySet<string>,
  available: (pod: LeanPod) => boolean,
): Changes {
  const remove: LeanPod[] = []
  const misplaced: LeanPod[] = []
  const replace: string[] = []
  const candidates: string[] = []
  let [surging, serving] = [0, 0]
  for (const { name, pods } of places) {
    if (!pods) {
      surging++
      continue
    }
    const { old, fresh } = pods
    const one = old ?? fresh
    if (one && available(one)) serving++
    if (!old) continue
    if (fresh) {
      if (available(fresh)) remove.push(old)
      else surging++
    } else if (wanted.has(name)) (available(old) ? candidates : replace).push(name)
    else (available(old) ? misplaced : remove).push(old)
  }
  // Pods on nodes that want none any more serve until those that are wanted do.
  remove.push(...misplaced.slice(0, Math.max(0, serving - desired)))
  return { create: [...replace, ...candidates.slice(0, Math.max(0, most - surging))], remove }
}

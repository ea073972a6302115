/**
 * How many replicas each replica set of a deployment should have next: pure arithmetic, after pkg/controller/deployment/{rolling,sync}.go.
 */
import type { Deployment } from '#shared/api/apps/deployment.ts'
import type { ReplicaSet } from '#shared/api/apps/replicaset.ts'
import { scaledValue } from '#shared/machinery/intstr.ts'
import { maxReplicasAnnotation } from './annotations.ts'

/** A replica set and the size it is to have. */
export interface Scaling {
  rs: ReplicaSet
  replicas: number
}

export const sizeOf = (rs: ReplicaSet): number => rs.spec.replicas ?? 1
export const wanted = (d: Deployment): number => d.spec.replicas ?? 1
const available = (rs: ReplicaSet): number => rs.status?.availableReplicas ?? 0
const sum = (sets: readonly ReplicaSet[], of: (rs: ReplicaSet) => number): number => sets.reduce((n, rs) => n + of(rs), 0)
export const totalSize = (sets: readonly ReplicaSet[]): number => sum(sets, sizeOf)
export const totalAvailable = (sets: readonly ReplicaSet[]): number => sum(sets, available)

const isRolling = (d: Deployment): boolean => (d.spec.strategy?.type ?? 'RollingUpdate') === 'RollingUpdate'
const created = (rs: ReplicaSet): string => rs.metadata.creationTimestamp ?? ''
const byName = (a: ReplicaSet, b: ReplicaSet): number => ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1)
/** Oldest first. */
export const byCreation = (a: ReplicaSet, b: ReplicaSet): number =>
  created(a) < created(b) ? -1 : created(a) > created(b) ? 1 : byName(a, b)

/** Surge and unavailable in pods; when both come out as 0 one pod may be unavailable, else nothing could ever move. */
export function fenceposts(d: Deployment): { surge: number; unavailable: number } {
  if (!isRolling(d)) return { surge: 0, unavailable: 0 }
  const limits = d.spec.strategy?.rollingUpdate
  const surge = scaledValue(limits?.maxSurge ?? '25%', wanted(d), true)
  const unavailable = scaledValue(limits?.maxUnavailable ?? '25%', wanted(d), false)
  return { surge, unavailable: surge === 0 && unavailable === 0 ? 1 : unavailable }
}
export const maxSurge = (d: Deployment): number => fenceposts(d).surge
export const maxUnavailable = (d: Deployment): number => (wanted(d) === 0 ? 0 : Math.min(fenceposts(d).unavailable, wanted(d)))

/** The size the new replica set, now `current` large among `all`, may grow to. */
export function newSize(d: Deployment, all: readonly ReplicaSet[], current: number): number {
  if (!isRolling(d)) return wanted(d)
  const room = wanted(d) + scaledValue(d.spec.strategy?.rollingUpdate?.maxSurge ?? '25%', wanted(d), true) - totalSize(all)
  return room <= 0 ? current : current + Math.min(room, wanted(d) - current)
}

/** What happens to the new replica set in this step of a rolling update; undefined for nothing. */
export function scaleNew(d: Deployment, newRS: ReplicaSet, old: readonly ReplicaSet[]): Scaling | undefined {
  const size = sizeOf(newRS)
  if (size === wanted(d)) return undefined
  const replicas = size > wanted(d) ? wanted(d) : newSize(d, [...old, newRS], size)
  return replicas === size ? undefined : { rs: newRS, replicas }
}

/**
 * What happens to the old ones: first pods that are not available anyway go, then as many available ones as are to spare. Each appears at
 * most once.
 */
export function scaleOld(d: Deployment, newRS: ReplicaSet, old: readonly ReplicaSet[]): Scaling[] {
  if (totalSize(old) === 0) return []
  const minAvailable = wanted(d) - maxUnavailable(d)
  const spare = totalSize([...old, newRS]) - minAvailable - (sizeOf(newRS) - available(newRS))
  if (spare <= 0) return []
  const sizes = new Map([...old].sort(byCreation).map(rs => [rs, sizeOf(rs)]))
  let unhealthy = spare
  for (const [rs, size] of sizes) {
    const gone = Math.max(0, Math.min(unhealthy, size - available(rs)))
    sizes.set(rs, size - gone)
    unhealthy -= gone
  }
  let healthy = Math.max(0, totalAvailable([...old, newRS]) - minAvailable)
  for (const [rs, size] of sizes) {
    const gone = Math.min(healthy, size)
    sizes.set(rs, size - gone)
    healthy -= gone
  }
  return [...sizes].filter(([rs, size]) => size !== sizeOf(rs)).map(([rs, replicas]) => ({ rs, replicas }))
}

/** Whether the new replica set alone serves the whole deployment. `desired` is what its annotation says. */
const saturated = (d: Deployment, newRS: ReplicaSet | undefined, desired: (rs: ReplicaSet) => number | undefined): boolean =>
  newRS !== undefined && sizeOf(newRS) === wanted(d) && desired(newRS) === wanted(d) && available(newRS) === wanted(d)

/**
 * The sizes after the deployment itself was scaled, or while it is paused: a single active replica set takes the whole change; during a
 * rolling update it is spread in proportion to size, so that the share of the new version stays.
 */
export function scaleAll(
  d: Deployment,
  newRS: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
  desired: (rs: ReplicaSet) => number | undefined,
): Scaling[] {
  const all = newRS ? [...old, newRS] : [...old]
  const active = all.filter(rs => sizeOf(rs) > 0)
  if (active.length <= 1) {
    const only = active[0] ?? newRS ?? [...old].sort(byCreation).at(-1)
    return only ? [{ rs: only, replicas: wanted(d) }] : []
  }
  if (saturated(d, newRS, desired)) return active.filter(rs => rs !== newRS).map(rs => ({ rs, replicas: 0 }))
  if (!isRolling(d)) return []
  const allowed = wanted(d) > 0 ? wanted(d) + maxSurge(d) : 0
  const toAdd = allowed - totalSize(active)
  // Larger ones first; among equals the newer when growing, the older when shrinking.
  const newer = (a: ReplicaSet, b: ReplicaSet) => byCreation(b, a)
  const sorted = [...active].sort((a, b) => sizeOf(b) - sizeOf(a) || (toAdd > 0 ? newer(a, b) : byCreation(a, b)))
  let added = 0
  const plan = sorted.map(rs => {
    const share = toAdd === 0 ? 0 : proportion(rs, d, toAdd, added)
    added += share
    return { rs, replicas: sizeOf(rs) + share }
  })
  if (toAdd !== 0 && plan[0]) plan[0].replicas = Math.max(0, plan[0].replicas + toAdd - added)
  return plan
}

/** The part of `toAdd` (negative when shrinking) that falls to one replica set when `added` is given out already. */
function proportion(rs: ReplicaSet, d: Deployment, toAdd: number, added: number): number {
  if (sizeOf(rs) === 0 || toAdd === added) return 0
  const share = fraction(rs, d)
  return toAdd > 0 ? Math.min(share, toAdd - added) : Math.max(share, toAdd - added)
}
function fraction(rs: ReplicaSet, d: Deployment): number {
  if (wanted(d) === 0) return -sizeOf(rs)
  // Without the annotation the deployment's present size stands in for the size before.
  const before = maxReplicasAnnotation(rs) || (d.status?.replicas ?? 0)
  if (before === 0) return 0
  return Math.round((sizeOf(rs) * (wanted(d) + maxSurge(d))) / before) - sizeOf(rs)
}

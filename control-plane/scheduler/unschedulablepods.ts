/**
 * Pods that wait for a change: in the order in which they came, and in groups of those that the same plugins turned down, so that a change
 * which none of these waits for costs nothing for each pod.
 */
import type { QueuedPod } from './queue.ts'

export interface Group {
  /** spec.schedulerName of its pods. */
  readonly profile: string
  readonly rejectedBy: ReadonlySet<string>
  readonly pods: ReadonlyMap<string, QueuedPod>
}

export class UnschedulablePods {
  readonly #pods = new Map<string, { queued: QueuedPod; group: string }>()
  readonly #groups = new Map<string, { profile: string; rejectedBy: ReadonlySet<string>; pods: Map<string, QueuedPod> }>()

  get size(): number {
    return this.#pods.size
  }
  get(uid: string): QueuedPod | undefined {
    return this.#pods.get(uid)?.queued
  }
  /** The one that has waited longest. */
  get oldest(): QueuedPod | undefined {
    return this.#pods.values().next().value?.queued
  }
  groups(): Iterable<Group> {
    return this.#groups.values()
  }

  /** Adds a pod, as the youngest. */
  add(queued: QueuedPod): void {
    const { info, rejectedBy } = queued
    this.delete(info.uid)
    const profile = info.pod.spec.schedulerName ?? 'default-scheduler'
    const key = [profile, ...[...rejectedBy].sort()].join()
    let group = this.#groups.get(key)
    if (!group) this.#groups.set(key, (group = { profile, rejectedBy, pods: new Map() }))
    group.pods.set(info.uid, queued)
    this.#pods.set(info.uid, { queued, group: key })
  }

  delete(uid: string): void {
    const known = this.#pods.get(uid)
    if (!known) return
    this.#pods.delete(uid)
    const group = this.#groups.get(known.group)!
    group.pods.delete(uid)
    if (group.pods.size === 0) this.#groups.delete(known.group)
  }
}

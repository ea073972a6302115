/** Pods for which room is being made on a node (status.nominatedNodeName): others must leave it to them. */
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import type { PodInfo } from './podinfo.ts'

export class Nominator {
  readonly #nodeOf = new Map<string, string>()
  readonly #byNode = new Map<string, Map<string, PodInfo>>()

  /** The pods nominated to the node. */
  on(node: string): Iterable<PodInfo> {
    return this.#byNode.get(node)?.values() ?? []
  }
  nodeOf(uid: string): string | undefined {
    return this.#nodeOf.get(uid)
  }
  /** Whether any pod is nominated anywhere. */
  get empty(): boolean {
    return this.#nodeOf.size === 0
  }

  set(pod: PodInfo, node: string): void {
    this.delete(pod.uid)
    this.#nodeOf.set(pod.uid, node)
    let pods = this.#byNode.get(node)
    if (!pods) this.#byNode.set(node, (pods = new Map()))
    pods.set(pod.uid, pod)
  }

  /** Follows an update of a waiting pod. A nomination of ours that the API does not show yet is kept. */
  update(pod: PodInfo, old: Pod | undefined): void {
    const node = pod.pod.status?.nominatedNodeName || (old?.status?.nominatedNodeName ? '' : this.#nodeOf.get(pod.uid))
    if (node) this.set(pod, node)
    else this.delete(pod.uid)
  }

  /** Whether it was nominated. */
  delete(uid: string): boolean {
    const node = this.#nodeOf.get(uid)
    if (node === undefined) return false
    this.#nodeOf.delete(uid)
    const pods = this.#byNode.get(node)
    pods?.delete(uid)
    if (pods?.size === 0) this.#byNode.delete(node)
    return true
  }
}

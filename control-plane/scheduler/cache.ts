/** The scheduler's picture of the cluster: nodes with their pods, those that it has just bound among them. */
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Snapshot } from './framework.ts'
import { NodeInfo } from './nodeinfo.ts'

const finished = (pod: Pod): boolean => pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'

export class ClusterCache {
  readonly #nodes = new Map<string, NodeInfo>()
  /** Where each pod is counted, by UID. */
  readonly #where = new Map<string, string>()
  /** Pods sent for binding whose update has not come back yet. */
  readonly #assumed = new Set<string>()

  /** All nodes that exist; nodes known only from their pods are not offered. */
  snapshot(): Snapshot {
    return { nodes: [...this.#nodes.values()].filter(n => n.node !== undefined) }
  }

  setNode(node: Node): void {
    this.#info(node.metadata.name ?? '').setNode(node)
  }

  deleteNode(name: string): void {
    const info = this.#nodes.get(name)
    info?.setNode(undefined)
    if (info?.pods.size === 0) this.#nodes.delete(name)
  }

  /** The pod as the API has it. A finished pod takes no place. */
  setPod(pod: Pod): void {
    const uid = pod.metadata.uid ?? ''
    const node = pod.spec.nodeName
    // An update from before our binding must not undo the assumption.
    if (!node && this.#assumed.has(uid)) return
    this.#assumed.delete(uid)
    if (!node || finished(pod)) return this.deletePod(pod)
    if (this.#where.get(uid) !== node) this.deletePod(pod)
    this.#where.set(uid, node)
    this.#info(node).addPod(pod)
  }

  deletePod(pod: Pod): void {
    const uid = pod.metadata.uid ?? ''
    this.#assumed.delete(uid)
    const node = this.#where.get(uid)
    if (node === undefined) return
    this.#where.delete(uid)
    const info = this.#nodes.get(node)
    info?.removePod(pod)
    if (info && !info.node && info.pods.size === 0) this.#nodes.delete(node)
  }

  /** Counts a pod on a node before the API confirms it, so that the next pod sees it there. */
  assume(pod: Pod, node: string): void {
    this.setPod({ ...pod, spec: { ...pod.spec, nodeName: node } })
    this.#assumed.add(pod.metadata.uid ?? '')
  }

  /** The binding failed. */
  forget(pod: Pod): void {
    if (this.#assumed.has(pod.metadata.uid ?? '')) this.deletePod(pod)
  }

  isAssumed(pod: Pod): boolean {
    return this.#assumed.has(pod.metadata.uid ?? '')
  }

  #info(name: string): NodeInfo {
    let info = this.#nodes.get(name)
    if (!info) this.#nodes.set(name, (info = new NodeInfo(name)))
    return info
  }
}

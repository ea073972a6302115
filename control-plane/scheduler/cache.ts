/** The scheduler's picture of the cluster: nodes with their pods, those that it has just bound among them. */
import { isPodFinished } from '#shared/api/core/pod.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import type { Snapshot } from './framework.ts'
import { NodeInfo } from './nodeinfo.ts'
import { AffinityTerms } from './podaffinity.ts'
import { countsAs, podInfo, type PodInfo } from './podinfo.ts'
import { PodCounts } from './podset.ts'
import { Siblings } from './siblings.ts'

const zoneLabel = 'topology.kubernetes.io/zone'

export class ClusterCache {
  readonly #nodes = new Map<string, NodeInfo>()
  /** Where each pod is counted, by UID. */
  readonly #where = new Map<string, string>()
  /** Pods sent for binding whose update has not come back yet. */
  readonly #assumed = new Set<string>()
  readonly #siblings = new Siblings()
  readonly #counts = new PodCounts()
  readonly #affinityTerms = new AffinityTerms()
  /** What the last snapshot showed, patched by the next one. */
  #list: NodeInfo[] = []
  #index = new Map<string, number>()
  /** Nodes came, went or moved to another zone: the list has to be made anew. */
  #listChanged = false
  readonly #changed = new Set<NodeInfo>()

  /**
   * All nodes that exist, zone by zone in turn. A snapshot is valid until the next one is taken; its nodes do not change meanwhile, since
   * whoever changes a node that a snapshot shows changes a clone.
   */
  snapshot(): Snapshot {
    if (this.#listChanged) {
      this.#list = inTurn([...this.#nodes.values()].filter(n => n.exists))
      this.#index = new Map(this.#list.map((n, i) => [n.name, i]))
      for (const info of this.#list) info.shared = true
    } else {
      for (const info of this.#changed) {
        const at = this.#index.get(info.name)
        if (at === undefined) continue
        this.#list[at] = info
        info.shared = true
      }
    }
    this.#listChanged = false
    this.#changed.clear()
    const [list, index, siblings, counts, terms] = [this.#list, this.#index, this.#siblings, this.#counts, this.#affinityTerms]
    return {
      nodes: list,
      get: name => {
        const at = index.get(name)
        return at === undefined ? undefined : list[at]
      },
      count: set => counts.of(set, this.#nodes.values()),
      affinityTerms: kind => terms.of(kind),
      siblings: owner => siblings.of(owner),
    }
  }

  /** `changed` is false for an update that the scheduler need not look at: a heartbeat. */
  setNode(node: Node, changed = true): void {
    const name = node.metadata.name ?? ''
    const known = this.#nodes.get(name)
    if (known?.exists && !changed) return void (known.node = node)
    const zone = known?.node.metadata.labels?.[zoneLabel]
    if (!known?.exists || zone !== node.metadata.labels?.[zoneLabel]) this.#listChanged = true
    this.#writable(name).setNode(node)
  }

  deleteNode(name: string): void {
    const known = this.#nodes.get(name)
    if (!known) return
    this.#nodes.delete(name)
    this.#changed.delete(known)
    this.#listChanged = true
    if (known.pods.size === 0) return
    const orphan = new NodeInfo(name)
    for (const pod of known.pods.values()) orphan.addPod(pod)
    this.#nodes.set(name, orphan)
  }

  /** The pod as the API has it. A finished pod takes no place. */
  setPod(pod: Pod): void {
    const uid = pod.metadata.uid ?? ''
    const node = pod.spec.nodeName
    // An update from before our binding must not undo the assumption.
    if (!node && this.#assumed.has(uid)) return
    this.#assumed.delete(uid)
    if (!node || isPodFinished(pod)) return this.deletePod(pod)
    const known = this.#podAt(uid, node)
    if (known && countsAs(known, pod)) known.pod = pod
    else this.#put(podInfo(pod), node)
  }

  deletePod(pod: Pod): void {
    this.#remove(pod.metadata.uid ?? '')
  }

  /** Counts a pod on a node before the API confirms it, so that the next pod sees it there. */
  assume(pod: PodInfo, node: string): void {
    this.#put({ ...pod, pod: { ...pod.pod, spec: { ...pod.pod.spec, nodeName: node } } }, node)
    this.#assumed.add(pod.uid)
  }

  /** The binding failed. Whether the pod was still assumed. */
  forget(uid: string): boolean {
    if (!this.#assumed.has(uid)) return false
    this.#remove(uid)
    return true
  }

  get sizes(): { nodes: number; pods: number; assumed: number } {
    return { nodes: this.#list.length, pods: this.#where.size, assumed: this.#assumed.size }
  }

  isAssumed(uid: string): boolean {
    return this.#assumed.has(uid)
  }

  /** The node that a pod is assumed on. */
  assumedOn(uid: string): string | undefined {
    return this.#assumed.has(uid) ? this.#where.get(uid) : undefined
  }

  #podAt(uid: string, node: string): PodInfo | undefined {
    return this.#where.get(uid) === node ? this.#nodes.get(node)?.pods.get(uid) : undefined
  }

  #put(pod: PodInfo, node: string): void {
    const assumed = this.#assumed.has(pod.uid)
    this.#remove(pod.uid)
    if (assumed) this.#assumed.add(pod.uid)
    this.#where.set(pod.uid, node)
    this.#writable(node).addPod(pod)
    for (const index of [this.#siblings, this.#counts, this.#affinityTerms]) index.add(pod, node)
  }

  #remove(uid: string): void {
    this.#assumed.delete(uid)
    const node = this.#where.get(uid)
    if (node === undefined) return
    this.#where.delete(uid)
    const info = this.#writable(node)
    const pod = info.removePod(uid)
    if (pod) for (const index of [this.#siblings, this.#counts, this.#affinityTerms]) index.remove(pod, node)
    if (!info.exists && info.pods.size === 0) this.#nodes.delete(node)
  }

  /** The node's info to be changed: its own, or a clone when the snapshot shows it. */
  #writable(name: string): NodeInfo {
    let info = this.#nodes.get(name)
    if (info && !info.shared) return info
    info = info ? info.clone() : new NodeInfo(name)
    this.#nodes.set(name, info)
    this.#changed.add(info)
    return info
  }
}

/** One node of each zone, then the next of each: a search that looks at some nodes only sees all zones. As upstream's node tree. */
function inTurn(nodes: readonly NodeInfo[]): NodeInfo[] {
  const zones = new Map<string, NodeInfo[]>()
  for (const info of nodes) {
    const zone = info.node.metadata.labels?.[zoneLabel] ?? ''
    const list = zones.get(zone)
    if (list) list.push(info)
    else zones.set(zone, [info])
  }
  if (zones.size === 1) return [...nodes]
  const out: NodeInfo[] = []
  for (let i = 0; out.length < nodes.length; i++)
    for (const list of zones.values()) {
      const info = list[i]
      if (info) out.push(info)
    }
  return out
}

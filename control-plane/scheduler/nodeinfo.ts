/** What the scheduler knows of one node: the object, the pods on it, and their sums. */
import type { Node } from '#shared/api/core/node.ts'
import { conflicts, sharesAddress, type HostPort } from '#shared/scheduling/hostports.ts'
import type { PodInfo } from './podinfo.ts'
import { addResources, cloneResources, noResources, resourcesOf, type Resources } from './resources.ts'

export class NodeInfo {
  readonly name: string
  /** Of a node that is known from its pods only: its name, nothing else. Such nodes are in no snapshot. */
  node: Node
  exists = false
  /** Whether a snapshot shows it: whoever changes it makes a clone first. */
  shared = false
  allocatable: Resources = noResources()
  requested: Resources = noResources()
  nonZeroMilliCPU = 0
  nonZeroMemory = 0
  pods = new Map<string, PodInfo>()
  #ports: HostPort[] = []
  #sharesAddress = false

  constructor(name: string) {
    this.name = name
    this.node = { apiVersion: 'v1', kind: 'Node', metadata: { name } } as Node
  }

  /** A copy for a dry run, or for the next snapshot: changing it leaves the original as it is. */
  clone(): NodeInfo {
    const copy = new NodeInfo(this.name)
    copy.node = this.node
    copy.exists = this.exists
    copy.allocatable = this.allocatable
    copy.requested = cloneResources(this.requested)
    copy.nonZeroMilliCPU = this.nonZeroMilliCPU
    copy.nonZeroMemory = this.nonZeroMemory
    copy.pods = new Map(this.pods)
    copy.#ports = this.#ports.slice()
    copy.#sharesAddress = this.#sharesAddress
    return copy
  }

  setNode(node: Node): void {
    this.node = node
    this.exists = true
    // A new object, as clones share it.
    this.allocatable = resourcesOf(node.status?.allocatable ?? node.status?.capacity ?? {})
    if (this.#sharesAddress === sharesAddress(node)) return
    this.#sharesAddress = sharesAddress(node)
    this.#countPorts()
  }

  /** Adds a pod, or replaces what is known of it. */
  addPod(pod: PodInfo): void {
    this.removePod(pod.uid)
    this.pods.set(pod.uid, pod)
    this.#count(pod, 1)
    this.#ports.push(...this.portsOf(pod))
  }

  removePod(uid: string): PodInfo | undefined {
    const known = this.pods.get(uid)
    if (!known) return undefined
    this.pods.delete(uid)
    this.#count(known, -1)
    if (this.portsOf(known).length > 0) this.#countPorts()
    return known
  }

  /** Whether a pod that wants these ports can be here. */
  hasFree(pod: PodInfo): boolean {
    if (this.#ports.length === 0) return true
    return !this.portsOf(pod).some(p => this.#ports.some(used => conflicts(p, used)))
  }

  /** The ports of the node that the pod would take. */
  portsOf(pod: PodInfo): readonly HostPort[] {
    return this.#sharesAddress ? pod.containerPorts : pod.hostPorts
  }

  #count(pod: PodInfo, times: 1 | -1): void {
    addResources(this.requested, pod.requests, times)
    this.nonZeroMilliCPU += times * pod.nonZeroMilliCPU
    this.nonZeroMemory += times * pod.nonZeroMemory
  }
  #countPorts(): void {
    this.#ports = [...this.pods.values()].flatMap(pod => this.portsOf(pod))
  }
}

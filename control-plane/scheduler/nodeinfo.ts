/** What the scheduler knows of one node: the object, the pods on it, and their sums. */
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { hostPortsOf, conflicts, type HostPort } from '#shared/scheduling/hostports.ts'
import { addResources, allocatableOf, noResources, nonZeroRequestsOf, requestsOf, subtractResources, type Resources } from './resources.ts'

export class NodeInfo {
  readonly name: string
  node: Node | undefined
  allocatable: Resources = noResources()
  readonly requested: Resources = noResources()
  /** cpu and memory with upstream's assumption for pods that request nothing, so that those spread too. */
  readonly nonZeroRequested: Resources = noResources()
  readonly pods = new Map<string, Pod>()
  readonly #hostPorts: HostPort[] = []

  constructor(name: string) {
    this.name = name
  }

  setNode(node: Node | undefined): void {
    this.node = node
    this.allocatable = node ? allocatableOf(node) : noResources()
  }

  /** Adds a pod, or replaces what is known of it. */
  addPod(pod: Pod): void {
    this.removePod(pod)
    this.pods.set(pod.metadata.uid ?? '', pod)
    addResources(this.requested, requestsOf(pod))
    addResources(this.nonZeroRequested, nonZeroRequestsOf(pod))
    this.#hostPorts.push(...hostPortsOf(pod))
  }

  removePod(pod: Pod): void {
    const uid = pod.metadata.uid ?? ''
    const known = this.pods.get(uid)
    if (!known) return
    this.pods.delete(uid)
    subtractResources(this.requested, requestsOf(known))
    subtractResources(this.nonZeroRequested, nonZeroRequestsOf(known))
    this.#hostPorts.splice(0, this.#hostPorts.length, ...[...this.pods.values()].flatMap(hostPortsOf))
  }

  /** Whether a pod that wants these ports can be here. */
  hasFree(ports: readonly HostPort[]): boolean {
    return !ports.some(p => this.#hostPorts.some(used => conflicts(p, used)))
  }
}

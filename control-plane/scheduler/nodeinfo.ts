/** What the scheduler knows of one node: the object, the pods on it, and their sums. */
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { conflicts, containerPortsOf, hostPortsOf, sharesAddress, type HostPort } from '#shared/scheduling/hostports.ts'
import { addResources, allocatableOf, noResources, nonZeroRequestsOf, requestsOf, subtractResources, type Resources } from './resources.ts'

/** What a pod asks of a node's ports: where pods have addresses of their own, and where they share the node's. */
export interface PodPorts {
  host: HostPort[]
  container: HostPort[]
}

export class NodeInfo {
  readonly name: string
  node: Node | undefined
  allocatable: Resources = noResources()
  readonly requested: Resources = noResources()
  /** cpu and memory with upstream's assumption for pods that request nothing, so that those spread too. */
  readonly nonZeroRequested: Resources = noResources()
  readonly pods = new Map<string, Pod>()
  #ports: HostPort[] = []
  #sharesAddress = false

  constructor(name: string) {
    this.name = name
  }

  setNode(node: Node | undefined): void {
    this.node = node
    this.allocatable = node ? allocatableOf(node) : noResources()
    if (this.#sharesAddress === sharesAddress(node)) return
    this.#sharesAddress = sharesAddress(node)
    this.#countPorts()
  }

  /** Adds a pod, or replaces what is known of it. */
  addPod(pod: Pod): void {
    this.removePod(pod)
    this.pods.set(pod.metadata.uid ?? '', pod)
    addResources(this.requested, requestsOf(pod))
    addResources(this.nonZeroRequested, nonZeroRequestsOf(pod))
    this.#ports.push(...this.#portsOf(pod))
  }

  removePod(pod: Pod): void {
    const uid = pod.metadata.uid ?? ''
    const known = this.pods.get(uid)
    if (!known) return
    this.pods.delete(uid)
    subtractResources(this.requested, requestsOf(known))
    subtractResources(this.nonZeroRequested, nonZeroRequestsOf(known))
    this.#countPorts()
  }

  /** Whether a pod that wants these ports can be here. */
  hasFree({ host, container }: PodPorts): boolean {
    return !(this.#sharesAddress ? container : host).some(p => this.#ports.some(used => conflicts(p, used)))
  }

  #portsOf(pod: Pod): HostPort[] {
    return this.#sharesAddress ? containerPortsOf(pod) : hostPortsOf(pod)
  }
  #countPorts(): void {
    this.#ports = [...this.pods.values()].flatMap(pod => this.#portsOf(pod))
  }
}

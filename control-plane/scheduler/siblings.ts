/** How many pods of each controller every node has: counted as pods come and go, since counting them in each cycle is most of its time. */
import type { PodInfo } from './podinfo.ts'

export class Siblings {
  readonly #owners = new Map<string, Map<string, number>>()

  of(owner: string): ReadonlyMap<string, number> | undefined {
    return this.#owners.get(owner)
  }

  add(pod: PodInfo, node: string): void {
    this.#change(pod, node, 1)
  }
  remove(pod: PodInfo, node: string): void {
    this.#change(pod, node, -1)
  }

  #change({ owner, terminating }: PodInfo, node: string, by: number): void {
    if (owner === undefined || terminating) return
    let nodes = this.#owners.get(owner)
    if (!nodes) this.#owners.set(owner, (nodes = new Map()))
    const count = (nodes.get(node) ?? 0) + by
    if (count > 0) nodes.set(node, count)
    else nodes.delete(node)
    if (nodes.size === 0) this.#owners.delete(owner)
  }
}

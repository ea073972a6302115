/** A pod is bound once, and to a node that is there. */
import { keyOf, type Invariant, type Violation } from '../history.ts'
import { deltas, World } from '../world.ts'

/** How late the scheduler may learn that a node is gone, ms. */
const lateMs = 5000

export const boundOnce: Invariant = history => {
  const found: Violation[] = []
  const world = new World()
  const nodeGone = new Map<string, number>()
  for (const event of history) {
    const bad = (message: string): void =>
      void found.push({ invariant: 'a pod is bound once, to a node that is there', at: event.at, message })
    for (const { was, is } of deltas(world, event)) {
      if (was?.node && !is) nodeGone.set(was.name, event.at)
      if (is?.node) nodeGone.delete(is.name)
      if (!is?.pod || !was?.pod || was.uid !== is.uid || was.pod.node === is.pod.node) continue
      if (was.pod.node !== '') bad(`pod ${keyOf(is)} was bound to ${was.pod.node}, then to ${is.pod.node || 'no node'}`)
      else {
        const since = nodeGone.get(is.pod.node)
        if (since !== undefined && event.at - since > lateMs)
          bad(`pod ${keyOf(is)} was bound to ${is.pod.node}, which was gone for ${Math.round((event.at - since) / 1000)} s`)
      }
    }
    world.apply(event)
  }
  return found
}

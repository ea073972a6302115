/** Nobody is evicted from a node that was neither killed nor cut off. */
import { keyOf, type Invariant, type Violation } from '../history.ts'
import { deltas, World } from '../world.ts'

export const noEvictionWithoutCause: Invariant = history => {
  const found: Violation[] = []
  const world = new World()
  const broken = new Set<string>()
  for (const event of history) {
    // Once broken counts for good: what is evicted late is late, not wrong.
    if (event.type === 'action' && (event.action === 'node' || event.action === 'link')) broken.add(event.node ?? '')
    for (const { was, is } of deltas(world, event)) {
      const reason = is?.pod?.disruption
      if (!is || reason === undefined || !was?.pod || was.pod.disruption !== undefined || was.uid !== is.uid) continue
      if (reason === 'DeletionByTaintManager' && !broken.has(is.pod?.node ?? ''))
        found.push({
          invariant: 'nobody is evicted without cause',
          at: event.at,
          message: `pod ${keyOf(is)} was evicted from ${is.pod?.node}, which nobody had touched`,
        })
    }
    world.apply(event)
  }
  return found
}

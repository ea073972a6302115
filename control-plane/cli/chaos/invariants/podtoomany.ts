/**
 * A replica set never makes more pods than it was asked for lately: a controller that comes back must not repeat what its former life did.
 */
import { keyOf, type Invariant, type Violation } from '../history.ts'
import { World } from '../world.ts'

/** How long a controller may act on the size that was asked for before, ms. */
const lateMs = 5000
/** Kinds are watched one by one: how much later than a pod its replica set may be told of, ms. */
const skewMs = 3000

export const noPodTooMany: Invariant = history => {
  const found: Violation[] = []
  const sizes = new Map<string, { version: number; at: number; desired: number }[]>()
  for (const event of history) {
    if (event.type !== 'change' && event.type !== 'list') continue
    for (const fact of event.type === 'change' ? [event.fact] : event.facts) {
      if (fact.kind !== 'replicasets' || !fact.workload) continue
      const asked = sizes.get(fact.uid) ?? []
      sizes.set(fact.uid, asked)
      if (asked.at(-1)?.desired === fact.workload.desired) continue
      // A list tells the size of now, not those before it, on which a controller may still act.
      if (event.type === 'list') asked.push({ version: asked.at(-1)?.version ?? 0, at: event.at, desired: Infinity })
      asked.push({ version: fact.version, at: event.at, desired: fact.workload.desired })
    }
  }
  const last = history.at(-1)
  const until = last?.type === 'end' ? Infinity : (last?.at ?? 0) - skewMs
  const world = new World()
  for (const event of history) {
    world.apply(event)
    const owner = event.type === 'change' && event.change === 'added' ? event.fact.pod?.owner : undefined
    if (owner?.kind !== 'ReplicaSet' || event.type !== 'change' || event.at > until) continue
    const asked = sizes.get(owner.uid)
    if (!asked) continue
    // In force: what was asked for when the pod was made, or replaced only lately.
    const inForce = asked.filter(
      (s, i) =>
        s.version < event.fact.version &&
        !((asked[i + 1]?.version ?? Infinity) < event.fact.version && (asked[i + 1]?.at ?? Infinity) < event.at - lateMs),
    )
    const limit = Math.max(0, ...inForce.map(s => s.desired))
    const pods = [...world.of('pods').values()].filter(
      p => p.pod?.owner?.uid === owner.uid && !p.pod.terminating && p.pod.phase !== 'Failed' && p.pod.phase !== 'Succeeded',
    )
    if (pods.length > limit)
      found.push({
        invariant: 'no pod too many',
        at: event.at,
        message: `replica set ${event.fact.namespace}/${owner.name} has ${pods.length} pods of ${limit} with ${keyOf(event.fact)}`,
      })
  }
  return found
}

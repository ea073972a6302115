/** Endpoints hold only ready pods: one that is not ready any more, terminating or gone leaves them soon. */
import { titleOf, type Invariant, type Violation } from '../history.ts'
import { World } from '../world.ts'

/** How long the controller may take, ms of calm: what it takes while something is broken or recovering does not count. */
const lateMs = 5000

export const endpointsAreReady: Invariant = history => {
  const found: Violation[] = []
  const world = new World()
  /** Since when (ms of calm) an endpoint is wrong. */
  const wrong = new Map<string, number>()
  for (const event of history) {
    world.apply(event)
    const relevant =
      event.type === 'end' ||
      event.type === 'recovered' ||
      (event.type === 'change' && (event.fact.kind === 'pods' || event.fact.kind === 'endpointslices')) ||
      event.type === 'list'
    if (!relevant) continue
    const pods = world.pods()
    const still = new Set<string>()
    for (const slice of world.of('endpointslices').values()) {
      const service = world.of('services').get(`${slice.namespace}/${slice.slice?.service}`)?.service
      if (!service?.selector || service.publishNotReady) continue
      for (const { uid, ready } of slice.slice?.endpoints ?? []) {
        if (!ready || uid === '') continue
        const pod = pods.get(uid)
        const why = !pod ? 'is gone' : pod.pod?.terminating ? 'is terminating' : pod.pod?.ready ? undefined : 'is not ready'
        if (!why) continue
        const key = `${slice.uid}/${uid}/${why}`
        still.add(key)
        const since = wrong.get(key) ?? world.calmMs
        wrong.set(key, since)
        if (event.type !== 'end' && world.calmMs - since <= lateMs) continue
        found.push({
          invariant: 'endpoints hold only ready pods',
          at: event.at,
          message: `${titleOf(slice)} holds pod ${pod?.name ?? uid} as ready, which ${why}`,
        })
        wrong.set(key, Infinity)
      }
    }
    for (const key of wrong.keys()) if (!still.has(key)) wrong.delete(key)
  }
  return found
}

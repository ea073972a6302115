/**
 * No container is restarted without cause. A cause is the death of its node or of its process, or that it used up its memory; the death of
 * a node-agent is none. A container that ends by itself, or fails its liveness probe, is its own affair and no violation.
 */
import { keyOf, type ContainerFact, type ContainerProcess, type Invariant, type Violation } from '../history.ts'
import { deltas, World } from '../world.ts'

/** Ended by a signal, or by nobody knows what: what a kubelet that forgot its container would write. */
const killed = (last: ContainerFact['last']): boolean => !last || last.exitCode > 128 || last.reason === 'ContainerStatusUnknown'

export const noRestartWithoutCause: Invariant = history => {
  const found: Violation[] = []
  const world = new World()
  /** Ids of containers that something was done to. */
  const doomed = new Set<string>()
  const probed = new Set<string>()
  let running: readonly ContainerProcess[] = []
  for (const event of history) {
    const bad = (message: string): void => void found.push({ invariant: 'no container is restarted without cause', at: event.at, message })
    if (event.type === 'processes') running = event.processes
    if (event.type === 'action' && event.action === 'pod') doomed.add(event.container ?? '')
    if (event.type === 'action' && event.action === 'node') {
      // The API may not know the youngest containers, the process table not those that start right now.
      for (const p of running) if (p.node === event.node) doomed.add(p.id)
      for (const pod of world.of('pods').values())
        if (pod.pod?.node === event.node) for (const c of pod.pod?.containers ?? []) doomed.add(c.id)
    }
    for (const { was, is } of deltas(world, event)) {
      if (is?.probeFailure) probed.add(is.probeFailure)
      if (!is?.pod || !was?.pod || was.uid !== is.uid) continue
      for (const now of is.pod.containers) {
        const before = was.pod.containers.find(c => c.name === now.name)
        if (!before || before.id === '' || before.id === now.id) {
          if (before && before.id === now.id && now.restarts < before.restarts)
            bad(`container ${now.name} of pod ${keyOf(is)} counts ${now.restarts} restarts after ${before.restarts}`)
          continue
        }
        const name = `container ${now.name} of pod ${keyOf(is)}`
        if (now.restarts <= before.restarts) bad(`${name} is another one, its restarts still count ${now.restarts}`)
        const cause =
          doomed.has(before.id) ||
          doomed.has(now.last?.id ?? '') ||
          probed.delete(`${is.uid}/${now.name}`) ||
          now.last?.reason === 'OOMKilled' ||
          !killed(now.last)
        if (!cause)
          bad(
            `${name} was restarted, its last life ended ${now.last ? `as ${now.last.reason} with exit code ${now.last.exitCode}` : 'nobody says how'}`,
          )
      }
    }
    world.apply(event)
  }
  return found
}

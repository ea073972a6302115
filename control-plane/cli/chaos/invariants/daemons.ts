/** A DaemonSet has one pod of a revision on a node. */
import { keyOf, type Invariant, type Violation } from '../history.ts'
import { World } from '../world.ts'

export const oneDaemonANode: Invariant = history => {
  const found: Violation[] = []
  const world = new World()
  for (const event of history) {
    world.apply(event)
    if (event.type !== 'change' || event.change === 'deleted') continue
    const { pod } = event.fact
    if (pod?.owner?.kind !== 'DaemonSet' || pod.terminating || !pod.node || isOver(pod.phase)) continue
    const revision = pod.labels['controller-revision-hash']
    const twin = [...world.of('pods').values()].find(
      p =>
        p.uid !== event.fact.uid &&
        p.pod?.owner?.uid === pod.owner?.uid &&
        p.pod?.node === pod.node &&
        !p.pod.terminating &&
        !isOver(p.pod.phase) &&
        p.pod.labels['controller-revision-hash'] === revision,
    )
    if (twin)
      found.push({
        invariant: 'one daemon a node',
        at: event.at,
        message: `daemon set ${event.fact.namespace}/${pod.owner.name} has ${keyOf(event.fact)} and ${keyOf(twin)} on ${pod.node}`,
      })
  }
  return found
}
const isOver = (phase: string): boolean => phase === 'Failed' || phase === 'Succeeded'

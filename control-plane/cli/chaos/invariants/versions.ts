/** Versions only grow, and a watch tells everything: each change once, in order, and in the end exactly what a list shows. */
import { keyOf, titleOf, type Fact, type Invariant, type Violation } from '../history.ts'
import { World } from '../world.ts'

export const versionsOnlyGrow: Invariant = history => {
  const found: Violation[] = []
  const world = new World()
  const seen = new Map<string, number>()
  for (const event of history) {
    const bad = (message: string): void => void found.push({ invariant: 'versions only grow', at: event.at, message })
    const older = (was: Fact, is: Fact): void => {
      if (was.uid !== is.uid) return
      if (is.version < was.version) bad(`${titleOf(is)} went back from version ${was.version} to ${is.version}`)
      if (is.generation < was.generation) bad(`${titleOf(is)} went back from generation ${was.generation} to ${is.generation}`)
    }
    if (event.type === 'change') {
      const { fact, change } = event
      const last = seen.get(fact.kind) ?? 0
      const was = world.of(fact.kind).get(keyOf(fact))
      if (fact.version <= last) bad(`the watch of ${fact.kind} gave version ${fact.version} (${keyOf(fact)}) after ${last}`)
      if (change === 'added' && was) bad(`the watch added ${titleOf(fact)}, which was there already`)
      if (change !== 'added' && !was) bad(`the watch says that ${titleOf(fact)} was ${change}, but never that it was added`)
      if (change !== 'added' && was && was.uid !== fact.uid) bad(`${titleOf(fact)} became another object without a deletion`)
      if (was) older(was, fact)
      seen.set(fact.kind, Math.max(last, fact.version))
    } else if (event.type === 'list') {
      const last = seen.get(event.kind) ?? 0
      const before = world.of(event.kind)
      if (event.version < last) bad(`a list of ${event.kind} is of version ${event.version}, the watch had passed ${last}`)
      for (const fact of event.facts) {
        const was = before.get(keyOf(fact))
        if (fact.version > event.version) bad(`a list of version ${event.version} holds ${titleOf(fact)} of version ${fact.version}`)
        if (was) older(was, fact)
        if (event.why === 'end' && was?.version !== fact.version)
          bad(`${titleOf(fact)} is at version ${fact.version}, the watch told ${was ? `only of ${was.version}` : 'nothing of it'}`)
      }
      const listed = new Set(event.facts.map(keyOf))
      if (event.why === 'end') for (const [key, was] of before) if (!listed.has(key)) bad(`${titleOf(was)} is gone, the watch did not tell`)
      seen.set(event.kind, Math.max(last, event.version))
    }
    world.apply(event)
  }
  return found
}

/**
 * No acknowledged write is lost or undone. Every object is written by one client, one write after the other, each with a mark of its own;
 * the watch tells what became of them, and reads must never show an older state than the last acknowledgement.
 */
import type { HistoryEvent, Invariant, Violation } from '../history.ts'

type Write = Extract<HistoryEvent, { type: 'write' }>
type Read = Extract<HistoryEvent, { type: 'read' }>
interface Seen {
  version: number
  /** Absent: a deletion. */
  mark?: string
}

/** The kind of the objects that are written. */
export const writtenKind = 'configmaps'

export const noWriteIsLost: Invariant = history => {
  const found: Violation[] = []
  const seen = new Map<string, Seen[]>()
  const calls = new Map<string, (Write | Read)[]>()
  /** Spans of versions, ends included, that no watch told about. */
  const gaps: [number, number][] = []
  let passed = 0
  const note = (object: string, what: Seen): void => {
    const all = seen.get(object)
    if (all) all.push(what)
    else seen.set(object, [what])
  }
  const ended = history.some(e => e.type === 'end')
  for (const event of history) {
    if (event.type === 'change' && event.fact.kind === writtenKind) {
      passed = event.fact.version
      note(event.fact.name, { version: passed, ...(event.change === 'deleted' ? {} : { mark: event.fact.mark ?? '' }) })
    } else if (event.type === 'list' && event.kind === writtenKind) {
      if (event.why !== 'end') gaps.push([event.why === 'start' ? 0 : passed + 1, event.version])
      // What came last in a gap can be seen.
      if (event.why === 'expired')
        for (const fact of event.facts) if (fact.version > passed) note(fact.name, { version: fact.version, mark: fact.mark ?? '' })
      passed = Math.max(passed, event.version)
    } else if (event.type === 'write' || event.type === 'read') {
      const list = calls.get(event.object)
      if (list) list.push(event)
      else calls.set(event.object, [event])
    }
  }
  const hidden = (from: number, to = from): boolean => gaps.some(([a, b]) => a <= to && from <= b)
  for (const [object, list] of calls) found.push(...judgeObject(object, list, seen.get(object) ?? [], hidden, ended ? Infinity : passed))
  return found
}

/** `told` is up to which version the watch must have told by now. */
function judgeObject(
  object: string,
  calls: readonly (Write | Read)[],
  seen: readonly Seen[],
  hidden: (from: number, to?: number) => boolean,
  told: number,
): Violation[] {
  const found: Violation[] = []
  const byMark = new Map<string, Seen[]>()
  for (const s of seen) if (s.mark !== undefined) byMark.set(s.mark, [...(byMark.get(s.mark) ?? []), s])
  const byVersion = new Map(seen.map(s => [s.version, s]))
  const deletions = seen.filter(s => s.mark === undefined).map(s => s.version)
  /** What the last acknowledgement said: reads below it show an undone write. */
  let floor = 0
  let mayBeGone = true
  for (const [i, call] of calls.entries()) {
    const bad = (message: string): void =>
      void found.push({ invariant: 'no acknowledged write is lost', at: call.at, message: `configmap ${object}: ${message}` })
    if (call.type === 'read') {
      if (call.version === undefined) {
        if (!mayBeGone) bad(`a read found nothing after version ${floor} was acknowledged`)
      } else {
        if (call.version < floor) bad(`a read showed version ${call.version} after ${floor} was acknowledged`)
        const at = byVersion.get(call.version)
        if (call.version <= told && !hidden(call.version) && at?.mark !== call.mark)
          bad(
            `a read showed ${JSON.stringify(call.mark)} at version ${call.version}, the watch ${at ? JSON.stringify(at.mark ?? 'a deletion') : 'nothing'}`,
          )
      }
      continue
    }
    const carriedOut = call.mark === undefined ? [] : (byMark.get(call.mark) ?? [])
    if (carriedOut.length > 1)
      bad(
        `the write ${JSON.stringify(call.mark)} was carried out ${carriedOut.length} times, at versions ${carriedOut.map(s => s.version).join(', ')}`,
      )
    if (call.outcome === 'refused' && carriedOut[0])
      bad(`the write ${JSON.stringify(call.mark)} was refused, but carried out at version ${carriedOut[0].version}`)
    if (call.outcome === 'unknown' && call.mark === undefined) mayBeGone = true
    if (call.outcome !== 'acknowledged') continue
    if (call.mark === undefined) {
      mayBeGone = true
      // An acknowledged deletion has no version: it lies before the next acknowledged write.
      const next =
        calls.slice(i + 1).find((c): c is Write => c.type === 'write' && c.outcome === 'acknowledged' && c.version !== undefined)
          ?.version ?? Infinity
      const at = deletions.find(v => v > floor && v < next)
      if (at !== undefined) floor = at
      else if (next <= told && !hidden(floor, next)) bad(`the acknowledged deletion after version ${floor} never happened`)
      continue
    }
    mayBeGone = false
    const version = call.version ?? 0
    if (version <= floor) bad(`the write ${JSON.stringify(call.mark)} was acknowledged at version ${version}, after ${floor}`)
    else if (version <= told && !hidden(version) && carriedOut[0]?.version !== version)
      bad(`the write ${JSON.stringify(call.mark)}, acknowledged at version ${version}, is not in the history`)
    floor = Math.max(floor, version)
  }
  return found
}

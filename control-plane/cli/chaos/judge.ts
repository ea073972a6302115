/** Judges a history: every promise of the design that an outsider can see broken. */
import type { HistoryEvent, Invariant, Violation } from './history.ts'
import { boundOnce } from './invariants/binding.ts'
import { replicasConverge } from './invariants/convergence.ts'
import { endpointsAreReady } from './invariants/endpoints.ts'
import { noEvictionWithoutCause } from './invariants/evictions.ts'
import { oneDaemonANode } from './invariants/daemons.ts'
import { oneLifeAtATime } from './invariants/identity.ts'
import { cronRunsOnce, jobsEndExactly } from './invariants/jobs.ts'
import { noPodTooMany } from './invariants/podtoomany.ts'
import { noRestartWithoutCause } from './invariants/restarts.ts'
import { versionsOnlyGrow } from './invariants/versions.ts'
import { noWriteIsLost } from './invariants/writes.ts'

const invariants: readonly Invariant[] = [
  noWriteIsLost,
  versionsOnlyGrow,
  oneLifeAtATime,
  boundOnce,
  replicasConverge,
  noPodTooMany,
  oneDaemonANode,
  jobsEndExactly,
  cronRunsOnce,
  noRestartWithoutCause,
  noEvictionWithoutCause,
  endpointsAreReady,
]

/** All violations, in order of time. A history without an `end` is judged as far as it goes. */
export const judge = (history: readonly HistoryEvent[]): Violation[] =>
  invariants.flatMap(invariant => invariant(history)).sort((a, b) => a.at - b.at)

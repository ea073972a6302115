/** When a probe's outcomes become a result: thresholds, as upstream's prober worker counts them. */
import type { Probe } from '#shared/api/core/podspec/probe.ts'
import type { ProbeResult } from '../pod/actions.ts'

export type ProbeKind = 'startup' | 'liveness' | 'readiness'
export interface Outcome {
  /** `unknown`: the probe itself could not be carried out; it counts as nothing. */
  result: ProbeResult
  output: string
  /** A success that somebody should look at. */
  warning?: boolean
}
export interface ProbeState {
  last: ProbeResult
  run: number
  /** What the pod is told. */
  result: ProbeResult
}

/** Before its first success a container is not ready, but alive. */
export const initialState = (kind: ProbeKind): ProbeState => ({
  last: 'unknown',
  run: 0,
  result: kind === 'readiness' ? 'failure' : kind === 'liveness' ? 'success' : 'unknown',
})

export function nextState(
  probe: Pick<Probe, 'successThreshold' | 'failureThreshold'>,
  state: ProbeState,
  outcome: ProbeResult,
): ProbeState {
  if (outcome === 'unknown') return state
  const run = outcome === state.last ? state.run + 1 : 1
  const threshold = outcome === 'success' ? (probe.successThreshold ?? 1) : (probe.failureThreshold ?? 3)
  return { last: outcome, run, result: run >= threshold ? outcome : state.result }
}

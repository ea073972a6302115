/** The probes of one run of a container: startup first, then liveness and readiness side by side. */
import type { Probe } from '#shared/api/core/podspec/probe.ts'
import type { ProbeResult } from '../pod/actions.ts'
import { initialState, nextState, type Outcome, type ProbeKind, type ProbeState } from './state.ts'

export interface ProbeSet {
  startupProbe?: Probe | undefined
  livenessProbe?: Probe | undefined
  readinessProbe?: Probe | undefined
}
export interface ContainerProbesOptions {
  startedAt: number
  /** Known from before a restart of the kubelet. */
  ready?: boolean
  started?: boolean
  run: (probe: Probe, kind: ProbeKind) => Promise<Outcome>
  /** A result has changed. */
  onChange: () => void
  /** A probe failed, could not be carried out, or succeeded with a warning. */
  onNotice: (kind: ProbeKind, outcome: Outcome) => void
}
export interface ContainerProbes {
  result(kind: ProbeKind): ProbeResult
  /** Liveness and startup end with the pod's termination; readiness goes on until the container exits. */
  stopLivenessAndStartup(): void
  stop(): void
}

/** The first moments are looked at more closely, uncounted, so that a container is ready when it is ready and not a period later. */
const firstLookMs = 100

export function containerProbes(probes: ProbeSet, options: ContainerProbesOptions): ContainerProbes {
  const specs: { [K in ProbeKind]: Probe | undefined } = {
    startup: probes.startupProbe,
    liveness: probes.livenessProbe,
    readiness: probes.readinessProbe,
  }
  const states: { [K in ProbeKind]: ProbeState } = {
    startup: initialState('startup'),
    liveness: initialState('liveness'),
    readiness: initialState('readiness'),
  }
  const timers = new Map<ProbeKind, NodeJS.Timeout>()
  const stopped = new Set<ProbeKind>()
  if (!specs.readiness || options.ready) states.readiness.result = 'success'
  if (!specs.startup || options.started) states.startup.result = 'success'

  function at(kind: ProbeKind, delayMs: number, then: () => Promise<void>): void {
    if (stopped.has(kind)) return
    timers.set(
      kind,
      setTimeout(() => void then(), Math.max(0, delayMs)),
    )
  }
  function loop(kind: ProbeKind, probe: Probe, begin: number): void {
    const periodMs = (probe.periodSeconds ?? 10) * 1000
    let look = firstLookMs
    let due = begin
    const closely = kind !== 'liveness' && states[kind].result !== 'success'
    const tick = async (): Promise<void> => {
      const outcome = await options.run(probe, kind)
      if (stopped.has(kind)) return
      const now = Date.now()
      // A failure before the first period is over is looked at again before it counts.
      if (closely && outcome.result !== 'success' && now + look < begin + periodMs && states[kind].last === 'unknown') {
        at(kind, look, tick)
        look *= 2
        return
      }
      if (outcome.result !== 'success' || outcome.warning) options.onNotice(kind, outcome)
      const before = states[kind].result
      states[kind] = nextState(probe, states[kind], outcome.result)
      const { result } = states[kind]
      const over = (kind === 'startup' && result !== 'unknown') || (kind === 'liveness' && result === 'failure')
      if (!over) {
        while (due <= now) due += periodMs
        at(kind, due - now, tick)
      }
      if (result === before) return
      if (kind === 'startup' && result === 'success') afterStartup()
      options.onChange()
    }
    at(kind, begin - Date.now(), tick)
  }
  const delayed = (probe: Probe): number => Math.max(Date.now(), options.startedAt + (probe.initialDelaySeconds ?? 0) * 1000)
  function afterStartup(): void {
    for (const kind of ['liveness', 'readiness'] as const) {
      const probe = specs[kind]
      if (probe) loop(kind, probe, delayed(probe))
    }
  }
  function stop(kinds: readonly ProbeKind[]): void {
    for (const kind of kinds) {
      stopped.add(kind)
      clearTimeout(timers.get(kind))
    }
  }
  if (states.startup.result === 'success') afterStartup()
  else loop('startup', specs.startup!, delayed(specs.startup!))
  return {
    result: kind => states[kind].result,
    stopLivenessAndStartup: () => stop(['startup', 'liveness']),
    stop: () => stop(['startup', 'liveness', 'readiness']),
  }
}

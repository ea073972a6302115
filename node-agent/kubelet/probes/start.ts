/** Begins the probes of a container that runs, and tells the pod what comes of them. */
import type { PodContext } from '../context.ts'
import { probeResults } from '../metrics.ts'
import type { TypedContainer } from '../pod/containers.ts'
import { containerDirectory } from '../pod/directory.ts'
import type { Attempt } from '../pod/state.ts'
import { containerProbes } from './containerprobes.ts'
import { runProbe } from './prober.ts'
import type { Outcome, ProbeKind } from './state.ts'

const titles: { [K in ProbeKind]: string } = { startup: 'Startup', liveness: 'Liveness', readiness: 'Readiness' }

/** As the metric prober_probe_total has them. */
const results = { success: 'successful', failure: 'failed', unknown: 'unknown' } as const

export function startProbes(ctx: PodContext, typed: TypedContainer, attempt: Attempt): void {
  const { container, type } = typed
  const live = ctx.live(container.name)
  live.probes?.stop()
  if (type === 'ephemeral') return
  const target = { runtime: ctx.kubelet.runtime, directory: containerDirectory(ctx.directory, container.name, attempt.attempt), container }
  const { name: pod = '', namespace = '', uid: pod_uid = '' } = ctx.pod.metadata
  const labels = { container: container.name, pod, namespace, pod_uid }
  const probes = containerProbes(container, {
    startedAt: Date.parse(attempt.startedAt ?? '') || Date.now(),
    ready: attempt.ready ?? false,
    started: attempt.started ?? false,
    async run(probe, kind) {
      const outcome = await runProbe(probe, { ...target, podIP: ctx.facts().podIP })
      probeResults.add({ ...labels, probe_type: titles[kind], result: results[outcome.result] })
      return outcome
    },
    onChange: () => {
      remember()
      ctx.save()
      ctx.kick()
    },
    onNotice: (kind: ProbeKind, { result, output, warning }: Outcome) => {
      if (attempt.state !== 'running' || ctx.released.aborted) return
      if (warning) return ctx.event('Warning', 'ProbeWarning', `${titles[kind]} probe warning: ${output}`, typed)
      const text =
        result === 'unknown'
          ? `${titles[kind]} probe errored and resulted in unknown state: ${output}`
          : `${titles[kind]} probe failed: ${output}`
      ctx.event('Warning', 'Unhealthy', text, typed)
    },
  })
  const remember = (): void => {
    attempt.ready = probes.result('readiness') === 'success'
    attempt.started = probes.result('startup') === 'success'
  }
  live.probes = probes
  remember()
}

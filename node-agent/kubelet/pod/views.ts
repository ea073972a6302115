/** What the pod's containers do, as the decisions need it. */
import { resizeOf } from '../cm/resize.ts'
import type { PodContext } from '../context.ts'
import type { ContainerView } from './actions.ts'
import { allContainers } from './containers.ts'
import type { LiveView } from './containerstatus.ts'

export function containerViews(ctx: PodContext): { [name: string]: ContainerView } {
  const views: { [name: string]: ContainerView } = {}
  for (const { container } of allContainers(ctx.pod)) {
    const current = ctx.state.containers[container.name]?.current
    if (!current) continue
    const { probes, stopping } = ctx.live(container.name)
    const resize = current.state === 'running' ? resizeOf(container, current.resources, ctx.state.allocated?.[container.name]) : undefined
    views[container.name] = {
      state: current.state === 'exited' ? 'exited' : 'running',
      exitCode: current.exitCode ?? 255,
      hash: current.hash,
      inSandbox: current.sandbox === ctx.state.sandbox?.attempt,
      stopping: stopping !== undefined,
      started: current.state === 'running' && (probes ? probes.result('startup') === 'success' : (current.started ?? false)),
      startup: probes?.result('startup') ?? 'unknown',
      liveness: probes?.result('liveness') ?? 'success',
      ...(resize ? { resize } : {}),
    }
  }
  return views
}

export function liveViews(ctx: PodContext): { [name: string]: LiveView } {
  const views: { [name: string]: LiveView } = {}
  for (const { container } of allContainers(ctx.pod)) {
    const { waiting, probes, inPostStart } = ctx.live(container.name)
    views[container.name] = {
      ...(waiting ? { waiting } : {}),
      ...(inPostStart ? { inPostStart } : {}),
      ready: probes?.result('readiness') === 'success',
      started: probes?.result('startup') === 'success',
    }
  }
  return views
}

/** One look at a pod that shall run: what is missing is made, what should not run is stopped. */
import { startContainer } from '../container/start.ts'
import { stopContainer } from '../container/stop.ts'
import { decideResize, finishResize, resizeContainers } from '../cm/resize.ts'
import type { PodContext } from '../context.ts'
import { startedPodErrors } from '../metrics.ts'
import { computeActions, needsSandbox, type Stop } from './actions.ts'
import { findContainer } from './containers.ts'
import { ensureSandbox } from './sandbox.ts'
import { containerViews } from './views.ts'

/** Why the pod is over, when it is. */
export type SyncResult = 'running' | 'over'

const deadlineMessage = 'Pod was active on the node longer than the specified deadline'

/** Milliseconds until the pod has been active for too long; undefined without a deadline. */
function deadlineIn(ctx: PodContext): number | undefined {
  const seconds = ctx.pod.spec.activeDeadlineSeconds
  return seconds === undefined ? undefined : Date.parse(ctx.state.startTime) + seconds * 1000 - Date.now()
}

function graceOf(ctx: PodContext, { name, reason }: Stop): number {
  const container = findContainer(ctx.pod, name)!.container
  const own = reason === 'FailedLiveness' ? container.livenessProbe : reason === 'FailedStartup' ? container.startupProbe : undefined
  return own?.terminationGracePeriodSeconds ?? ctx.pod.spec.terminationGracePeriodSeconds ?? 30
}

class NotPrepared extends Error {}

/** The devices of the pod's claims, before there is anything else of it, as upstream. */
async function prepareDynamicResources({ kubelet, pod }: PodContext): Promise<void> {
  await kubelet.dynamicResources?.prepare(pod).catch((e: Error) => {
    throw new NotPrepared(e.message)
  })
}

/** What of a pod was set up by this process before. */
export interface SetUp {
  sandbox: boolean
  volumes: boolean
}

export async function syncPod(ctx: PodContext, ready: SetUp): Promise<SyncResult> {
  const left = deadlineIn(ctx)
  if (left !== undefined && left <= 0) {
    ctx.state.ended = { reason: 'DeadlineExceeded', message: deadlineMessage }
    ctx.event('Normal', 'DeadlineExceeded', deadlineMessage)
    return 'over'
  }
  if (left !== undefined) ctx.kickIn(left)

  const views = containerViews(ctx)
  const lost = ctx.state.sandbox?.lost ?? false
  if (lost && !needsSandbox(ctx.pod, views)) return 'over'
  if (lost) ctx.event('Normal', 'SandboxChanged', 'Pod sandbox changed, it will be killed and re-created.')
  ctx.publishSoon()
  const makeSandbox = async (): Promise<void> => {
    if (ready.sandbox && !lost) return
    if (lost || !ctx.state.sandbox) await prepareDynamicResources(ctx)
    await ensureSandbox(ctx)
    ready.sandbox = true
  }
  const [sandbox, volumes] = await Promise.all([
    makeSandbox().then(
      () => undefined,
      (e: Error) => e,
    ),
    ctx.volumes.setUp(ctx.pod, ctx.facts()),
  ])
  for (const message of volumes.told) ctx.event('Warning', 'FailedMount', message)
  if (volumes.againMs !== undefined) ctx.kickIn(volumes.againMs)
  if (sandbox instanceof NotPrepared) {
    ctx.event('Warning', 'FailedPrepareDynamicResources', `Failed to prepare dynamic resources: ${sandbox.message}`)
    throw sandbox
  }
  if (sandbox) {
    startedPodErrors.add({})
    ctx.event('Warning', 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${sandbox.message}`)
    throw sandbox
  }
  ready.volumes = volumes.missing.length === 0
  if (!ready.volumes) throw new Error(volumes.missing.join('; '))
  if (ctx.ending.aborted) return 'running'

  decideResize(ctx)
  const pod = ctx.allocatedPod()
  const actions = computeActions(pod, containerViews(ctx))
  if (actions.killPod) return 'over'
  for (const stop of actions.stop)
    stopContainer(ctx, findContainer(ctx.pod, stop.name)!, { graceSeconds: graceOf(ctx, stop), message: stop.message })
  if (actions.update.length > 0) await resizeContainers(ctx, actions.update)
  // A container that is restarted with more may not have more than its pod.
  else if (ctx.state.resize?.inProgress && actions.start.length > 0) await ctx.kubelet.podCgroups?.ensure(pod)
  for (const { name } of actions.start) {
    if (ctx.ending.aborted) break
    const started = await startContainer(ctx, findContainer(pod, name)!)
    if (started === 'pulling') break
  }
  await finishResize(ctx)
  return 'running'
}

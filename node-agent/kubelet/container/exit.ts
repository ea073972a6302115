/** Follows a running container to its end and writes down how it ended. */
import { rm } from 'node:fs/promises'
import { containerDirectory, logFile, terminationLog } from '../pod/directory.ts'
import { findContainer } from '../pod/containers.ts'
import type { Attempt } from '../pod/state.ts'
import type { ContainerStatus, PodContext } from '../context.ts'
import { terminationMessage } from './terminationmessage.ts'

/** What a runtime says of a container whose end nobody saw, as containerd does after a reboot. */
const unknownExit = { exitCode: 255, reason: 'Unknown' }

/** Fills in how a run ended. `status` is undefined when there is no trace of it. */
export async function recordExit(ctx: PodContext, name: string, attempt: Attempt, status: ContainerStatus | undefined): Promise<void> {
  const known = status?.exitCode !== undefined && !status.unseen
  const exitCode = status?.exitCode ?? unknownExit.exitCode
  const container = findContainer(ctx.pod, name)?.container
  // Read first: the pod may be looked at meanwhile, and is told of the end as a whole.
  const message = container
    ? await terminationMessage(
        container,
        exitCode,
        terminationLog(ctx.directory, name, attempt.attempt),
        logFile(ctx.directory, name, attempt.attempt),
      )
    : ''
  attempt.state = 'exited'
  attempt.exitCode = exitCode
  attempt.reason = !known ? unknownExit.reason : status.oomKilled ? 'OOMKilled' : exitCode === 0 ? 'Completed' : 'Error'
  if (status?.signal) attempt.signal = status.signal
  if (status?.startedAt) attempt.startedAt = status.startedAt.toISOString()
  attempt.finishedAt = (status?.finishedAt ?? new Date()).toISOString()
  if (message) attempt.message = message
  attempt.ready = false
  ctx.save()
}

/** What is left of a run that ended: its shim, mounts and cgroup. Its log stays. */
export async function clearAway(ctx: PodContext, name: string, attempt: number): Promise<void> {
  await ctx.kubelet.runtime.remove(containerDirectory(ctx.directory, name, attempt))
  await rm(terminationLog(ctx.directory, name, attempt), { force: true })
}

/** Event-driven: resolves into a kick of the pod. Ends quietly when the kubelet lets go of the pod. */
export function watchExit(ctx: PodContext, name: string, attempt: Attempt): void {
  const live = ctx.live(name)
  const directory = containerDirectory(ctx.directory, name, attempt.attempt)
  const watch = async (): Promise<void> => {
    let status: ContainerStatus
    try {
      status = await ctx.kubelet.runtime.wait(directory, ctx.released)
    } catch (e) {
      if (ctx.released.aborted) return
      ctx.log.warn({ container: name, err: (e as Error).message }, 'lost sight of a container')
      status = (await ctx.kubelet.runtime.status(directory).catch(() => undefined)) ?? { id: attempt.id, state: 'exited' }
    }
    if (ctx.released.aborted) return
    live.probes?.stop()
    live.probes = undefined
    live.inPostStart = undefined
    await recordExit(ctx, name, attempt, status)
    // Not before: what still counts as running would be stopped once more, and its successor be taken for one that is being stopped.
    live.stopping = undefined
    ctx.log.info({ container: name, exitCode: attempt.exitCode, reason: attempt.reason }, 'container exited')
    ctx.kick()
    await clearAway(ctx, name, attempt.attempt).catch((e: Error) =>
      ctx.log.warn({ container: name, err: e.message }, 'container not cleared away'),
    )
  }
  live.exited = watch().catch((e: unknown) => ctx.log.error({ container: name, err: e }, 'following a container failed'))
}

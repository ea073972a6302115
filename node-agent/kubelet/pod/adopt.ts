/**
 * Picks up a pod that an earlier kubelet left: what runs is followed, what ended meanwhile is written down, what was lost with the kernel
 * is told.
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { clearAway, recordExit, watchExit } from '../container/exit.ts'
import { containerStarted } from '../container/start.ts'
import type { PodContext } from '../context.ts'
import { startProbes } from '../probes/start.ts'
import { findContainer } from './containers.ts'
import { containerDirectory } from './directory.ts'

async function adoptContainer(ctx: PodContext, name: string, sameBoot: boolean): Promise<void> {
  const record = ctx.state.containers[name]!
  const { current } = record
  if (current.state === 'exited') return
  const { runtime } = ctx.kubelet
  const directory = containerDirectory(ctx.directory, name, current.attempt)
  // In a pod that is ending nothing begins any more.
  const status = await (ctx.ending.aborted ? runtime.status(directory) : runtime.adopt(directory))
  if (sameBoot && status?.state === 'running') {
    const starting = current.state === 'starting'
    current.state = 'running'
    current.startedAt ??= (status.startedAt ?? new Date()).toISOString()
    if (status.resources) current.actual = status.resources
    if (status.user) current.user = status.user
    ctx.log.info({ container: name, pid: status.pid }, 'container adopted')
    const typed = findContainer(ctx.pod, name)
    if (starting && typed && !ctx.ending.aborted) return await containerStarted(ctx, typed, current)
    watchExit(ctx, name, current)
    if (typed) startProbes(ctx, typed, current)
    return
  }
  if (current.state === 'starting' && status?.exitCode === undefined) {
    // It was never started: that attempt is made again.
    await clearAway(ctx, name, current.attempt)
    if (record.previous) ctx.state.containers[name] = { current: record.previous, ...(record.crash ? { crash: record.crash } : {}) }
    else delete ctx.state.containers[name]
    return
  }
  // It was not the container that failed, when the node did.
  if (!sameBoot) delete record.crash
  await recordExit(ctx, name, current, status)
}

/** Directories of runs that nobody remembers, with what still runs there, and of those that ended. */
export async function clearLeftovers(ctx: PodContext): Promise<void> {
  for (const name of await readdir(ctx.directory.containers).catch(() => [])) {
    for (const attempt of await readdir(join(ctx.directory.containers, name)).catch(() => [])) {
      const current = ctx.state.containers[name]?.current
      const alive = current?.state === 'running' && String(current.attempt) === attempt
      if (/^\d+$/.test(attempt) && !alive) await clearAway(ctx, name, Number(attempt))
    }
  }
}

export async function adoptPod(ctx: PodContext): Promise<void> {
  const sameBoot = ctx.state.sandbox?.boot === ctx.kubelet.boot
  if (ctx.state.sandbox && !sameBoot) ctx.state.sandbox.lost = true
  for (const name of Object.keys(ctx.state.containers)) await adoptContainer(ctx, name, sameBoot)
  await clearLeftovers(ctx)
  ctx.save()
}

/** The end of a pod: its containers stop in order, then everything it held is given back. */
import { existsSync } from 'node:fs'
import { pods } from '#shared/api/kinds.ts'
import { removeCgroup } from '#shared/linux/cgroup.ts'
import { listMounts } from '#shared/linux/mount.ts'
import { removeTree } from '#shared/linux/removetree.ts'
import { StatusError } from '#shared/machinery/status.ts'
import { clearAway } from '../container/exit.ts'
import { stopContainer } from '../container/stop.ts'
import type { PodContext } from '../context.ts'
import { probeResults } from '../metrics.ts'
import { allContainers, isSidecar, uidOf, type TypedContainer } from './containers.ts'
import { removeNamespaces } from './namespaces.ts'
import { removePause } from './pause.ts'
import { podCgroup } from './qos.ts'

const isRunning = (ctx: PodContext, name: string): boolean => ctx.state.containers[name]?.current.state === 'running'

/**
 * Begins to stop what runs. App containers go at once, then the sidecars in the reverse of their order. True when nothing runs any more.
 */
export function stopPod(ctx: PodContext, graceSeconds: number): boolean {
  const running = allContainers(ctx.pod).filter(c => isRunning(ctx, c.container.name))
  if (running.length === 0) return true
  const sidecars = running.filter(c => c.type === 'init' && isSidecar(c.container))
  const others = running.filter(c => !sidecars.includes(c))
  const stop = (c: TypedContainer, turn?: Promise<void>): void =>
    stopContainer(ctx, c, { graceSeconds, message: `Stopping container ${c.container.name}`, ...(turn ? { turn } : {}) })
  let before = Promise.all(others.map(c => ctx.live(c.container.name).exited))
  for (const c of others) stop(c)
  for (const c of sidecars.toReversed()) {
    stop(
      c,
      before.then(() => {}),
    )
    before = Promise.all([before, ctx.live(c.container.name).exited]).then(() => [])
  }
  return false
}

/** Gives back network, volumes and control groups of a pod in which nothing runs. Idempotent. */
export async function releasePod(ctx: PodContext): Promise<void> {
  const { kubelet, state, pod } = ctx
  for (const [name, { current }] of Object.entries(state.containers)) await clearAway(ctx, name, current.attempt)
  await removePause(ctx)
  // Drivers take devices back before anything tells that the pod has ended.
  await kubelet.dynamicResources?.unprepare(uidOf(pod))
  await Promise.all([kubelet.network.tearDown(uidOf(pod)), ctx.volumes.tearDown(), removeNamespaces(ctx.directory.root)])
  kubelet.networkPolicies?.release(uidOf(pod))
  await (kubelet.podCgroups ? kubelet.podCgroups.remove(pod) : removeCgroup(`${kubelet.cgroupRoot}/${podCgroup(pod)}`))
  ctx.sources.release()
  probeResults.forget({ pod_uid: uidOf(pod) })
  if (state.sandbox) state.sandbox.lost = true
}

/** Removes the pod's directory, and the pod from the API unless it is gone from there. */
export async function removePod(ctx: PodContext, inApi: boolean): Promise<void> {
  const { namespace = '', name = '', uid } = ctx.pod.metadata
  if (inApi) await ctx.kubelet.statuses.flushed(uidOf(ctx.pod))
  // Nothing may be mounted in what is removed, and no volume may be left in it: that could be somebody's data.
  const inside = (await listMounts()).filter(m => m.target.startsWith(`${ctx.directory.root}/`))
  if (inside.length > 0 || existsSync(ctx.directory.volumes))
    throw new Error(`volumes of the pod are still there: ${ctx.directory.volumes}`)
  await removeTree(ctx.directory.root)
  if (!inApi) return
  try {
    await ctx.kubelet.client.delete(pods, namespace, name, { gracePeriodSeconds: 0, preconditions: { uid: uid ?? '' } })
  } catch (e) {
    if (!(e instanceof StatusError && (e.code === 404 || e.code === 409))) throw e
  }
}

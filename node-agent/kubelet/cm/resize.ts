/** In-place resize of a pod: from the wish in its spec to what is set aside for it, from there to the kernel, told in two conditions. */
import type { ResourceRequirements } from '#shared/api/core/podspec/resourcerequirements.ts'
import { compareQuantity } from '#shared/machinery/quantity.ts'
import { kernelResources } from '../container/resources.ts'
import type { PodContext } from '../context.ts'
import type { Condition } from '../pod/conditions.ts'
import { allContainers, uidOf } from '../pod/containers.ts'
import { containerDirectory } from '../pod/directory.ts'
import type { PodState } from '../pod/state.ts'
import { restartsAfter } from '../pod/restart.ts'
import { allocatedPod, resizeRefused, sameResources, wishes, type Allocation, type Pending } from './allocation.ts'
import { podResources, type PodResources } from './podcgroups.ts'

/** What the kubelet remembers of a resize. `generation` is the pod's that asked for it. */
export interface Resize {
  /** `since` when it waits, an ISO time. */
  pending?: Pending & { generation: number; since?: string }
  inProgress?: { generation: number; error?: string }
}

/** Other pods that end bring a deferred resize back sooner. */
const deferredRetryMs = 180_000
/** After the kernel refused, or there was too much in use. */
const errorRetryMs = 10_000

const sameAllocation = (a: Allocation, b: Allocation): boolean => Object.keys(b).every(name => sameResources(a[name], b[name]))

/** The containers and their resources, as the events of a resize list them. */
function summary(ctx: PodContext, allocation: Allocation, generation: number, error?: string): string {
  const of = (list: readonly { name: string }[] | undefined): object[] =>
    (list ?? []).filter(c => allocation[c.name]).map(c => ({ name: c.name, resources: allocation[c.name] }))
  const [init, app] = [of(ctx.pod.spec.initContainers), of(ctx.pod.spec.containers)]
  return JSON.stringify({ ...(init.length > 0 ? { initContainers: init } : {}), containers: app, generation, ...(error ? { error } : {}) })
}

/** Takes over what the spec asks for, when the node has it. Says in the state why not. */
export function decideResize(ctx: PodContext): void {
  const { pod, state, kubelet } = ctx
  const wanted = wishes(pod)
  state.allocated ??= wanted
  if (sameAllocation(state.allocated, wanted)) {
    if (!state.resize?.pending) return
    delete state.resize.pending
    return ctx.save()
  }
  const node = kubelet.node()
  if (!node) return ctx.kickIn(errorRetryMs)
  const others = kubelet.activePods().filter(p => uidOf(p) !== uidOf(pod))
  const refused = resizeRefused(pod, node, others)
  const generation = pod.metadata.generation ?? 0
  if (!refused) {
    state.allocated = wanted
    state.resize = { inProgress: { generation } }
    ctx.save()
    return ctx.event('Normal', 'ResizeStarted', `Pod resize started: ${summary(ctx, wanted, generation)}`)
  }
  if (refused.reason === 'Deferred') ctx.kickIn(deferredRetryMs)
  const known = state.resize?.pending
  if (known?.reason === refused.reason && known.message === refused.message && known.generation === generation) return
  const since = known?.since ?? new Date().toISOString()
  state.resize = { ...state.resize, pending: { ...refused, generation, since } }
  ctx.save()
  const text = summary(ctx, wanted, generation, refused.message)
  ctx.event('Warning', `Resize${refused.reason}`, `Pod resize ${refused.reason}: ${text}`)
}

/** Whether a running container must be changed, and whether that restarts it (resizePolicy). */
export function resizeOf(
  container: { resizePolicy?: readonly { resourceName: string; restartPolicy: string }[] | undefined },
  has: ResourceRequirements | undefined,
  allocated: ResourceRequirements | undefined,
): 'update' | 'restart' | undefined {
  if (!has || !allocated || sameResources(has, allocated)) return undefined
  const differs = (resource: string): boolean =>
    (['requests', 'limits'] as const).some(kind => {
      const [a, b] = [has[kind]?.[resource], allocated[kind]?.[resource]]
      return a === undefined || b === undefined ? a !== b : compareQuantity(a, b) !== 0
    })
  const restart = container.resizePolicy?.some(p => p.restartPolicy === 'RestartContainer' && differs(p.resourceName))
  return restart ? 'restart' : 'update'
}

const infinite = (n: number | undefined): number => (n === undefined || n < 0 ? Infinity : n)

/** Throws when a lower memory limit is below what is in use: the kernel would kill. */
async function checkMemory(ctx: PodContext, names: readonly string[], podBefore: number, podAfter: number): Promise<void> {
  const { runtime } = ctx.kubelet
  const used = async (name: string): Promise<number> => {
    const current = ctx.state.containers[name]?.current
    if (current?.state !== 'running') return 0
    return (await runtime.stats(containerDirectory(ctx.directory, name, current.attempt)))?.memoryBytes ?? 0
  }
  const errors: string[] = []
  if (infinite(podAfter) < infinite(podBefore)) {
    const all = await Promise.all(Object.keys(ctx.state.containers).map(used))
    const sum = all.reduce((a, b) => a + b, 0)
    if (sum > podAfter) errors.push(`attempting to set pod memory limit (${podAfter}) below current usage (${sum})`)
  }
  for (const name of names) {
    const before = kernelResources(ctx.state.containers[name]!.current.resources).memoryBytes
    const after = kernelResources(ctx.state.allocated?.[name]).memoryBytes
    if (after === undefined || after >= infinite(before)) continue
    const now = await used(name)
    if (now > after) errors.push(`attempting to set container ${JSON.stringify(name)} memory limit (${after}) below current usage (${now})`)
  }
  if (errors.length === 0) return
  throw new Error(`cannot decrease memory limits: ${errors.length === 1 ? errors[0] : `[${errors.join(', ')}]`}`)
}

/** Gives running containers what is set aside for them. What fails is told in the condition and tried again. */
export async function resizeContainers(ctx: PodContext, names: readonly string[]): Promise<void> {
  const { state, kubelet } = ctx
  const { runtime, podCgroups } = kubelet
  const has: Allocation = { ...state.allocated }
  for (const [name, { current }] of Object.entries(state.containers)) if (has[name] && current.resources) has[name] = current.resources
  const [before, after] = [has, state.allocated].map(a => podResources(allocatedPod(ctx.pod, a))) as [PodResources, PodResources]
  try {
    await checkMemory(ctx, names, before.memoryBytes, after.memoryBytes)
    // A container's limit may never be above its pod's: the pod's is raised first and lowered last. What the kernel has counts, not what
    // is remembered: another kubelet may have been killed in between.
    await podCgroups?.ensure(ctx.allocatedPod())
    for (const name of names) {
      const { current } = state.containers[name]!
      const directory = containerDirectory(ctx.directory, name, current.attempt)
      await runtime.update?.(directory, { cpuQuotaMicros: -1, memoryBytes: -1, ...kernelResources(state.allocated?.[name]) })
      current.resources = state.allocated?.[name] ?? {}
      const actual = (await runtime.status(directory))?.resources
      if (actual) current.actual = actual
    }
    if (state.resize?.inProgress) delete state.resize.inProgress.error
  } catch (e) {
    const { message } = e as Error
    ctx.kickIn(errorRetryMs)
    const generation = state.resize?.inProgress?.generation ?? ctx.pod.metadata.generation ?? 0
    if (state.resize?.inProgress?.error !== message)
      ctx.event('Warning', 'ResizeError', `Pod resize error: ${summary(ctx, state.allocated ?? {}, generation, message)}`)
    state.resize = { ...state.resize, inProgress: { generation, error: message } }
  }
  ctx.save()
}

/**
 * Lowers the pod's own limits and tells, when every container has what is set aside for it. One that is about to run again gets it then.
 */
export async function finishResize(ctx: PodContext): Promise<void> {
  const { state } = ctx
  const { inProgress } = state.resize ?? {}
  if (!inProgress || !state.resize) return
  const left = allContainers(ctx.pod).some(({ container }) => {
    const current = state.containers[container.name]?.current
    if (!current || sameResources(current.resources ?? state.allocated?.[container.name], state.allocated?.[container.name])) return false
    return current.state !== 'exited' || restartsAfter(ctx.pod, container, current.exitCode ?? 255)
  })
  if (left) return
  await ctx.kubelet.podCgroups?.settle(ctx.allocatedPod())
  delete state.resize.inProgress
  ctx.save()
  ctx.kubelet.resourcesFreed()
  ctx.event('Normal', 'ResizeCompleted', `Pod resize completed: ${summary(ctx, state.allocated ?? {}, inProgress.generation)}`)
}

export function resizeConditions({ resize }: PodState): (Condition & { observedGeneration: number })[] {
  const { pending, inProgress } = resize ?? {}
  return [
    ...(pending
      ? [
          {
            type: 'PodResizePending',
            status: 'True',
            reason: pending.reason,
            message: pending.message,
            observedGeneration: pending.generation,
          },
        ]
      : []),
    ...(inProgress
      ? [
          {
            type: 'PodResizeInProgress',
            status: 'True',
            ...(inProgress.error ? { reason: 'Error', message: inProgress.error } : {}),
            observedGeneration: inProgress.generation,
          },
        ]
      : []),
  ]
}

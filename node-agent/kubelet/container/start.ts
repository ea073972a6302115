/** Starts one container: back-off, image, configuration, the runtime, postStart. */
import { createHash } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Container } from '#shared/api/core/podspec/container.ts'
import type { EphemeralContainer } from '#shared/api/core/podspec/ephemeralcontainer.ts'
import type { LifecycleHandler } from '#shared/api/core/podspec/probe.ts'
import { durationText } from '#shared/machinery/duration.ts'
import type { PodContext } from '../context.ts'
import { parseReference } from '../../runtime/images/reference.ts'
import { ensureImage } from '../images/ensure.ts'
import { ensureImageVolumes } from '../images/imagevolumes.ts'
import type { ImageConfig } from '../../runtime/imageservice.ts'
import { signalName } from '../../runtime/signals.ts'
import { sameResources } from '../cm/allocation.ts'
import { containerHash } from '../pod/actions.ts'
import { isStatic } from '../pod/critical.ts'
import { podText, uidOf, type TypedContainer } from '../pod/containers.ts'
import { containerDirectory, logFile, terminationLog } from '../pod/directory.ts'
import type { PodNamespaces } from '../pod/namespaces.ts'
import { pausePid } from '../pod/pause.ts'
import { tellUnsupported } from '../pod/sandbox.ts'
import type { Attempt, ContainerRecord } from '../pod/state.ts'
import { startedContainerErrors, startedContainers } from '../metrics.ts'
import { startProbes } from '../probes/start.ts'
import { blockDevices } from '../volumes/block.ts'
import { readInVolume } from '../volumes/subpath.ts'
import { CreateContainerError, type ContainerSpec } from '../../runtime/runtime.ts'
import { crashLoop, grow, remaining } from './backoff.ts'
import { environment, type EnvironmentSources } from './environment.ts'
import { clearAway, recordExit, watchExit } from './exit.ts'
import { runHook } from './hooks.ts'
import { cdiDirectories, cdiEdits } from '../cdi/registry.ts'
import { pathOnNode } from '../kubeletpaths.ts'
import { withEdits } from './cdi.ts'
import { deviceFiles, deviceMounts } from './devices.ts'
import { containerMounts } from './mounts.ts'
import { serviceEnvironment } from './serviceenv.ts'
import { containerSpec, verifyNonRoot } from './spec.ts'
import { stopContainer } from './stop.ts'

/** As the metric kubelet_started_containers_total has them. */
const containerTypes = { init: 'init_container', app: 'container', ephemeral: 'ephemeral_container' } as const

/** The same for ever for one run of a container on this node. */
const idOf = (uid: string, name: string, attempt: number): string => createHash('sha256').update(`${uid}/${name}/${attempt}`).digest('hex')

/** It ended by itself: it is not restarted for another image, or with other resources. */
const crashed = ({ container }: TypedContainer, { current }: ContainerRecord): boolean =>
  current.state === 'exited' && current.hash === containerHash(container) && sameResources(current.resources ?? {}, container.resources)

/** Milliseconds that a container which exited still has to wait; its `waiting` and an event tell. */
function crashBackOff(ctx: PodContext, typed: TypedContainer, record: ContainerRecord | undefined): number {
  const { name } = typed.container
  if (!record || !crashed(typed, record)) return 0
  const live = ctx.live(name)
  const left = remaining(record.crash, Date.parse(record.current.finishedAt ?? ''), Date.now(), ctx.kubelet.crashLoop ?? crashLoop)
  if (left <= 0) return 0
  live.waiting = {
    reason: 'CrashLoopBackOff',
    message: `back-off ${durationText(record.crash!.delayMs)} restarting failed container=${name} pod=${podText(ctx.pod)}`,
  }
  if (!live.toldBackOff) ctx.event('Warning', 'BackOff', `Back-off restarting failed container ${name} in pod ${podText(ctx.pod)}`, typed)
  live.toldBackOff = true
  return left
}

/** A process of the container that an ephemeral one is to look into; undefined when it names none. Throws when that does not run. */
async function targetPid(ctx: PodContext, { type, container }: TypedContainer): Promise<number | undefined> {
  const target = type === 'ephemeral' ? (container as EphemeralContainer).targetContainerName : undefined
  if (!target) return undefined
  const attempt = ctx.state.containers[target]?.current
  const status = attempt && (await ctx.kubelet.runtime.status(containerDirectory(ctx.directory, target, attempt.attempt)))
  if (status?.state !== 'running' || status.pid === undefined) throw new Error(`unable to find target container ${target}`)
  return status.pid
}

/**
 * An ephemeral container shares IPC and host name with the others of its pod. A pod that came with one container has no such namespaces of
 * its own: those of that container are as good.
 */
async function namespacesFor(ctx: PodContext, { type }: TypedContainer): Promise<PodNamespaces | undefined> {
  const { pod, state, kubelet } = ctx
  const { namespaces, handler = '' } = state.sandbox ?? {}
  const [only, ...others] = pod.spec.containers
  if (type !== 'ephemeral' || others.length > 0 || namespaces?.ipc || namespaces?.uts) return namespaces
  if (kubelet.runtime.handlers.get(handler)?.isolated !== true) return namespaces
  const current = state.containers[only?.name ?? '']?.current
  const status = current && (await kubelet.runtime.status(containerDirectory(ctx.directory, only!.name, current.attempt)))
  if (status?.state !== 'running' || status.pid === undefined) return namespaces
  const of = (kind: string): string => `/proc/${status.pid}/ns/${kind}`
  return { ...namespaces, ...(pod.spec.hostIPC ? {} : { ipc: of('ipc') }), ...(pod.spec.hostNetwork ? {} : { uts: of('uts') }) }
}

const maxEnvFile = 1 << 20

const environmentSources = (ctx: PodContext): EnvironmentSources => ({
  configMap: name => ctx.sources.configMap(name),
  secret: name => ctx.sources.secret(name),
  async file(volume, path) {
    const directory = ctx.volumes.path(volume)
    if (directory === undefined) throw new Error(`cannot find the volume "${volume}" referenced by FileKeyRef`)
    return await readInVolume(directory, path, maxEnvFile)
  },
})

async function configure(
  ctx: PodContext,
  typed: TypedContainer,
  image: Parameters<typeof verifyNonRoot>[2],
  attempt: number,
): Promise<ContainerSpec> {
  const { kubelet, directory } = ctx
  const pod = ctx.allocatedPod()
  const { container } = typed
  verifyNonRoot(pod, container, image)
  // Static pods run without the API: they know of the Services that are known.
  if (!isStatic(pod)) await kubelet.services.synced
  const services = serviceEnvironment(
    [...kubelet.services.list(pod.metadata.namespace), ...kubelet.services.list('default')],
    pod.metadata.namespace ?? '',
    pod.spec.enableServiceLinks ?? true,
  )
  const env = await environment(pod, container, services, environmentSources(ctx), ctx.facts())
  const { name } = container
  const pid = (await targetPid(ctx, typed)) ?? (pod.spec.shareProcessNamespace ? await pausePid(ctx) : undefined)
  const given = await kubelet.devices?.prepare(uidOf(pod), name)
  const cdi = [...(given?.cdiDevices ?? []).map(d => d.name ?? ''), ...claimedDevices(ctx, typed)]
  const mounts = await containerMounts(
    pod,
    container,
    env,
    n => ctx.volumes.path(n),
    directory,
    terminationLog(directory, name, attempt),
    kubelet.runtime.handlers.get(ctx.state.sandbox?.handler ?? '')?.recursiveReadOnlyMounts ?? false,
  )
  const spec = containerSpec({
    pod,
    container,
    image,
    // The pod's own variables replace those of its devices.
    env: new Map([...Object.entries(given?.envs ?? {}), ...env]),
    mounts: [...mounts, ...deviceMounts(given)],
    annotations: given?.annotations,
    id: idOf(uidOf(pod), name, attempt),
    directory: containerDirectory(directory, name, attempt),
    logPath: logFile(directory, name, attempt),
    networkNamespace: ctx.state.sandbox?.networkNamespace ?? 'node',
    handler: ctx.state.sandbox?.handler,
    namespaces: await namespacesFor(ctx, typed),
    ...(pid === undefined ? {} : { targetPid: pid }),
    nodeName: kubelet.nodeName,
    clusterDomain: kubelet.names.domain,
    nodeMemoryBytes: kubelet.memoryBytes,
    seccompDefault: kubelet.security?.seccompDefault,
  })
  const devices = [...deviceFiles(given), ...blockDevices(pod, container, n => ctx.volumes.path(n))]
  const complete = devices.length > 0 ? { ...spec, devices: [...(spec.devices ?? []), ...devices] } : spec
  if (cdi.length === 0) return complete
  const edits = await cdiEdits(cdi, cdiDirectories(kubelet.rootDir), ctx.log).catch((e: Error) => {
    throw new CreateContainerError(e.message)
  })
  return withEdits(complete, edits, path => pathOnNode(path, kubelet.rootDir))
}

/** CDI devices of the container's resource claims; ephemeral containers can have none. */
const claimedDevices = (ctx: PodContext, { type, container }: TypedContainer): string[] =>
  type === 'ephemeral' ? [] : (ctx.kubelet.dynamicResources?.cdiDevices(ctx.pod, container as Container) ?? [])

/** A configuration that is not there yet is looked for again when it appears; this is for what gives no sign. */
const retryMs = 15_000

/** Milliseconds until a configuration that was wrong is tried again; other containers of the pod bring it here more often. */
function configurationHeldBack(ctx: PodContext, name: string): number {
  const { configFailure } = ctx.live(name)
  return configFailure?.sources === ctx.sources.version ? configFailure.at + retryMs - Date.now() : 0
}

/** Nothing of the container exists: others of the pod go on, and it is tried again in a while, or when what it refers to has changed. */
function holdBack(ctx: PodContext, typed: TypedContainer, reason: string, { message }: Error): void {
  const live = ctx.live(typed.container.name)
  live.waiting = { reason, message }
  live.configFailure = { at: Date.now(), sources: ctx.sources.version }
  ctx.event('Warning', 'Failed', `Error: ${message}`, typed)
  ctx.kickIn(retryMs)
}

/** Logs and leftovers of all but the run before. */
async function forgetOld(ctx: PodContext, name: string, attempt: number): Promise<void> {
  if (attempt < 0) return
  await clearAway(ctx, name, attempt)
  await rm(logFile(ctx.directory, name, attempt), { force: true })
}

/** Runs the postStart hook; a container whose hook fails is stopped. False when that is so. */
async function postStart(ctx: PodContext, typed: TypedContainer, handler: LifecycleHandler, directory: string): Promise<boolean> {
  try {
    await runHook(ctx, typed.container, directory, handler, ctx.ending)
    return true
  } catch (e) {
    ctx.event('Warning', 'FailedPostStartHook', 'PostStartHook failed', typed)
    ctx.log.warn({ container: typed.container.name, err: (e as Error).message }, 'postStart hook failed')
    ctx.live(typed.container.name).waiting = { reason: 'PostStartHookError', message: (e as Error).message }
    stopContainer(ctx, typed, { graceSeconds: ctx.pod.spec.terminationGracePeriodSeconds ?? 30, message: 'FailedPostStartHook' })
    return false
  }
}

/** What the container or its image wants to be stopped with, when that is not the usual. */
function stopSignal({ lifecycle }: TypedContainer['container'], image: ImageConfig): Pick<Attempt, 'stopSignal'> {
  const signal = signalName(lifecycle?.stopSignal ?? image.stopSignal ?? '')
  return signal ? { stopSignal: signal } : {}
}

/** The node's fault, not the container's: in the words of the system, ours or the runtime's. */
const isDiskFull = (error: Error): boolean => /no space left on device/i.test(error.message)

/** This was no run of it. */
function forgetAttempt(ctx: PodContext, name: string, before: ContainerRecord | undefined): void {
  if (before) ctx.state.containers[name] = before
  else delete ctx.state.containers[name]
}

/** Nothing of the container exists, and nothing else of the pod would come to exist: the pod's own back-off brings it here again. */
function notCreated(ctx: PodContext, typed: TypedContainer, before: ContainerRecord | undefined, error: Error): never {
  const { name } = typed.container
  forgetAttempt(ctx, name, before)
  ctx.live(name).waiting = { reason: 'CreateContainerError', message: error.message }
  ctx.event('Warning', 'Failed', `Error: ${error.message}`, typed)
  throw error
}

/**
 * Resolves when the container runs, or when what keeps it from running is in its `waiting` and something will bring the pod back. With
 * 'pulling' those that come after it wait: they start in order.
 */
async function start(ctx: PodContext, typed: TypedContainer): Promise<'pulling' | void> {
  const { container } = typed
  const { name } = container
  const { runtime } = ctx.kubelet
  const live = ctx.live(name)
  const record = ctx.state.containers[name]
  const before = record && { ...record }
  const left = crashBackOff(ctx, typed, record)
  if (left > 0) return ctx.kickIn(left)
  const held = configurationHeldBack(ctx, name)
  if (held > 0) return ctx.kickIn(held)
  const volumes = await ensureImageVolumes(ctx, typed)
  if (volumes === 'pulling') return volumes
  if (volumes === 'waiting' || ctx.ending.aborted) return
  const image = await ensureImage(ctx, typed)
  if (image === 'pulling') return image
  if (image === 'waiting' || ctx.ending.aborted) return

  const attempt = record ? record.current.attempt + 1 : 0
  let spec: ContainerSpec
  try {
    spec = await configure(ctx, typed, image, attempt)
    await mkdir(dirname(spec.logPath), { recursive: true })
  } catch (e) {
    if (isDiskFull(e as Error)) return notCreated(ctx, typed, before, e as Error)
    return holdBack(ctx, typed, e instanceof CreateContainerError ? 'CreateContainerError' : 'CreateContainerConfigError', e as Error)
  }
  live.configFailure = undefined
  if (ctx.ending.aborted) return

  const recursive = spec.mounts.filter(m => m.recursiveReadOnly).map(m => m.destination)
  const current: Attempt = {
    id: spec.id,
    attempt,
    // As container runtimes tell it; a host image has no other name than it was given.
    image: image.root ? parseReference(container.image ?? '').canonical : (container.image ?? ''),
    imageID: image.id,
    hash: containerHash(container),
    sandbox: ctx.state.sandbox?.attempt ?? 0,
    state: 'starting',
    resources: container.resources ?? {},
    ...stopSignal(container, image),
    ...(recursive.length > 0 ? { recursiveReadOnly: recursive } : {}),
  }
  const crash = record && crashed(typed, record) ? grow(record.crash, Date.now(), ctx.kubelet.crashLoop ?? crashLoop) : record?.crash
  ctx.state.containers[name] = {
    current,
    ...(record ? { previous: record.current, ...(crash ? { crash } : {}) } : {}),
  }
  try {
    // Another kubelet must know of it before it can run.
    ctx.saveNow()
  } catch (e) {
    return notCreated(ctx, typed, before, e as Error)
  }
  try {
    const started = await runtime.start(spec)
    ctx.event('Normal', 'Created', 'Container created', typed)
    // The pod's own fields, and its other containers', were told of when it came.
    if (typed.type === 'ephemeral') tellUnsupported(ctx, { ...ctx.pod, spec: { containers: [container as Container] } as Pod['spec'] })
    current.state = 'running'
    if (started.user) current.user = started.user
    current.startedAt = (started.startedAt ?? new Date()).toISOString()
  } catch (e) {
    const { message } = e as Error
    if (isDiskFull(e as Error)) {
      await clearAway(ctx, name, attempt).catch(() => {})
      return notCreated(ctx, typed, before, e as Error)
    }
    if (e instanceof CreateContainerError) {
      forgetAttempt(ctx, name, before)
      ctx.save()
      return holdBack(ctx, typed, 'CreateContainerError', e)
    }
    ctx.event('Normal', 'Created', 'Container created', typed)
    ctx.event('Warning', 'Failed', `Error: ${message}`, typed)
    ctx.log.warn({ container: name, err: message }, 'container not started')
    await recordExit(ctx, name, current, { id: spec.id, state: 'exited', exitCode: 128 })
    current.reason = 'StartError'
    current.message = message
    live.waiting = { reason: 'RunContainerError', message }
    ctx.save()
    ctx.publish()
    await clearAway(ctx, name, attempt).catch(() => {})
    return ctx.kick()
  }
  live.waiting = undefined
  live.toldBackOff = undefined
  await containerStarted(ctx, typed, current)
}

/** Starts it as `start` says, and counts what came of that. */
export async function startContainer(ctx: PodContext, typed: TypedContainer): Promise<'pulling' | void> {
  let result: 'pulling' | void = undefined
  try {
    return (result = await start(ctx, typed))
  } finally {
    const code = ctx.live(typed.container.name).waiting?.reason
    // To wait for its turn, or for an image that is on its way, is no failure.
    if (result !== 'pulling' && code !== undefined && code !== 'CrashLoopBackOff')
      startedContainerErrors.add({ container_type: containerTypes[typed.type], code })
  }
}

/** What a start ends with once the container runs, whichever kubelet began it. */
export async function containerStarted(ctx: PodContext, typed: TypedContainer, current: Attempt): Promise<void> {
  const { name } = typed.container
  const { attempt, id } = current
  // Nothing below is done twice, by another kubelet.
  ctx.save()
  ctx.event('Normal', 'Started', 'Container started', typed)
  startedContainers.add({ container_type: containerTypes[typed.type] })
  ctx.log.info({ container: name, attempt, id: id.slice(0, 12) }, 'container started')
  watchExit(ctx, name, current)
  void forgetOld(ctx, name, attempt - 2).catch((e: Error) => ctx.log.warn({ container: name, err: e.message }, 'old run not cleared away'))
  const handler = typed.container.lifecycle?.postStart
  if (handler) {
    const live = ctx.live(name)
    live.inPostStart = true
    ctx.publish()
    if (!(await postStart(ctx, typed, handler, containerDirectory(ctx.directory, name, attempt)))) return
    live.inPostStart = undefined
    // It ended before its hook did.
    if (current.state !== 'running') return
  }
  startProbes(ctx, typed, current)
  ctx.publish()
}

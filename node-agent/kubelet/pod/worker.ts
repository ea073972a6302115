/** One pod's worker: everything that happens to a pod happens here, one step at a time, whenever something about it has changed. */
import { existsSync, mkdirSync } from 'node:fs'
import type { Pod } from '#shared/api/core/pod.ts'
import { backoff } from '#shared/client/backoff.ts'
import type { KubeletContext, LiveContainer, PodContext } from '../context.ts'
import { allocatedPod } from '../cm/allocation.ts'
import type { NodeFacts } from '../container/fieldref.ts'
import { podVolumes } from '../volumes/podvolumes.ts'
import { containersPerPod, podStarts, podStartTotals, podWorkerSteps, startedPods } from '../metrics.ts'
import { adoptPod, clearLeftovers } from './adopt.ts'
import { admitPod } from './admitpod.ts'
import { fieldPath, uidOf, type TypedContainer } from './containers.ts'
import { isStatic } from './critical.ts'
import { podDirectory, type PodDirectory } from './directory.ts'
import { CorruptError } from './durable.ts'
import type { Kill } from './kill.ts'
import { rememberFromStatus } from './lost.ts'
import { waitsForImage } from '../images/ensure.ts'
import { isTerminal } from './phase.ts'
import { PodRecord } from './record.ts'
import type { PodState } from './state.ts'
import { generateStatus } from './status.ts'
import { syncPod, type SetUp } from './sync.ts'
import { releasePod, removePod, stopPod } from './terminate.ts'
import { liveViews } from './views.ts'

/** `released`: nothing runs and nothing is held, but the pod is still in the API. */
type Stage = 'new' | 'running' | 'terminating' | 'released' | 'removed'

/** A force-deleted pod still gets a moment, as upstream's. */
const minimumGraceSeconds = 1
/** Most containers run by then: the status in between is not worth a write. */
const soonMs = 500
const deletedGrace = (pod: Pod): number =>
  Math.max(minimumGraceSeconds, pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30)

export class PodWorker implements PodContext {
  readonly kubelet: KubeletContext
  readonly directory: PodDirectory
  readonly log
  readonly sources
  readonly volumes
  readonly #onRemoved: () => void
  readonly #live = new Map<string, LiveContainer>()
  readonly #ending = new AbortController()
  readonly #released = new AbortController()
  readonly #stopped = Promise.withResolvers<void>()
  readonly #retry = backoff(500, 60_000)
  readonly #saveRetry = backoff(1_000, 60_000)
  readonly #setUp: SetUp = { sandbox: false, volumes: false }
  readonly #record: PodRecord
  readonly #seenAt = performance.now()
  #counted = false
  #pod: Pod
  #stage: Stage = 'new'
  #inApi = true
  #busy = false
  #failure: string | undefined
  #again = false
  #timer: NodeJS.Timeout | undefined
  #wakeAt = Infinity
  #toPublish: NodeJS.Timeout | undefined

  constructor(kubelet: KubeletContext, pod: Pod, onRemoved: () => void) {
    this.kubelet = kubelet
    this.#pod = pod
    this.#onRemoved = onRemoved
    this.directory = podDirectory(kubelet.rootDir, uidOf(pod))
    this.#record = new PodRecord(this.directory, pod.status?.startTime ? new Date(pod.status.startTime) : new Date())
    this.log = kubelet.log.child({ pod: `${pod.metadata.namespace}/${pod.metadata.name}` })
    this.sources = kubelet.sources.forPod(pod, () => this.kick())
    this.volumes = podVolumes(kubelet.nodeVolumes, uidOf(pod), this.directory, this.sources)
  }

  get pod(): Pod {
    return this.#pod
  }
  get state(): PodState {
    return this.#record.state
  }
  get ending(): AbortSignal {
    return this.#ending.signal
  }
  get released(): AbortSignal {
    return this.#released.signal
  }
  /** Why the last step did not come to its end, if it did not. */
  get failure(): string | undefined {
    return this.#failure
  }
  get stage(): Stage {
    return this.#stage
  }
  allocatedPod(): Pod {
    return allocatedPod(this.#pod, this.state.allocated)
  }
  live(name: string): LiveContainer {
    let live = this.#live.get(name)
    if (!live) this.#live.set(name, (live = {}))
    return live
  }
  facts(): NodeFacts {
    const { nodeIP: hostIP, nodeIPs: hostIPs, rootDir } = this.kubelet
    const { ip: podIP = '', ips: podIPs } = this.state.sandbox ?? {}
    return { hostIP, hostIPs, podIP, ...(podIPs ? { podIPs } : {}), allocatable: this.kubelet.node()?.status?.allocatable ?? {}, rootDir }
  }
  saveNow(): void {
    // A late word about a pod whose directory is being removed.
    if (this.#stage === 'removed') return
    this.#record.save()
    this.#saveRetry.reset()
  }
  save(): void {
    const known = this.#record.unsaved
    try {
      this.saveNow()
    } catch (e) {
      if (!known) this.log.warn({ err: (e as Error).message }, 'state of the pod not written; will try again')
      this.kickIn(this.#saveRetry.next())
    }
  }
  publish(): void {
    clearTimeout(this.#toPublish)
    this.#toPublish = undefined
    const { statuses, nodeIP, nodeIPs } = this.kubelet
    if (!this.#inApi || this.#record.unreadable) return
    const terminal = this.#stage === 'terminating' || this.#stage === 'released'
    const previous = statuses.last(uidOf(this.#pod)) ?? this.#pod.status
    const status = generateStatus(this.#pod, previous, {
      state: this.state,
      live: liveViews(this),
      volumesReady: this.#setUp.volumes,
      hostIP: nodeIP,
      hostIPs: nodeIPs,
      now: new Date(),
      terminal,
    })
    statuses.set(this.#pod, status)
    if (status.phase === 'Running' && !this.#record.known && !this.#counted) this.#countStart()
  }
  #countStart(): void {
    this.#counted = true
    startedPods.add({})
    podStarts.observe((performance.now() - this.#seenAt) / 1000)
    const { creationTimestamp: made } = this.#pod.metadata
    if (made) podStartTotals.observe((Date.now() - Date.parse(made)) / 1000)
    containersPerPod.observe(this.#pod.spec.containers.length)
  }
  publishSoon(): void {
    this.#toPublish ??= setTimeout(() => this.publish(), soonMs)
  }
  event(type: 'Normal' | 'Warning', reason: string, message: string, container?: TypedContainer): void {
    this.kubelet.recorder.event(this.#pod, type, reason, message, container && fieldPath(container))
  }

  /** A newer version of the pod from the API. */
  update(pod: Pod): void {
    this.#pod = pod
    // What the API knows of a static pod is its mirror.
    if (!isStatic(pod)) this.kubelet.statuses.observe(pod)
    if (this.#stage === 'running' || this.#stage === 'terminating') this.#keepPod()
    if (pod.metadata.deletionTimestamp) this.#end()
    this.kick()
  }
  /** The pod is gone from the API: what it still has here goes too. */
  gone(last: Pod): void {
    this.#inApi = false
    this.#pod = { ...last, status: this.#pod.status }
    this.kubelet.statuses.forget(uidOf(this.#pod))
    this.#end()
    this.kick()
  }
  /** What runs goes on without: another kubelet would only know an older version of it. */
  #keepPod(): void {
    // A pod that was refused has none.
    if (!existsSync(this.directory.root)) return
    try {
      this.#record.writePod(this.#pod)
    } catch (e) {
      this.log.warn({ err: (e as Error).message }, 'copy of the pod not written')
    }
  }
  #end(): void {
    if (this.#stage === 'running' || this.#stage === 'new') this.#ending.abort()
  }
  /**
   * Ends the pod for a reason of the kubelet's, which survives a restart of it. Of several reasons the first stays, and the shortest grace
   * counts. Resolves when nothing of the pod runs any more.
   */
  kill(kill: Kill): Promise<void> {
    if (this.#stage === 'released' || this.#stage === 'removed') return Promise.resolve()
    const { ended } = this.state
    if (!ended) this.state.ended = kill
    else if (kill.graceSeconds !== undefined) ended.graceSeconds = Math.min(ended.graceSeconds ?? Infinity, kill.graceSeconds)
    this.log.info({ reason: kill.reason, why: kill.message, graceSeconds: kill.graceSeconds }, 'ending the pod')
    this.save()
    this.#end()
    this.kick()
    return this.#stopped.promise
  }
  /** A driver, an attachment or space has come: volumes that could not be had are tried now. */
  retryVolumes(): void {
    this.volumes.retry()
    this.kick()
  }
  /** Images have come to the node otherwise than by a pull of this pod. */
  imagesChanged(): void {
    if ([...this.#live.values()].some(live => waitsForImage(live.waiting?.reason))) this.kick()
  }
  /** The kubelet stops: containers go on. */
  close(): void {
    this.#released.abort()
    clearTimeout(this.#timer)
    clearTimeout(this.#toPublish)
    for (const live of this.#live.values()) live.probes?.stop()
  }

  kick(): void {
    this.#again = true
    if (!this.#busy && !this.#released.signal.aborted && this.#stage !== 'removed') void this.#run()
  }
  kickIn(ms: number): void {
    const at = Date.now() + ms
    if (at >= this.#wakeAt) return
    clearTimeout(this.#timer)
    this.#wakeAt = at
    this.#timer = setTimeout(
      () => {
        this.#wakeAt = Infinity
        this.kick()
        // Timers of Node hold 24 days at most; what is later is looked at again then.
      },
      Math.min(ms, 2 ** 31 - 1),
    )
  }

  async #run(): Promise<void> {
    this.#busy = true
    this.kubelet.activity.begin()
    try {
      while (this.#again && !this.#released.signal.aborted) {
        this.#again = false
        const began = performance.now()
        const operation =
          this.#stage === 'terminating' || this.#stage === 'released' ? 'terminating' : this.#stage === 'new' ? 'create' : 'sync'
        try {
          await this.#step()
          this.#failure = undefined
          this.#retry.reset()
        } catch (e) {
          if (this.#released.signal.aborted) return
          this.#failure = (e as Error).message
          this.log.warn({ err: this.#failure }, 'pod not in its desired state; will try again')
          this.publish()
          this.kickIn(this.#retry.next())
        } finally {
          podWorkerSteps.observe((performance.now() - began) / 1000, { operation_type: operation })
        }
      }
    } finally {
      this.#busy = false
      this.kubelet.activity.end()
    }
  }

  async #step(): Promise<void> {
    if (this.#record.unsaved) this.save()
    if (this.#stage === 'new' && this.kubelet.mustWait(this.#pod)) return
    if (this.#record.unreadable) await this.#recover()
    if (this.#stage === 'new') await this.#begin()
    if (this.#stage === 'running' && (this.#deleting() || this.state.ended)) this.#stage = 'terminating'
    if (this.#stage === 'running') {
      const result = await syncPod(this, this.#setUp)
      if (result === 'over') {
        this.#stage = 'terminating'
        this.#ending.abort()
      }
      this.publish()
    }
    if (this.#stage === 'terminating') await this.#terminate()
    if (this.#stage === 'released' && this.#deleting()) await this.#remove()
  }
  #deleting(): boolean {
    return this.#pod.metadata.deletionTimestamp !== undefined || !this.#inApi
  }

  /**
   * What cannot be read now is waited for, with the containers as they are. What is corrupt never comes back, and whoever deletes the pod
   * does not wait: its containers are ended, and what the API says of them is all there is.
   */
  async #recover(): Promise<void> {
    const record = this.#record
    const before = record.unreadable?.message ?? ''
    record.read()
    if (!record.unreadable) return
    this.event('Warning', 'FailedSync', `error determining status: ${record.unreadable.message}`)
    if (!(record.unreadable instanceof CorruptError) && !this.#deleting()) throw record.unreadable
    this.log.error({ err: before }, 'what was known of the pod is lost: its containers are ended')
    await clearLeftovers(this)
    record.unreadable = undefined
  }

  /** The first step: a pod that is known is picked up, a new one is admitted. */
  async #begin(): Promise<void> {
    // A static pod that ended with the node begins anew with it.
    if (isStatic(this.#pod) && this.state.sandbox?.boot !== this.kubelet.boot) delete this.state.ended
    if (!this.#record.known && isTerminal(this.#pod.status?.phase)) {
      // It ended before: there is nothing to tell. Who told that may have been killed before all was given back.
      await releasePod(this)
      this.#stage = 'released'
      return
    }
    if (this.#record.known) await adoptPod(this)
    else rememberFromStatus(this.#pod, this.state, new Date())
    const over = isTerminal(this.#pod.status?.phase) || this.state.ended !== undefined
    if (!over && !this.state.admitted && !this.#deleting()) await admitPod(this)
    if (!this.#record.known && this.state.admitted && !this.#deleting()) this.#makeDirectory()
    this.#stage = over || this.state.ended ? 'terminating' : 'running'
    if (this.#stage === 'terminating') this.#ending.abort()
    // Of a pod that is new, nothing is worth remembering before it has a sandbox.
    if (this.#record.known || this.#stage === 'terminating') this.save()
  }
  #makeDirectory(): void {
    try {
      mkdirSync(this.directory.root, { recursive: true, mode: 0o750 })
      this.#record.writePod(this.#pod)
    } catch (e) {
      this.event('Warning', 'Failed', `error making pod data directories: ${(e as Error).message}`)
      throw e
    }
  }

  async #terminate(): Promise<void> {
    const own = this.#deleting() ? deletedGrace(this.#pod) : (this.#pod.spec.terminationGracePeriodSeconds ?? 30)
    const stopped = stopPod(this, Math.min(own, Math.max(minimumGraceSeconds, this.state.ended?.graceSeconds ?? Infinity)))
    this.publish()
    if (!stopped) return
    await releasePod(this)
    this.#stage = 'released'
    this.#stopped.resolve()
    this.save()
    this.publish()
    this.kubelet.resourcesFreed()
  }
  async #remove(): Promise<void> {
    await removePod(this, this.#inApi && !isStatic(this.#pod))
    this.#stage = 'removed'
    this.#stopped.resolve()
    this.close()
    this.log.info('pod removed')
    this.#onRemoved()
  }
}

/** The kubelet: one worker for each pod of this node, fed by the sources of pods; and the pods that an earlier kubelet left. */
import { readdir } from 'node:fs/promises'
import { pods } from '#shared/api/kinds.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Informer } from '#shared/client/informer.ts'
import { startInformer } from '#shared/client/reflector.ts'
import { byTurn } from './cm/allocation.ts'
import { decideResize } from './cm/resize.ts'
import type { KubeletContext } from './context.ts'
import { uidOf } from './pod/containers.ts'
import { isStatic } from './pod/critical.ts'
import { podDirectory, podsDirectory } from './pod/directory.ts'
import { isTerminal } from './pod/phase.ts'
import { readPod } from './pod/state.ts'
import { PodWorker } from './pod/worker.ts'
import { apiSource } from './podsource/api.ts'
import { fileSource } from './podsource/file.ts'
import { keepMirrors } from './podsource/mirrors.ts'
import type { PodSource } from './podsource/source.ts'

export interface Kubelet {
  readonly informer: Informer<Pod>
  worker(uid: string): PodWorker | undefined
  find(namespace: string, name: string): PodWorker | undefined
  workers(): PodWorker[]
  /** Pods that hold the node's resources, with what they hold. */
  activePods(): Pod[]
}

/** Everything that is given before there are pods. */
export type KubeletOptions = {
  /** The directory of static pods' manifests, which exists; absent: there are none. */
  readonly manifests?: string | undefined
} & Omit<KubeletContext, 'activePods' | 'holdsResources' | 'killPod' | 'resourcesFreed' | 'mustWait'>

/** Since the last pod was worked on, and since the start, when the node has better things to do. */
const idleMs = 200
const firstIdleMs = 2_000

/** Starts to follow the pods of this node; containers outlive it when `signal` aborts. */
export function startKubelet(options: KubeletOptions, signal: AbortSignal): Kubelet {
  const workers = new Map<string, PodWorker>()
  /** Every source has told of its pods. */
  let allKnown = false
  const prepare = (): void =>
    void options.network.prepare?.().catch((e: Error) => options.log.warn({ err: e.message }, 'networks were not made in advance'))
  options.activity.whenIdle(idleMs, firstIdleMs, prepare, signal)
  const context: KubeletContext = {
    ...options,
    activePods: () =>
      [...workers.values()]
        .filter(w => w.state.admitted && w.stage !== 'released' && w.stage !== 'removed' && !isTerminal(w.pod.status?.phase))
        .map(w => w.allocatedPod()),
    holdsResources(uid) {
      const w = workers.get(uid)
      return !allKnown || (w !== undefined && w.stage !== 'released' && w.stage !== 'removed' && !isTerminal(w.pod.status?.phase))
    },
    killPod: async (uid, kill) => await workers.get(uid)?.kill(kill),
    resourcesFreed() {
      const waiting = [...workers.values()].flatMap(w => {
        const pending = w.stage === 'running' && w.state.resize?.pending
        return pending && pending.reason === 'Deferred' ? [{ w, pod: w.pod, allocated: w.allocatedPod(), since: pending.since ?? '' }] : []
      })
      // Decided here, one after the other: workers that are woken come to it in any order.
      for (const { w } of waiting.sort(byTurn)) {
        decideResize(w)
        w.kick()
      }
    },
    mustWait: pod =>
      isStatic(pod) &&
      [...workers.values()].some(w => w.stage !== 'new' && w.stage !== 'removed' && uidOf(w.pod) !== uidOf(pod) && sameName(w.pod, pod)),
  }
  function workerFor(pod: Pod): PodWorker {
    const uid = uidOf(pod)
    let worker = workers.get(uid)
    if (!worker) workers.set(uid, (worker = new PodWorker(context, pod, () => removed(pod))))
    return worker
  }
  function removed(pod: Pod): void {
    const known = sources.some(s => s.has(pod))
    if (!known || isStatic(pod)) workers.delete(uidOf(pod))
    // Its manifest came back while it ended.
    if (known && isStatic(pod)) workerFor(pod).update(pod)
    for (const w of workers.values()) if (sameName(w.pod, pod)) w.kick()
  }
  const informer = startInformer<Pod>(
    options.client,
    pods,
    { fieldSelector: `spec.nodeName=${options.nodeName}`, log: options.log },
    signal,
  )
  const mirrors = keepMirrors(options.client, options.statuses, options.node, informer.synced, options.log, signal)
  const sources: PodSource[] = [apiSource(informer, mirrors)]
  if (options.manifests) sources.push(fileSource(options.manifests, options.nodeName, options.log, signal))
  for (const source of sources)
    source.subscribe(
      pod => {
        if (isStatic(pod)) mirrors.want(pod, true)
        workerFor(pod).update(pod)
      },
      last => {
        if (isStatic(last)) mirrors.want(last, false)
        const worker = workers.get(uidOf(last))
        if (worker?.stage === 'removed') workers.delete(uidOf(last))
        else worker?.gone(last)
      },
    )
  /** Pods with a directory that no source has any more end as if they had just been deleted. */
  async function endOrphans(): Promise<void> {
    await Promise.all(sources.map(s => s.synced))
    allKnown = true
    for (const uid of await readdir(podsDirectory(options.rootDir)).catch(() => [])) {
      if (workers.has(uid) || signal.aborted) continue
      const pod = readPod(podDirectory(options.rootDir, uid)) ?? lostPod(uid)
      options.log.info({ pod: `${pod.metadata.namespace}/${pod.metadata.name}`, uid }, 'nobody knows the pod any more')
      const worker = workerFor(pod)
      worker.gone(pod)
    }
    await options.network.retain(new Set(workers.keys()))
    await options.nodeVolumes.staged.retain(new Set(workers.keys()))
    await options.dynamicResources?.retain(new Set(workers.keys()))
  }
  endOrphans().catch((e: unknown) => options.log.error({ err: e }, 'clearing away orphans failed'))
  signal.addEventListener('abort', () => workers.forEach(w => w.close()), { once: true })
  return {
    informer,
    worker: uid => workers.get(uid),
    find: (namespace, name) =>
      [...workers.values()].find(w => w.pod.metadata.namespace === namespace && w.pod.metadata.name === name && w.stage !== 'removed'),
    workers: () => [...workers.values()],
    activePods: context.activePods,
  }
}

const sameName = (a: Pod, b: Pod): boolean => a.metadata.namespace === b.metadata.namespace && a.metadata.name === b.metadata.name

/** A pod of which nothing is left but its directory. */
const lostPod = (uid: string): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { uid, name: 'unknown', namespace: 'unknown' },
  spec: { containers: [] },
})

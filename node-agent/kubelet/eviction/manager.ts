/**
 * Node-pressure eviction, as upstream's eviction manager: looks at what is left of memory, disks and processes, tells the node's
 * conditions, takes back what can be had without harm, and ends the pod that matters least, one after the other, until there is enough
 * again. Pods that have written more than they may are ended as well.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/
 */
import { sleep } from '#shared/client/backoff.ts'
import type { EventRecorder } from '#shared/client/events.ts'
import type { Logger } from '#shared/component/log.ts'
import type { Threshold } from '#shared/kubelet/thresholds.ts'
import type { ContainerRuntime } from '../../runtime/runtime.ts'
import type { Kubelet } from '../kubelet.ts'
import { evictions } from '../metrics.ts'
import { uidOf } from '../pod/containers.ts'
import { isCritical } from '../pod/critical.ts'
import { disruptionTarget, type Kill } from '../pod/kill.ts'
import type { PodWorker } from '../pod/worker.ts'
import { podStorage } from '../stats/storage.ts'
import { exceededLimit, hasStorageLimit } from './limits.ts'
import { evictionMessage, rankPods } from './rank.ts'
import { hasImageDisk, observe, type Observations, type Places } from './signals.ts'
import { calm, nextState, starvedOf, thresholdsMet, type Pressure } from './state.ts'
import { podUsages } from './usage.ts'

export interface EvictionOptions {
  /** Those that the node goes by. */
  thresholds: readonly Threshold[]
  transitionMs: number
  /** What pods have at most that a soft threshold evicts, in seconds; -1: what they give themselves. */
  maxPodGraceSeconds: number
  places: Places
  nodeName: string
  log: Logger
  /** What the node has left; by default what the kernel says. */
  observe?: () => Observations
}

/** What evicting needs of a node that runs. */
export interface EvictionNode {
  kubelet: Pick<Kubelet, 'workers'>
  runtime: ContainerRuntime
  recorder: EventRecorder
  /** Removes images that nothing uses. */
  removeUnusedImages?: () => Promise<unknown>
}

export interface EvictionManager {
  /** The conditions that hold, by the last look. */
  pressures(): ReadonlySet<Pressure>
  /** Has `changed` called when they are others. */
  onChange(changed: () => void): void
  /** Looks at once. */
  look(): void
  /** One look, and what follows from it: at most one pod is evicted for what the node is short of. Resolves when it has gone. */
  synchronize(node: EvictionNode): Promise<void>
  keep(node: EvictionNode, signal: AbortSignal): Promise<void>
}

/** Nothing tells when a disk or memory fills up. */
const lookMs = 1_000
/** Nor when a directory grows: pods that have limits are looked at every ten seconds, as upstream. */
const limitsMs = 10_000
/** Between SIGTERM and SIGKILL for pods that must go at once. */
const immediateGraceSeconds = 1
/** For the evicted pod to be gone, before the next is thought of. */
const cleanupMs = 30_000

export function evictionManager(options: EvictionOptions): EvictionManager {
  const { thresholds, transitionMs, maxPodGraceSeconds, places, log } = options
  // Upstream's kubelet writes the name where the UID belongs.
  const nodeSubject = { apiVersion: 'v1', kind: 'Node', metadata: { name: options.nodeName, uid: options.nodeName } }
  const observeNow = options.observe ?? (() => observe(places))
  let state = calm
  let pressures: ReadonlySet<Pressure> = new Set()
  let seen: Observations = new Map()
  let reclaim: Threshold[] = []
  const listeners = new Set<() => void>()

  function look(): void {
    seen = observeNow()
    const next = nextState(state, thresholds, seen, performance.now(), transitionMs)
    const before = pressures
    ;({ state, pressures, reclaim } = next)
    if (before.symmetricDifference(pressures).size === 0) return
    log.info({ conditions: [...pressures] }, 'conditions of the node')
    for (const listener of listeners) listener()
  }

  function evict(worker: PodWorker, { recorder }: EvictionNode, kill: Kill, annotations?: { [key: string]: string }): Promise<void> {
    recorder.event(worker.pod, 'Warning', 'Evicted', kill.message, undefined, annotations)
    return worker.kill(kill)
  }

  /** Takes back what costs nobody anything. Whether that was enough. */
  async function reclaimNode({ removeUnusedImages }: EvictionNode, { signal }: Threshold): Promise<boolean> {
    if (!removeUnusedImages || !/^(nodefs|imagefs)\./.test(signal)) return false
    // Where images have a disk of their own, the node's gets nothing by it. Of containers that have ended nothing is left anyway.
    if (signal.startsWith('nodefs.') && hasImageDisk(places)) return false
    await removeUnusedImages().catch((e: Error) => log.warn({ err: e.message }, 'unused images not removed'))
    return thresholdsMet(thresholds, observeNow(), true).length === 0
  }

  async function relieve(node: EvictionNode): Promise<void> {
    const [first] = reclaim
    if (!first) return
    const starved = starvedOf(first.signal)
    node.recorder.event(nodeSubject, 'Warning', 'EvictionThresholdMet', `Attempting to reclaim ${starved}`)
    if (await reclaimNode(node, first)) return
    const workers = node.kubelet.workers().filter(w => w.stage === 'running' && w.state.admitted)
    const usages = await podUsages(workers, starved, node.runtime, places.cgroupRoot)
    const candidates = workers.map(worker => ({ worker, pod: worker.allocatedPod(), usage: usages.get(uidOf(worker.pod)) ?? {} }))
    const disk = first.signal.startsWith('imagefs.') && hasImageDisk(places) ? 'images' : 'node'
    const victim = rankPods(candidates, starved, disk).find(c => c.worker.stage === 'running' && !isCritical(c.pod))
    if (!victim) return log.warn({ starved, pods: workers.length }, 'no pod can be evicted')
    const { message, annotations } = evictionMessage(victim, starved, reclaim, seen)
    const kill: Kill = { reason: 'Evicted', message, condition: disruptionTarget(message) }
    if (first.graceMs === 0) kill.graceSeconds = immediateGraceSeconds
    else if (maxPodGraceSeconds >= 0) kill.graceSeconds = maxPodGraceSeconds
    log.warn({ starved, signal: first.signal, pod: `${victim.pod.metadata.namespace}/${victim.pod.metadata.name}` }, 'evicting a pod')
    evictions.add({ eviction_signal: first.signal })
    const over = new AbortController()
    const ended = evict(victim.worker, node, kill, annotations).finally(() => over.abort())
    await Promise.race([ended, sleep(cleanupMs + (kill.graceSeconds ?? 0) * 1000, over.signal)])
  }

  /** Pods that have written more than they may. Costs nothing when none has a limit. */
  async function enforceLimits(node: EvictionNode): Promise<boolean> {
    const limited = node.kubelet.workers().filter(w => w.stage === 'running' && hasStorageLimit(w.pod) && !isCritical(w.pod))
    if (limited.length === 0) return false
    const storage = await podStorage(limited, node.runtime)
    let any = false
    for (const worker of limited) {
      const used = storage.get(uidOf(worker.pod))
      const exceeded = used && exceededLimit(worker.pod, used)
      if (!exceeded || worker.stage !== 'running') continue
      const { signal, message } = exceeded
      any = true
      evictions.add({ eviction_signal: signal })
      void evict(worker, node, { reason: 'Evicted', message, graceSeconds: immediateGraceSeconds })
    }
    return any
  }

  async function synchronize(node: EvictionNode): Promise<void> {
    look()
    if (await enforceLimits(node)) return
    await relieve(node)
  }

  return {
    pressures: () => pressures,
    onChange: changed => void listeners.add(changed),
    look,
    synchronize,
    async keep(node, signal) {
      let limitsAt = performance.now() + limitsMs
      while (!signal.aborted) {
        await sleep(lookMs, signal)
        if (signal.aborted) return
        try {
          if (performance.now() >= limitsAt) {
            limitsAt = performance.now() + limitsMs
            await synchronize(node)
          } else {
            look()
            await relieve(node)
          }
        } catch (e) {
          log.warn({ err: (e as Error).message }, 'the node was not looked at')
        }
      }
    },
  }
}

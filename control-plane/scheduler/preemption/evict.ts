/** Makes room: takes back the nominations of less important pods to the node, and evicts the victims. */
import { pods } from '#shared/api/kinds.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'
import type { Handle } from '../framework.ts'
import type { PodInfo } from '../podinfo.ts'
import type { Victims } from './victims.ts'

export const preempted = { type: 'DisruptionTarget', status: 'True', reason: 'PreemptionByScheduler' } as const

/** The evictions under way, by UID of the pod that they are for: meanwhile it is not scheduled again. */
export class Evictions {
  readonly #handle: Handle
  /** With the last victim, once it is the only one that is left. */
  readonly #running = new Map<string, PodInfo | undefined>()

  constructor(handle: Handle) {
    this.#handle = handle
  }

  /**
   * Whether victims of the pod are still to be told. The deletion of the last one may be seen before the API's answer: it counts, since no
   * other event will bring the pod back.
   */
  isRunning(uid: string): boolean {
    if (!this.#running.has(uid)) return false
    const last = this.#running.get(uid)
    if (!last) return true
    const { namespace = '', name = '' } = last.pod.metadata
    const now = this.#handle.informer(pods).get(namespace, name)
    return now !== undefined && now.metadata.uid === last.uid && now.metadata.deletionTimestamp === undefined
  }

  /** Returns at once; the victims' deletion brings the pod back to the queue, as does a failure. */
  start(pod: PodInfo, { node, pods: all }: Victims): void {
    const victims = all.filter(v => !v.terminating)
    const last = victims.pop()
    if (!last) return
    this.#running.set(pod.uid, undefined)
    const evictAll = async (): Promise<void> => {
      await this.#takeBackNominations(pod, node)
      await Promise.all(victims.map(v => this.#evict(v, pod, node)))
      this.#running.set(pod.uid, last)
      await this.#evict(last, pod, node)
    }
    const began = performance.now()
    const ended = (result: string): void => {
      this.#running.delete(pod.uid)
      this.#handle.metrics.evictions.observe((performance.now() - began) / 1000, { result })
    }
    evictAll().then(
      () => ended('success'),
      (e: Error) => {
        ended('error')
        this.#handle.log.warn({ pod: nameOf(pod), node, error: e.message }, 'preemption failed, will retry')
        this.#handle.activate([pod.uid])
      },
    )
  }

  /** Less important pods that were to come to the node may not fit any more: they look for another one now. */
  async #takeBackNominations(pod: PodInfo, node: string): Promise<void> {
    const { nominator, client, log } = this.#handle
    const less = [...nominator.on(node)].filter(n => n.uid !== pod.uid && n.priority < pod.priority)
    for (const { uid, pod: nominated } of less) {
      const { namespace = '', name = '' } = nominated.metadata
      nominator.delete(uid)
      await client
        .patch(pods, namespace, name, 'merge', { metadata: { uid }, status: { nominatedNodeName: null } }, 'status')
        .catch((e: Error) => log.warn({ pod: `${namespace}/${name}`, error: e.message }, 'the nomination could not be taken back'))
    }
    this.#handle.activate(less.map(n => n.uid))
  }

  async #evict(victim: PodInfo, pod: PodInfo, node: string): Promise<void> {
    const { client, events, waitingPods, log } = this.#handle
    const { namespace = '', name = '', generation } = victim.pod.metadata
    const waiting = waitingPods.get(victim.uid)
    if (waiting) waiting.reject('DefaultPreemption', 'preempted')
    else {
      const condition = {
        ...preempted,
        message: `${pod.pod.spec.schedulerName ?? 'default-scheduler'}: preempting to accommodate a higher priority pod`,
        lastProbeTime: null,
        lastTransitionTime: formatTime(),
        ...(generation ? { observedGeneration: generation } : {}),
      }
      try {
        await client.patch(
          pods,
          namespace,
          name,
          'strategic',
          { metadata: { uid: victim.uid }, status: { conditions: [condition] } },
          'status',
        )
        await client.delete(pods, namespace, name, { preconditions: { uid: victim.uid } })
      } catch (e) {
        if (isNotFound(e)) return
        throw e
      }
    }
    events.event(victim.pod, 'Normal', 'Preempted', `Preempted by pod ${pod.uid} on node ${node}`)
    log.info({ pod: nameOf(victim), by: nameOf(pod), node }, 'preempted')
  }
}

const nameOf = ({ pod: { metadata } }: PodInfo): string => `${metadata.namespace}/${metadata.name}`

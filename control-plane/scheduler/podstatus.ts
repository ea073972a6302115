/** Writes why pods wait into their status: a few at a time, of each pod the newest. */
import type { LeanPod as Pod } from '#shared/client/leanpod.ts'
import { pods } from '#shared/api/kinds.ts'
import { backoff, sleep } from '#shared/client/backoff.ts'
import type { Client } from '#shared/client/client.ts'
import type { Logger } from '#shared/component/log.ts'
import { StatusError } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'

export interface PodStatusWriter {
  /**
   * Sets the condition PodScheduled to False, and status.nominatedNodeName unless undefined; `takesBack`: what it is now was written a
   * moment ago and may not have been seen. Returns at once.
   */
  write(pod: Pod, reason: 'Unschedulable' | 'SchedulerError', message: string, nominatedNode: string | undefined, takesBack?: boolean): void
}

const atOnce = 16
const tries = 5

/** `current` is the pod as it is known now. */
export function podStatusWriter(
  client: Client,
  current: (namespace: string, name: string) => Pod | undefined,
  log: Logger,
  signal: AbortSignal,
): PodStatusWriter {
  const waiting = new Map<string, () => Promise<void>>()
  let running = 0

  async function drain(): Promise<void> {
    running++
    for (let next = waiting.entries().next().value; next; next = waiting.entries().next().value) {
      waiting.delete(next[0])
      await next[1]()
    }
    running--
  }

  async function patch(pod: Pod, reason: string, message: string, nominatedNode: string | undefined, takesBack: boolean): Promise<void> {
    const { namespace = '', name = '', uid, generation } = pod.metadata
    const now = current(namespace, name)
    if (now?.metadata.uid !== uid) return
    const had = now?.status?.conditions?.find(c => c.type === 'PodScheduled')
    const nominate = nominatedNode !== undefined && (takesBack || nominatedNode !== (now?.status?.nominatedNodeName ?? ''))
    if (!nominate && had?.status === 'False' && had.reason === reason && had.message === message) return
    const condition = {
      type: 'PodScheduled',
      status: 'False',
      reason,
      message,
      lastProbeTime: null,
      lastTransitionTime: had?.status === 'False' && had.lastTransitionTime ? had.lastTransitionTime : formatTime(),
      ...(generation ? { observedGeneration: generation } : {}),
    }
    const status = { conditions: [condition], ...(nominate ? { nominatedNodeName: nominatedNode || null } : {}) }
    const pause = backoff(200, 5_000)
    for (let n = 1; !signal.aborted; n++) {
      try {
        return void (await client.patch(pods, namespace, name, 'strategic', { metadata: { uid }, status }, 'status'))
      } catch (e) {
        const refused = e instanceof StatusError && e.code < 500 && e.code !== 429
        if (refused && (e.code === 404 || e.code === 409)) return
        if (refused || n === tries)
          return log.warn({ pod: `${namespace}/${name}`, error: (e as Error).message }, 'the condition could not be written')
        await sleep(pause.next(), signal)
      }
    }
  }

  return {
    write(pod, reason, message, nominatedNode, takesBack = false) {
      // A pod that waits already keeps its place.
      waiting.set(pod.metadata.uid ?? '', () => patch(pod, reason, message, nominatedNode, takesBack))
      if (running < atOnce) void drain()
    },
  }
}

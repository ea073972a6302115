/** Sends pod statuses to the API: at once, one request a pod at a time, the newest only, and again until it is taken. */
import { pods } from '#shared/api/kinds.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { PodStatus } from '#shared/api/core/podspec/podstatus.ts'
import { backoff, sleep } from '#shared/client/backoff.ts'
import type { Client } from '#shared/client/client.ts'
import type { Logger } from '#shared/component/log.ts'
import { StatusError } from '#shared/machinery/status.ts'
import { uidOf } from '../pod/containers.ts'
import { isMirror, isStatic } from '../pod/critical.ts'
import { statusSyncs } from '../metrics.ts'
import { statusPatch } from './patch.ts'

export interface StatusManager {
  /** The pod as the API has it: what patches are made against. `uid` is the static pod's, of a mirror pod. */
  observe(pod: Pod, uid?: string): void
  /** Sends the status soon; replaces one that waits. */
  set(pod: Pod, status: PodStatus): void
  /** What was set last, else what the API said last. */
  last(uid: string): PodStatus | undefined
  /** Resolves when everything that was set has been taken, or the pod is gone. */
  flushed(uid: string): Promise<void>
  forget(uid: string): void
}

interface Entry {
  pod: Pod
  /** What the API has. */
  known: PodStatus | undefined
  version: number
  wanted?: PodStatus | undefined
  /** Since when one waits, as performance.now(). */
  since?: number | undefined
  last: PodStatus | undefined
  sending?: Promise<void> | undefined
}

export function statusManager(client: Client, log: Logger, signal: AbortSignal): StatusManager {
  const entries = new Map<string, Entry>()
  const versionOf = (pod: Pod): number => Number(pod.metadata.resourceVersion ?? 0)

  function entryOf(pod: Pod, uid = uidOf(pod)): Entry {
    let entry = entries.get(uid)
    if (!entry) entries.set(uid, (entry = { pod, known: pod.status, version: versionOf(pod), last: pod.status }))
    return entry
  }
  const unmirrored = (pod: Pod): boolean => isStatic(pod) && !isMirror(pod)
  async function send(key: string, entry: Entry): Promise<void> {
    const pause = backoff(100, 2_000)
    // A static pod's status is its mirror's.
    while (entry.wanted && !signal.aborted && entries.get(key) === entry && !unmirrored(entry.pod)) {
      const { namespace = '', name = '', uid } = entry.pod.metadata
      const status = entry.wanted
      const patch = statusPatch(entry.known, status)
      entry.wanted = undefined
      if (!patch) {
        entry.since = entry.wanted && performance.now()
        continue
      }
      try {
        const taken = await client.patch(pods, namespace, name, 'strategic', { metadata: { uid }, status: patch }, 'status')
        if (versionOf(taken) >= entry.version) {
          entry.known = taken.status
          entry.version = versionOf(taken)
        }
        statusSyncs.observe((performance.now() - (entry.since ?? 0)) / 1000)
        entry.since = entry.wanted && performance.now()
        pause.reset()
      } catch (e) {
        // The pod is gone, or another one has its name: nobody asks for this status any more.
        if (e instanceof StatusError && (e.code === 404 || (e.code === 409 && e.message.includes('UID')))) return
        log.warn({ pod: `${namespace}/${name}`, err: (e as Error).message }, 'status not taken; will try again')
        entry.wanted ??= status
        await sleep(pause.next(), signal)
      }
    }
  }
  function set(key: string, entry: Entry, status: PodStatus): void {
    entry.wanted = entry.last = status
    entry.since ??= performance.now()
    if (entry.sending) return
    entry.sending = send(key, entry)
      .catch((e: unknown) => log.error({ err: e }, 'sending a status failed'))
      .finally(() => (entry.sending = undefined))
  }
  return {
    observe(pod, uid = uidOf(pod)) {
      const entry = entryOf(pod, uid)
      const another = uidOf(entry.pod) !== uidOf(pod)
      entry.pod = pod
      if (!another && versionOf(pod) <= entry.version) return
      entry.known = pod.status
      entry.version = versionOf(pod)
      // Another mirror knows nothing yet.
      if (another && entry.last) set(uid, entry, entry.last)
    },
    set(pod, status) {
      set(uidOf(pod), entryOf(pod), status)
    },
    last: uid => entries.get(uid)?.last,
    async flushed(uid) {
      await entries.get(uid)?.sending
    },
    forget: uid => void entries.delete(uid),
  }
}

/**
 * Mirror pods: the API server's copies of static pods, by which the cluster knows of them. One is made as soon as the API can be reached,
 * again when somebody deletes it, and goes with its pod.
 */
import { pods } from '#shared/api/kinds.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { backoff } from '#shared/client/backoff.ts'
import type { Client } from '#shared/client/client.ts'
import type { Logger } from '#shared/component/log.ts'
import { isAlreadyExists, isNotFound } from '#shared/machinery/status.ts'
import { uidOf } from '../pod/containers.ts'
import { configHash, configMirror } from '../pod/critical.ts'
import type { StatusManager } from '../status/manager.ts'

export interface Mirrors {
  /** A static pod that shall have a mirror, or shall no more. */
  want(pod: Pod, wanted: boolean): void
  /** A mirror pod as the API has it. */
  observe(mirror: Pod, gone: boolean): void
}

const keyOf = (pod: Pod): string => `${pod.metadata.namespace}/${pod.metadata.name}`

/** What the API gets of a static pod. */
export function mirrorOf({ apiVersion, kind, metadata, spec }: Pod, node: Node | undefined): Pod {
  const { name, namespace, labels, annotations } = metadata
  const owner = node?.metadata.uid && {
    apiVersion: 'v1',
    kind: 'Node',
    name: node.metadata.name ?? '',
    uid: node.metadata.uid,
    controller: true,
  }
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      namespace,
      ...(labels ? { labels } : {}),
      annotations: { ...annotations, [configMirror]: annotations?.[configHash] ?? '' },
      ...(owner ? { ownerReferences: [owner] } : {}),
    },
    spec,
  }
}

/** Begins once `synced` has settled: until then it is not known which mirrors there are. */
export function keepMirrors(
  client: Client,
  statuses: StatusManager,
  node: () => Node | undefined,
  synced: Promise<void>,
  log: Logger,
  signal: AbortSignal,
): Mirrors {
  const statics = new Map<string, Pod>()
  const mirrors = new Map<string, Pod>()
  const busy = new Set<string>()
  /** Something about them has changed while they were looked at. */
  const again = new Set<string>()
  const retries = new Map<string, ReturnType<typeof backoff>>()
  let ready = false

  async function step(key: string): Promise<void> {
    const [wanted, mirror] = [statics.get(key), mirrors.get(key)]
    const { namespace = '', name = '' } = (wanted ?? mirror)?.metadata ?? {}
    const same = wanted && mirror?.metadata.annotations?.[configMirror] === wanted.metadata.annotations?.[configHash]
    if (mirror && (!same || mirror.metadata.deletionTimestamp)) {
      await client
        .delete(pods, namespace, name, { gracePeriodSeconds: 0, preconditions: { uid: uidOf(mirror) } })
        .catch((e: unknown) => (isNotFound(e) ? undefined : Promise.reject(e)))
    } else if (wanted && !mirror) {
      await client
        .create(pods, namespace, mirrorOf(wanted, node()))
        .catch((e: unknown) => (isAlreadyExists(e) ? undefined : Promise.reject(e)))
    }
  }
  /** What the step does comes back by the watch, and leads to the next. */
  async function reconcile(key: string): Promise<void> {
    if (!ready || signal.aborted) return
    if (busy.has(key)) return void again.add(key)
    busy.add(key)
    try {
      await step(key)
      retries.delete(key)
    } catch (e) {
      const pause = retries.get(key) ?? backoff(500, 30_000)
      retries.set(key, pause)
      log.warn({ pod: key, err: (e as Error).message }, 'mirror pod not made or removed; will try again')
      setTimeout(() => void reconcile(key), pause.next()).unref()
    } finally {
      busy.delete(key)
    }
    if (again.delete(key)) void reconcile(key)
  }
  void synced.then(() => {
    ready = true
    for (const key of new Set([...statics.keys(), ...mirrors.keys()])) void reconcile(key)
  })
  return {
    want(pod, wanted) {
      const key = keyOf(pod)
      if (wanted) statics.set(key, pod)
      else if (statics.get(key) && uidOf(statics.get(key)!) === uidOf(pod)) statics.delete(key)
      void reconcile(key)
    },
    observe(mirror, gone) {
      const key = keyOf(mirror)
      if (gone) mirrors.delete(key)
      else mirrors.set(key, mirror)
      const wanted = statics.get(key)
      if (!gone && wanted && mirror.metadata.annotations?.[configMirror] === wanted.metadata.annotations?.[configHash])
        statuses.observe(mirror, uidOf(wanted))
      void reconcile(key)
    },
  }
}

/** An API in memory, just enough to drive a kubelet without a cluster: versions, watches, status patches, deletion by uid. */
import { randomUUID } from 'node:crypto'
import type { Client, WatchEvent, WatchOptions } from '#shared/client/client.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import { podSchema } from '#shared/api/core/pod.ts'
import { matchesLabels, parseLabelSelector } from '#shared/machinery/labels.ts'
import { strategicMergePatch } from '#shared/machinery/patch/strategic.ts'
import { alreadyExists, conflict, notFound } from '#shared/machinery/status.ts'

type Any = Kind<any> // any: objects of all kinds share one map

export interface MemoryApi {
  client: Client
  /** Adds or replaces an object, as a user would. */
  put(kind: Any, object: KubeObject): KubeObject
  remove(kind: Any, namespace: string, name: string): void
  get(kind: Any, namespace: string, name: string): KubeObject | undefined
  all(kind: Any): KubeObject[]
  /** Resolves as soon as the condition holds; looked at after every write. */
  until<T>(condition: () => T | undefined | false, timeoutMs?: number): Promise<T>
}

export function memoryApi(): MemoryApi {
  const objects = new Map<string, KubeObject>()
  const watchers = new Set<(key: string, event: WatchEvent<KubeObject>) => void>()
  const waiting = new Set<() => void>()
  let version = 1
  const key = (kind: Any, namespace: string, name: string): string => `${kind.group}/${kind.plural}/${namespace}/${name}`
  const selected = (object: KubeObject, selector = '', labelSelector = ''): boolean =>
    matchesLabels(parseLabelSelector(labelSelector), object.metadata.labels) &&
    selector
      .split(',')
      .filter(Boolean)
      .every(part => {
        const [path = '', value] = part.split('=')
        return String(path.split('.').reduce<unknown>((o, f) => (o as Record<string, unknown> | undefined)?.[f], object) ?? '') === value
      })
  function write(k: string, type: 'ADDED' | 'MODIFIED' | 'DELETED', object: KubeObject): KubeObject {
    const stored = structuredClone({ ...object, metadata: { ...object.metadata, resourceVersion: String(++version) } })
    if (type === 'DELETED') objects.delete(k)
    else objects.set(k, stored)
    for (const watcher of watchers) watcher(k, { type, object: stored })
    for (const wake of waiting) wake()
    return stored
  }
  const find = (kind: Any, namespace: string, name: string): KubeObject => {
    const found = objects.get(key(kind, namespace, name))
    if (!found) throw notFound({ group: kind.group, resource: kind.plural }, name)
    return found
  }
  const list = (kind: Any, namespace: string, selector?: string, labelSelector?: string): KubeObject[] =>
    [...objects]
      .filter(([k]) => k.startsWith(`${kind.group}/${kind.plural}/${namespace ? `${namespace}/` : ''}`))
      .map(([, o]) => o)
      .filter(o => selected(o, selector, labelSelector))

  async function* watch(kind: Any, namespace: string, options: WatchOptions, signal: AbortSignal): AsyncGenerator<WatchEvent<KubeObject>> {
    const queue: WatchEvent<KubeObject>[] = []
    let wake = (): void => {}
    const prefix = `${kind.group}/${kind.plural}/${namespace ? `${namespace}/` : ''}`
    const since = Number(options.resourceVersion ?? 0)
    const watcher = (k: string, event: WatchEvent<KubeObject>): void => {
      if (!k.startsWith(prefix) || event.type === 'BOOKMARK' || !selected(event.object, options.fieldSelector, options.labelSelector))
        return
      queue.push(event)
      wake()
    }
    for (const o of list(kind, namespace, options.fieldSelector, options.labelSelector))
      if (Number(o.metadata.resourceVersion) > since) queue.push({ type: options.sendInitialEvents ? 'ADDED' : 'MODIFIED', object: o })
    if (options.sendInitialEvents) {
      const annotations = { 'k8s.io/initial-events-end': 'true' }
      queue.push({ type: 'BOOKMARK', object: { metadata: { resourceVersion: String(version), annotations } } })
    }
    watchers.add(watcher)
    signal.addEventListener('abort', () => wake(), { once: true })
    try {
      while (!signal.aborted) {
        for (let e = queue.shift(); e; e = queue.shift()) yield e
        if (!signal.aborted) await new Promise<void>(resolve => (wake = resolve))
      }
    } finally {
      watchers.delete(watcher)
    }
  }
  const client = {
    get: async (kind: Any, namespace: string, name: string) => structuredClone(find(kind, namespace, name)),
    list: async (kind: Any, namespace: string, options: { fieldSelector?: string } = {}) => ({
      metadata: { resourceVersion: String(version) },
      items: structuredClone(list(kind, namespace, options.fieldSelector)),
    }),
    watch,
    create: async (kind: Any, namespace: string, object: KubeObject) => {
      const k = key(kind, namespace, object.metadata.name ?? '')
      if (objects.has(k)) throw alreadyExists({ group: kind.group, resource: kind.plural }, object.metadata.name ?? '')
      return write(k, 'ADDED', { ...object, metadata: { uid: randomUUID(), ...object.metadata } })
    },
    update: async (kind: Any, object: KubeObject) => {
      find(kind, object.metadata.namespace ?? '', object.metadata.name ?? '')
      return write(key(kind, object.metadata.namespace ?? '', object.metadata.name ?? ''), 'MODIFIED', object)
    },
    patch: async (kind: Any, namespace: string, name: string, _type: string, patch: { metadata?: { uid?: string } }) => {
      const old = find(kind, namespace, name)
      if (patch.metadata?.uid && patch.metadata.uid !== old.metadata.uid)
        throw conflict({ group: '', resource: 'pods' }, name, 'Precondition failed: UID in precondition')
      const merged = strategicMergePatch(podSchema, old, JSON.stringify(patch)) as KubeObject
      return write(key(kind, namespace, name), 'MODIFIED', merged)
    },
    delete: async (kind: Any, namespace: string, name: string, options: { preconditions?: { uid?: string } } = {}) => {
      const old = find(kind, namespace, name)
      if (options.preconditions?.uid && options.preconditions.uid !== old.metadata.uid)
        throw conflict({ group: '', resource: 'pods' }, name, 'Precondition failed: UID in precondition')
      write(key(kind, namespace, name), 'DELETED', old)
    },
    deleteCollection: async (kind: Any, namespace: string, options: { fieldSelector?: string } = {}) => {
      for (const o of list(kind, namespace, options.fieldSelector))
        write(key(kind, o.metadata.namespace ?? '', o.metadata.name ?? ''), 'DELETED', o)
    },
    post: async () => ({ status: { token: 'a.token.b', expirationTimestamp: new Date(Date.now() + 3_600_000).toISOString() } }),
  } as unknown as Client
  return {
    client,
    put: (kind, object) => {
      const k = key(kind, object.metadata.namespace ?? '', object.metadata.name ?? '')
      const old = objects.get(k)
      // Another object under the name, as where a test is tried again: the one before was deleted.
      if (old && old.metadata.uid !== object.metadata.uid) write(k, 'DELETED', old)
      return write(k, objects.has(k) ? 'MODIFIED' : 'ADDED', object)
    },
    remove: (kind, namespace, name) => void write(key(kind, namespace, name), 'DELETED', find(kind, namespace, name)),
    get: (kind, namespace, name) => objects.get(key(kind, namespace, name)),
    all: kind => list(kind, ''),
    async until(condition, timeoutMs = 15_000) {
      const end = Date.now() + timeoutMs
      for (;;) {
        const result = condition()
        if (result) return result
        if (Date.now() > end) throw new Error(`condition not met in ${timeoutMs} ms: ${condition}`)
        await new Promise<void>(resolve => {
          const wake = (): void => {
            clearTimeout(timer)
            waiting.delete(wake)
            resolve()
          }
          const timer = setTimeout(wake, Math.min(1000, end - Date.now() + 1))
          waiting.add(wake)
        })
      }
    },
  }
}

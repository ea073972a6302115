/** A client that remembers what was written through it, so that the runtime can wait until informers have seen it. */
import type { KubeObject } from '../api/meta/objectmeta.ts'
import type { Kind } from '../api/resource.ts'
import { randomSuffix } from '../machinery/hash.ts'
import { StatusError, isStatus } from '../machinery/status.ts'
import { backoff, sleep } from './backoff.ts'
import type { Client } from './client.ts'

export interface SeenBy {
  /** Resolves when the informers of the kind, if any, have passed the version. */
  version(kind: Kind<any>, version: number): Promise<void> // any: only the names of the kind are looked at, here and below
  /** Resolves when they no longer show the object, or show it terminating. */
  deleted(kind: Kind<any>, namespace: string, name: string): Promise<void>
}

/**
 * Wraps `client`. `settled` resolves when all writes so far have been seen. A create whose outcome is unknown (no answer) is looked up by
 * name, so that its retry does not make a second object: names for `generateName` are therefore chosen here.
 */
export function recordingClient(client: Client, seen: SeenBy, signal: AbortSignal): { client: Client; settled: () => Promise<void> } {
  const waits: Promise<void>[] = []
  const written = <T>(kind: Kind<T>, object: T): T => {
    waits.push(seen.version(kind, Number((object as KubeObject).metadata.resourceVersion ?? 0)))
    return object
  }
  async function outcome(kind: Kind<any>, namespace: string, name: string): Promise<void> {
    const pause = backoff(200, 10_000)
    while (!signal.aborted) {
      try {
        const found = (await client.get(kind, namespace, name)) as KubeObject
        return await seen.version(kind, Number(found.metadata.resourceVersion ?? 0))
      } catch (e) {
        if (e instanceof StatusError && e.code < 500 && e.code !== 429) return
        await sleep(pause.next(), signal)
      }
    }
  }
  async function create<T>(kind: Kind<T>, namespace: string, object: T): Promise<T> {
    const { metadata } = object as KubeObject
    const generated = !metadata.name && metadata.generateName !== undefined
    for (let tries = 1; ; tries++) {
      // A generated name has at most 63 characters, as upstream's: the prefix gives way.
      const name = generated ? metadata.generateName!.slice(0, 58) + randomSuffix() : (metadata.name ?? '')
      try {
        return written(kind, await client.create(kind, namespace, { ...object, metadata: { ...metadata, name } }))
      } catch (e) {
        if (generated && isStatus(e, 'AlreadyExists') && tries < 8) continue
        if (!(e instanceof StatusError) || e.code >= 500) waits.push(outcome(kind, namespace, name))
        throw e
      }
    }
  }
  return {
    client: {
      ...client,
      create,
      update: async (kind, object, subresource) => written(kind, await client.update(kind, object, subresource)),
      patch: async (kind, namespace, name, type, patch, subresource) =>
        written(kind, await client.patch(kind, namespace, name, type, patch, subresource)),
      async delete(kind, namespace, name, options) {
        await client.delete(kind, namespace, name, options)
        waits.push(seen.deleted(kind, namespace, name))
      },
    },
    async settled() {
      await Promise.all(waits)
    },
  }
}

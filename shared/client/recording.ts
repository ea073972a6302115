/** A client that remembers what was written through it, so that the runtime can wait until informers have seen it. */
import type { KubeObject } from '../api/meta/objectmeta.ts'
import type { Kind } from '../api/resource.ts'
import { randomSuffix } from '../machinery/hash.ts'
import { StatusError, isAlreadyExists } from '../machinery/status.ts'
import { backoff, sleep } from './backoff.ts'
import type { Client } from './client.ts'

export interface SeenBy {
  /** Resolves when the informers of the kind, if any, have passed the version. */
  version(kind: Kind<any>, version: number): Promise<void> // any: only the names of the kind are looked at, here and below
  /** Resolves when they no longer show the object, or show it terminating. */
  deleted(kind: Kind<any>, namespace: string, name: string): Promise<void>
}

/**
 * Names of objects whose create had no answer and which could not be found either. An API server that was paused may still carry such a
 * create out: the next attempt takes the name again, so that the two can only make one object.
 */
export type UnknownCreates = { readonly kind: Kind<any>; readonly namespace: string; readonly prefix: string; readonly name: string }[] // any: as above

export interface Recording {
  readonly client: Client
  /** Resolves when all writes so far have been seen. */
  settled(): Promise<void>
  /** From now on every write is refused with `error`. */
  close(error: Error): void
}

const ownerOf = ({ metadata }: KubeObject): string | undefined => metadata.ownerReferences?.find(r => r.controller)?.uid

/**
 * Wraps `client`. A create whose outcome is unknown (no answer) is looked up by name: names for `generateName` are therefore chosen here.
 * `unknown` is kept from one attempt at a key to the next.
 */
export function recordingClient(client: Client, seen: SeenBy, signal: AbortSignal, unknown: UnknownCreates = []): Recording {
  const versions = new Map<Kind<any>, number>() // any: as above
  const waits: Promise<void>[] = []
  let closed: Error | undefined
  const open = (): void => {
    if (closed) throw closed
  }
  const written = <T>(kind: Kind<T>, object: T): T => {
    const version = Number((object as KubeObject).metadata.resourceVersion ?? 0)
    versions.set(kind, Math.max(version, versions.get(kind) ?? 0))
    return object
  }
  const forget = (name: string): void => void unknown.splice(0, unknown.length, ...unknown.filter(u => u.name !== name))
  /** By a list of one: controllers of pods may list them and not get them, as upstream's roles have it. */
  async function find(kind: Kind<any>, namespace: string, name: string): Promise<KubeObject | undefined> {
    const { items } = await client.list<KubeObject>(kind, namespace, { fieldSelector: `metadata.name=${name}` })
    return items[0]
  }
  async function outcome(kind: Kind<any>, namespace: string, name: string): Promise<void> {
    const pause = backoff(200, 10_000)
    while (!signal.aborted) {
      try {
        const found = await find(kind, namespace, name)
        if (!found) return
        forget(name)
        return await seen.version(kind, Number(found.metadata.resourceVersion ?? 0))
      } catch (e) {
        if (e instanceof StatusError && e.code < 500 && e.code !== 429) return
        await sleep(pause.next(), signal)
      }
    }
  }
  async function create<T>(kind: Kind<T>, namespace: string, object: T): Promise<T> {
    const { metadata } = object as KubeObject
    const prefix = metadata.name ? undefined : metadata.generateName
    for (let tries = 1; ; tries++) {
      open()
      const at = unknown.findIndex(u => u.kind === kind && u.namespace === namespace && u.prefix === prefix)
      const [again] = at < 0 ? [] : unknown.splice(at, 1)
      // A generated name has at most 63 characters, as upstream's: the prefix gives way.
      const name = again?.name ?? (prefix === undefined ? (metadata.name ?? '') : prefix.slice(0, 58) + randomSuffix())
      try {
        return written(kind, await client.create(kind, namespace, { ...object, metadata: { ...metadata, name } }))
      } catch (e) {
        if (isAlreadyExists(e) && again) {
          const found = await find(kind, namespace, name)
          if (found && ownerOf(found) === ownerOf(object as KubeObject)) return written(kind, found as T)
        }
        if (isAlreadyExists(e) && prefix !== undefined && tries < 8) continue
        const lost = !(e instanceof StatusError) || e.code >= 500
        if (prefix !== undefined && (lost || again)) unknown.push({ kind, namespace, prefix, name })
        if (lost) waits.push(outcome(kind, namespace, name))
        throw e
      }
    }
  }
  return {
    client: {
      ...client,
      create,
      async update(kind, object, subresource) {
        open()
        return written(kind, await client.update(kind, object, subresource))
      },
      async patch(kind, namespace, name, type, patch, subresource) {
        open()
        return written(kind, await client.patch(kind, namespace, name, type, patch, subresource))
      },
      async delete(kind, namespace, name, options) {
        open()
        await client.delete(kind, namespace, name, options)
        waits.push(seen.deleted(kind, namespace, name))
      },
      async deleteCollection(kind, namespace, options) {
        open()
        await client.deleteCollection(kind, namespace, options)
      },
      async post(kind, namespace, name, subresource, body) {
        open()
        return client.post(kind, namespace, name, subresource, body)
      },
    },
    async settled() {
      await Promise.all([...waits, ...[...versions].map(([kind, version]) => seen.version(kind, version))])
    },
    close: error => void (closed = error),
  }
}

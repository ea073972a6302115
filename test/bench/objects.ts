/** Waiting for objects to be as they shall be, by watching them. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { Client } from '#shared/client/client.ts'

/** The objects of a kind in a namespace by name, kept current by a watch. */
export interface Watched<T> {
  /** Resolves, at the event that makes it so, when the objects satisfy `done`. */
  until(done: (objects: ReadonlyMap<string, T>) => boolean, what: string): Promise<void>
  stop(): void
}

/** Watches from now on; resolves when the list is there. A watch that breaks fails those who wait. */
export async function watchObjects<T extends KubeObject>(
  client: Client,
  kind: Kind<T>,
  namespace: string,
  timeoutMs = 120_000,
): Promise<Watched<T>> {
  const known = new Map<string, T>()
  const stop = new AbortController()
  const waiting = new Set<() => void>()
  let failure: Error | undefined
  const list = await client.list(kind, namespace)
  for (const object of list.items) known.set(object.metadata.name ?? '', object)
  const check = (): void => waiting.forEach(look => look())
  const follow = async (): Promise<void> => {
    for await (const event of client.watch(kind, namespace, { resourceVersion: list.metadata.resourceVersion ?? '' }, stop.signal)) {
      if (event.type === 'BOOKMARK') continue
      const name = event.object.metadata.name ?? ''
      if (event.type === 'DELETED') known.delete(name)
      else known.set(name, event.object)
      check()
    }
  }
  follow().catch((e: Error) => {
    failure = e
    check()
  })
  return {
    until: (done, what) =>
      new Promise<void>((resolve, reject) => {
        const end = (error?: Error): void => {
          clearTimeout(late)
          waiting.delete(look)
          if (error) reject(error)
          else resolve()
        }
        const look = (): void => {
          if (failure) end(failure)
          else if (done(known)) end()
        }
        const late = setTimeout(() => end(new Error(`${what}: not within ${timeoutMs / 1000} s`)), timeoutMs)
        waiting.add(look)
        look()
      }),
    stop: () => stop.abort(),
  }
}

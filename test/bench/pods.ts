/** The pods that measurements make, and waiting for them by watching. */
import type { Pod } from '#shared/api/core/pod.ts'
import { pods } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'

/** A pod that ends at once when told to. */
export const sleeper = (namespace: string, name: string, more: object = {}): Pod => podOf(namespace, name, { containers: [{ name: 'main', image: 'pause' }], ...more })

/** A pod that nobody runs: it is only stored. */
export const stored = (namespace: string, name: string): Pod => podOf(namespace, name, { schedulerName: 'none', containers: [{ name: 'main', image: 'busybox', args: ['sleep', '3600'], env: [{ name: 'A', value: 'a' }], ports: [{ containerPort: 80 }] }] })

export const podOf = (namespace: string, name: string, spec: object): Pod => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace, labels: { app: name } }, spec: { terminationGracePeriodSeconds: 1, ...spec } }) as unknown as Pod

export const isReady = (pod: Pod): boolean => pod.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True') ?? false

/** What the pods of a namespace are, kept current by a watch. */
export interface PodWatch {
  /** Resolves, at the event that makes it so, when the pods satisfy `done`. */
  until(done: (pods: ReadonlyMap<string, Pod>) => boolean, what: string): Promise<void>
  stop(): void
}

/** Watches from now on; resolves when the watch is open. */
export async function watchPods(client: Client, namespace: string, timeoutMs = 120_000): Promise<PodWatch> {
  const known = new Map<string, Pod>()
  const stop = new AbortController()
  let check: () => void = () => {}
  let failure: Error | undefined
  const list = await client.list(pods, namespace)
  for (const pod of list.items) known.set(pod.metadata?.name ?? '', pod)
  const follow = async (): Promise<void> => {
    for await (const event of client.watch(pods, namespace, { resourceVersion: list.metadata.resourceVersion ?? '' }, stop.signal)) {
      if (event.type === 'BOOKMARK') continue
      const name = event.object.metadata?.name ?? ''
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
        const late = setTimeout(() => reject(new Error(`${what}: not within ${timeoutMs / 1000} s`)), timeoutMs)
        check = () => {
          if (!failure && !done(known)) return
          clearTimeout(late)
          check = () => {}
          if (failure) reject(failure)
          else resolve()
        }
        check()
      }),
    stop: () => stop.abort(),
  }
}

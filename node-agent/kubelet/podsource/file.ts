/** Static pods: one for each manifest in a directory of the node (staticPodPath). They need no API, and follow their files. */
import { watch } from 'node:fs'
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Logger } from '#shared/component/log.ts'
import { uidOf } from '../pod/containers.ts'
import type { PodSource } from './source.ts'

/** Schemas are large: a node without static pods does without. It lies beside us: in the source tree, or as a bundle. */
const reader = new URL(import.meta.url.endsWith('.ts') ? './staticpod.ts' : './static-pod.js', import.meta.url).href
/** An editor writes in several steps. */
const settleMs = 50
const maxBytes = 1 << 20
/** Upstream lists all of the directory so often (`fileCheckFrequency`), besides what it does for changes of single files. */
const listMs = 20_000

async function readManifest(path: string): Promise<string> {
  const file = await open(path)
  try {
    const { size } = await file.stat()
    if (size > maxBytes) throw new Error(`larger than ${maxBytes} bytes`)
    return await file.readFile('utf8')
  } finally {
    await file.close()
  }
}

/**
 * Follows the manifests of a directory that exists, until `signal` aborts. What is no pod is told in the log; a manifest that was one keeps
 * its pod for `graceMs`, as upstream's does until the next list.
 */
export function fileSource(directory: string, nodeName: string, log: Logger, signal: AbortSignal, graceMs = listMs): PodSource {
  /** By the names of files. */
  let pods = new Map<string, Pod>()
  const subscribers: { seen: (pod: Pod) => void; gone: (pod: Pod) => void }[] = []

  /** When pods that are no more in their files go. */
  let list: NodeJS.Timeout | undefined

  async function look(isList: boolean): Promise<void> {
    const { staticPod } = (await import(reader)) as typeof import('./staticpod.ts')
    const found = new Map<string, Pod>()
    for (const name of (await names()).filter(n => !n.startsWith('.')).sort()) {
      const path = join(directory, name)
      const before = pods.get(name)
      try {
        found.set(name, staticPod(await readManifest(path), path, nodeName))
      } catch (e) {
        if ((e as NodeJS.ErrnoException).code === 'ENOENT') continue
        const err = (e as Error).message
        if (!before) log.warn({ file: path, err }, 'not the manifest of a pod')
        else if (isList) log.warn({ file: path, err, pod: before.metadata.name }, 'not the manifest of a pod any more: its pod ends')
        else {
          log.warn({ file: path, err, pod: before.metadata.name, graceMs }, 'not the manifest of a pod any more: its pod ends soon')
          found.set(name, before)
          list ??= setTimeout(() => ((list = undefined), void again(true)), graceMs)
        }
      }
    }
    const old = pods
    pods = found
    const uids = (of: Map<string, Pod>): Set<string> => new Set([...of.values()].map(uidOf))
    const [known, now] = [uids(old), uids(found)]
    for (const pod of old.values()) if (!now.has(uidOf(pod))) for (const s of subscribers) s.gone(pod)
    for (const pod of found.values()) if (!known.has(uidOf(pod))) for (const s of subscribers) s.seen(pod)
  }
  /** A directory that was removed holds nothing. */
  const names = (): Promise<string[]> =>
    readdir(directory).catch((e: NodeJS.ErrnoException) => (e.code === 'ENOENT' ? [] : Promise.reject(e)))
  let looking = Promise.resolve()
  const again = (isList: boolean): Promise<void> =>
    (looking = looking.then(() => look(isList)).catch((e: Error) => log.warn({ directory, err: e.message }, 'manifests not read')))
  let timer: NodeJS.Timeout | undefined
  const watcher = watch(directory, () => {
    clearTimeout(timer)
    timer = setTimeout(() => void again(false), settleMs)
  })
  watcher.on('error', (e: Error) => log.error({ directory, err: e.message }, 'manifests are not followed any more'))
  signal.addEventListener('abort', () => (watcher.close(), clearTimeout(timer), clearTimeout(list)), { once: true })
  return {
    synced: again(true),
    subscribe(seen, gone) {
      subscribers.push({ seen, gone })
      for (const pod of pods.values()) seen(pod)
    },
    has: pod => [...pods.values()].some(p => uidOf(p) === uidOf(pod)),
  }
}

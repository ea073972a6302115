/**
 * The kinds that the API serves, custom and aggregated ones too: discovered again when a CustomResourceDefinition or an APIService changes,
 * and now and then for aggregated servers, whose kinds nobody announces.
 */
import { apiServices, customResourceDefinitions } from '#shared/api/kinds.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { apiVersion, type Kind } from '#shared/api/resource.ts'
import { backoff, sleep } from '#shared/client/backoff.ts'
import type { Client } from '#shared/client/client.ts'
import { discover, type Discovered } from '#shared/client/discovery.ts'
import { startInformer } from '#shared/client/reflector.ts'
import type { Logger } from '#shared/component/log.ts'

/** Upstream's resync of discovery: what nothing announces is found this late. */
const resyncMs = 30_000
/** An announced change is looked for so long after it was announced, and after the look before: serving it takes a moment. */
const looksMs = [100, 400, 1_500, 5_000]
/** Of the time at most this part goes into discovery while one change follows the other. */
const share = 1 / 10
/** A kind that nobody serves may be named by thousands of objects: for them discovery is asked this often at most. */
const missingMs = 5_000

export interface ServedKinds {
  /** What is served as far as is known; empty before the first discovery. */
  readonly current: readonly Discovered[]
  /** Resolves when discovery has succeeded once; never when `signal` aborts before. */
  readonly known: Promise<void>
  /** The kind that a reference names; undefined when it is not served in that version. */
  find(apiVersion: string, kind: string): Discovered | undefined
  /** Calls `listener` when other kinds are served than before. */
  onChange(listener: () => void): void
  /** A kind is named that `find` does not find: discovery is asked soon, unless it was asked just now. */
  missing(): void
}

/** What makes two kinds the same for those who list and watch them. */
export const kindKey = (k: Kind): string => `${k.group}/${k.version}/${k.plural}/${k.namespaced}`

/** Informers and cached objects of which only owners are of interest stay small. */
export function ownersOnly({ metadata }: KubeObject): void {
  metadata.annotations = undefined
  metadata.labels = undefined
}

/** Follows until `signal` aborts. */
export function followServedKinds(client: Client, signal: AbortSignal, log: Logger): ServedKinds {
  const listeners = new Set<() => void>()
  let current: readonly Discovered[] = []
  let known = (): void => {}
  let wake = (): void => {}
  let isAnnounced = false
  let asked = -Infinity
  let lastTookMs = 0

  function announced(): void {
    isAnnounced = true
    wake()
  }
  async function refresh(): Promise<void> {
    asked = performance.now()
    const { resources, failed } = await discover(client)
    lastTookMs = performance.now() - asked
    for (const { groupVersion, error } of failed) log.debug({ groupVersion, err: error.message }, 'discovery failed')
    const found = new Set(resources.map(r => `${r.group}/${r.plural}`))
    // A group version that did not answer keeps its kinds.
    const kept = current.filter(k => !found.has(`${k.group}/${k.plural}`) && failed.some(f => f.groupVersion === apiVersion(k)))
    const before = new Set(current.map(kindKey))
    current = [...resources, ...kept]
    known()
    if (before.size === current.length && current.every(k => before.has(kindKey(k)))) return
    for (const listener of listeners) listener()
  }
  async function follow(): Promise<void> {
    const failing = backoff(500, 10_000)
    /** Which of the looks after an announcement comes next. */
    let look = looksMs.length
    while (!signal.aborted) {
      const woken = new AbortController()
      wake = () => woken.abort()
      try {
        await refresh()
        failing.reset()
      } catch (e) {
        log.warn({ err: (e as Error).message }, 'discovery failed')
        await sleep(failing.next(), signal)
        continue
      }
      const next = looksMs[look++] ?? resyncMs
      if (!isAnnounced) await sleep(Math.max(next, lastTookMs / share), AbortSignal.any([signal, woken.signal]))
      if (!isAnnounced) continue
      isAnnounced = false
      look = 1
      await sleep(Math.max(looksMs[0]!, lastTookMs / share), signal)
    }
  }
  for (const kind of [customResourceDefinitions, apiServices])
    startInformer(client, kind as Kind, { metadataOnly: true, strip: ownersOnly, log }, signal).subscribe(announced)
  void follow()
  return {
    get current() {
      return current
    },
    known: new Promise(resolve => (known = resolve)),
    find(wanted, kind) {
      const [version = '', group = ''] = wanted.split('/').reverse()
      return current.find(k => k.kind === kind && k.group === group && k.versions.includes(version))
    },
    onChange: listener => void listeners.add(listener),
    missing() {
      if (performance.now() - asked > missingMs) announced()
    },
  }
}

/** What nodes and their pods use, asked of their kubelets again and again, by way of the API server: nobody else reaches them. */
import { setTimeout as delay } from 'node:timers/promises'
import * as z from 'zod'
import { nodes } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import type { Logger } from '#shared/component/log.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { apiVersion, usageOf, type NodeMetrics, type PodMetrics } from './types.ts'

const number = z.number().nonnegative()
/** The part of a kubelet's summary that is looked at; CPU in use is missing in the first sample of something. */
const used = {
  cpu: z.object({ usageNanoCores: number.optional() }).optional(),
  memory: z.object({ workingSetBytes: number.optional() }).optional(),
}
const summary = z.object({
  node: z.object(used),
  pods: z
    .array(
      z.object({
        podRef: z.object({ name: z.string(), namespace: z.string() }),
        containers: z.array(z.object({ name: z.string(), ...used })).default([]),
      }),
    )
    .default([]),
})

export type NodeSample = Omit<NodeMetrics, 'kind' | 'apiVersion' | 'metadata'>
export type PodSample = Omit<PodMetrics, 'kind' | 'apiVersion' | 'metadata'>

interface Entry {
  readonly at: number
  readonly node: NodeSample | undefined
  /** Keys of its pods. */
  readonly pods: readonly string[]
}

/** Nodes are asked so often, and no more than a hundred of them in a second. */
const intervalMs = 15_000
const msEach = 10
/** Something that is new has no use of CPU yet: its node is asked again after this time. */
const againMs = 2_000
const atOnce = 16
/** So few are asked anew for who misses something, but not more often than that. */
const fewNodes = 100

export interface Scraper {
  nodeOf(name: string): NodeSample | undefined
  podOf(namespace: string, name: string): PodSample | undefined
  /** Somebody misses something: resolves when nodes have been asked anew, if that may help. */
  missed(): Promise<void>
  /** Resolves when `signal` aborts. */
  run(signal: AbortSignal): Promise<void>
}

/** `active` is whether anybody wants to know: nothing is asked while another metrics server has the place. */
export function newScraper(client: Client, active: () => boolean, log: Logger): Scraper {
  const entries = new Map<string, Entry>()
  /** By `namespace/name`. */
  const pods = new Map<string, PodSample>()
  let round: Promise<void> | undefined
  let last = -Infinity
  let incomplete = true

  function drop(name: string): void {
    for (const key of entries.get(name)?.pods ?? []) pods.delete(key)
    entries.delete(name)
  }
  async function ask(name: string): Promise<void> {
    const path = `/api/v1/nodes/${encodeURIComponent(name)}/proxy/stats/summary?only_cpu_and_memory=true`
    const before = entries.get(name)
    const { node, pods: found } = summary.parse(await client.raw('GET', path))
    const at = performance.now()
    const measured = { timestamp: formatTime(), window: `${(before ? (at - before.at) / 1000 : intervalMs / 1000).toFixed(3)}s` }
    drop(name)
    const keys: string[] = []
    for (const { podRef, containers } of found) {
      const known = containers.filter(c => c.cpu?.usageNanoCores !== undefined && c.memory?.workingSetBytes !== undefined)
      if (known.length < containers.length) incomplete = true
      if (known.length < containers.length || known.length === 0) continue
      const key = `${podRef.namespace}/${podRef.name}`
      keys.push(key)
      pods.set(key, {
        ...measured,
        containers: known.map(c => ({ name: c.name, usage: usageOf(c.cpu!.usageNanoCores!, c.memory!.workingSetBytes!) })),
      })
    }
    const { cpu, memory } = node
    const own =
      cpu?.usageNanoCores === undefined ? undefined : { ...measured, usage: usageOf(cpu.usageNanoCores, memory?.workingSetBytes ?? 0) }
    if (!own) incomplete = true
    entries.set(name, { at, node: own, pods: keys })
  }

  async function askAll(): Promise<void> {
    const { items } = await client.list(nodes, '', { metadataOnly: true })
    const names = items.flatMap(n => n.metadata.name ?? [])
    const there = new Set(names)
    for (const name of [...entries.keys()]) if (!there.has(name)) drop(name)
    incomplete = names.length === 0
    const left = names.values()
    const worker = async (): Promise<void> => {
      for (const name of left)
        await ask(name).catch((e: Error) => {
          log.debug({ node: name, error: e.message }, 'a node did not say what it uses')
          const entry = entries.get(name)
          // What is old is not true any more.
          if (entry && performance.now() - entry.at > 4 * intervalMs) drop(name)
        })
    }
    await Promise.all(Array.from({ length: atOnce }, worker))
    last = performance.now()
  }
  const askOnce = (): Promise<void> => (round ??= askAll().finally(() => (round = undefined)))

  return {
    nodeOf: name => entries.get(name)?.node,
    podOf: (namespace, name) => pods.get(`${namespace}/${name}`),
    async missed() {
      if (entries.size <= fewNodes && performance.now() - last > againMs) await askOnce().catch(() => {})
    },
    async run(signal) {
      let soon = false
      while (!signal.aborted) {
        if (active()) await askOnce().catch((e: Error) => log.info({ error: e.message }, 'the nodes could not be listed'))
        // Something that never lasts must not be asked for all the time.
        soon = (incomplete && !soon) || entries.size === 0
        await delay(Math.max(soon ? againMs : intervalMs, entries.size * msEach), undefined, { signal }).catch(() => {})
      }
    },
  }
}

/** Objects of what was measured. */
type Meta = { name?: string; namespace?: string; creationTimestamp?: string; labels?: Record<string, string> }
const metadataOf = ({ name = '', namespace, labels }: Meta, timestamp: string) => ({
  name,
  ...(namespace ? { namespace } : {}),
  creationTimestamp: timestamp,
  ...(labels ? { labels } : {}),
})
export const nodeMetrics = (of: Meta, sample: NodeSample): NodeMetrics => ({
  kind: 'NodeMetrics',
  apiVersion,
  metadata: metadataOf(of, sample.timestamp),
  ...sample,
})
export const podMetrics = (of: Meta, sample: PodSample): PodMetrics => ({
  kind: 'PodMetrics',
  apiVersion,
  metadata: metadataOf(of, sample.timestamp),
  ...sample,
})

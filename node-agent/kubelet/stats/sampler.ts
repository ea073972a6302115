/**
 * Samples of what the node's pods use, for all who ask: /stats/summary and the kubelet's metrics. One sample serves all who ask at about
 * the same time; what has been written on the disk is walked once a minute at most.
 */
import { setImmediate } from 'node:timers/promises'
import type { Pod } from '#shared/api/core/pod.ts'
import { readBriefUsage, readCgroupUsage, type BriefUsage, type CgroupUsage } from '#shared/linux/cgroupusage.ts'
import type { PodNetwork } from '../../network/network.ts'
import type { ContainerRuntime, ContainerUsage } from '../../runtime/runtime.ts'
import type { Kubelet } from '../kubelet.ts'
import { uidOf } from '../pod/containers.ts'
import { containerDirectory } from '../pod/directory.ts'
import { podCgroup } from '../pod/qos.ts'
import type { PodWorker } from '../pod/worker.ts'
import { groupPressure, interfacesOf, mirrored, type InterfaceStats, type PressedResource, type Pressures } from './machine.ts'
import { podStorage, type PodStorage } from './storage.ts'
import { summaryOf, type Summary } from './summary.ts'

export type { Summary } from './summary.ts'

/** As long a sample is good enough for the next who asks. */
const sampleMs = 1_000
const storageMs = 60_000
/** So many pods are looked at before others have their turn. */
const podsInTurn = 20

export interface SamplerOptions {
  kubelet: Pick<Kubelet, 'workers'>
  runtime: ContainerRuntime
  network: Pick<PodNetwork, 'linkOf'>
  nodeName: string
  rootDir: string
  cgroupRoot: string
}

/** What every control group tells, and the CPU in use now, by the sample before: absent in the first. */
export type Used = Partial<CgroupUsage> & Pick<BriefUsage, 'cpuNanos' | 'memoryBytes' | 'workingSetBytes'> & { nanoCores?: number }
export interface ContainerSample {
  name: string
  /** The runtime's. */
  id: string
  image: string
  startedAt: string
  /** Absolute below the node's cgroup root: `/kubepods/burstable/pod<uid>/<id>`. */
  cgroup: string
  used: Used
}
export interface PodSample {
  pod: Pod
  startTime: string
  cgroup: string
  used: Used
  /** Its own, as it sees them; empty with the node's network. */
  interfaces: InterfaceStats[]
  containers: ContainerSample[]
}
export interface Sample {
  /** ms since 1970. */
  at: number
  pods: PodSample[]
  /** All pods since the node began, those that are gone among them; the node-agent itself. */
  all: Used
  own: Used
}

export interface Sampler {
  /** Without `whole`, CPU and memory only. */
  sample(whole?: boolean): Promise<Sample>
  /** By the pods' uid; a minute old at most. */
  storage(): Promise<Map<string, PodStorage>>
  /** Of a control group of a sample. */
  pressure(cgroup: string, resource: PressedResource): Pressures | undefined
  /** Without `storage`, what is on disk is left out: upstream's only_cpu_and_memory. */
  summary(storage?: boolean): Promise<Summary>
}

export function newSampler(options: SamplerOptions): Sampler {
  const rates = newRates()
  const storage = cached(storageMs, () => podStorage(options.kubelet.workers(), options.runtime))
  const whole = cached(sampleMs, () => take(options, rates, true))
  const brief = cached(sampleMs, () => take(options, rates, false))
  return {
    sample: (all = true) => (all ? whole() : brief()),
    storage,
    pressure: (cgroup, resource) => groupPressure(options.cgroupRoot + cgroup, resource),
    summary: async (withStorage = true) =>
      withStorage ? await summaryOf(await whole(), options, await storage()) : await summaryOf(await brief(), options),
  }
}

/** The same answer for all who ask within `ms`; a failure is asked for again. */
function cached<T>(ms: number, make: () => Promise<T>): () => Promise<T> {
  let last: { at: number; value: Promise<T> } | undefined
  return () => {
    if (last && performance.now() - last.at < ms) return last.value
    const entry = { at: performance.now(), value: make() }
    last = entry
    entry.value.catch(() => {
      if (last === entry) last = undefined
    })
    return entry.value
  }
}

type Rates = (id: string, cpuNanos: number) => { nanoCores?: number }
function newRates(): Rates {
  const limit = 10_000
  const shortestMs = 500
  const previous = new Map<string, { at: number; cpuNanos: number; rate: { nanoCores?: number } }>()
  return (id, cpuNanos) => {
    const at = performance.now()
    const before = previous.get(id)
    // Over a moment the kernel's steps would show; one who asks briefly after another is told the same.
    if (before && at - before.at < shortestMs) return before.rate
    const rate = before ? { nanoCores: Math.max(0, Math.round(((cpuNanos - before.cpuNanos) * 1000) / (at - before.at))) } : {}
    previous.delete(id)
    previous.set(id, { at, cpuNanos, rate })
    // Containers come and go: the oldest are dropped.
    if (previous.size > limit) previous.delete(previous.keys().next().value!)
    return rate
  }
}

async function take(options: SamplerOptions, rates: Rates, whole: boolean): Promise<Sample> {
  const { kubelet, cgroupRoot, network } = options
  const links = network.linkOf && whole ? new Map(interfacesOf('self').map(i => [i.name, i])) : undefined
  const workers = kubelet.workers()
  const pods: PodSample[] = []
  for (let n = 0; n < workers.length; n += podsInTurn) {
    if (n > 0) await setImmediate()
    pods.push(...(await Promise.all(workers.slice(n, n + podsInTurn).map(worker => samplePod(options, worker, rates, whole, links)))))
  }
  const grouped = readCgroupUsage(`${cgroupRoot}/kubepods`)
  const total = grouped ?? sum(pods.map(p => p.used))
  const { user, system } = process.cpuUsage()
  const resident = process.memoryUsage.rss()
  const own = { cpuNanos: (user + system) * 1000, memoryBytes: resident, workingSetBytes: resident, rssBytes: resident }
  const rated = (id: string, used: Used): Used => ({ ...used, ...rates(id, used.cpuNanos) })
  return { at: Date.now(), pods, all: rated('kubepods', total), own: rated('node-agent', own) }
}

async function samplePod(
  { runtime, cgroupRoot, network }: SamplerOptions,
  { pod, state, directory }: PodWorker,
  rates: Rates,
  whole: boolean,
  links: ReadonlyMap<string, InterfaceStats> | undefined,
): Promise<PodSample> {
  const cgroup = `/${podCgroup(pod)}`
  const containers: ContainerSample[] = []
  for (const [name, { current }] of Object.entries(state.containers)) {
    if (current.state !== 'running') continue
    const own = `${cgroup}/${current.id}`
    const used =
      (whole ? readCgroupUsage : readBriefUsage)(cgroupRoot + own) ??
      withoutCgroup(await runtime.stats(containerDirectory(directory, name, current.attempt)).catch(() => undefined))
    if (!used) continue
    const { id, image, startedAt = state.startTime } = current
    containers.push({ name, id, image, startedAt, cgroup: own, used: { ...used, ...rates(id, used.cpuNanos) } })
  }
  const used: Used = readBriefUsage(cgroupRoot + cgroup) ?? sum(containers.map(c => c.used))
  const link = state.sandbox && !state.sandbox.lost && !pod.spec.hostNetwork ? network.linkOf?.(state.sandbox.ip) : undefined
  const outside = link === undefined ? undefined : links?.get(link)
  return {
    pod,
    startTime: state.startTime,
    cgroup,
    used: { ...used, ...rates(`pod ${uidOf(pod)}`, used.cpuNanos) },
    interfaces: outside ? [mirrored(outside, 'eth0')] : [],
    containers,
  }
}

const withoutCgroup = (stats: ContainerUsage | undefined): Used | undefined =>
  stats && {
    cpuNanos: stats.cpuNanos,
    memoryBytes: stats.usageBytes ?? stats.memoryBytes,
    workingSetBytes: stats.memoryBytes,
    ...(stats.rssBytes === undefined ? {} : { rssBytes: stats.rssBytes }),
  }

function sum(all: readonly Used[]): Used {
  const of = (field: 'cpuNanos' | 'memoryBytes' | 'workingSetBytes'): number => all.reduce((n, used) => n + used[field], 0)
  return { cpuNanos: of('cpuNanos'), memoryBytes: of('memoryBytes'), workingSetBytes: of('workingSetBytes') }
}

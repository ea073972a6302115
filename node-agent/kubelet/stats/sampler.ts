/**
 * The kubelet's summary of what the node and its pods use (/stats/summary of upstream: k8s.io/kubelet/pkg/apis/stats/v1alpha1). One sample
 * serves all who ask at about the same time; what has been written on the disk is walked once a minute at most.
 */
import { freemem, totalmem, uptime } from 'node:os'
import { formatTime } from '#shared/machinery/time.ts'
import type { ContainerRuntime } from '../../runtime/runtime.ts'
import type { Kubelet } from '../kubelet.ts'
import { uidOf } from '../pod/containers.ts'
import { containerDirectory } from '../pod/directory.ts'
import type { PodWorker } from '../pod/worker.ts'
import type { DiskUsage } from './diskusage.ts'
import { fsStats, networkStats, pressure, processLimits, type FsStats } from './machine.ts'
import { podStorage, type PodStorage } from './storage.ts'

const sampleMs = 1_000
const storageMs = 60_000

export interface SamplerOptions {
  kubelet: Pick<Kubelet, 'workers'>
  runtime: ContainerRuntime
  nodeName: string
  rootDir: string
}
export type Summary = Awaited<ReturnType<typeof sample>>
export interface Sampler {
  /** Without `storage`, what is on disk is left out: upstream's only_cpu_and_memory. */
  summary(storage?: boolean): Promise<Summary>
}

export function newSampler(options: SamplerOptions): Sampler {
  const previous = new Map<string, { at: number; cpuNanos: number }>()
  const storage = cached(storageMs, () => podStorage(options.kubelet.workers(), options.runtime))
  const [whole, brief] = [true, false].map(withStorage =>
    cached(sampleMs, async () => await sample(options, previous, withStorage ? await storage() : undefined)),
  ) as [() => Promise<Summary>, () => Promise<Summary>]
  return { summary: (withStorage = true) => (withStorage ? whole() : brief()) }
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

async function sample(
  { kubelet, runtime, nodeName, rootDir }: SamplerOptions,
  previous: Map<string, { at: number; cpuNanos: number }>,
  storage: Map<string, PodStorage> | undefined,
) {
  const time = formatTime()
  const fs = await fsStats(rootDir, time)
  /** CPU in use now, from the sample before. */
  function nanoCores(id: string, cpuNanos: number): { usageNanoCores?: number } {
    const now = { at: performance.now(), cpuNanos }
    const before = previous.get(id)
    previous.set(id, now)
    return before && now.at > before.at ? { usageNanoCores: Math.round(((cpuNanos - before.cpuNanos) * 1000) / (now.at - before.at)) } : {}
  }
  const cpu = (id: string, cpuNanos: number) => ({ time, ...nanoCores(id, cpuNanos), usageCoreNanoSeconds: cpuNanos })
  const onDisk = (used: DiskUsage): FsStats => ({ ...fs, usedBytes: used.usedBytes, inodesUsed: used.inodesUsed ?? 0 })

  async function pod(worker: PodWorker) {
    const used = storage?.get(uidOf(worker.pod))
    const running = Object.entries(worker.state.containers).filter(([, r]) => r.current.state === 'running')
    const found = await Promise.all(
      running.map(async ([name, { current }]) => {
        const stats = await runtime.stats(containerDirectory(worker.directory, name, current.attempt)).catch(() => undefined)
        return stats ? [{ name, current, stats }] : []
      }),
    )
    const all = found.flat()
    const containers = all.map(({ name, current, stats }) => {
      const disk = used?.containers.find(c => c.name === name)
      return {
        name,
        startTime: current.startedAt,
        cpu: cpu(current.id, stats.cpuNanos),
        memory: {
          time,
          usageBytes: stats.usageBytes ?? stats.memoryBytes,
          workingSetBytes: stats.memoryBytes,
          ...(stats.rssBytes === undefined ? {} : { rssBytes: stats.rssBytes }),
        },
        ...(disk ? { rootfs: onDisk(disk.rootfs), logs: onDisk(disk.logs) } : {}),
      }
    })
    const first = all[0]
    const own = first && !worker.pod.spec.hostNetwork
    const pid = own
      ? (await runtime.status(containerDirectory(worker.directory, first.name, first.current.attempt)).catch(() => undefined))?.pid
      : undefined
    const network = pid === undefined ? undefined : await networkStats(pid, time)
    const { name, namespace, uid } = worker.pod.metadata
    const sum = (of: (c: (typeof containers)[number]) => number): number => containers.reduce((n, c) => n + of(c), 0)
    return {
      podRef: { name, namespace, uid },
      startTime: worker.state.startTime,
      containers,
      cpu: cpu(
        `pod ${uid}`,
        sum(c => c.cpu.usageCoreNanoSeconds),
      ),
      memory: { time, usageBytes: sum(c => c.memory.usageBytes), workingSetBytes: sum(c => c.memory.workingSetBytes) },
      ...(network ? { network } : {}),
      ...(used
        ? {
            volume: used.volumes.map(({ name: volume, ...usage }) => ({ ...onDisk(usage), name: volume })),
            'ephemeral-storage': onDisk(used.total),
          }
        : {}),
    }
  }

  const pods = await Promise.all(kubelet.workers().map(pod))
  const cpuNanos = pods.reduce((n, p) => n + p.cpu.usageCoreNanoSeconds, 0)
  const [network, rlimit, cpuPressure, memoryPressure, ioPressure] = await Promise.all([
    networkStats('self', time),
    processLimits(time),
    ...['cpu', 'memory', 'io'].map(resource => pressure(`/proc/pressure/${resource}`)),
  ] as const)
  const psi = (found: unknown): object => (found ? { psi: found } : {})
  const node = {
    nodeName,
    startTime: formatTime(new Date(Date.now() - uptime() * 1000)),
    cpu: { ...cpu('node', cpuNanos), ...psi(cpuPressure) },
    memory: {
      time,
      availableBytes: freemem(),
      usageBytes: totalmem() - freemem(),
      workingSetBytes: pods.reduce((n, p) => n + p.memory.workingSetBytes, 0),
      ...psi(memoryPressure),
    },
    ...(ioPressure ? { io: { time, ...psi(ioPressure) } } : {}),
    ...(network ? { network } : {}),
    ...(storage ? { fs, runtime: { imageFs: await imageFs(runtime, fs) } } : {}),
    ...(rlimit ? { rlimit } : {}),
  }
  forget(previous)
  return { node, pods }
}

async function imageFs(runtime: ContainerRuntime, fs: FsStats): Promise<FsStats> {
  const used = await runtime.images.usage()
  return { ...fs, usedBytes: used.usedBytes, inodesUsed: used.inodesUsed }
}

/** Containers come and go: the oldest samples are dropped. */
function forget(previous: Map<string, unknown>): void {
  const limit = 10_000
  for (const id of previous.keys()) {
    if (previous.size <= limit) return
    previous.delete(id)
  }
}

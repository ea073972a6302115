/** /stats/summary: what the node and its pods use, as upstream's k8s.io/kubelet/pkg/apis/stats/v1alpha1 has it. */
import { uptime } from 'node:os'
import { podLimits } from '#shared/api/core/podspec/resources.ts'
import { countProcesses } from '#shared/linux/cgroupusage.ts'
import { quantityValue } from '#shared/machinery/quantity.ts'
import { formatTime } from '#shared/machinery/time.ts'
import type { ContainerRuntime } from '../../runtime/runtime.ts'
import { findContainer, uidOf } from '../pod/containers.ts'
import type { DiskUsage } from './diskusage.ts'
import { fsStats, groupPressure, interfacesOf, machineMemory, networkStats, pressure, processLimits, type FsStats } from './machine.ts'
import type { ContainerSample, PodSample, Sample, Used } from './sampler.ts'
import type { VolumeStats } from '../volumes/plugin.ts'
import type { PodStorage } from './storage.ts'

export type Summary = Awaited<ReturnType<typeof summaryOf>>

export interface SummaryOptions {
  runtime: ContainerRuntime
  nodeName: string
  rootDir: string
  cgroupRoot: string
}

/** Without `storage`, what is on disk, networks and processes are left out. */
export async function summaryOf(
  sample: Sample,
  { runtime, nodeName, rootDir, cgroupRoot }: SummaryOptions,
  storage?: ReadonlyMap<string, PodStorage>,
) {
  const time = formatTime(new Date(sample.at))
  const fs = storage && (await fsStats(rootDir, time))
  const psi = (cgroup: string, resource: 'cpu' | 'memory' | 'io'): object => {
    const found = storage && groupPressure(cgroupRoot + cgroup, resource)
    return found ? { psi: found } : {}
  }
  const onDisk = (used: DiskUsage): FsStats => ({ ...fs!, usedBytes: used.usedBytes, inodesUsed: used.inodesUsed ?? 0 })
  /** kubelet/pkg/apis/stats/v1alpha1 VolumeStats */
  const statsOf = ({ condition, ...own }: VolumeStats) => ({
    ...own,
    ...(condition ? { volumeHealthStats: { abnormal: condition.abnormal } } : {}),
  })
  const usageOf = (used: Used, cgroup: string, limit: number | undefined) => {
    const io = psi(cgroup, 'io')
    return {
      cpu: { time, ...cpuOf(used), ...psi(cgroup, 'cpu') },
      memory: { time, ...memoryOf(used, limit), ...psi(cgroup, 'memory') },
      ...(Object.keys(io).length > 0 ? { io: { time, ...io } } : {}),
      ...(used.swapBytes === undefined ? {} : { swap: { time, swapAvailableBytes: 0, swapUsageBytes: used.swapBytes } }),
    }
  }
  function containerStats({ pod }: PodSample, c: ContainerSample, disk: PodStorage | undefined) {
    const limit = findContainer(pod, c.name)?.container.resources?.limits?.['memory']
    const written = disk?.containers.find(({ name }) => name === c.name)
    return {
      name: c.name,
      startTime: c.startedAt,
      ...usageOf(c.used, c.cgroup, limit === undefined ? undefined : quantityValue(limit)),
      ...(written ? { rootfs: onDisk(written.rootfs), logs: onDisk(written.logs) } : {}),
    }
  }
  function podStats(p: PodSample) {
    const disk = storage?.get(uidOf(p.pod))
    const { name, namespace, uid } = p.pod.metadata
    const limit = podLimits(p.pod.spec)['memory']
    const whole = p.pod.spec.containers.every(c => c.resources?.limits?.['memory'] !== undefined)
    const network = networkStats(p.interfaces, time)
    return {
      podRef: { name, namespace, uid },
      startTime: p.startTime,
      containers: p.containers.map(c => containerStats(p, c, disk)),
      ...usageOf(p.used, p.cgroup, limit !== undefined && whole ? quantityValue(limit) : undefined),
      ...(network ? { network } : {}),
      ...(disk
        ? {
            volume: disk.volumes.map(({ name: volume, claim, fs: own, ...used }) => ({
              ...(own ? statsOf(own) : onDisk(used)),
              name: volume,
              ...(claim === undefined ? {} : { pvcRef: { name: claim, namespace } }),
            })),
            'ephemeral-storage': onDisk(disk.total),
            process_stats: {
              process_count: p.containers.reduce((n, c) => n + countProcesses(cgroupRoot + c.cgroup), 0),
            },
          }
        : {}),
    }
  }

  const memory = machineMemory()
  const [cpuPressure, memoryPressure, ioPressure] = ['cpu', 'memory', 'io'].map(resource => pressure(`/proc/pressure/${resource}`))
  const network = networkStats(ownInterfaces(), time)
  const rlimit = processLimits(time)
  const { all, own } = sample
  const nodeCpu: Used = {
    cpuNanos: all.cpuNanos + own.cpuNanos,
    memoryBytes: memory.total - memory.available,
    workingSetBytes: all.workingSetBytes + own.workingSetBytes,
    ...(all.nanoCores === undefined || own.nanoCores === undefined ? {} : { nanoCores: all.nanoCores + own.nanoCores }),
    ...(all.rssBytes === undefined ? {} : { rssBytes: all.rssBytes + (own.rssBytes ?? 0) }),
    ...(all.pageFaults === undefined ? {} : { pageFaults: all.pageFaults, majorPageFaults: all.majorPageFaults ?? 0 }),
  }
  const startTime = formatTime(new Date(sample.at - uptime() * 1000))
  const system = (name: string, used: Used) => ({
    name,
    startTime: name === 'kubelet' ? formatTime(new Date(sample.at - process.uptime() * 1000)) : startTime,
    cpu: { time, ...cpuOf(used) },
    memory: { time, ...memoryOf(used, undefined) },
  })
  const node = {
    nodeName,
    systemContainers: [system('kubelet', own), system('pods', all)],
    startTime,
    cpu: { time, ...cpuOf(nodeCpu), ...(cpuPressure ? { psi: cpuPressure } : {}) },
    memory: {
      time,
      availableBytes: memory.available,
      ...memoryOf(nodeCpu, undefined),
      ...(memoryPressure ? { psi: memoryPressure } : {}),
    },
    ...(ioPressure ? { io: { time, psi: ioPressure } } : {}),
    ...(network ? { network } : {}),
    ...(fs ? { fs, runtime: await runtimeStats(runtime, fs) } : {}),
    ...(rlimit ? { rlimit } : {}),
    swap: { time, swapAvailableBytes: memory.swapFree, swapUsageBytes: memory.swapTotal - memory.swapFree },
  }
  return { node, pods: sample.pods.map(podStats) }
}

/** The node's own interfaces, without its ends of pods' links. */
const ownInterfaces = () => interfacesOf('self').filter(i => !i.name.startsWith('veth'))

const cpuOf = ({ nanoCores, cpuNanos }: Used) => ({
  ...(nanoCores === undefined ? {} : { usageNanoCores: nanoCores }),
  usageCoreNanoSeconds: cpuNanos,
})
const memoryOf = (used: Used, limit: number | undefined) => ({
  ...(limit === undefined ? {} : { availableBytes: Math.max(0, limit - used.workingSetBytes) }),
  usageBytes: used.memoryBytes,
  workingSetBytes: used.workingSetBytes,
  ...(used.rssBytes === undefined ? {} : { rssBytes: used.rssBytes }),
  ...(used.pageFaults === undefined ? {} : { pageFaults: used.pageFaults, majorPageFaults: used.majorPageFaults ?? 0 }),
})

/** Where images are, and where what containers write is: one file system. */
async function runtimeStats(runtime: ContainerRuntime, fs: FsStats): Promise<{ imageFs: FsStats; containerFs: FsStats }> {
  const used = await runtime.images.usage()
  return { imageFs: { ...fs, usedBytes: used.usedBytes, inodesUsed: used.inodesUsed }, containerFs: fs }
}

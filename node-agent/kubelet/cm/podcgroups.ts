/**
 * The control groups above those of containers: kubepods, which keeps all pods within what the node can give, burstable and besteffort in
 * it, and one for each pod. https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/
 */
import type { Pod } from '#shared/api/core/pod.ts'
import { podQOS } from '#shared/api/core/podspec/qos.ts'
import { podLimits, podRequests } from '#shared/api/core/podspec/resources.ts'
import type { Logger } from '#shared/component/log.ts'
import { removeCgroup } from '#shared/linux/cgroup.ts'
import { ensureCgroup, readCgroup, updateCgroup, type CgroupResources } from '#shared/linux/cgroupresources.ts'
import { quantityMilliValue, quantityValue } from '#shared/machinery/quantity.ts'
import { cpuQuotaMicros, cpuShares, hugepagesOf } from '../container/resources.ts'
import { cgroupOperations } from '../metrics.ts'
import { podCgroup, podCgroups } from '../pod/qos.ts'

export interface PodCgroups {
  /**
   * Makes the group of a pod, or gives it more: of a group that is there no limit is lowered, as its containers may still have what they
   * had before a resize. `pod` has the resources that are set aside for it.
   */
  ensure(pod: Pod): Promise<void>
  /** Gives the group of a pod just what is set aside for it, when its containers have no more. */
  settle(pod: Pod): Promise<void>
  /** Removes the group of a pod in which nothing runs. */
  remove(pod: Pod): Promise<void>
}

export interface PodCgroupsOptions {
  /** The node's group, absolute below the cgroup root. */
  cgroupRoot: string
  /** What all pods together may use; -1: no limit. */
  allocatable: { milliCPU: number; memoryBytes: number; pids: number }
  /** Processes and threads of one pod; -1: no limit. */
  podMaxPids: number
  /** Pods that hold resources now. */
  activePods: () => Pod[]
  log: Logger
}

/** All of them, -1 for no limit. */
export type PodResources = { [R in Exclude<keyof CgroupResources, 'pids' | 'hugepages'>]-?: number }

/** No limit is the widest of all. */
const wider = (a: number | undefined, b: number): number => (a === undefined || a < 0 || b < 0 ? -1 : Math.max(a, b))

/** What a pod as a whole may use: limited where each of its containers is. */
export function podResources(pod: Pod): PodResources {
  const [requests, limits] = [podRequests(pod.spec), podLimits(pod.spec)]
  const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers]
  const limited = (resource: string): boolean =>
    pod.spec.resources?.limits?.[resource] !== undefined || containers.every(c => c.resources?.limits?.[resource] !== undefined)
  const [cpu, memory] = ['cpu', 'memory'].map(resource => (limited(resource) ? limits[resource] : undefined))
  return {
    cpuShares: cpuShares(requests['cpu'] === undefined ? 0 : quantityMilliValue(requests['cpu'])),
    cpuQuotaMicros: cpu === undefined ? -1 : cpuQuotaMicros(quantityMilliValue(cpu)),
    memoryBytes: memory === undefined ? -1 : quantityValue(memory),
  }
}

/** Makes the groups that do not belong to one pod. Rejects where control groups cannot be written. */
export async function openPodCgroups(options: PodCgroupsOptions): Promise<PodCgroups> {
  const { cgroupRoot, allocatable, podMaxPids, activePods, log } = options
  const kubepods = `${cgroupRoot}/kubepods`
  await ensureCgroup(kubepods, { cpuShares: cpuShares(allocatable.milliCPU) })
  // Pods of an earlier kubelet may use more than this one allows: they are let be.
  const enforce = (limit: CgroupResources): Promise<void> =>
    updateCgroup(kubepods, limit).catch((e: Error) => log.warn({ ...limit, err: e.message }, 'node allocatable is not enforced'))
  await enforce({ memoryBytes: allocatable.memoryBytes })
  await enforce({ pids: allocatable.pids })
  await ensureCgroup(`${kubepods}/besteffort`, { cpuShares: cpuShares(0) })
  await ensureCgroup(`${kubepods}/burstable`, { cpuShares: cpuShares(0) })

  /** Among pods that want more than they asked for, CPU goes by what they asked for. */
  async function shareBurstable(): Promise<void> {
    const milli = activePods()
      .filter(p => podQOS(p.spec) === 'Burstable')
      .reduce((sum, p) => sum + quantityMilliValue(podRequests(p.spec)['cpu'] ?? '0'), 0)
    await updateCgroup(`${kubepods}/burstable`, { cpuShares: cpuShares(milli) })
  }
  const path = (pod: Pod): string => `${cgroupRoot}/${podCgroup(pod)}`
  async function timed(operation_type: string, work: Promise<void>): Promise<void> {
    const began = performance.now()
    await work.finally(() => cgroupOperations.observe((performance.now() - began) / 1000, { operation_type }))
  }
  return {
    async ensure(pod) {
      const [{ cpuShares, ...limits }, has] = [podResources(pod), await readCgroup(path(pod))]
      const cpuQuotaMicros = has ? wider(has.cpuQuotaMicros, limits.cpuQuotaMicros) : limits.cpuQuotaMicros
      const memoryBytes = has ? wider(has.memoryBytes, limits.memoryBytes) : limits.memoryBytes
      const hugepages = hugepagesOf(podLimits(pod.spec))
      await timed(
        has ? 'update' : 'create',
        ensureCgroup(path(pod), { cpuShares, cpuQuotaMicros, memoryBytes, pids: podMaxPids, hugepages }),
      )
      if (podQOS(pod.spec) === 'Burstable') await shareBurstable()
    },
    async settle(pod) {
      await timed('update', updateCgroup(path(pod), podResources(pod)))
      if (podQOS(pod.spec) === 'Burstable') await shareBurstable()
    },
    async remove(pod) {
      for (const below of podCgroups(pod)) await timed('destroy', removeCgroup(`${cgroupRoot}/${below}`))
      if (podQOS(pod.spec) === 'Burstable') await shareBurstable()
    },
  }
}

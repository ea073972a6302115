/**
 * The control groups of a container: an outer one, which the node-agent makes and limits, and the container's own in it, which the OCI
 * runtime makes with the same limits. Programs read theirs in /sys/fs/cgroup. The kernel lets root in a container change the own group's
 * files, through a user and cgroup namespace of its own; the outer group is out of reach and holds.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cgroupDirectory, isCgroup2 } from '#shared/linux/cgroup.ts'
import { readCgroup, updateCgroup, type CgroupResources } from '#shared/linux/cgroupresources.ts'

/** The container's own group in its outer one. */
export const ownCgroup = (outer: string): string => `${outer}/container`

/** Changes the resources of both. What the kernel refuses changes nothing. */
export async function updateContainerCgroup(outer: string, resources: CgroupResources): Promise<void> {
  const before = await readCgroup(outer)
  if (before === undefined) throw new Error(`control group ${outer} not found`)
  const quota = ({ cpuQuotaMicros = -1 }: CgroupResources): number => (cpuQuotaMicros < 0 ? Infinity : cpuQuotaMicros)
  // On version 1 the quota of a group may not be above its parent's, at any time.
  const groups = quota(resources) > quota(before) ? [outer, ownCgroup(outer)] : [ownCgroup(outer), outer]
  try {
    for (const group of groups) await updateCgroup(group, resources)
  } catch (error) {
    for (const group of groups.reverse()) await updateCgroup(group, before).catch(() => {})
    throw error
  }
}

/**
 * How many processes of the container the kernel has killed for lack of memory, whichever limit was in the way: its own, its pod's or the
 * node's. Undefined when its group is gone. conmon's word is not enough: on version 1 it hears of the pod's limit for all containers of it.
 */
export async function oomKills(outer: string): Promise<number | undefined> {
  // On version 2 an outer group counts what is below it, on version 1 each group its own.
  const file = isCgroup2() ? join(cgroupDirectory('memory', outer), 'memory.events') : join(cgroupDirectory('memory', ownCgroup(outer)), 'memory.oom_control') // prettier-ignore
  const text = await readFile(file, 'utf8').catch(() => '')
  const count = /^oom_kill (\d+)/m.exec(text)?.[1]
  return count === undefined ? undefined : Number(count)
}

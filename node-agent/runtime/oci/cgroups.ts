/**
 * The control groups of a container: an outer one, which the node-agent makes and limits, and the container's own in it, which the OCI
 * runtime makes with the same limits. Programs read theirs in /sys/fs/cgroup. The kernel lets root in a container change the own group's
 * files, through a user and cgroup namespace of its own; the outer group is out of reach and holds.
 */
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

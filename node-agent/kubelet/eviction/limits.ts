/** Limits of local storage that nothing in the kernel enforces: upstream's localStorageEviction, in its words. */
import type { Pod } from '#shared/api/core/pod.ts'
import { podLimits } from '#shared/api/core/podspec/resources.ts'
import { quantityValue } from '#shared/machinery/quantity.ts'
import type { PodStorage } from '../stats/storage.ts'

const resource = 'ephemeral-storage'

/** Whether anything of the pod's storage has a limit that must be looked after. */
export const hasStorageLimit = (pod: Pod): boolean =>
  (pod.spec.volumes ?? []).some(v => v.emptyDir?.sizeLimit !== undefined) || podLimits(pod.spec)[resource] !== undefined

/** Why a pod must go, and the name of that in metrics. */
export interface Exceeded {
  signal: `${'emptydirfs' | 'ephemeralpodfs' | 'ephemeralcontainerfs'}.limit`
  message: string
}

/** The first limit that the pod does not keep; undefined when it keeps all. */
export function exceededLimit(pod: Pod, used: PodStorage): Exceeded | undefined {
  for (const { name, emptyDir } of pod.spec.volumes ?? []) {
    const limit = emptyDir?.sizeLimit
    const volume = used.volumes.find(v => v.name === name)
    if (limit !== undefined && volume && quantityValue(limit) > 0 && volume.usedBytes > quantityValue(limit))
      return {
        signal: 'emptydirfs.limit',
        message: `Usage of EmptyDir volume ${JSON.stringify(name)} exceeds the limit ${JSON.stringify(limit)}. `,
      }
  }
  const limit = podLimits(pod.spec)[resource]
  if (limit !== undefined && used.total.usedBytes > quantityValue(limit))
    return { signal: 'ephemeralpodfs.limit', message: `Pod ephemeral local storage usage exceeds the total limit of containers ${limit}. ` }
  for (const { name, rootfs, logs } of used.containers) {
    const own = pod.spec.containers.find(c => c.name === name)?.resources?.limits?.[resource]
    if (own !== undefined && quantityValue(own) > 0 && rootfs.usedBytes + logs.usedBytes > quantityValue(own))
      return {
        signal: 'ephemeralcontainerfs.limit',
        message: `Container ${name} exceeded its local ephemeral storage limit ${JSON.stringify(own)}. `,
      }
  }
  return undefined
}

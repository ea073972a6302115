/** Where a pod's quality of service puts it among the control groups. */
import type { Pod } from '#shared/api/core/pod.ts'
import { podQOS } from '#shared/api/core/podspec/qos.ts'
import { uidOf } from './containers.ts'

const parents = { Guaranteed: 'kubepods', Burstable: 'kubepods/burstable', BestEffort: 'kubepods/besteffort' }

/** The pod's cgroup below the node's: `kubepods/burstable/pod<uid>`; guaranteed pods are directly below kubepods. */
export const podCgroup = (pod: Pod): string => `${parents[podQOS(pod.spec)]}/pod${uidOf(pod)}`

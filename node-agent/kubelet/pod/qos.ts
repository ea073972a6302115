/** Where a pod's quality of service puts it among the control groups. */
import type { Pod } from '#shared/api/core/pod.ts'
import { podQOS } from '#shared/api/core/podspec/qos.ts'
import { uidOf } from './containers.ts'

const parents = { Guaranteed: 'kubepods', Burstable: 'kubepods/burstable', BestEffort: 'kubepods/besteffort' }

/** The pod's cgroup below the node's: `kubepods/burstable/pod<uid>`; guaranteed pods are directly below kubepods. */
export const podCgroup = (pod: Pod): string => `${parents[podQOS(pod.spec)]}/pod${uidOf(pod)}`
/** Where it may be, of a pod whose spec is lost: that one has no containers. */
export const podCgroups = (pod: Pod): string[] =>
  pod.spec.containers.length > 0 ? [podCgroup(pod)] : Object.values(parents).map(parent => `${parent}/pod${uidOf(pod)}`)

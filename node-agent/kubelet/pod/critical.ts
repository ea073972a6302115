/**
 * Pods without which a cluster does not work.
 * https://kubernetes.io/docs/tasks/administer-cluster/guaranteed-scheduling-critical-addon-pods/
 */
import type { Pod } from '#shared/api/core/pod.ts'

/** The API server's copy of a static pod has this, and so has the kubelet's: where the pod came from. */
export const configSource = 'kubernetes.io/config.source'
export const configHash = 'kubernetes.io/config.hash'
export const configMirror = 'kubernetes.io/config.mirror'

/** Upstream's system priorities begin here. */
const systemPriority = 2_000_000_000

/** A pod that comes from a file of the node, not from the API. */
export const isStatic = (pod: Pod): boolean => (pod.metadata.annotations?.[configSource] ?? 'api') !== 'api'
export const isMirror = (pod: Pod): boolean => pod.metadata.annotations?.[configMirror] !== undefined
export const isCritical = (pod: Pod): boolean => isStatic(pod) || isMirror(pod) || (pod.spec.priority ?? 0) >= systemPriority

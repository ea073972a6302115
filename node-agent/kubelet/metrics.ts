/**
 * What the kubelet of this process counts as it works, by upstream's names (pkg/kubelet/metrics, pkg/volume/util/metrics.go,
 * pkg/kubelet/prober). `server/metrics.ts` shows it.
 */
import { counts, durations } from '#shared/component/counts.ts'

const defaultBounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const startBounds = [0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600]
const volumeBounds = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600]

/** By `operation_type`. */
export const runtimeOperations = durations(Array.from({ length: 14 }, (_, n) => 0.005 * 2.5 ** n))
export const runtimeOperationErrors = counts()
/** From when the kubelet first saw a pod until its containers run. */
export const podStarts = durations(startBounds)
/** By `operation_type`: sync, terminating, terminated. */
export const podWorkerSteps = durations(defaultBounds)
export const startedPods = counts()
/** By `container_type`. */
export const startedContainers = counts()
/** By `volume_plugin`, `operation_name`, `status`, `migrated`. */
export const storageOperations = durations(volumeBounds)
/** By `eviction_signal`. */
export const evictions = counts()
/** By `preemption_signal`, the resource that a critical pod lacked. */
export const preemptions = counts()
/** By `reason`. */
export const admissionRejections = counts()
/** By `driver_name`, `method_name`, `grpc_status_code`, `migrated`. */
export const csiOperations = durations(volumeBounds)
/** By `probe_type`, `result`, `container`, `pod`, `namespace`, `pod_uid`. */
export const probeResults = counts()
/** By `method`, `path`. */
export const httpRequests = counts()
/** By `method`, `code`, `host`. */
export const clientRequests = counts()
/** By `operation_name` and `is_error`: devices of resource claims prepared and taken back. */
export const draOperations = durations(Array.from({ length: 16 }, (_, n) => 0.1 * 1.5 ** n))

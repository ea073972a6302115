/**
 * What the kubelet of this process counts as it works, by upstream's names (pkg/kubelet/metrics, pkg/volume/util/metrics.go,
 * pkg/kubelet/prober). `server/metrics.ts` shows it.
 */
import { requestMetrics } from '#shared/client/countedtransport.ts'
import { counts, durations } from '#shared/component/counts.ts'

const defaultBounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const startBounds = [0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600]
const volumeBounds = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600]

const pullBounds = [1, 5, 10, 20, 30, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600]

/** By `operation_type`. */
export const runtimeOperations = durations(Array.from({ length: 14 }, (_, n) => 0.005 * 2.5 ** n))
export const runtimeOperationErrors = counts()
/** From when the kubelet first saw a pod until its containers run. */
export const podStarts = durations(startBounds)
/** From when a pod was made until its containers run. */
export const podStartTotals = durations(startBounds)
export const containersPerPod = durations([1, 2, 4, 8, 16])
/** From when a pod's status changed until the API has it. */
export const statusSyncs = durations([0.01, 0.05, 0.1, 0.5, 1, 5, 10, 20, 30, 45, 60])
/** By `image_size_in_bytes`, with the wait for a turn. */
export const imagePulls = durations(pullBounds)
/** By `reason`: age, space. */
export const collectedImages = counts()
/** By `operation_type`: create, update, destroy. */
export const cgroupOperations = durations(defaultBounds)
/** When the node's client certificate ends, ms since 1970; of one that never ends nothing is told. */
export const clientCertificate: { endsAt?: number } = {}
export const failedRenewals = counts()
/** By `operation_type`: sync, terminating, terminated. */
export const podWorkerSteps = durations(defaultBounds)
export const startedPods = counts()
/** By `container_type`. */
export const startedContainers = counts()
/** By `container_type`, `code`: the reason why it waits. */
export const startedContainerErrors = counts()
/** Sandboxes that could not be made. */
export const startedPodErrors = counts()
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
export const clientRequests = requestMetrics()
/** By `operation_name` and `is_error`: devices of resource claims prepared and taken back. */
export const draOperations = durations(Array.from({ length: 16 }, (_, n) => 0.1 * 1.5 ** n))

const [mi, gi] = [2 ** 20, 2 ** 30]
const imageSizes: readonly (readonly [above: number, label: string])[] = [
  [100 * gi, 'GT100GB'],
  [60 * gi, '60GB-100GB'],
  [40 * gi, '40GB-60GB'],
  [30 * gi, '30GB-40GB'],
  [20 * gi, '20GB-30GB'],
  [10 * gi, '10GB-20GB'],
  [5 * gi, '5GB-10GB'],
  [gi, '1GB-5GB'],
  [500 * mi, '500MB-1GB'],
  [100 * mi, '100MB-500MB'],
  [10 * mi, '10MB-100MB'],
  [0, '0-10MB'],
]
/** What kubelet_image_pull_duration_seconds is told by, of an image of so many bytes. */
export const imageSizeLabel = (bytes: number): string => imageSizes.find(([above]) => bytes > above)?.[1] ?? 'N/A'

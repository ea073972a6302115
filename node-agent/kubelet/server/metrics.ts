/** /metrics of the kubelet: upstream's names, for what this one does too. */
import { countBy, type Durations } from '#shared/component/counts.ts'
import type { Registry } from 'prom-client'
import { registerRequestMetrics } from '#shared/client/countedtransport.ts'
import { addMetric, newMetrics, type Sample } from '#shared/component/metrics.ts'
import { isCgroup2 } from '#shared/linux/cgroup.ts'
import type { Kubelet } from '../kubelet.ts'
import type { Resize } from '../cm/resize.ts'
import * as counted from '../metrics.ts'
import { isStatic } from '../pod/critical.ts'
import type { Sampler } from '../stats/sampler.ts'
import type { VolumeStats } from '../volumes/plugin.ts'

const certificateHelp =
  "[ALPHA] Gauge of the TTL (time-to-live) of the Kubelet's client certificate. The value is in seconds until certificate expiry (negative if already expired)."

export interface MetricsOptions {
  kubelet: Kubelet
  sampler: Pick<Sampler, 'storage'>
  nodeName: string
}

export function kubeletMetrics({ kubelet, sampler, nodeName }: MetricsOptions): {
  text(): Promise<string>
  probes(): Promise<string>
  type: string
} {
  const registry = newMetrics()
  const gauge = (name: string, help: string, samples: () => Sample[]): void => addMetric(registry, name, 'gauge', help, samples)
  const counter = (name: string, help: string, samples: () => Sample[], to = registry): void =>
    addMetric(to, name, 'counter', help, samples)
  const duration = (name: string, help: string, of: Durations): void => addMetric(registry, name, 'histogram', help, () => of.samples(name))

  gauge('kubelet_node_name', "[ALPHA] The node's name. The count is always 1.", () => [{ labels: { node: nodeName }, value: 1 }])
  gauge('kubelet_running_pods', '[ALPHA] Number of pods that have a running pod sandbox', () => [
    { value: kubelet.workers().filter(w => w.state.sandbox && !w.state.sandbox.lost).length },
  ])
  gauge('kubelet_running_containers', '[ALPHA] Number of containers currently running', () =>
    countBy(
      kubelet.workers().flatMap(w => Object.values(w.state.containers)),
      c => ({ container_state: c.current.state === 'starting' ? 'created' : c.current.state }),
    ),
  )
  const statics = (pods: readonly { static: boolean }[]): Sample[] =>
    [true, false].map(yes => ({ labels: { static: String(yes) }, value: pods.filter(p => p.static === yes).length }))
  gauge('kubelet_desired_pods', '[ALPHA] The number of pods the kubelet is being instructed to run.', () =>
    statics(kubelet.workers().map(w => ({ static: isStatic(w.pod) }))),
  )
  gauge(
    'kubelet_active_pods',
    '[ALPHA] The number of pods the kubelet considers active and which are being considered when admitting new pods.',
    () => statics(kubelet.activePods().map(p => ({ static: isStatic(p) }))),
  )
  gauge('kubelet_mirror_pods', '[ALPHA] The number of mirror pods the kubelet will try to create (one per admitted static pod)', () => [
    { value: kubelet.workers().filter(w => isStatic(w.pod) && w.state.admitted).length },
  ])
  const resizes = (): Resize[] => kubelet.workers().flatMap(w => w.state.resize ?? [])
  gauge('kubelet_pod_pending_resizes', '[ALPHA] Number of pending resizes for pods.', () =>
    countBy(
      resizes().flatMap(r => r.pending ?? []),
      p => ({ reason: p.reason.toLowerCase() }),
    ),
  )
  gauge('kubelet_pod_in_progress_resizes', '[ALPHA] Number of in-progress resizes for pods.', () => [
    { value: resizes().filter(r => r.inProgress).length },
  ])
  gauge('kubelet_managed_ephemeral_containers', '[ALPHA] Current number of ephemeral containers in pods managed by this kubelet.', () => [
    { value: kubelet.workers().reduce((sum, w) => sum + (w.pod.spec.ephemeralContainers?.length ?? 0), 0) },
  ])
  gauge('kubelet_cgroup_version', '[ALPHA] cgroup version on the hosts.', () => [{ value: isCgroup2() ? 2 : 1 }])
  gauge('kubelet_certificate_manager_client_ttl_seconds', certificateHelp, () =>
    counted.clientCertificate.endsAt === undefined ? [] : [{ value: (counted.clientCertificate.endsAt - Date.now()) / 1000 }],
  )
  counter(
    'kubelet_certificate_manager_client_expiration_renew_errors',
    '[ALPHA] Counter of certificate renewal errors.',
    counted.failedRenewals.samples,
  )
  counter('kubelet_evictions', '[ALPHA] Cumulative number of pod evictions by eviction signal', counted.evictions.samples)
  counter('kubelet_preemptions', '[ALPHA] Cumulative number of pod preemptions by preemption resource', counted.preemptions.samples)
  counter(
    'kubelet_admission_rejections_total',
    '[ALPHA] Cumulative number pod admission rejections by the Kubelet.',
    counted.admissionRejections.samples,
  )
  counter('kubelet_started_pods_total', '[ALPHA] Cumulative number of pods started', counted.startedPods.samples)
  counter('kubelet_started_pods_errors_total', '[ALPHA] Cumulative number of errors when starting pods', counted.startedPodErrors.samples)
  counter(
    'kubelet_started_containers_errors_total',
    '[ALPHA] Cumulative number of errors when starting containers',
    counted.startedContainerErrors.samples,
  )
  counter('kubelet_started_containers_total', '[ALPHA] Cumulative number of containers started', counted.startedContainers.samples)
  duration(
    'kubelet_pod_start_duration_seconds',
    '[ALPHA] Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run',
    counted.podStarts,
  )
  duration(
    'kubelet_pod_start_total_duration_seconds',
    '[ALPHA] Duration in seconds to start a pod since creation, including time to pull images and run init containers, measured from pod creation timestamp to when all its containers are reported as started and observed via watch',
    counted.podStartTotals,
  )
  duration('kubelet_containers_per_pod_count', '[ALPHA] The number of containers per pod.', counted.containersPerPod)
  duration(
    'kubelet_pod_status_sync_duration_seconds',
    '[ALPHA] Duration in seconds to sync a pod status update. Measures time from detection of a change to pod status until the API is successfully updated for that pod, even if multiple intevening changes to pod status occur.',
    counted.statusSyncs,
  )
  duration('kubelet_image_pull_duration_seconds', '[ALPHA] Duration in seconds to pull an image.', counted.imagePulls)
  counter(
    'kubelet_image_garbage_collected_total',
    '[ALPHA] Total number of images garbage collected by the kubelet, whether through disk usage or image age.',
    counted.collectedImages.samples,
  )
  duration(
    'kubelet_cgroup_manager_duration_seconds',
    '[ALPHA] Duration in seconds for cgroup manager operations. Broken down by method.',
    counted.cgroupOperations,
  )
  duration(
    'kubelet_pod_worker_duration_seconds',
    '[ALPHA] Duration in seconds to sync a single pod. Broken down by operation type: create, update, or sync',
    counted.podWorkerSteps,
  )
  duration(
    'dra_operations_duration_seconds',
    '[BETA] Latency histogram in seconds for the duration of handling all ResourceClaims referenced by a pod when the pod starts or stops.',
    counted.draOperations,
  )
  counter('kubelet_runtime_operations_total', '[ALPHA] Cumulative number of runtime operations by operation type.', () =>
    counted.runtimeOperations
      .samples('')
      .filter(s => s.metricName === '_count')
      .map(({ labels, value }) => ({ labels: labels!, value })),
  )
  counter(
    'kubelet_runtime_operations_errors_total',
    '[ALPHA] Cumulative number of runtime operation errors by operation type.',
    counted.runtimeOperationErrors.samples,
  )
  duration(
    'kubelet_runtime_operations_duration_seconds',
    '[ALPHA] Duration in seconds of runtime operations. Broken down by operation type.',
    counted.runtimeOperations,
  )
  gauge('volume_manager_total_volumes', '[ALPHA] Number of volumes in Volume Manager', () => {
    const mounted = kubelet
      .workers()
      .flatMap(w => w.volumes.mounted().map(v => ({ plugin_name: v.plugin, state: 'actual_state_of_world' })))
    const wanted = mounted.map(v => ({ ...v, state: 'desired_state_of_world' }))
    return countBy([...mounted, ...wanted], v => v)
  })
  duration('storage_operation_duration_seconds', '[ALPHA] Storage operation duration', counted.storageOperations)
  duration(
    'csi_operations_seconds',
    '[ALPHA] Container Storage Interface operation duration with gRPC error code status total',
    counted.csiOperations,
  )
  volumeStats(registry, kubelet, sampler)
  counter(
    'kubelet_http_requests_total',
    '[ALPHA] Number of the http requests received since the server started',
    counted.httpRequests.samples,
  )
  registerRequestMetrics(registry, counted.clientRequests)

  const probes = newMetrics()
  probes.clear()
  counter(
    'prober_probe_total',
    '[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.',
    counted.probeResults.samples,
    probes,
  )
  return { text: () => registry.metrics(), probes: () => probes.metrics(), type: registry.contentType }
}

const volumeFields = [
  ['kubelet_volume_stats_available_bytes', 'availableBytes', 'Number of available bytes in the volume'],
  ['kubelet_volume_stats_capacity_bytes', 'capacityBytes', 'Capacity in bytes of the volume'],
  ['kubelet_volume_stats_used_bytes', 'usedBytes', 'Number of used bytes in the volume'],
  ['kubelet_volume_stats_inodes', 'inodes', 'Maximum number of inodes in the volume'],
  ['kubelet_volume_stats_inodes_free', 'inodesFree', 'Number of free inodes in the volume'],
  ['kubelet_volume_stats_inodes_used', 'inodesUsed', 'Number of used inodes in the volume'],
] as const

const abnormalHelp =
  'Abnormal volume health status. The count is either 1 or 0. 1 indicates the volume is unhealthy, 0 indicates volume is healthy'
const healthOf = ({ condition }: VolumeStats): number | undefined => condition && Number(condition.abnormal)

/** Of claims only, as upstream. What is on disk is a minute old at most. */
function volumeStats(registry: Registry, kubelet: Kubelet, sampler: Pick<Sampler, 'storage'>): void {
  const each: [name: string, help: string, valueOf: (stats: VolumeStats) => number | undefined][] = [
    ...volumeFields.map(([name, field, help]) => [name, help, (s: VolumeStats) => s[field]] as [string, string, typeof healthOf]),
    ['kubelet_volume_stats_health_status_abnormal', abnormalHelp, healthOf],
  ]
  for (const [name, help, valueOf] of each) {
    const values = async (): Promise<Sample[]> => {
      // Most nodes have no claims: nothing is walked for them then.
      if (!kubelet.workers().some(w => w.volumes.mounted().some(v => v.claim !== undefined))) return []
      const storage = await sampler.storage()
      return kubelet
        .workers()
        .flatMap(w =>
          (storage.get(w.pod.metadata.uid ?? '')?.volumes ?? []).flatMap(v =>
            v.claim !== undefined && v.fs && valueOf(v.fs) !== undefined
              ? [{ labels: { namespace: w.pod.metadata.namespace ?? '', persistentvolumeclaim: v.claim }, value: valueOf(v.fs)! }]
              : [],
          ),
        )
    }
    const get = async () => ({ name, help: `[ALPHA] ${help}`, type: 'gauge', aggregator: 'sum', values: await values() })
    registry.registerMetric({ name, get } as never)
  }
}

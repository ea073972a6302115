/** What controllers count, as Prometheus reads it, by upstream's names and labels. */
import { Registry } from 'prom-client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { HorizontalPodAutoscaler } from '#shared/api/autoscaling/horizontalpodautoscaler.ts'
import type { Job } from '#shared/api/batch/job.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { StatefulSet } from '#shared/api/apps/statefulset.ts'
import { deployments, endpoints, horizontalPodAutoscalers, jobs, pods, services, statefulSets } from '#shared/api/kinds.ts'
import { startControl, startNode, type Control } from './setup.ts'

const registry = new Registry()
let control: Control
let node: Awaited<ReturnType<typeof startNode>>
let namespace = ''
beforeAll(async () => {
  control = await startControl()
  await control.control({ nodeMonitorPeriodMs: 200, nodeIpam: { clusterCIDR: '10.20.0.0/16', maskSize: 24 } }, registry)
  namespace = await control.namespace('counted')
  node = await startNode(control.client, 'n1', { labels: { 'topology.kubernetes.io/zone': 'z', 'topology.kubernetes.io/region': 'r' } })
})
afterAll(async () => {
  node?.stop()
  await control?.stop()
})

/** The value of a sample by its name and labels in any order; undefined when there is none. */
async function sample(name: string, labels: Record<string, string> = {}): Promise<number | undefined> {
  for (const line of (await registry.metrics()).split('\n')) {
    const [, found, text = '', value] = /^([a-zA-Z_:]+)(?:\{(.*)\})? (.+)$/.exec(line) ?? []
    if (found !== name) continue
    if (Object.entries(labels).every(([key, is]) => text.includes(`${key}="${is}"`))) return Number(value)
  }
  return undefined
}
const becomes = (name: string, labels: Record<string, string>, is: number | undefined) =>
  expect.poll(() => sample(name, labels), { timeout: 15_000 }).toBe(is)
const atLeast = (name: string, labels: Record<string, string>, is: number) =>
  expect.poll(() => sample(name, labels), { timeout: 15_000 }).toBeGreaterThanOrEqual(is)
const template = (labels: Record<string, string>, spec: object = {}) => ({
  metadata: { labels },
  spec: { containers: [{ name: 'c', image: 'busybox' }], ...spec },
})

test('stateful sets: how many pods may be missing, and how many are', async () => {
  const { client } = control
  await client.create(statefulSets, namespace, {
    metadata: { name: 'members' },
    spec: {
      replicas: 3,
      selector: { matchLabels: { app: 'members' } },
      updateStrategy: { rollingUpdate: { maxUnavailable: '60%' } },
      template: template({ app: 'members' }),
    },
  } as unknown as StatefulSet)
  const labels = { statefulset_namespace: namespace, statefulset_name: 'members', pod_management_policy: 'OrderedReady' }
  await becomes('statefulset_controller_statefulset_max_unavailable', labels, 1)
  await becomes('statefulset_controller_statefulset_unavailable_replicas', labels, 0)
  await client.delete(statefulSets, namespace, 'members')
  await becomes('statefulset_controller_statefulset_max_unavailable', labels, undefined)
})

test('jobs: rounds, pods made and ended, finalizers, ends', async () => {
  const { client } = control
  await client.create(jobs, namespace, {
    metadata: { name: 'two' },
    spec: { completions: 2, parallelism: 2, completionMode: 'Indexed', template: template({ app: 'two' }, { restartPolicy: 'Never' }) },
  } as unknown as Job)
  const indexed = { completion_mode: 'Indexed' }
  await becomes('job_controller_job_pods_creation_total', { reason: 'new', status: 'succeeded' }, 2)
  const own = () => client.list<Pod>(pods, namespace, { labelSelector: 'app=two' })
  await expect.poll(async () => (await own()).items.filter(p => p.status?.phase === 'Running').length, { timeout: 15_000 }).toBe(2)
  for (const { metadata } of (await own()).items)
    await client.patch(pods, namespace, metadata.name ?? '', 'merge', { status: { phase: 'Succeeded' } }, 'status')
  await becomes('job_controller_jobs_finished_total', { ...indexed, result: 'succeeded' }, 1)
  expect(await sample('job_controller_job_pods_finished_total', { ...indexed, result: 'succeeded' })).toBe(2)
  expect(await sample('job_controller_job_finished_indexes_total', { status: 'succeeded', backoffLimit: 'global' })).toBe(2)
  await becomes('job_controller_terminated_pods_tracking_finalizer_total', { event: 'add' }, 2)
  await becomes('job_controller_terminated_pods_tracking_finalizer_total', { event: 'delete' }, 2)
  await atLeast('job_controller_job_syncs_total', { ...indexed, action: 'pods_created', result: 'success' }, 1)
  await atLeast('job_controller_job_sync_duration_seconds_count', { ...indexed, action: 'tracking', result: 'success' }, 1)
  await client.create(jobs, namespace, {
    metadata: { name: 'foreign' },
    spec: { managedBy: 'example.com/jobs', template: template({}, { restartPolicy: 'Never' }) },
  } as unknown as Job)
  await becomes('job_controller_jobs_by_external_controller_total', { controller_name: 'example.com/jobs' }, 1)
})

test('endpoint slices, nodes of a zone, queues by the names of upstream', async () => {
  const { client } = control
  const labels = { app: 'web' }
  await client.create(deployments, namespace, {
    metadata: { name: 'web' },
    spec: { replicas: 2, selector: { matchLabels: labels }, template: template(labels) },
  } as never)
  await client.create(services, namespace, {
    metadata: { name: 'web' },
    spec: { selector: labels, ports: [{ port: 80 }], trafficDistribution: 'PreferSameZone' },
  } as unknown as Service)
  const slices = 'endpoint_slice_controller'
  await becomes(`${slices}_endpoints_desired`, {}, 2)
  await becomes(`${slices}_num_endpoint_slices`, {}, 1)
  await becomes(`${slices}_desired_endpoint_slices`, {}, 1)
  await becomes(`${slices}_services_count_by_traffic_distribution`, { traffic_distribution: 'PreferSameZone' }, 1)
  await atLeast(`${slices}_changes`, { operation: 'create' }, 1)
  await atLeast(`${slices}_syncs`, { result: 'success' }, 1)
  await atLeast(`${slices}_endpoints_added_per_sync_sum`, {}, 2)
  await becomes('node_collector_zone_size', {}, 1)
  await becomes('node_collector_zone_health', {}, 100)
  await atLeast('node_collector_update_all_nodes_health_duration_seconds_count', {}, 1)
  for (const name of ['deployment', 'replicaset', 'job', 'endpoint_slice', 'daemonset', 'garbage_collector_attempt_to_delete'])
    await atLeast('workqueue_adds_total', { name }, 0)
  await atLeast('workqueue_adds_total', { name: 'deployment' }, 1)
  expect(await sample('running_managed_controllers', { name: 'deployment-controller', manager: 'kube-controller-manager' })).toBe(1)
})

test('ranges of nodes, publishers, the ages of pods that go, endpoints that are mirrored', async () => {
  const { client } = control
  const clusterCIDR = '10.20.0.0/16'
  await becomes('node_ipam_controller_cidrset_cidrs_allocations_total', { clusterCIDR }, 1)
  expect(await sample('node_ipam_controller_cirdset_max_cidrs', { clusterCIDR })).toBe(256)
  expect(await sample('node_ipam_controller_cidrset_usage_cidrs', { clusterCIDR })).toBe(1 / 256)
  expect(await sample('node_ipam_controller_cidrset_allocation_tries_per_request_count', { clusterCIDR })).toBe(1)
  await atLeast('root_ca_cert_publisher_sync_total', { code: '200' }, 2)
  await atLeast('root_ca_cert_publisher_sync_duration_seconds_count', { code: '200' }, 2)
  // The tests' authority is no certificate.
  await atLeast('clustertrustbundle_publisher_sync_total', { code: '422' }, 1)
  await atLeast('node_collector_update_node_health_duration_seconds_count', {}, 1)
  await client.patch(deployments, namespace, 'web', 'merge', { spec: { replicas: 1 } })
  await becomes('replicaset_controller_sorting_deletion_age_ratio_count', {}, 1)
  await client.create(services, namespace, { metadata: { name: 'manual' }, spec: { ports: [{ port: 80 }] } } as unknown as Service)
  await client.create(endpoints, namespace, {
    metadata: { name: 'manual' },
    subsets: [{ addresses: [{ ip: '10.1.0.1' }, { ip: '10.1.0.2' }], ports: [{ port: 80 }] }],
  } as never)
  const mirroring = 'endpoint_slice_mirroring_controller'
  await becomes(`${mirroring}_endpoints_added_per_sync_sum`, {}, 2)
  await atLeast(`${mirroring}_endpoints_sync_duration_count`, {}, 1)
  await atLeast(`${mirroring}_addresses_skipped_per_sync_count`, {}, 1)
  await client.patch(endpoints, namespace, 'manual', 'merge', {
    subsets: [{ addresses: [{ ip: '10.1.0.1' }], notReadyAddresses: [{ ip: '10.1.0.2' }], ports: [{ port: 80 }] }],
  })
  await becomes(`${mirroring}_endpoints_updated_per_sync_sum`, {}, 1)
})

test('an autoscaler whose metrics are nowhere to be had', async () => {
  await control.client.create(horizontalPodAutoscalers, namespace, {
    metadata: { name: 'web' },
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' },
      maxReplicas: 3,
      metrics: [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } }],
    },
  } as unknown as HorizontalPodAutoscaler)
  const prefix = 'horizontal_pod_autoscaler_controller'
  await atLeast(`${prefix}_reconciliations_total`, { action: 'none', error: 'internal' }, 1)
  await atLeast(`${prefix}_reconciliation_duration_seconds_count`, { action: 'none', error: 'internal' }, 1)
  await atLeast(`${prefix}_metric_computation_total`, { action: 'none', error: 'internal', metric_type: 'Resource' }, 1)
  expect(await sample(`${prefix}_num_horizontal_pod_autoscalers`)).toBe(1)
})

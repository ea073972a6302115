/**
 * service-lb-controller: every Service of type LoadBalancer has one, its address is in the Service's status, and a finalizer keeps the
 * Service until it is taken down (k8s.io/cloud-provider, controllers/service).
 */
import type { Service } from '#shared/api/core/service.ts'
import { nodes, services } from '#shared/api/kinds.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import type { Client } from '#shared/client/client.ts'
import { exponential } from '#shared/component/counts.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import type { LoadBalancerStatus } from './cloud.ts'
import type { NewCloudController } from './context.ts'
import { loadBalancerView, servesLoadBalancers } from './nodes.ts'
import { changeOf } from './servicechanges.ts'

export const loadBalancerFinalizer = 'service.kubernetes.io/load-balancer-cleanup'

const hasFinalizer = ({ metadata }: Service): boolean => metadata.finalizers?.includes(loadBalancerFinalizer) ?? false

/** Whether a Service asks this cloud for a load balancer. */
export const wantsLoadBalancer = ({ spec }: Service, ownClass: string): boolean =>
  spec.type === 'LoadBalancer' && (spec.loadBalancerClass === undefined || spec.loadBalancerClass === ownClass)

/** Of a Service what its load balancer follows from. */
const view = ({ metadata, spec }: Service): string => JSON.stringify([metadata.uid, metadata.annotations, metadata.deletionTimestamp, spec])
const statusOf = ({ status }: Service): LoadBalancerStatus => status?.loadBalancer ?? {}
const same = (a: LoadBalancerStatus, b: LoadBalancerStatus): boolean => JSON.stringify(a.ingress ?? []) === JSON.stringify(b.ingress ?? [])

async function setFinalizer(client: Client, service: Service, there: boolean): Promise<void> {
  if (hasFinalizer(service) === there) return
  const { name = '', namespace = '' } = service.metadata
  const patch = there
    ? { metadata: { finalizers: [loadBalancerFinalizer] } }
    : { metadata: { '$deleteFromPrimitiveList/finalizers': [loadBalancerFinalizer] } }
  await client.patch(services, namespace, name, 'strategic', patch)
}
async function setStatus(client: Client, service: Service, wanted: LoadBalancerStatus): Promise<void> {
  if (same(statusOf(service), wanted)) return
  const { name = '', namespace = '' } = service.metadata
  await client.patch(services, namespace, name, 'merge', { status: { loadBalancer: { ingress: wanted.ingress ?? null } } }, 'status')
}

export const serviceController: NewCloudController = ({ cloud, client, informer, recorder, metrics, log }) => {
  const all = informer(services)
  const hosts = informer(nodes)
  const events = recorder('service-controller')
  const balancers = cloud.loadBalancers
  const times = '[ALPHA] A metric counting the amount of times any load balancer has been configured'
  const syncs = metrics.counter(
    'service_controller_loadbalancer_sync_total',
    `${times}, as an effect of service/node changes on the cluster`,
  )
  const hostErrors = metrics.counter(
    'service_controller_nodesync_error_total',
    `${times} and errored, as an effect of node changes on the cluster`,
  )
  const hostUpdates = metrics.histogram(
    'service_controller_update_loadbalancer_host_latency_seconds',
    '[ALPHA] A metric measuring the latency for updating each load balancer hosts.',
    exponential(1, 2, 15),
  )
  /** What was ensured last, by Service; it is new to a process that has just begun to lead. */
  const ensured = new Map<string, { view: string; status: LoadBalancerStatus }>()
  const wanting = (): string[] => all.list().flatMap(s => (wantsLoadBalancer(s, cloud.loadBalancerClass) ? [keyOf(s)] : []))

  async function takeDown(service: Service, key: string, client: Client): Promise<void> {
    if (await balancers?.getLoadBalancer(service)) {
      events.event(service, 'Normal', 'DeletingLoadBalancer', 'Deleting load balancer')
      await balancers?.ensureLoadBalancerDeleted(service)
    }
    ensured.delete(key)
    await setStatus(client, service, {})
    await setFinalizer(client, service, false)
    events.event(service, 'Normal', 'DeletedLoadBalancer', 'Deleted load balancer')
  }

  async function ensure(service: Service, key: string, client: Client): Promise<void> {
    if (!balancers) return
    const before = ensured.get(key)
    // A new leader finds what its predecessor made: nothing is told again.
    const news = before ? before.view !== view(service) : !hasFinalizer(service) || (statusOf(service).ingress ?? []).length === 0
    if (news) events.event(service, 'Normal', 'EnsuringLoadBalancer', 'Ensuring load balancer')
    await setFinalizer(client, service, true)
    const began = performance.now()
    try {
      const targets = hosts.list().filter(servesLoadBalancers)
      if (targets.length === 0) events.event(service, 'Warning', 'UnAvailableLoadBalancer', 'There are no available nodes for LoadBalancer')
      syncs.add({})
      const status = await balancers.ensureLoadBalancer(service, targets)
      if (before && !news) hostUpdates.observe((performance.now() - began) / 1000)
      await setStatus(client, service, status)
      ensured.set(key, { view: view(service), status })
      if (news) events.event(service, 'Normal', 'EnsuredLoadBalancer', 'Ensured load balancer')
      else if (before && !same(before.status, status))
        events.event(service, 'Normal', 'UpdatedLoadBalancer', 'Updated load balancer with new hosts')
    } catch (e) {
      if (isNotFound(e)) return
      if (before && !news) hostErrors.add({})
      events.event(
        service,
        'Warning',
        'SyncLoadBalancerFailed',
        `Error syncing load balancer: failed to ensure load balancer: ${(e as Error).message}`,
      )
      throw e
    }
  }

  return {
    name: 'service-lb-controller',
    client,
    sources: [
      source(all, ({ object, previous, type }) => {
        const change = type === 'MODIFIED' && previous && changeOf(previous, object, s => wantsLoadBalancer(s, cloud.loadBalancerClass))
        if (change) events.event(object, 'Normal', change.reason, change.message)
        if (type === 'MODIFIED' && previous && view(previous) === view(object) && same(statusOf(previous), statusOf(object))) return []
        // An address that one gives back may be what another waits for.
        return type === 'DELETED' ? [keyOf(object), ...wanting().filter(key => !ensured.has(key))] : [keyOf(object)]
      }),
      source(hosts, ({ object, previous, type }) =>
        type === 'MODIFIED' && previous && loadBalancerView(previous) === loadBalancerView(object) ? [] : wanting(),
      ),
    ],
    start: queue =>
      cloud.onChange(() => {
        for (const key of wanting()) queue.add(key)
      }),
    workers: 8,
    async reconcile(key, client) {
      const service = all.get(...splitKey(key))
      if (!service) return void ensured.delete(key)
      const wants = wantsLoadBalancer(service, cloud.loadBalancerClass) && service.metadata.deletionTimestamp === undefined
      if (wants) return ensure(service, key, client)
      if (hasFinalizer(service)) await takeDown(service, key, client)
    },
    log,
  }
}

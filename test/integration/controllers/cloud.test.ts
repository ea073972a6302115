/** The controllers of a cloud, beside one whose load balancers and instances are in name only. */
import { Registry } from 'prom-client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Cloud, LoadBalancerStatus } from '#control-plane/cloud-controller-manager/cloud.ts'
import { cloudNodeController } from '#control-plane/cloud-controller-manager/node.ts'
import { serviceController } from '#control-plane/cloud-controller-manager/service.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { Service } from '#shared/api/core/service.ts'
import { events, nodes, services } from '#shared/api/kinds.ts'
import { runController } from '#shared/client/controller.ts'
import { eventRecorder } from '#shared/client/events.ts'
import { sharedInformers } from '#shared/client/sharedinformers.ts'
import { componentMetrics } from '#shared/component/counts.ts'
import { quiet, startControl, until, type Control } from './setup.ts'

const registry = new Registry()
const stop = new AbortController()
const balancers = new Map<string, LoadBalancerStatus>()
let c: Control
let running: Promise<unknown>
const cloud: Cloud = {
  name: 'test',
  loadBalancerClass: 'example.com/test',
  instances: {
    instanceExists: () => Promise.resolve(true),
    instanceShutdown: () => Promise.resolve(false),
    instanceMetadata: () => Promise.resolve({ providerID: 'test:///z/n1', instanceType: 'small', zone: 'z', region: 'r' }),
  },
  loadBalancers: {
    getLoadBalancer: ({ metadata }) => Promise.resolve(balancers.get(metadata.uid ?? '')),
    ensureLoadBalancer({ metadata }) {
      const status = { ingress: [{ ip: '10.0.0.1' }] } as LoadBalancerStatus
      balancers.set(metadata.uid ?? '', status)
      return Promise.resolve(status)
    },
    ensureLoadBalancerDeleted: ({ metadata }) => Promise.resolve(void balancers.delete(metadata.uid ?? '')),
  },
  routes: undefined,
  egress: undefined,
  onChange: () => {},
}
beforeAll(async () => {
  c = await startControl()
  const informers = sharedInformers(c.client, stop.signal, quiet)
  const context = {
    cloud,
    client: c.client,
    informer: informers.get,
    recorder: (component: string) => eventRecorder(c.client, component, '', quiet),
    metrics: componentMetrics(registry),
    log: quiet,
    signal: stop.signal,
  }
  running = Promise.all([serviceController, cloudNodeController].map(make => runController(make(context), stop.signal)))
})
afterAll(async () => {
  stop.abort()
  await running
  await c?.stop()
})

test('a Service is told what becomes of its load balancer, and what changes of itself', async () => {
  await c.client.create(services, 'default', { metadata: { name: 'web' }, spec: { ports: [{ port: 80 }] } } as unknown as Service)
  const change = (spec: object) => c.client.patch(services, 'default', 'web', 'merge', { spec })
  const told = (what: string) =>
    until(what, async () =>
      (await c.client.list(events, 'default')).items.some(
        e => e.source?.component === 'service-controller' && `${e.reason} ${e.message}` === what,
      ),
    )
  await change({ type: 'LoadBalancer' })
  await told('Type ClusterIP -> LoadBalancer')
  await told('EnsuringLoadBalancer Ensuring load balancer')
  await told('EnsuredLoadBalancer Ensured load balancer')
  const { metadata, status } = await c.client.get(services, 'default', 'web')
  expect([metadata.finalizers, status?.loadBalancer?.ingress]).toMatchObject([
    ['service.kubernetes.io/load-balancer-cleanup'],
    [{ ip: '10.0.0.1' }],
  ])
  await change({ externalTrafficPolicy: 'Local' })
  await told('ExternalTrafficPolicy Cluster -> Local')
  await change({ type: 'ClusterIP' })
  await told('Type LoadBalancer -> ClusterIP')
  await told('DeletedLoadBalancer Deleted load balancer')
  expect(balancers.size).toBe(0)
  expect(await registry.metrics()).toMatch(/^service_controller_loadbalancer_sync_total [1-9]/m)
})

test('a node is told what the cloud knows of it, and may be used from then on', async () => {
  const taints = [{ key: 'node.cloudprovider.kubernetes.io/uninitialized', value: 'true', effect: 'NoSchedule' }]
  await c.client.create(nodes, '', { metadata: { name: 'n1' }, spec: { taints } } as Node)
  const node = await until('its zone', async () => {
    const found = await c.client.get(nodes, '', 'n1')
    return found.metadata.labels?.['topology.kubernetes.io/zone'] === 'z' && found
  })
  expect(node.spec.providerID).toBe('test:///z/n1')
  expect(node.spec.taints?.some(t => t.key === taints[0]!.key) ?? false).toBe(false)
  await expect.poll(() => registry.metrics()).toMatch(/^node_controller_cloud_provider_taint_removal_delay_seconds_count 1/m)
  expect(await registry.metrics()).toMatch(/^node_controller_initial_node_sync_delay_seconds_count 1/m)
})

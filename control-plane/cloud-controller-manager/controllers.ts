/** All controllers of a cloud, and how they are run together. */
import type { Registry } from 'prom-client'
import { runController } from '#shared/client/controller.ts'
import { eventRecorder, type EventRecorder } from '#shared/client/events.ts'
import type { Client } from '#shared/client/client.ts'
import { sharedInformers, type SharedInformers } from '#shared/client/sharedinformers.ts'
import type { Informer } from '#shared/client/informer.ts'
import type { WorkQueue } from '#shared/client/workqueue.ts'
import { componentMetrics } from '#shared/component/counts.ts'
import type { Logger } from '#shared/component/log.ts'
import type { Cloud } from './cloud.ts'
import type { NewCloudController } from './context.ts'
import { egressAddressController } from './egress.ts'
import { gatewayServiceController } from './gateways.ts'
import { ingressAddonController } from './ingress.ts'
import { cloudNodeController } from './node.ts'
import { cloudNodeLifecycleController } from './nodelifecycle.ts'
import { nodeRouteController } from './route.ts'
import { serviceController } from './service.ts'

/** By upstream's names (`cloud-controller-manager --help`). */
export const controllers: Readonly<Record<string, NewCloudController>> = {
  'cloud-node-controller': cloudNodeController,
  'cloud-node-lifecycle-controller': cloudNodeLifecycleController,
  'node-route-controller': nodeRouteController,
  'service-lb-controller': serviceController,
  // Not upstream's: a cloud brings its ingress controller along, and gives Gateways addresses.
  'ingress-addon-controller': ingressAddonController,
  'gateway-service-controller': gatewayServiceController,
  'egress-address-controller': egressAddressController,
}

export interface CloudOptions {
  readonly client: Client
  /** Makes the cloud's own view of the cluster. */
  readonly newCloud: (informer: SharedInformers['get'], log: Logger, signal: AbortSignal) => Promise<Cloud>
  readonly log: Logger
  readonly onQueue?: (name: string, queue: WorkQueue) => void
  readonly registry?: Registry
}

/** Runs them until `signal` aborts. */
export async function runCloudControllers({ client, newCloud, log, onQueue, registry }: CloudOptions, signal: AbortSignal): Promise<void> {
  const recorders = new Map<string, EventRecorder>()
  const informers = sharedInformers(client, signal, log)
  const read = new Set<Informer<any>>() // any: informers of several kinds
  const informer: SharedInformers['get'] = (kind, selection) => {
    const one = informers.get(kind, selection)
    read.add(one)
    return one
  }
  const cloud = await newCloud(informer, log, signal)
  const recorder = (component: string): EventRecorder => {
    const one = recorders.get(component) ?? eventRecorder(client, component, '', log)
    recorders.set(component, one)
    return one
  }
  const metrics = componentMetrics(registry)
  const all = Object.values(controllers).map(make => make({ cloud, client, informer, recorder, metrics, log, signal }))
  log.info({ cloud: cloud.name, controllers: all.map(c => c.name) }, 'starting controllers')
  await Promise.all(all.map(c => runController({ ...c, reads: read }, signal, queue => onQueue?.(c.name, queue))))
  await Promise.all([...recorders.values()].map(r => r.flush(500)))
}

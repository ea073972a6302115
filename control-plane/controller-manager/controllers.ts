/** All controllers, and how they are run together. */
import { pods } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { runController } from '#shared/client/controller.ts'
import { eventRecorder, type EventRecorder } from '#shared/client/events.ts'
import { leanPod } from '#shared/client/leanpod.ts'
import { sharedInformers } from '#shared/client/reflector.ts'
import type { Logger } from '#shared/component/log.ts'
import type { ControllerContext, NewController, Settings } from './context.ts'
import { deploymentController } from './deployment/deployment.ts'
import { endpointSliceController } from './endpoints/endpointslice.ts'
import { endpointsController } from './endpoints/endpoints.ts'
import { garbageCollector } from './garbagecollector/garbagecollector.ts'
import { namespaceController } from './namespace/namespace.ts'
import { nodeLifecycleController } from './nodelifecycle/nodelifecycle.ts'
import { taintEvictionController } from './nodelifecycle/tainteviction.ts'
import { podGarbageCollector } from './podgc.ts'
import { replicaSetController } from './replicaset/replicaset.ts'
import { rootCACertPublisher } from './root-ca-cert-publisher.ts'
import { serviceAccountController } from './serviceaccount.ts'

export const controllers: readonly NewController[] = [
  serviceAccountController,
  rootCACertPublisher,
  namespaceController,
  replicaSetController,
  deploymentController,
  endpointSliceController,
  endpointsController,
  garbageCollector,
  podGarbageCollector,
  nodeLifecycleController,
  taintEvictionController,
]

export const defaultSettings: Settings = {
  rootCa: '',
  nodeMonitorGracePeriodMs: 50_000,
  nodeMonitorPeriodMs: 5_000,
  terminatedPodThreshold: 12_500,
  podQuarantineMs: 40_000,
}

/** Runs the controllers until `signal` aborts; they share informers and, by component, event recorders. */
export async function runControllers(
  client: Client,
  settings: Settings,
  signal: AbortSignal,
  log: Logger,
  which = controllers,
): Promise<void> {
  const recorders = new Map<string, EventRecorder>()
  const context: ControllerContext = {
    client,
    informer: sharedInformers(client, signal, log, new Map([[pods, leanPod]])),
    recorder(component) {
      const recorder = recorders.get(component) ?? eventRecorder(client, component, '', log)
      recorders.set(component, recorder)
      return recorder
    },
    log,
    signal,
    settings,
  }
  const all = which.flatMap(make => make(context))
  log.info({ controllers: all.map(c => c.name) }, 'starting controllers')
  await Promise.all(all.map(c => runController(c, signal)))
  await Promise.all([...recorders.values()].map(r => r.flush(500)))
}

/** All controllers, and how they are run together. */
import type { Registry } from 'prom-client'
import { runController } from '#shared/client/controller.ts'
import { eventRecorder, type EventRecorder } from '#shared/client/events.ts'
import type { Informer } from '#shared/client/informer.ts'
import type { RestClient } from '#shared/client/rest.ts'
import { sharedInformers } from '#shared/client/sharedinformers.ts'
import type { WorkQueue } from '#shared/client/workqueue.ts'
import { componentMetrics } from '#shared/component/counts.ts'
import type { Logger } from '#shared/component/log.ts'
import type { ControllerContext, NewController, Settings } from './context.ts'
import { attachDetachController } from './attachdetach/attachdetach.ts'
import { bootstrapSigner } from './bootstrap/bootstrapsigner.ts'
import { tokenCleaner } from './bootstrap/tokencleaner.ts'
import { certificateApprovingController } from './certificates/approving.ts'
import { certificateCleaner } from './certificates/cleaner.ts'
import { certificateSigningController } from './certificates/signing.ts'
import { trustBundlePublisher } from './certificates/trustbundlepublisher.ts'
import { clusterDnsController } from './clusterdns.ts'
import { clusterRoleAggregationController } from './clusterroleaggregation.ts'
import { cronJobController } from './cronjob/cronjob.ts'
import { csiControllers } from './csi/controllers.ts'
import { daemonSetController } from './daemonset/daemonset.ts'
import { deploymentController } from './deployment/deployment.ts'
import { disruptionController } from './disruption/disruption.ts'
import { endpointSliceController } from './endpoints/endpointslice.ts'
import { endpointsController } from './endpoints/endpoints.ts'
import { endpointSliceMirroringController } from './endpoints/mirroring.ts'
import { ephemeralVolumeController } from './persistentvolume/ephemeral.ts'
import { persistentVolumeBinder } from './persistentvolume/binder.ts'
import { volumeExpander } from './persistentvolume/expander.ts'
import { localVolumeProvisioner } from './localvolume/provisioner.ts'
import { garbageCollector } from './garbagecollector/garbagecollector.ts'
import { jobController } from './job/job.ts'
import { legacyTokenCleaner } from './legacytokencleaner.ts'
import { namespaceController } from './namespace/namespace.ts'
import { nodeIpamController } from './nodeipam/nodeipam.ts'
import { nodeLifecycleController } from './nodelifecycle/nodelifecycle.ts'
import { taintEvictionController } from './nodelifecycle/tainteviction.ts'
import { ttlController } from './nodettl.ts'
import { podAutoscalerController } from './podautoscaler/podautoscaler.ts'
import { podGarbageCollector } from './podgc.ts'
import { queueNames } from './queuenames.ts'
import { replicaSetController } from './replicaset/replicaset.ts'
import { replicationManager } from './replicaset/replicationcontroller.ts'
import { resourceClaimController } from './resourceclaim/resourceclaim.ts'
import { resourceQuotaController } from './resourcequota/resourcequota.ts'
import { rootCACertPublisher } from './root-ca-cert-publisher.ts'
import { followServedKinds, type ServedKinds } from './servedkinds.ts'
import { serviceAccountController } from './serviceaccount.ts'
import { serviceAccountTokenController } from './serviceaccounttokens.ts'
import { serviceCIDRsController } from './servicecidrs.ts'
import { statefulSetController } from './statefulset/statefulset.ts'
import { validatingAdmissionPolicyStatusController } from './validatingadmissionpolicystatus.ts'
import { pvcProtectionController, pvProtectionController, vacProtectionController } from './storageprotection.ts'
import { ttlAfterFinishedController } from './ttlafterfinished.ts'

/** All controllers, by upstream's names (`kube-controller-manager --help`). */
export const controllers: Readonly<Record<string, NewController>> = {
  'serviceaccount-controller': serviceAccountController,
  'serviceaccount-token-controller': serviceAccountTokenController,
  'legacy-serviceaccount-token-cleaner-controller': legacyTokenCleaner,
  'certificatesigningrequest-approving-controller': certificateApprovingController,
  'certificatesigningrequest-signing-controller': certificateSigningController,
  'certificatesigningrequest-cleaner-controller': certificateCleaner,
  'bootstrap-signer-controller': bootstrapSigner,
  'token-cleaner-controller': tokenCleaner,
  'root-ca-certificate-publisher-controller': rootCACertPublisher,
  'kube-apiserver-serving-clustertrustbundle-publisher-controller': trustBundlePublisher,
  'clusterrole-aggregation-controller': clusterRoleAggregationController,
  'namespace-controller': namespaceController,
  'replicaset-controller': replicaSetController,
  'replicationcontroller-controller': replicationManager,
  'deployment-controller': deploymentController,
  'daemonset-controller': daemonSetController,
  'statefulset-controller': statefulSetController,
  'job-controller': jobController,
  'cronjob-controller': cronJobController,
  'ttl-after-finished-controller': ttlAfterFinishedController,
  'endpointslice-controller': endpointSliceController,
  'endpoints-controller': endpointsController,
  'endpointslice-mirroring-controller': endpointSliceMirroringController,
  'garbage-collector-controller': garbageCollector,
  'pod-garbage-collector-controller': podGarbageCollector,
  'resourcequota-controller': resourceQuotaController,
  'node-ipam-controller': nodeIpamController,
  'node-lifecycle-controller': nodeLifecycleController,
  'taint-eviction-controller': taintEvictionController,
  'ttl-controller': ttlController,
  'disruption-controller': disruptionController,
  'persistentvolume-attach-detach-controller': attachDetachController,
  'csi-controller': csiControllers,
  'horizontal-pod-autoscaler-controller': podAutoscalerController,
  'persistentvolumeclaim-protection-controller': pvcProtectionController,
  'persistentvolume-protection-controller': pvProtectionController,
  'volumeattributesclass-protection-controller': vacProtectionController,
  'persistentvolume-binder-controller': persistentVolumeBinder,
  'persistentvolume-expander-controller': volumeExpander,
  'ephemeral-volume-controller': ephemeralVolumeController,
  'local-volume-provisioner-controller': localVolumeProvisioner,
  'resourceclaim-controller': resourceClaimController,
  'service-cidr-controller': serviceCIDRsController,
  'validatingadmissionpolicy-status-controller': validatingAdmissionPolicyStatusController,
  'cluster-dns-controller': clusterDnsController,
}

/**
 * Those that `--controllers` names: `*` is all, `name` one, `-name` all but that one. Throws an Error for a name that no controller has.
 */
export function chosen(names: readonly string[]): NewController[] {
  const unknown = names.map(n => n.replace(/^-/, '')).find(n => n !== '*' && !Object.hasOwn(controllers, n))
  if (unknown !== undefined) throw new Error(`"${unknown}" is not in the list of known controllers`)
  const on = (name: string): boolean => !names.includes(`-${name}`) && (names.includes(name) || names.includes('*'))
  return Object.entries(controllers).flatMap(([name, make]) => (on(name) ? [make] : []))
}

export const defaultSettings: Settings = {
  autoscaling: {
    syncMs: 15_000,
    workers: 5,
    downscaleMs: 300_000,
    tolerance: 0.1,
    cpuInitializationMs: 300_000,
    initialReadinessMs: 30_000,
  },
  rootCa: '',
  serviceAccountKey: '',
  signing: { cert: '', key: '', lifeMs: 365 * 24 * 3600_000 },
  legacyTokenCleanUpMs: 365 * 24 * 3600_000,
  clusterDns: '',
  nodeIpam: { clusterCIDR: '', maskSize: 24 },
  localStorageClass: '',
  attachTimeoutMs: 120_000,
  refusedRetryMs: 300_000,
  forceDetachMs: 360_000,
  nodeMonitorGracePeriodMs: 50_000,
  nodeMonitorPeriodMs: 5_000,
  terminatedPodThreshold: 12_500,
  podQuarantineMs: 40_000,
}

/** Runs the controllers until `signal` aborts; they share informers and, by component, event recorders. */
export async function runControllers(
  client: RestClient,
  settings: Settings,
  signal: AbortSignal,
  log: Logger,
  {
    which = Object.values(controllers),
    onQueue,
    registry,
  }: { which?: readonly NewController[]; onQueue?: (name: string, queue: WorkQueue) => void; registry?: Registry } = {},
): Promise<void> {
  const recorders = new Map<string, EventRecorder>()
  const informers = sharedInformers(client, signal, log)
  let served: ServedKinds | undefined
  const metrics = componentMetrics(registry)
  const context: Omit<ControllerContext, 'informer'> = {
    client,
    as: account => client.as(`system:serviceaccount:kube-system:${account}`),
    running: informers.find,
    served: () => (served ??= followServedKinds(client, signal, log)),
    recorder(component) {
      const recorder = recorders.get(component) ?? eventRecorder(client, component, '', log)
      recorders.set(component, recorder)
      return recorder
    },
    metrics,
    log,
    signal,
    settings,
  }
  const all = which.flatMap(make => {
    const reads = new Set<Informer<any>>() // any: informers of several kinds
    let made = false
    const informer: ControllerContext['informer'] = (kind, selection) => {
      if (made) throw new Error(`the informer of ${kind.plural} is asked for too late for what reads it to be held back`)
      const one = informers.get(kind, selection)
      reads.add(one)
      return one
    }
    const options = [make({ ...context, informer })].flat()
    made = true
    return options.map(o => ({ ...o, reads }))
  })
  metrics.gauge('running_managed_controllers', '[ALPHA] Indicates where instances of a controller are currently running', () =>
    all.map(c => ({ labels: { name: c.name, manager: 'kube-controller-manager' }, value: 1 })),
  )
  log.info({ controllers: all.map(c => c.name) }, 'starting controllers')
  const began = performance.now()
  void Promise.all(all.flatMap(c => [...c.reads].map(i => i.synced))).then(() =>
    log.info({ ms: Math.round(performance.now() - began) }, 'the caches are filled'),
  )
  await Promise.all(all.map(c => runController(c, signal, queue => onQueue?.(queueNames[c.name] ?? c.name, queue))))
  await Promise.all([...recorders.values()].map(r => r.flush(500)))
}

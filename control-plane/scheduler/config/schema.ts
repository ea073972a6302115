/** kubescheduler.config.k8s.io/v1 KubeSchedulerConfiguration. https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/ */
import { typeMeta } from '#shared/api/meta/objectmeta.ts'
import { any, bool, bytes, duration, int32, int64, list, obj, opt, req, str, type Infer } from '#shared/machinery/schema.ts'
import { extensionPoints } from '../extensionpoints.ts'

const name = (kind: string): string => `io.k8s.kube-scheduler.config.v1.${kind}`

const plugin = obj(name('Plugin'), '', () => ({ name: req(1, str()), weight: opt(2, int32()) }))
const pluginSet = obj(name('PluginSet'), '', () => ({ enabled: opt(1, list(plugin)), disabled: opt(2, list(plugin)) }))
export type PluginSet = Infer<typeof pluginSet>
const plugins = obj(name('Plugins'), '', () => ({
  multiPoint: opt(1, pluginSet),
  ...(Object.fromEntries(Object.keys(extensionPoints).map((point, i) => [point, opt(i + 2, pluginSet)])) as Record<
    keyof typeof extensionPoints,
    ReturnType<typeof opt<typeof pluginSet>>
  >),
}))
export type Plugins = Infer<typeof plugins>
const pluginConfig = obj(name('PluginConfig'), '', () => ({ name: req(1, str()), args: opt(2, any()) }))
const profile = obj(name('KubeSchedulerProfile'), '', () => ({
  schedulerName: opt(1, str()),
  percentageOfNodesToScore: opt(2, int32()),
  plugins: opt(3, plugins),
  pluginConfig: opt(4, list(pluginConfig)),
}))
export type KubeSchedulerProfile = Infer<typeof profile>

const tlsConfig = obj(name('ExtenderTLSConfig'), '', () => ({
  insecure: opt(1, bool()),
  serverName: opt(2, str()),
  certFile: opt(3, str()),
  keyFile: opt(4, str()),
  caFile: opt(5, str()),
  certData: opt(6, bytes()),
  keyData: opt(7, bytes()),
  caData: opt(8, bytes()),
}))
const managedResource = obj(name('ExtenderManagedResource'), '', () => ({ name: req(1, str()), ignoredByScheduler: opt(2, bool()) }))
const extender = obj(name('Extender'), '', () => ({
  urlPrefix: req(1, str(), { default: '' }),
  filterVerb: opt(2, str()),
  preemptVerb: opt(3, str()),
  prioritizeVerb: opt(4, str()),
  weight: opt(5, int64()),
  bindVerb: opt(6, str()),
  enableHTTPS: opt(7, bool()),
  tlsConfig: opt(8, tlsConfig),
  httpTimeout: opt(9, duration()),
  nodeCacheCapable: opt(10, bool()),
  managedResources: opt(11, list(managedResource)),
  ignorable: opt(12, bool()),
}))
export type ExtenderConfig = Infer<typeof extender>

const leaderElection = obj('io.k8s.component-base.config.v1alpha1.LeaderElectionConfiguration', '', () => ({
  leaderElect: opt(1, bool()),
  leaseDuration: opt(2, duration()),
  renewDeadline: opt(3, duration()),
  retryPeriod: opt(4, duration()),
  resourceLock: opt(5, str()),
  resourceName: opt(6, str()),
  resourceNamespace: opt(7, str()),
}))
const clientConnection = obj('io.k8s.component-base.config.v1alpha1.ClientConnectionConfiguration', '', () => ({
  kubeconfig: opt(1, str()),
  acceptContentTypes: opt(2, str()),
  contentType: opt(3, str()),
  qps: opt(4, int32()),
  burst: opt(5, int32()),
}))
export const kubeSchedulerConfiguration = obj(name('KubeSchedulerConfiguration'), '', () => ({
  ...typeMeta(),
  parallelism: opt(1, int32()),
  leaderElection: opt(2, leaderElection),
  /** Of no use here: the scheduler has a connection to the bus. */
  clientConnection: opt(3, clientConnection),
  enableProfiling: opt(4, bool()),
  enableContentionProfiling: opt(5, bool()),
  percentageOfNodesToScore: opt(6, int32()),
  podInitialBackoffSeconds: opt(7, int64()),
  podMaxBackoffSeconds: opt(8, int64()),
  profiles: opt(9, list(profile)),
  extenders: opt(10, list(extender)),
  delayCacheUntilActive: opt(11, bool()),
}))
export type KubeSchedulerConfiguration = Infer<typeof kubeSchedulerConfiguration>

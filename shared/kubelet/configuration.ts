/**
 * kubelet.config.k8s.io/v1beta1 KubeletConfiguration: the file by which users of Kubernetes configure the kubelet. What of it changes
 * something here is typed; the rest of upstream's fields are known by name, and whoever reads the file is told that they do nothing.
 * https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
 */
import { isIPv4 } from 'node:net'
import { taint } from '../api/core/nodeschema.ts'
import { typeMeta } from '../api/meta/objectmeta.ts'
import type { ConfigKind } from '../component/configfile.ts'
import { parseDuration } from '../machinery/duration.ts'
import { Path, forbidden, invalid, notSupported, type FieldError } from '../machinery/field.ts'
import { normalQuantity, parseQuantity, quantityValue } from '../machinery/quantity.ts'
import { any, bool, duration, int32, int64, list, map, obj, opt, req, str, type Infer } from '../machinery/schema.ts'
import { imagePatternError } from './imagepatterns.ts'
import { defaultEvictionHard, parseThresholds, type Statements } from './thresholds.ts'

/** Upstream's fields that change nothing on a node of ours. */
const withoutEffect = (
  'enableServer syncFrequency fileCheckFrequency httpCheckFrequency staticPodURL staticPodURLHeader address port readOnlyPort tlsCertFile ' +
  'tlsPrivateKeyFile tlsCipherSuites tlsMinVersion tlsCurvePreferences rotateCertificates serverTLSBootstrap authentication authorization ' +
  'registryPullQPS registryBurst eventRecordQPS eventBurst enableDebuggingHandlers enableContentionProfiling healthzPort ' +
  'healthzBindAddress oomScoreAdj streamingConnectionIdleTimeout nodeStatusReportFrequency ' +
  'volumeStatsAggPeriod kubeletCgroups systemCgroups cgroupRoot cgroupsPerQOS ' +
  'cgroupDriver cpuManagerPolicy singleProcessOOMKill cpuManagerPolicyOptions cpuManagerReconcilePeriod memoryManagerPolicy ' +
  'topologyManagerPolicy topologyManagerScope topologyManagerPolicyOptions qosReserved runtimeRequestTimeout hairpinMode podCIDR ' +
  'runOnce cpuCFSQuota cpuCFSQuotaPeriod maxOpenFiles contentType kubeAPIQPS kubeAPIBurst enableControllerAttachDetach ' +
  'protectKernelDefaults makeIPTablesUtilChains iptablesMasqueradeBit iptablesDropBit featureGates failSwapOn memorySwap ' +
  'containerLogMaxWorkers containerLogMonitorInterval configMapAndSecretChangeDetectionStrategy ' +
  'systemReservedCgroup kubeReservedCgroup reservedSystemCPUs showHiddenMetricsForVersion volumePluginDir providerID ' +
  'kernelMemcgNotification logging enableSystemLogHandler enableSystemLogQuery reservedMemory enableProfilingHandler ' +
  'enableDebugFlagsHandler memoryThrottlingFactor registerNode tracing localStorageCapacityIsolation ' +
  'containerRuntimeEndpoint imageServiceEndpoint failCgroupV1 podLogsDir'
).split(' ')

const name = (kind: string): string => `io.k8s.kubelet.config.v1beta1.${kind}`
const gracePeriodByPriority = obj(name('ShutdownGracePeriodByPodPriority'), '', () => ({
  priority: req(1, int32()),
  shutdownGracePeriodSeconds: req(2, int64()),
}))
const crashLoopBackOff = obj(name('CrashLoopBackOffConfig'), '', () => ({ maxContainerRestartPeriod: opt(1, duration()) }))
const userNamespaces = obj(name('UserNamespaces'), '', () => ({ idsPerPod: opt(1, int64()) }))
const schema = obj(name('KubeletConfiguration'), '', () => ({
  ...typeMeta(),
  staticPodPath: opt(1, str()),
  clusterDomain: opt(2, str()),
  clusterDNS: opt(3, list(str())),
  resolvConf: opt(4, str()),
  nodeStatusUpdateFrequency: opt(5, duration()),
  nodeLeaseDurationSeconds: opt(6, int32()),
  maxPods: opt(7, int32()),
  podsPerCore: opt(8, int32()),
  podPidsLimit: opt(9, int64()),
  serializeImagePulls: opt(11, bool()),
  maxParallelImagePulls: opt(12, int32()),
  evictionHard: opt(13, map(str())),
  evictionSoft: opt(14, map(str())),
  evictionSoftGracePeriod: opt(15, map(str())),
  evictionPressureTransitionPeriod: opt(16, duration()),
  evictionMaxPodGracePeriod: opt(17, int32()),
  evictionMinimumReclaim: opt(18, map(str())),
  mergeDefaultEvictionSettings: opt(19, bool()),
  systemReserved: opt(20, map(str())),
  kubeReserved: opt(21, map(str())),
  enforceNodeAllocatable: opt(22, list(str())),
  allowedUnsafeSysctls: opt(23, list(str())),
  shutdownGracePeriod: opt(24, duration()),
  shutdownGracePeriodCriticalPods: opt(25, duration()),
  shutdownGracePeriodByPodPriority: opt(26, list(gracePeriodByPriority)),
  seccompDefault: opt(28, bool()),
  registerWithTaints: opt(27, list(taint)),
  imageMinimumGCAge: opt(60, duration()),
  imageMaximumGCAge: opt(61, duration()),
  imageGCHighThresholdPercent: opt(62, int32()),
  imageGCLowThresholdPercent: opt(63, int32()),
  nodeStatusMaxImages: opt(64, int32()),
  imagePullCredentialsVerificationPolicy: opt(65, str()),
  preloadedImagesVerificationAllowlist: opt(66, list(str())),
  containerLogMaxSize: opt(67, str()),
  containerLogMaxFiles: opt(68, int32()),
  crashLoopBackOff: opt(69, crashLoopBackOff),
  userNamespaces: opt(70, userNamespaces),
  ...(Object.fromEntries(withoutEffect.map((field, i) => [field, opt(100 + i, any())])) as Record<never, never>),
}))
export type KubeletConfiguration = Infer<typeof schema>

/** Users of a pod with `hostUsers: false` come in whole pieces of that many; so that some pods have some. */
const idsUnit = 65_536
const mostIds = 2 ** 24

const verificationPolicies = ['NeverVerify', 'NeverVerifyPreloadedImages', 'NeverVerifyAllowlistedImages', 'AlwaysVerify']

/** What can be set aside for the node's own programs. */
const reservable = ['cpu', 'memory', 'ephemeral-storage', 'pid']

export const kubeletConfiguration: ConfigKind<typeof schema> = {
  kind: 'KubeletConfiguration',
  apiVersion: 'kubelet.config.k8s.io/v1beta1',
  schema,
  validate,
}

/** The hard thresholds of a configuration that has some: they stand alone, unless the defaults are to be merged. */
export const hardThresholds = (c: KubeletConfiguration): Statements => ({
  ...(c.mergeDefaultEvictionSettings ? defaultEvictionHard : {}),
  ...c.evictionHard,
})

/** The fields that are set and do nothing. */
export const fieldsWithoutEffect = (c: KubeletConfiguration): string[] => withoutEffect.filter(field => Object.hasOwn(c, field))

function validate(c: KubeletConfiguration): FieldError[] {
  const at = (field: string): Path => new Path(field)
  const errors: FieldError[] = []
  const least = (field: keyof KubeletConfiguration, min: number, why: string): void => {
    const value = c[field] as number | undefined
    if (value !== undefined && value < min) errors.push(invalid(at(field), value, why))
  }
  least('maxPods', 0, 'must not be a negative number')
  least('podsPerCore', 0, 'must not be a negative number')
  least('nodeLeaseDurationSeconds', 1, 'must be greater than 0')
  least('podPidsLimit', -1, 'must be -1 or a positive number')
  least('maxParallelImagePulls', 1, 'must be a positive number')
  if (c.serializeImagePulls && (c.maxParallelImagePulls ?? 1) > 1)
    errors.push(
      invalid(
        at('maxParallelImagePulls'),
        c.maxParallelImagePulls,
        'cannot be larger than 1 unless SerializeImagePulls (--serialize-image-pulls) set to false',
      ),
    )
  const ms = (
    field:
      | 'shutdownGracePeriod'
      | 'shutdownGracePeriodCriticalPods'
      | 'evictionPressureTransitionPeriod'
      | 'nodeStatusUpdateFrequency'
      | 'imageMinimumGCAge'
      | 'imageMaximumGCAge',
  ): number => {
    const value = c[field] === undefined ? 0 : parseDuration(c[field])
    if (value === undefined || value < 0) errors.push(invalid(at(field), c[field], 'must be a duration that is not negative, as 1m30s'))
    return value ?? 0
  }
  ms('evictionPressureTransitionPeriod')
  ms('nodeStatusUpdateFrequency')
  for (const field of ['imageGCHighThresholdPercent', 'imageGCLowThresholdPercent'] as const)
    if (c[field] !== undefined && (c[field] < 0 || c[field] > 100))
      errors.push(invalid(at(field), c[field], 'must be between 0 and 100, inclusive'))
  const { imageGCHighThresholdPercent: high = 85, imageGCLowThresholdPercent: low = 80 } = c
  if (low >= high)
    errors.push(
      invalid(at('imageGCLowThresholdPercent'), low, `must be less than imageGCHighThresholdPercent (--image-gc-high-threshold) ${high}`),
    )
  const [youngest, oldest] = [ms('imageMinimumGCAge'), ms('imageMaximumGCAge')]
  if (oldest > 0 && oldest <= youngest)
    errors.push(invalid(at('imageMaximumGCAge'), c.imageMaximumGCAge, 'must be greater than imageMinimumGCAge'))
  const { idsPerPod = idsUnit } = c.userNamespaces ?? {}
  if (idsPerPod < idsUnit || idsPerPod > mostIds || idsPerPod % idsUnit !== 0)
    errors.push(
      invalid(at('userNamespaces').child('idsPerPod'), idsPerPod, `must be a multiple of ${idsUnit}, and not greater than ${mostIds}`),
    )
  least('nodeStatusMaxImages', -1, 'must be -1 or greater')
  if (c.imagePullCredentialsVerificationPolicy && !verificationPolicies.includes(c.imagePullCredentialsVerificationPolicy))
    errors.push(notSupported(at('imagePullCredentialsVerificationPolicy'), c.imagePullCredentialsVerificationPolicy, verificationPolicies))
  if (c.preloadedImagesVerificationAllowlist?.length && c.imagePullCredentialsVerificationPolicy !== 'NeverVerifyAllowlistedImages')
    errors.push(
      forbidden(
        at('preloadedImagesVerificationAllowlist'),
        'can only be set if imagePullCredentialsVerificationPolicy is NeverVerifyAllowlistedImages',
      ),
    )
  c.preloadedImagesVerificationAllowlist?.forEach((pattern, i) => {
    const wrong = imagePatternError(pattern)
    if (wrong !== undefined) errors.push(invalid(at('preloadedImagesVerificationAllowlist').index(i), pattern, wrong))
  })
  const [all, critical] = [ms('shutdownGracePeriod'), ms('shutdownGracePeriodCriticalPods')]
  if (critical > all)
    errors.push(invalid(at('shutdownGracePeriodCriticalPods'), c.shutdownGracePeriodCriticalPods, 'must be <= shutdownGracePeriod'))
  for (const [field, value] of [
    ['shutdownGracePeriod', all],
    ['shutdownGracePeriodCriticalPods', critical],
  ] as const)
    if (value > 0 && value < 1000) errors.push(invalid(at(field), c[field], 'must be either zero or otherwise >= 1 sec'))
  if (c.shutdownGracePeriodByPodPriority?.length && (all > 0 || critical > 0))
    errors.push(
      forbidden(
        at('shutdownGracePeriodByPodPriority'),
        'cannot be specified together with shutdownGracePeriod or shutdownGracePeriodCriticalPods',
      ),
    )
  c.shutdownGracePeriodByPodPriority?.forEach(({ shutdownGracePeriodSeconds }, i) => {
    if (shutdownGracePeriodSeconds < 0)
      errors.push(
        invalid(
          at('shutdownGracePeriodByPodPriority').index(i).child('shutdownGracePeriodSeconds'),
          shutdownGracePeriodSeconds,
          'must not be negative',
        ),
      )
  })
  for (const field of ['systemReserved', 'kubeReserved'] as const)
    for (const [resource, quantity] of Object.entries(c[field] ?? {})) {
      if (!reservable.includes(resource)) errors.push(notSupported(at(field).key(resource), resource, reservable))
      else if (normalQuantity(quantity) === undefined) errors.push(invalid(at(field).key(resource), quantity, 'must be a quantity'))
      else if (parseQuantity(quantity).nanos < 0n) errors.push(invalid(at(field).key(resource), quantity, 'must not be negative'))
    }
  least('containerLogMaxFiles', 2, 'must be greater than 1')
  if (
    c.containerLogMaxSize !== undefined &&
    (normalQuantity(c.containerLogMaxSize) === undefined || quantityValue(c.containerLogMaxSize) <= 0)
  )
    errors.push(invalid(at('containerLogMaxSize'), c.containerLogMaxSize, 'must be a quantity greater than 0'))
  const { maxContainerRestartPeriod: restart } = c.crashLoopBackOff ?? {}
  const restartMs = restart === undefined ? 1000 : parseDuration(restart)
  if (restartMs === undefined || restartMs < 1000 || restartMs > 300_000)
    errors.push(invalid(at('crashLoopBackOff').child('maxContainerRestartPeriod'), restart, 'must be set between 1s and 5m0s'))
  c.enforceNodeAllocatable?.forEach((what, i) => {
    // What the node's own programs use is not in control groups of its own.
    if (!['pods', 'none'].includes(what)) errors.push(notSupported(at('enforceNodeAllocatable').index(i), what, ['none', 'pods']))
    if (what === 'none' && c.enforceNodeAllocatable!.length > 1)
      errors.push(invalid(at('enforceNodeAllocatable'), c.enforceNodeAllocatable, 'none cannot be used together with others'))
  })
  c.clusterDNS?.forEach((address, i) => {
    if (!isIPv4(address)) errors.push(invalid(at('clusterDNS').index(i), address, 'must be an IPv4 address'))
  })
  for (const field of ['staticPodPath', 'resolvConf'] as const)
    if (c[field] !== undefined && !c[field].startsWith('/')) errors.push(invalid(at(field), c[field], 'must be an absolute path'))
  try {
    parseThresholds({
      hard: c.evictionHard,
      soft: c.evictionSoft,
      softGracePeriod: c.evictionSoftGracePeriod,
      minimumReclaim: c.evictionMinimumReclaim,
    })
  } catch (e) {
    errors.push(
      invalid(
        at('evictionHard'),
        [c.evictionHard, c.evictionSoft, c.evictionSoftGracePeriod, c.evictionMinimumReclaim].find(Boolean),
        (e as Error).message,
      ),
    )
  }
  return errors
}

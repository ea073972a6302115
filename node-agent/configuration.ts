/** What a KubeletConfiguration says, as options of the node-agent. */
import { readConfigFile } from '#shared/component/configfile.ts'
import { fieldsWithoutEffect, hardThresholds, kubeletConfiguration } from '#shared/kubelet/configuration.ts'
import { parseDuration } from '#shared/machinery/duration.ts'
import { quantityValue } from '#shared/machinery/quantity.ts'
import type { VerificationPolicy } from './kubelet/images/pullrecords.ts'
import { sysctlPatternError } from './kubelet/pod/sysctls.ts'
import type { NodeAgentOptions } from './options.ts'

const ms = (text: string | undefined): number | undefined => (text === undefined ? undefined : parseDuration(text))

/** Reads the file. What it says nothing of is absent. Rejects with one line that names the file. */
export async function readConfiguration(
  file: string,
): Promise<Partial<Omit<NodeAgentOptions, 'thresholds'>> & Pick<NodeAgentOptions, 'withoutEffect'>> {
  const c = await readConfigFile(file, kubeletConfiguration)
  const unsafe = c.allowedUnsafeSysctls?.flatMap(name => sysctlPatternError(name) ?? []) ?? []
  if (unsafe.length > 0) throw new Error(`allowedUnsafeSysctls: ${unsafe.join('; ')}: from file ${file}`)
  const pulls =
    c.serializeImagePulls === false ? (c.maxParallelImagePulls ?? Infinity) : c.serializeImagePulls ? 1 : c.maxParallelImagePulls
  const said = {
    podManifestPath: c.staticPodPath,
    clusterDomain: c.clusterDomain,
    clusterDns: c.clusterDNS,
    resolvConf: c.resolvConf,
    nodeStatusUpdateFrequency: ms(c.nodeStatusUpdateFrequency),
    nodeLeaseDurationSeconds: c.nodeLeaseDurationSeconds,
    maxPods: c.maxPods,
    podsPerCore: c.podsPerCore,
    podMaxPids: c.podPidsLimit,
    maxParallelImagePulls: pulls,
    imageGcHighThreshold: c.imageGCHighThresholdPercent,
    imageGcLowThreshold: c.imageGCLowThresholdPercent,
    minimumImageTtlDuration: ms(c.imageMinimumGCAge),
    imageMaximumGCAge: ms(c.imageMaximumGCAge),
    nodeStatusMaxImages: c.nodeStatusMaxImages,
    imagePullCredentialsVerificationPolicy: c.imagePullCredentialsVerificationPolicy as VerificationPolicy | undefined,
    preloadedImagesVerificationAllowlist: c.preloadedImagesVerificationAllowlist,
    evictionHard: c.evictionHard && hardThresholds(c),
    evictionSoft: c.evictionSoft,
    evictionSoftGracePeriod: c.evictionSoftGracePeriod,
    evictionMinimumReclaim: c.evictionMinimumReclaim,
    evictionPressureTransitionPeriod: ms(c.evictionPressureTransitionPeriod),
    evictionMaxPodGracePeriod: c.evictionMaxPodGracePeriod,
    kubeReserved: c.kubeReserved,
    systemReserved: c.systemReserved,
    enforceNodeAllocatable: c.enforceNodeAllocatable,
    allowedUnsafeSysctls: c.allowedUnsafeSysctls,
    seccompDefault: c.seccompDefault,
    idsPerPod: c.userNamespaces?.idsPerPod,
    registerWithTaints: c.registerWithTaints,
    shutdownGracePeriod: ms(c.shutdownGracePeriod),
    shutdownGracePeriodCriticalPods: ms(c.shutdownGracePeriodCriticalPods),
    shutdownGracePeriodByPodPriority: c.shutdownGracePeriodByPodPriority,
    containerLogMaxBytes: c.containerLogMaxSize === undefined ? undefined : quantityValue(c.containerLogMaxSize),
    containerLogMaxFiles: c.containerLogMaxFiles,
    maxContainerRestartPeriod: ms(c.crashLoopBackOff?.maxContainerRestartPeriod),
  }
  return {
    ...(Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined)) as Partial<
      Omit<NodeAgentOptions, 'thresholds'>
    >),
    withoutEffect: fieldsWithoutEffect(c),
  }
}

/** /configz: what this kubelet was told, in the fields of upstream's KubeletConfiguration (kubelet.config.k8s.io/v1beta1). */
import { durationText } from '#shared/machinery/duration.ts'
import type { NodeAgentOptions } from '../../options.ts'
import { crashLoop } from '../container/backoff.ts'
import { defaultLogLimits } from '../logs/rotate.ts'

export function kubeletConfiguration(o: NodeAgentOptions, staticPodPath: string | undefined): object {
  return {
    ...(staticPodPath === undefined ? {} : { staticPodPath }),
    address: '0.0.0.0',
    port: 10_250,
    healthzPort: 10_248,
    healthzBindAddress: '127.0.0.1',
    clusterDomain: o.clusterDomain,
    clusterDNS: o.clusterDns,
    nodeStatusUpdateFrequency: durationText(o.nodeStatusUpdateFrequency),
    nodeLeaseDurationSeconds: o.nodeLeaseDurationSeconds,
    cgroupRoot: o.cgroupRoot,
    cgroupDriver: 'cgroupfs',
    hairpinMode: 'promiscuous-bridge',
    maxPods: o.maxPods,
    podCIDR: o.podCidr,
    podPidsLimit: o.podMaxPids,
    resolvConf: o.resolvConf,
    serializeImagePulls: o.maxParallelImagePulls === 1,
    maxParallelImagePulls: o.maxParallelImagePulls,
    ...Object.fromEntries(
      (['evictionHard', 'evictionSoft', 'evictionSoftGracePeriod', 'evictionMinimumReclaim', 'kubeReserved', 'systemReserved'] as const)
        .filter(name => Object.keys(o[name]).length > 0)
        .map(name => [name, o[name]]),
    ),
    evictionMaxPodGracePeriod: o.evictionMaxPodGracePeriod,
    enforceNodeAllocatable: o.enforceNodeAllocatable,
    evictionPressureTransitionPeriod: durationText(o.evictionPressureTransitionPeriod),
    containerLogMaxSize: `${(o.containerLogMaxBytes ?? defaultLogLimits.maxBytes) / 2 ** 20}Mi`,
    containerLogMaxFiles: o.containerLogMaxFiles ?? defaultLogLimits.maxFiles,
    crashLoopBackOff: { maxContainerRestartPeriod: durationText(o.maxContainerRestartPeriod ?? crashLoop.maxMs) },
    shutdownGracePeriod: durationText(o.shutdownGracePeriod),
    shutdownGracePeriodCriticalPods: durationText(o.shutdownGracePeriodCriticalPods),
    userNamespaces: { idsPerPod: o.idsPerPod },
    enableServer: true,
    enableSystemLogHandler: true,
    registerNode: true,
    rotateCertificates: true,
  }
}

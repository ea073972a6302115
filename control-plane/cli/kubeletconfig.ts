/** The KubeletConfiguration that `cox up --kubelet-config` names, as far as the cluster must know of it. */
import { readConfigFile } from '#shared/component/configfile.ts'
import { kubeletConfiguration, type KubeletConfiguration } from '#shared/kubelet/configuration.ts'
import { parseDuration } from '#shared/machinery/duration.ts'

/** Rejects with one line that names the file and what is wrong with it: every node would end with that. */
export const readKubeletConfig = (file: string): Promise<KubeletConfiguration> => readConfigFile(file, kubeletConfiguration)

/** How long pods have in all when a node shuts down. */
export const shutdownSeconds = (c: KubeletConfiguration): number =>
  c.shutdownGracePeriodByPodPriority?.reduce((sum, p) => sum + p.shutdownGracePeriodSeconds, 0) ??
  Math.ceil((parseDuration(c.shutdownGracePeriod ?? '0s') ?? 0) / 1000)

/** kube-controller-manager: the process. */
import { readFile } from 'node:fs/promises'
import { isIPv4 } from 'node:net'
import * as z from 'zod'
import { queueMetrics } from '#shared/client/queuemetrics.ts'
import { electedFlags, runElected } from '#shared/component/elected.ts'
import { servingFlags } from '#shared/component/serving.ts'
import { boolFlag, durationFlag, intFlag, parseFlags } from '#shared/component/flags.ts'
import { authorities } from './certificates/authorities.ts'
import { chosen, defaultSettings, runControllers } from './controllers.ts'
import { metricsServerFlags, runMetrics } from './metrics.ts'

const component = 'kube-controller-manager'
/** Names of controllers, separated by commas. */
const chosenFlag = () =>
  z
    .string()
    .default('*')
    .transform((text, ctx) => {
      try {
        return chosen(text.split(',').filter(Boolean))
      } catch (e) {
        ctx.addIssue({ code: 'custom', message: (e as Error).message })
        return z.NEVER
      }
    })
const flags = parseFlags(
  component,
  z.object({
    ...electedFlags,
    ...servingFlags(10_257),
    ...metricsServerFlags,
    rootCaFile: z.string().optional(),
    serviceAccountPrivateKeyFile: z.string().optional(),
    clusterSigningCertFile: z.string().optional(),
    clusterSigningKeyFile: z.string().optional(),
    /** Authorities of single signers, in place of the common one. */
    clusterSigningKubeletServingCertFile: z.string().optional(),
    clusterSigningKubeletServingKeyFile: z.string().optional(),
    clusterSigningKubeletClientCertFile: z.string().optional(),
    clusterSigningKubeletClientKeyFile: z.string().optional(),
    clusterSigningKubeApiserverClientCertFile: z.string().optional(),
    clusterSigningKubeApiserverClientKeyFile: z.string().optional(),
    clusterSigningLegacyUnknownCertFile: z.string().optional(),
    clusterSigningLegacyUnknownKeyFile: z.string().optional(),
    /** What signs the NATS users of nodes, JSON. */
    clusterSigningNatsFile: z.string().optional(),
    clusterSigningDuration: durationFlag().default(defaultSettings.signing.lifeMs),
    legacyServiceAccountTokenCleanUpPeriod: durationFlag().default(defaultSettings.legacyTokenCleanUpMs),
    /** The address of kube-dns, when the nodes answer the cluster's names. */
    clusterDns: z.string().refine(isIPv4, 'must be an IPv4 address').default(''),
    /** Whether nodes that have none are given ranges for their pods, and from which. */
    allocateNodeCidrs: boolFlag().default(false),
    clusterCidr: z.union([z.cidrv4(), z.literal('')]).default(''),
    nodeCidrMaskSize: intFlag().default(24),
    localStorageClass: z.string().default(''),
    /** How long a kubelet that is not healthy has to let go of a volume before it is detached all the same. Upstream's is a constant. */
    attachDetachMaxWaitForUnmount: durationFlag().default(defaultSettings.forceDetachMs),
    disableForceDetachOnTimeout: boolFlag().default(false),
    nodeMonitorGracePeriod: durationFlag().default(50_000),
    nodeMonitorPeriod: durationFlag().default(5_000),
    terminatedPodGcThreshold: intFlag().default(12_500),
    controllers: chosenFlag(),
    horizontalPodAutoscalerSyncPeriod: durationFlag().default(defaultSettings.autoscaling.syncMs),
    horizontalPodAutoscalerDownscaleStabilization: durationFlag().default(defaultSettings.autoscaling.downscaleMs),
    horizontalPodAutoscalerTolerance: z.coerce.number().nonnegative().default(defaultSettings.autoscaling.tolerance),
    horizontalPodAutoscalerCpuInitializationPeriod: durationFlag().default(defaultSettings.autoscaling.cpuInitializationMs),
    horizontalPodAutoscalerInitialReadinessDelay: durationFlag().default(defaultSettings.autoscaling.initialReadinessMs),
    concurrentHorizontalPodAutoscalerSyncs: intFlag().default(defaultSettings.autoscaling.workers),
  }),
)

const nodeSignerSchema = z.object({ account: z.string(), signer: z.string() }).nullable()
const contents = async (file: string | undefined): Promise<string> => (file ? readFile(file, 'utf8') : '')

await runElected(component, flags, async (client, signal, log, metrics) => {
  const settings = {
    ...defaultSettings,
    rootCa: await contents(flags.rootCaFile),
    serviceAccountKey: await contents(flags.serviceAccountPrivateKeyFile),
    signing: {
      ...(await authorities(flags)),
      lifeMs: flags.clusterSigningDuration,
      nodes: nodeSignerSchema.parse(JSON.parse((await contents(flags.clusterSigningNatsFile)) || 'null')) ?? undefined,
    },
    legacyTokenCleanUpMs: flags.legacyServiceAccountTokenCleanUpPeriod,
    clusterDns: flags.clusterDns,
    nodeIpam: { clusterCIDR: flags.allocateNodeCidrs ? flags.clusterCidr : '', maskSize: flags.nodeCidrMaskSize },
    localStorageClass: flags.localStorageClass,
    forceDetachMs: flags.disableForceDetachOnTimeout ? Infinity : flags.attachDetachMaxWaitForUnmount,
    autoscaling: {
      syncMs: flags.horizontalPodAutoscalerSyncPeriod,
      workers: flags.concurrentHorizontalPodAutoscalerSyncs,
      downscaleMs: flags.horizontalPodAutoscalerDownscaleStabilization,
      tolerance: flags.horizontalPodAutoscalerTolerance,
      cpuInitializationMs: flags.horizontalPodAutoscalerCpuInitializationPeriod,
      initialReadinessMs: flags.horizontalPodAutoscalerInitialReadinessDelay,
    },
    nodeMonitorGracePeriodMs: flags.nodeMonitorGracePeriod,
    nodeMonitorPeriodMs: flags.nodeMonitorPeriod,
    terminatedPodThreshold: flags.terminatedPodGcThreshold,
  }
  await Promise.all([
    runControllers(client, settings, signal, log, { which: flags.controllers, onQueue: queueMetrics(metrics), registry: metrics }),
    runMetrics(flags, client, signal, log),
  ])
})

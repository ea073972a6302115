/** What every controller is given. */
import type { NodeSigner } from '#shared/bus/credentials.ts'
import type { Client } from '#shared/client/client.ts'
import type { ControllerOptions } from '#shared/client/controller.ts'
import type { EventRecorder } from '#shared/client/events.ts'
import type { SharedInformers } from '#shared/client/sharedinformers.ts'
import type { ComponentMetrics } from '#shared/component/counts.ts'
import type { Logger } from '#shared/component/log.ts'
import type { ServedKinds } from './servedkinds.ts'

export interface ControllerContext {
  /** As the controller manager itself, whose user may list and watch everything and change little. */
  readonly client: Client
  /** As the user of a service account in kube-system, which may do what the role `system:controller:<account>` says. */
  readonly as: (account: string) => Client
  /**
   * The shared informer of a kind, started when first asked for. Ask while the controller is made: the runtime holds a key back until each
   * informer that was asked for has seen what was written for it.
   */
  readonly informer: SharedInformers['get']
  /** The informer of all objects of a kind, if a controller asked for it. Nothing is held back for it. */
  readonly running: SharedInformers['find']
  /** Which kinds the API serves; followed from when a controller first asks. */
  readonly served: () => ServedKinds
  /** A recorder whose events name `component` as their source. */
  readonly recorder: (component: string) => EventRecorder
  /** What controllers count, by upstream's names. */
  readonly metrics: ComponentMetrics
  readonly log: Logger
  /** Aborts when this process may no longer act as the leader. */
  readonly signal: AbortSignal
  readonly settings: Settings
}
/** A certificate authority in PEM. */
export interface Authority {
  readonly cert: string
  readonly key: string
}

export interface SigningSettings {
  /** Signs for the signers that have none of their own; empty for none. */
  readonly cert: string
  readonly key: string
  /** By signer, `kubernetes.io/kubelet-serving`. */
  readonly authorities?: Readonly<Record<string, Authority>>
  /** How long certificates live at most, ms. */
  readonly lifeMs: number
  /** Signs the NATS users of nodes. */
  readonly nodes?: NodeSigner | undefined
}

export interface AutoscalingSettings {
  /** How often an autoscaler is looked at. */
  readonly syncMs: number
  readonly workers: number
  /** For how long a wish for more keeps the number of pods from shrinking, where an autoscaler does not say. */
  readonly downscaleMs: number
  /** How far from 1 the ratio of use to target may be before anything is done. */
  readonly tolerance: number
  readonly cpuInitializationMs: number
  readonly initialReadinessMs: number
}

export interface Settings {
  readonly autoscaling: AutoscalingSettings
  /** The cluster's certificate authority in PEM, published to every namespace; empty for none. */
  readonly rootCa: string
  /** The private key in PEM that signs tokens in Secrets; empty for none. */
  readonly serviceAccountKey: string
  readonly signing: SigningSettings
  /** Tokens in Secrets that nobody used for so long end. */
  readonly legacyTokenCleanUpMs: number
  /** The address of the Service that answers the cluster's names; empty for none. */
  readonly clusterDns: string
  /** From which range nodes get those of their pods, each of `maskSize` bits; no range for none. */
  readonly nodeIpam: { readonly clusterCIDR: string; readonly maskSize: number }
  /** The storage class of directories of nodes, made once and marked as the default; empty for none. */
  readonly localStorageClass: string
  /** After how long without a word of a driver's attacher pods are told of it. */
  readonly attachTimeoutMs: number
  /** After how long a driver is asked again for what it has refused for good. */
  readonly refusedRetryMs: number
  /** How long a kubelet that is not healthy has to let go of a volume that no pod uses; Infinity for ever. */
  readonly forceDetachMs: number
  readonly nodeMonitorGracePeriodMs: number
  readonly nodeMonitorPeriodMs: number
  /** Pods that ended are kept up to this number; 0 keeps all. */
  readonly terminatedPodThreshold: number
  /** A node's absence is believed after this long. */
  readonly podQuarantineMs: number
}

/** Makes a controller; several when one subject needs several queues. */
export type NewController = (context: ControllerContext) => ControllerOptions | ControllerOptions[]

/** What every controller is given. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { Client } from '#shared/client/client.ts'
import type { ControllerOptions } from '#shared/client/controller.ts'
import type { EventRecorder } from '#shared/client/events.ts'
import type { Informer } from '#shared/client/informer.ts'
import type { Logger } from '#shared/component/log.ts'

export interface ControllerContext {
  readonly client: Client
  /** The shared informer of a kind, started when first asked for. */
  readonly informer: <T extends KubeObject>(kind: Kind<T>) => Informer<T>
  /** A recorder whose events name `component` as their source. */
  readonly recorder: (component: string) => EventRecorder
  readonly log: Logger
  /** Aborts when this process may no longer act as the leader. */
  readonly signal: AbortSignal
  readonly settings: Settings
}
export interface Settings {
  /** The cluster's certificate authority in PEM, published to every namespace; empty for none. */
  readonly rootCa: string
  readonly nodeMonitorGracePeriodMs: number
  readonly nodeMonitorPeriodMs: number
  /** Pods that ended are kept up to this number; 0 keeps all. */
  readonly terminatedPodThreshold: number
  /** A node's absence is believed after this long. */
  readonly podQuarantineMs: number
}

/** Makes a controller; several when one subject needs several queues. */
export type NewController = (context: ControllerContext) => ControllerOptions | ControllerOptions[]

/** What every controller of a cloud is given. */
import type { Client } from '#shared/client/client.ts'
import type { ControllerOptions } from '#shared/client/controller.ts'
import type { EventRecorder } from '#shared/client/events.ts'
import type { SharedInformers } from '#shared/client/sharedinformers.ts'
import type { ComponentMetrics } from '#shared/component/counts.ts'
import type { Logger } from '#shared/component/log.ts'
import type { Cloud } from './cloud.ts'

export interface CloudContext {
  readonly cloud: Cloud
  readonly client: Client
  readonly informer: SharedInformers['get']
  /** A recorder whose events name `component` as their source. */
  readonly recorder: (component: string) => EventRecorder
  readonly metrics: ComponentMetrics
  readonly log: Logger
  /** Aborts when this process may no longer act as the leader. */
  readonly signal: AbortSignal
}
export type NewCloudController = (context: CloudContext) => ControllerOptions

/** What webhook plugins work with. */
import type { Logger } from '#shared/component/log.ts'
import type { Authorizer } from '../../authz/authorizer.ts'
import type { Registry } from '../../registry/registry.ts'
import type { Serving } from '../../surface.ts'
import type { Webhooks } from '../../webhook/clients.ts'
import type { WebhookMetrics } from './metrics.ts'

export interface Parts {
  readonly registry: Registry
  readonly serving: () => Serving
  readonly webhooks: Webhooks
  /** For match conditions. */
  readonly authorizer: Authorizer
  readonly metrics: WebhookMetrics
  readonly log: Logger
}

/** The controller of replication controllers. */
import { replicationControllers } from '#shared/api/kinds.ts'
import type { NewController } from '../context.ts'
import { keepReplicas } from './replicas.ts'

export const replicationManager: NewController = ctx =>
  keepReplicas(ctx, replicationControllers, 'replication-controller', rc => ({ matchLabels: rc.spec.selector }), false)

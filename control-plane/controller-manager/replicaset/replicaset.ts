/** The controller of replica sets. */
import { replicaSets } from '#shared/api/kinds.ts'
import type { NewController } from '../context.ts'
import { keepReplicas } from './replicas.ts'

export const replicaSetController: NewController = ctx =>
  keepReplicas(ctx, replicaSets, 'replicaset-controller', rs => rs.spec.selector, true)

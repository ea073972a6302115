/** Sees to it that every namespace has its `default` service account. pkg/controller/serviceaccount */
import { serviceAccounts } from '#shared/api/kinds.ts'
import type { NewController } from './context.ts'
import { inEveryNamespace } from './everynamespace.ts'

export const serviceAccountController: NewController = ctx =>
  inEveryNamespace(ctx, 'serviceaccount-controller', 'service-account-controller', serviceAccounts, 'default', current =>
    current ? undefined : { metadata: {} },
  )

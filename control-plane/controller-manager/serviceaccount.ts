/** Sees to it that every namespace has its `default` service account. pkg/controller/serviceaccount */
import { namespaces, serviceAccounts } from '#shared/api/kinds.ts'
import type { ServiceAccount } from '#shared/api/core/serviceaccount.ts'
import { source, splitKey } from '#shared/client/controller.ts'
import { isStatus } from '#shared/machinery/status.ts'
import type { NewController } from './context.ts'
import { namespaceTerminating } from './replicaset/pod-control.ts'

export const serviceAccountController: NewController = ctx => {
  const all = ctx.informer(namespaces)
  const accounts = ctx.informer(serviceAccounts)
  return {
    name: 'serviceaccount-controller',
    client: ctx.client,
    workers: 2,
    sources: [
      source(all, e => (e.type === 'DELETED' ? [] : [`/${e.object.metadata.name}`])),
      source(accounts, e => (e.type === 'DELETED' && e.object.metadata.name === 'default' ? [`/${e.object.metadata.namespace}`] : [])),
    ],
    async reconcile(key, client) {
      const [, namespace] = splitKey(key)
      if (all.get('', namespace)?.status?.phase !== 'Active' || accounts.get(namespace, 'default')) return
      try {
        await client.create(serviceAccounts, namespace, { metadata: { name: 'default', namespace } } as ServiceAccount)
      } catch (e) {
        if (!isStatus(e, 'AlreadyExists') && !namespaceTerminating(e)) throw e
      }
    },
    log: ctx.log,
  }
}

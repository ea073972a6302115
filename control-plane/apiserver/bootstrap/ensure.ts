/** How the server itself writes what every cluster has. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { isAlreadyExists } from '#shared/machinery/status.ts'
import { toStored } from '../objects/body.ts'
import { createObject } from '../objects/create.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import type { Store, Writer } from '../objects/store.ts'

/** The server itself as a writer. */
export const self: Writer = {
  user: { name: 'system:apiserver', groups: ['system:masters'] },
  dryRun: false,
  fieldManager: 'kube-apiserver',
  subresource: '',
  own: true,
}

/**
 * Creates an object unless there is one, or another API server makes it first: what that has taken for it (an address) may be what fails
 * here.
 */
export async function ensure(store: Store, endpoint: Endpoint, namespace: string, object: KubeObject): Promise<void> {
  try {
    await createObject(store, endpoint, namespace, await toStored(endpoint, object), self)
  } catch (e) {
    if (isAlreadyExists(e)) return
    await store.registry.fresh()
    if (!store.registry.get(endpoint.table, namespace, object.metadata.name ?? '')) throw e
  }
}

/** Objects that every cluster has: made when they are missing, by whichever API server comes first. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Logger } from '#shared/component/log.ts'
import { isAlreadyExists } from '#shared/machinery/status.ts'
import type { ApiServerOptions } from '../options.ts'
import { toStored } from '../rest/body.ts'
import { createObject } from '../rest/create.ts'
import type { Endpoint } from '../rest/endpoint.ts'
import type { Store, Writer } from '../rest/store.ts'
import { keepEndpoints, kubernetesService } from './kubernetes.ts'

export interface BootstrapParts {
  readonly store: Store
  readonly endpoints: ReadonlyMap<string, Endpoint>
  readonly options: ApiServerOptions
  /** Where HTTPS is served. */
  readonly port: number
  readonly log: Logger
}

/** The server itself as a writer. */
export const self: Writer = { user: { name: 'system:apiserver', groups: ['system:masters'] }, dryRun: false, fieldManager: 'kube-apiserver', subresource: '' }
const namespaceNames = ['default', 'kube-system', 'kube-public', 'kube-node-lease']

/** Resolves when the namespaces and the Service are there, with how to stop what goes on. */
export async function bootstrap(parts: BootstrapParts): Promise<() => Promise<void>> {
  const { store, endpoints } = parts
  const namespaces = endpoints.get('/v1/namespaces')!
  await Promise.all(
    namespaceNames.map(async name => {
      if (store.registry.get(namespaces.table, '', name)) return
      await ensure(store, namespaces, '', { kind: 'Namespace', apiVersion: 'v1', metadata: { name } })
    }),
  )
  await kubernetesService(parts)
  return keepEndpoints(parts)
}

/** Creates an object unless there is one. */
export async function ensure(store: Store, endpoint: Endpoint, namespace: string, object: KubeObject): Promise<void> {
  try {
    await createObject(store, endpoint, namespace, toStored(endpoint, object), self)
  } catch (e) {
    if (!isAlreadyExists(e)) throw e
  }
}

/** Empties a kind whose definition is deleted, then lets the definition go (k8s.io/apiextensions-apiserver/pkg/controller/finalizer). */
import { cleanupFinalizer, type CustomResourceDefinition } from '#shared/api/apiextensions/customresourcedefinition.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Resource } from '#shared/api/resource.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { self } from '../bootstrap/ensure.ts'
import { deleteObject } from '../objects/delete.ts'
import { endpointsOf, type Endpoint } from '../objects/endpoint.ts'
import type { Store } from '../objects/store.ts'
import type { Stored } from '../registry/registry.ts'
import { conditionOf, hasCondition, setCondition } from './status.ts'

export interface Cleanup {
  readonly store: Store
  /** The kind, when it is served. */
  readonly resource: Resource | undefined
  /** Writes the definition, changed, in place of what is stored. */
  readonly write: (change: (object: KubeObject) => void) => Promise<unknown>
}

const inProgress = 'InstanceDeletionInProgress'

/**
 * One round, for a definition that is being deleted. Resolves when it was written, or when it must wait for objects of the kind that have
 * finalizers, `true` then. Objects without them are gone.
 */
export async function cleanUp(stored: Stored, { store, resource, write }: Cleanup): Promise<boolean> {
  const d = stored.object as CustomResourceDefinition
  if (!hasCondition(d, 'Established')) {
    await write(finish('NeverEstablished', 'resource was never established'))
    return false
  }
  if (!resource) {
    await write(finish('OverlappingBuiltInResource', 'instances overlap with built-in resources in storage'))
    return false
  }
  if (conditionOf(d, 'Terminating')?.reason !== inProgress) {
    // When it is written no API server takes new objects any more; then this is called again.
    await write(object => terminating(object, 'True', inProgress, 'CustomResource deletion is in progress'))
    return false
  }
  const endpoint = endpointOfAll(resource)
  await removeAll(store, endpoint)
  await store.registry.fresh()
  if (store.registry.count(endpoint.table) > 0) return true
  await write(finish('InstanceDeletionCompleted', 'removed all instances'))
  return false
}

const terminating = (object: KubeObject, status: string, reason: string, message: string): void =>
  setCondition(((object as CustomResourceDefinition).status ??= {}), { type: 'Terminating', status, reason, message })

const finish =
  (reason: string, message: string) =>
  (object: KubeObject): void => {
    terminating(object, 'False', reason, message)
    object.metadata.finalizers = object.metadata.finalizers?.filter(f => f !== cleanupFinalizer)
  }

/** Of the hub form, whatever versions are served. */
function endpointOfAll({ versions = [], ...resource }: Resource): Endpoint {
  const others = [...versions, ...(resource.formerVersions ?? [])].filter(v => v.version !== resource.version)
  return endpointsOf({ ...resource, formerVersions: others })[0]!
}

const workers = 16

async function removeAll(store: Store, endpoint: Endpoint): Promise<void> {
  await store.registry.fresh()
  const queue = store.registry.list(endpoint.table).values()
  const work = async (): Promise<void> => {
    for (const { namespace, name, object } of queue) {
      if (object.metadata.deletionTimestamp !== undefined) continue
      await deleteObject(store, endpoint, namespace, name, {}, { ...self, direct: true }).catch((e: unknown) => {
        if (!isNotFound(e)) throw e
      })
    }
  }
  await Promise.all(Array.from({ length: workers }, work))
}

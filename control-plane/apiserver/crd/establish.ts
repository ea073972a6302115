/**
 * Keeps the status of CustomResourceDefinitions, and empties kinds whose definition is deleted. Every API server does; the store lets one
 * of them write each step, and what the others learn of it is their next step.
 */
import { cleanupFinalizer, type CustomResourceDefinition } from '#shared/api/apiextensions/customresourcedefinition.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Resource } from '#shared/api/resource.ts'
import { workQueue } from '#shared/client/workqueue.ts'
import type { Logger } from '#shared/component/log.ts'
import { clone } from '#shared/machinery/jsonvalue.ts'
import { StatusError } from '#shared/machinery/status.ts'
import { self } from '../bootstrap/ensure.ts'
import type { Endpoint } from '../objects/endpoint.ts'
import type { Store } from '../objects/store.ts'
import { updateObject } from '../objects/update.ts'
import type { Stored } from '../registry/registry.ts'
import type { Surface } from '../surface.ts'
import { cleanUp } from './cleanup.ts'
import { table, type Definitions } from './follow.ts'
import { hasCondition, nextStatus } from './status.ts'

export interface EstablishParts {
  readonly store: Store
  readonly surface: Surface
  readonly definitions: Definitions
  readonly log: Logger
}

const workers = 4
const writer = { ...self, subresource: 'status' }

/** Returns how to stop. */
export function establishDefinitions({ store, surface, definitions, log }: EstablishParts): () => void {
  const queue = workQueue({ limitMs: 30_000 })
  /** Watches of kinds that are being emptied. */
  const stops = new Map<string, () => void>()
  const endpoint = (): Endpoint => surface.current.endpoints.get(`${table.group}/v1/${table.plural}`)!

  /** Names that one definition gives up, others may have waited for. */
  const enqueue = (name: string, group: string): void => {
    queue.add(name)
    for (const other of definitions.waiting(group)) queue.add(other)
  }

  const write = (stored: Stored, next: (object: KubeObject) => void, direct: boolean): Promise<unknown> => {
    const change = (): KubeObject => {
      const object = clone(stored.object)
      next(object)
      // Of this version: what somebody else makes of it meanwhile is looked at anew.
      object.metadata.resourceVersion = String(stored.version)
      return object
    }
    return updateObject(store, endpoint(), '', stored.name, change, { ...writer, direct })
  }

  /** Comes back to a definition when the last object of its kind is gone. */
  const whenEmpty = ({ group, plural }: Resource, name: string): void => {
    const kind = { group, plural }
    stops.get(name)?.()
    const done = (): void => {
      stops.get(name)?.()
      stops.delete(name)
      queue.add(name)
    }
    const events = (): void => {
      if (store.registry.count(kind) === 0) done()
    }
    stops.set(name, store.registry.watch(kind, { after: store.registry.version }, { events, progress: () => {}, expired: done }))
    events()
  }

  async function reconcile(name: string): Promise<void> {
    const stored = store.registry.get(table, '', name)
    if (!stored) return
    const d = stored.object as CustomResourceDefinition
    if (d.metadata.deletionTimestamp && d.metadata.finalizers?.includes(cleanupFinalizer)) {
      const resource = definitions.resource(name)
      const waits = await cleanUp(stored, { store, resource, write: change => write(stored, change, true) })
      if (waits) whenEmpty(resource!, name)
      return
    }
    const status = nextStatus(d, stored.version, definitions.rivals(d.spec.group, name))
    if (!status) return
    const established = hasCondition({ ...d, status }, 'Established')
    if (established && !hasCondition(d, 'Established')) await store.registry.reachedEverywhere(stored.version)
    await write(stored, object => (object['status'] = status), false)
  }

  async function work(): Promise<void> {
    for (let name = await queue.next(); name !== undefined; name = await queue.next()) {
      try {
        await reconcile(name)
        queue.forget(name)
      } catch (e) {
        // Somebody else was faster: what they wrote comes, and is looked at then.
        if (e instanceof StatusError && (e.code === 409 || e.code === 404)) queue.forget(name)
        else {
          log.warn({ name, err: (e as Error).message }, 'a CustomResourceDefinition could not be brought forward; will try again')
          queue.addRateLimited(name)
        }
      }
      queue.done(name)
    }
  }
  definitions.onChange(enqueue)
  for (const name of definitions.names()) queue.add(name)
  for (let i = 0; i < workers; i++) void work()
  return () => {
    queue.shutDown()
    for (const stop of stops.values()) stop()
  }
}

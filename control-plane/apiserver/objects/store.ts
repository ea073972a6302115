/** What all writes share: the parts they work with, who writes, and the loop that makes a compare-and-swap of a change. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { UserInfo } from '#shared/bus/transport.ts'
import type { Logger } from '#shared/component/log.ts'
import { Path, type FieldError } from '#shared/machinery/field.ts'
import { StatusError, modified } from '#shared/machinery/status.ts'
import type { Admission, Target } from '../admission/admission.ts'
import { WriteConflict, type Registry, type Stored } from '../registry/registry.ts'
import { encode, newStored, unversioned } from '../registry/stored.ts'
import { hubOf } from './conversion.ts'
import type { Endpoint } from './endpoint.ts'
import type { WriteParameters } from './options.ts'
import type { Annotation } from '../audit/event.ts'

export interface Store {
  readonly registry: Registry
  readonly admission: Admission
  readonly log: Logger
}

/** Who writes and how. */
export interface Writer {
  readonly user: UserInfo
  readonly dryRun: boolean
  /** For managedFields. */
  readonly fieldManager: string
  /** `''` for the main resource. */
  readonly subresource: string
  /** managedFields are already as they shall be (server-side apply). */
  readonly managed?: boolean
  /** As the client gave them; absent for the server itself, as what follows. */
  readonly parameters?: WriteParameters
  /** Texts for the client. */
  readonly warnings?: string[]
  /** Notes for the audit log. */
  readonly annotations?: Annotation[]
  /** The server itself writes, not for a client. */
  readonly own?: boolean
  /** Admission judges another form of the object, as a Scale; it has completed that already. */
  readonly admitted?: { readonly target: Target; readonly of: (object: KubeObject) => KubeObject }
  /**
   * The server changes one thing by itself, or was admitted as something else (an eviction): no admission, no preparation, no validation.
   */
  readonly direct?: boolean
}

export const root = new Path('')
export const metadataPath = new Path('metadata')

/** As it would be stored, for dry runs and objects that are gone: `version` 0 for none. */
export function unstored(endpoint: Endpoint, namespace: string, object: KubeObject, version: number): Stored {
  endpoint.hub.codec.normalize(object)
  const name = object.metadata.name ?? ''
  return version > 0 ? newStored(namespace, name, version, encode(object), object) : unversioned(namespace, name, object)
}

/** More rounds than this is no contention but a mistake. */
const maxRounds = 100

/** An object as it is now, in the hub form too; neither may be changed. */
export interface Current {
  readonly stored: Stored
  readonly object: KubeObject
}

/**
 * Runs `attempt` on the newest known object, again after every conflict. A failure that may be due to a stale cache (NotFound, Conflict,
 * anything a validation said about the old object) is believed only when the cache is current; the same holds for `same`, an attempt that
 * found nothing to write.
 */
export async function guaranteed<T>(
  store: Store,
  endpoint: Endpoint,
  namespace: string,
  name: string,
  attempt: (current: Current | undefined) => Promise<{ done: T; same?: boolean }>,
): Promise<T> {
  const { registry } = store
  let current = registry.get(endpoint.table, namespace, name)
  let fresh = false
  for (let round = 0; round < maxRounds; round++) {
    let outcome: { done: T; same?: boolean } | undefined
    let failure: unknown
    try {
      const object = current && hubOf(endpoint, current)
      outcome = await attempt(current && { stored: current, object: object instanceof Promise ? await object : object! })
      if (!outcome.same || fresh) return outcome.done
    } catch (e) {
      if (e instanceof WriteConflict) {
        current = e.current
        if (!current || current.version === registry.get(endpoint.table, namespace, name)?.version) {
          await registry.fresh()
          current = registry.get(endpoint.table, namespace, name)
        }
        fresh = false
        continue
      }
      if (fresh || !(e instanceof StatusError)) throw e
      failure = e
    }
    await registry.fresh()
    fresh = true
    const now = registry.get(endpoint.table, namespace, name)
    if (now?.version === current?.version) {
      if (outcome) return outcome.done
      throw failure
    }
    current = now
  }
  throw modified(endpoint.groupResource, name)
}

/** Adds errors of a check that may be absent. */
export const all = (...lists: (FieldError[] | undefined)[]): FieldError[] => lists.flatMap(l => l ?? [])

/** Deleting an object: preconditions, grace, finalizers and what happens to dependents (k8s.io/apiserver/pkg/registry/rest/delete.go). */
import type { KubeObject, ObjectMeta } from '#shared/api/meta/objectmeta.ts'
import type { DeleteOptions } from '#shared/api/meta/options.ts'
import type { Deletion } from '#shared/api/resource.ts'
import { clone } from '#shared/machinery/jsonvalue.ts'
import { StatusError, conflict, notFound } from '#shared/machinery/status.ts'
import { formatTime } from '#shared/machinery/time.ts'
import type { Stored } from '../registry/registry.ts'
import { admit } from '../admission/admission.ts'
import { deleteOptions, targetOf } from '../admission/target.ts'
import type { Endpoint } from './endpoint.ts'
import { equal } from './equal.ts'
import { guaranteed, unstored, type Store, type Writer } from './store.ts'

export interface Deleted {
  /** The last object; after a graceful deletion has begun, the object as it now is. */
  readonly stored: Stored
  /** Whether it is gone. */
  readonly gone: boolean
}

const orphan = 'orphan'
const foreground = 'foregroundDeletion'

export async function deleteObject(
  store: Store,
  endpoint: Endpoint,
  namespace: string,
  name: string,
  options: DeleteOptions,
  writer: Writer,
): Promise<Deleted> {
  const said = endpoint.resource.deletion?.orphansDependents
  if (typeof said === 'string' && options.orphanDependents === undefined && options.propagationPolicy === undefined)
    if (!writer.warnings?.includes(said)) writer.warnings?.push(said)
  return guaranteed<Deleted>(store, endpoint, namespace, name, async current => {
    if (!current) throw notFound(endpoint.groupResource, name)
    checkPreconditions(endpoint, current.object.metadata, name, options)
    if (!writer.direct)
      await admit(store.admission, {
        operation: 'DELETE',
        target: targetOf(endpoint),
        subresource: '',
        namespace,
        name,
        object: undefined,
        old: current.object,
        options: deleteOptions(options),
        by: writer,
      })
    const next = endpoint.resource.deletion?.steps
      ? deletionInSteps(endpoint.resource.deletion.steps, current.object, options)
      : deletion(endpoint, current.object, options)
    if (next === 'nothing') return { done: { stored: current.stored, gone: false }, same: true }
    if (next.gone) {
      if (writer.dryRun) return { done: { stored: current.stored, gone: true } }
      const removed = await store.registry.remove(endpoint.table, namespace, name, current.stored.version)
      endpoint.hooks?.afterDelete(current.object)
      return {
        done: {
          stored: equal(next.object, current.object) ? removed : unstored(endpoint, namespace, next.object, removed.version),
          gone: true,
        },
      }
    }
    delete next.object.metadata.resourceVersion
    if (writer.dryRun) return { done: { stored: unstored(endpoint, namespace, next.object, current.stored.version), gone: false } }
    return { done: { stored: await store.registry.put(endpoint.table, namespace, name, next.object, current.stored.version), gone: false } }
  })
}

function checkPreconditions(endpoint: Endpoint, meta: ObjectMeta, name: string, { preconditions: p }: DeleteOptions): void {
  const about = { group: endpoint.group, resource: endpoint.kind }
  if (p?.uid !== undefined && p.uid !== meta.uid) {
    const why = `the UID in the precondition (${p.uid}) does not match the UID in record (${meta.uid})`
    throw conflict(about, name, `${why}. The object might have been deleted and then recreated`)
  }
  if (p?.resourceVersion !== undefined && p.resourceVersion !== meta.resourceVersion) {
    const why = `the ResourceVersion in the precondition (${p.resourceVersion}) does not match the ResourceVersion in record (${meta.resourceVersion})`
    throw conflict(about, name, `${why}. The object might have been modified`)
  }
}

/** The finalizers that an object has once the collector knows what to do about its dependents; the same array when nothing changes. */
function collectorFinalizers(meta: ObjectMeta, o: DeleteOptions, kind: Deletion<any> | undefined): string[] {
  // any: only its flags are read
  const before = meta.finalizers ?? []
  let wanted = before.includes(orphan) ? orphan : before.includes(foreground) ? foreground : ''
  if (kind?.withoutDependents) wanted = ''
  else if (o.orphanDependents !== undefined) wanted = o.orphanDependents ? orphan : ''
  else if (o.propagationPolicy !== undefined)
    wanted = o.propagationPolicy === 'Orphan' ? orphan : o.propagationPolicy === 'Foreground' ? foreground : ''
  else if (kind?.orphansDependents !== undefined && wanted === '') wanted = orphan
  const after = before.filter(f => f !== orphan && f !== foreground)
  if (wanted !== '') after.push(wanted)
  return after.length === before.length && after.every(f => before.includes(f)) ? before : after
}

/** Marks a deletion as begun. */
function begin(meta: ObjectMeta, gracePeriodSeconds: number): void {
  if (meta.deletionTimestamp === undefined && (meta.generation ?? 0) > 0) meta.generation = meta.generation! + 1
  meta.deletionTimestamp = formatTime(new Date(Date.now() + gracePeriodSeconds * 1000))
  meta.deletionGracePeriodSeconds = gracePeriodSeconds
}

/** What a deletion makes of an object: the object to store, or that it goes, or nothing. Never changes `current`. */
function deletion(endpoint: Endpoint, current: KubeObject, o: DeleteOptions): { object: KubeObject; gone: boolean } | 'nothing' {
  const object = clone(current)
  const meta = object.metadata
  const grace = endpoint.resource.deletion?.grace?.(current, o.gracePeriodSeconds)
  if (grace !== undefined && meta.deletionTimestamp !== undefined && meta.deletionGracePeriodSeconds !== undefined) {
    // A deletion under way can only be made shorter.
    if (o.gracePeriodSeconds === undefined || Math.max(o.gracePeriodSeconds, 0) >= meta.deletionGracePeriodSeconds) return 'nothing'
    const asked = Date.parse(meta.deletionTimestamp) - meta.deletionGracePeriodSeconds * 1000
    meta.deletionTimestamp = formatTime(new Date(asked + Math.max(o.gracePeriodSeconds, 0) * 1000))
    meta.deletionGracePeriodSeconds = Math.max(o.gracePeriodSeconds, 0)
  } else {
    const finalizers = collectorFinalizers(meta, o, endpoint.resource.deletion)
    if (finalizers.length > 0) meta.finalizers = finalizers
    else delete meta.finalizers
    if (grace !== undefined) begin(meta, grace)
    else if (finalizers.length > 0) {
      const since = meta.deletionTimestamp
      begin(meta, 0)
      if (since !== undefined && since < meta.deletionTimestamp!) meta.deletionTimestamp = since
    }
  }
  const gone = (meta.finalizers?.length ?? 0) === 0 && (meta.deletionGracePeriodSeconds ?? 0) === 0
  return gone || !equal(object, current) ? { object, gone } : 'nothing'
}

/** A deletion in steps (a namespace's): the object is marked, controllers do their part and take their finalizers, then it goes. */
function deletionInSteps(
  steps: NonNullable<Deletion<any>['steps']>, // any: the kind's own functions
  current: KubeObject,
  o: DeleteOptions,
): { object: KubeObject; gone: boolean } | 'nothing' {
  const object = clone(current)
  const meta = object.metadata
  if (meta.deletionTimestamp === undefined) {
    meta.deletionTimestamp = formatTime()
    steps.begin(object)
    const finalizers = collectorFinalizers(meta, o, undefined)
    if (finalizers.length > 0) meta.finalizers = finalizers
    else delete meta.finalizers
    return { object, gone: false }
  }
  if (steps.pending(object) || (meta.finalizers?.length ?? 0) > 0) return 'nothing'
  return { object, gone: true }
}

/** Whether the answer to a deletion shows the object. */
export const answersWithObject = (endpoint: Endpoint, deleted: Deleted): boolean =>
  !deleted.gone || endpoint.resource.deletion?.answersWithObject === true

/** The Status of a deletion that is done. */
export function deletedStatus(endpoint: Endpoint, deleted: Deleted): object {
  const { group, plural } = endpoint
  const { name, object } = deleted.stored
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: { name, ...(group ? { group } : {}), kind: plural, uid: object.metadata.uid },
  }
}

export const isGone = (e: unknown): boolean => e instanceof StatusError && e.code === 404

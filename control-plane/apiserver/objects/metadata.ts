/** What the server keeps of metadata over a change. The rules themselves are in shared/api/meta/validation.ts. */
import type { ObjectMeta } from '#shared/api/meta/objectmeta.ts'
import { clone } from '#shared/machinery/jsonvalue.ts'

/** The stored metadata with what a client says about who manages what. */
export const keptMeta = (meta: ObjectMeta, old: ObjectMeta): ObjectMeta => {
  const { managedFields: _, ...kept } = clone(old)
  return { ...kept, ...(meta.managedFields ? { managedFields: meta.managedFields } : {}), resourceVersion: meta.resourceVersion }
}

/** Takes over from the stored object what a client may leave out, and what it can never change. Changes `meta`. */
export function keepMeta(meta: ObjectMeta, old: ObjectMeta): void {
  meta.uid ||= old.uid
  meta.creationTimestamp ??= old.creationTimestamp
  // Once deletion has begun there is no way back.
  if (old.deletionTimestamp !== undefined) meta.deletionTimestamp = old.deletionTimestamp
  meta.deletionGracePeriodSeconds ??= old.deletionGracePeriodSeconds
  if (old.generation === undefined) delete meta.generation
  else meta.generation = old.generation
  // The change is for this version, whether the client said so or not.
  meta.resourceVersion = old.resourceVersion
}

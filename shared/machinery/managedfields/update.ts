/**
 * metadata.managedFields after a plain write (create, update, patch): the writer gets what it changed, everybody loses what changed under
 * them or is gone. https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
 */
import type { KubeObject, ManagedFieldsEntry } from '../../api/meta/objectmeta.ts'
import type { Codec } from '../codec.ts'
import { zeroOf, code, type Plan } from '../plan.ts'
import { compare, type Comparison } from './compare.ts'
import { difference, isEmptySet, isFieldSet, union, unionAll, without, type FieldSet } from './fieldset.ts'

export interface Write {
  /** Of the version in which the request was made. */
  codec: Pick<Codec, 'shape' | 'empty'>
  /** The object as it is stored, with its managedFields; undefined on create. */
  live: KubeObject | undefined
  /**
   * The object as it shall be, defaulted and in normal form, before mutating admission. Its managedFields, if any, are what the client
   * sent.
   */
  object: KubeObject
  /** From `managerName`. */
  manager: string
  /** Group and version in which the request was made. */
  apiVersion: string
  /** `''` for the main resource. */
  subresource: string
  /** Fields that a write of this kind never sets, as element paths: `[['f:status']]` for the main resource, `[['f:spec']]` for status. */
  reset: readonly (readonly string[])[]
  /** RFC 3339, whole seconds. */
  now: string
  /**
   * What changes in the other versions that entries are of; entries of versions that are not here go, as nobody can tell what they mean.
   */
  others?: ReadonlyMap<string, Comparison>
}

/** Plain writers beyond this many are merged into one entry. */
const maxUpdateManagers = 10
const ancient = 'ancient-changes'

/** Fields that the server owns and nobody manages. */
export const serverOwned: FieldSet = {
  'f:apiVersion': {},
  'f:kind': {},
  'f:metadata': {
    '.': {},
    'f:clusterName': {},
    'f:creationTimestamp': {},
    'f:generation': {},
    'f:managedFields': {},
    'f:name': {},
    'f:namespace': {},
    'f:resourceVersion': {},
    'f:selfLink': {},
    'f:uid': {},
  },
}

/** Sets `object.metadata.managedFields` to what it must be after the write. */
export function updateManagedFields(write: Write): void {
  const { object, live, codec } = write
  const entries = former(write)
  delete object.metadata.managedFields
  const changes = compare(codec.shape, live ?? codec.empty, object)
  const next = capped(applied(entries, kept(changes, write), write))
  if (next.length > 0) object.metadata.managedFields = next
}

const kept = ({ changed, removed }: Comparison, { reset }: Write): Comparison => ({
  changed: without(changed, reset),
  removed: without(removed, reset),
})

/** The entries to start from: those the client sent, unless there are none or they make no sense; `[{}]` clears all. */
function former(write: Write): ManagedFieldsEntry[] {
  const stored = write.live?.metadata.managedFields ?? []
  if (write.subresource !== '') return stored
  const sent = write.object.metadata.managedFields ?? []
  if (sent.length === 0 || sent === stored) return stored
  if (sent.length === 1 && Object.keys(sent[0]!).length === 0) return []
  return sent.every(isEntry) ? sent : stored
}

const isEntry = (e: ManagedFieldsEntry): boolean =>
  (e.operation === 'Update' || e.operation === 'Apply') &&
  e.fieldsType === 'FieldsV1' &&
  (e.fieldsV1 === undefined || isFieldSet(e.fieldsV1)) &&
  Boolean(e.apiVersion)

export const fieldsOf = (entry: ManagedFieldsEntry): FieldSet => (entry.fieldsV1 ?? {}) as FieldSet

/** The entries without what changed or went, and with the writer's own. */
function applied(entries: readonly ManagedFieldsEntry[], changes: Comparison, write: Write): ManagedFieldsEntry[] {
  const next: ManagedFieldsEntry[] = []
  let own: ManagedFieldsEntry | undefined
  for (const entry of entries) {
    // A set in another version of the kind names other paths.
    const here = entry.apiVersion === write.apiVersion
    const there = here ? changes : write.others?.get(entry.apiVersion ?? '')
    if (!there) continue
    const left = lost(entry, here ? there : kept(there, write))
    if (isOwn(entry, write)) own = left
    else if (!isEmptySet(fieldsOf(left))) next.push(left)
  }
  const taken = difference(changes.changed, serverOwned)
  if (!isEmptySet(taken)) next.push(ownEntry(write, own ? union(fieldsOf(own), taken) : taken))
  else if (own && !isEmptySet(fieldsOf(own))) next.push(own)
  return next.sort(entryOrder)
}

/** An entry without what changed under it or went. */
function lost(entry: ManagedFieldsEntry, { changed, removed }: Comparison): ManagedFieldsEntry {
  let fields = fieldsOf(entry)
  if (!isEmptySet(changed)) fields = difference(fields, changed)
  if (!isEmptySet(removed)) fields = difference(fields, removed)
  return fields === entry.fieldsV1 ? entry : { ...entry, fieldsV1: fields }
}

const isOwn = (e: ManagedFieldsEntry, write: Write): boolean =>
  e.manager === write.manager &&
  e.operation === 'Update' &&
  e.apiVersion === write.apiVersion &&
  (e.subresource ?? '') === write.subresource

const ownEntry = (write: Write, fields: FieldSet): ManagedFieldsEntry => ({
  manager: write.manager,
  operation: 'Update',
  apiVersion: write.apiVersion,
  time: write.now,
  fieldsType: 'FieldsV1',
  fieldsV1: fields,
  ...(write.subresource ? { subresource: write.subresource } : {}),
})

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** The order in which entries are stored: applies first, then by time, then by name. */
export const entryOrder = (a: ManagedFieldsEntry, b: ManagedFieldsEntry): number =>
  order(a.operation ?? '', b.operation ?? '') ||
  order(a.time ?? '', b.time ?? '') ||
  order(a.manager ?? '', b.manager ?? '') ||
  order(a.apiVersion ?? '', b.apiVersion ?? '') ||
  order(a.subresource ?? '', b.subresource ?? '')

/** Merges the oldest plain writers of a version into one, until few enough are left. */
function capped(entries: ManagedFieldsEntry[]): ManagedFieldsEntry[] {
  const updates = entries.filter(e => e.operation === 'Update')
  let left = updates.length
  if (left <= maxUpdateManagers) return entries
  const buckets = new Map<string, ManagedFieldsEntry[]>()
  for (const entry of updates) {
    if (left <= maxUpdateManagers) break
    const version = entry.apiVersion ?? ''
    const bucket = buckets.get(version)
    if (bucket) {
      bucket.push(entry)
      left--
    } else buckets.set(version, [entry])
  }
  // A bucket of one entry was not needed: that entry stays as it is.
  const full = [...buckets.values()].filter(bucket => bucket.length > 1)
  const gone = new Set(full.flat())
  const merged = full.map(bucket => {
    const { subresource: _, ...rest } = bucket.at(-1)!
    return { ...rest, manager: ancient, fieldsV1: unionAll(bucket.map(fieldsOf)) }
  })
  return [...entries.filter(e => !gone.has(e)), ...merged].sort(entryOrder)
}

const empties = new WeakMap<Plan, object>()

/**
 * What a create is compared with: Go's zero struct, which has its value structs and required fields. Lists that are always written are
 * there as null.
 */
export function emptyObject(plan: Plan): object {
  let empty = empties.get(plan)
  if (!empty) empties.set(plan, (empty = zeroStruct(plan)))
  return empty
}

function zeroStruct(plan: Plan): object {
  const out: Record<string, unknown> = {}
  for (const f of plan.list) {
    const byValue = !f.field.optional || (f.plan.code === code.object && f.field.default !== undefined)
    if (!byValue || f.field.pointer === true) continue
    out[f.name] = f.plan.code === code.object ? zeroStruct(f.plan) : zeroOf(f.plan)
  }
  return out
}

/**
 * Server-side apply: a manager says which fields it wants, gets them, and loses those that it no longer names.
 * https://kubernetes.io/docs/reference/using-api/server-side-apply/
 */
import type { KubeObject, ManagedFieldsEntry, ObjectMeta } from '../../api/meta/objectmeta.ts'
import { clone, setOwn } from '../jsonvalue.ts'
import type { Codec } from '../codec.ts'
import { compare, configured, equal, type Comparison } from '../managedfields/compare.ts'
import {
  difference,
  intersection,
  isEmptySet,
  isMember,
  members,
  pathText,
  unionAll,
  without,
  type FieldSet,
} from '../managedfields/fieldset.ts'
import { isOneValue, itemElement, type Shape } from '../managedfields/shape.ts'
import { entryOrder, fieldsOf, serverOwned, updateManagedFields } from '../managedfields/update.ts'
import { after, inTurn, type Maybe } from '../maybe.ts'
import { badRequest, StatusError, type StatusCause } from '../status.ts'
import { untyped } from './configuration.ts'
import { keepLastApplied, kubectl, ownedByLastApplied } from './lastapplied.ts'
import { isDocument, type Document } from './document.ts'

export interface Apply {
  /** Of the version in which the request is made. */
  codec: Codec
  /** The object as it is stored; undefined when it is to be created. Never changed. */
  live: KubeObject | undefined
  /** The configuration: decoded with `partial`, so that it holds only what the manager named. */
  config: object
  /** The fieldManager parameter, which apply requires. */
  manager: string
  apiVersion: string
  subresource: string
  /** As for plain writes. */
  reset: readonly (readonly string[])[]
  /** Takes fields over from other managers instead of failing. */
  force: boolean
  /** RFC 3339, whole seconds. */
  now: string
  /** The kind's own defaults (those of the schema are set here), so that an apply that changes nothing is seen as that. */
  defaults?: ((object: KubeObject) => void) | undefined
  /** The other versions in which managers have fields; undefined for one that is no longer served, whose managers go. */
  in?: (version: string) => OtherVersion | undefined
}

/** Another version of the kind, and how whole objects become its and this one's. */
export interface OtherVersion {
  readonly shape: Shape
  readonly from: (object: KubeObject) => Maybe<KubeObject>
  readonly back: (object: KubeObject) => Maybe<KubeObject>
}

/**
 * The object after the apply, defaulted, with its managedFields. Throws a StatusError: 409 with one cause for each conflict, 400 when the
 * configuration sets managedFields, 500 (as upstream) when its lists lack keys.
 */
export function applyConfiguration(a: Apply): Maybe<KubeObject> {
  const config = a.config as Document
  if ((config['metadata'] as ObjectMeta | undefined)?.managedFields !== undefined) throw badRequest('metadata.managedFields must be nil')
  const { shape } = a.codec
  checkKeys(shape, config, '')
  const { managedFields, ...metadata } = a.live?.metadata ?? { managedFields: undefined }
  const live: Document = a.live ? { ...a.live, metadata } : { ...a.codec.empty }
  const entries = managedFields ?? (a.live ? beforeFirstApply(a) : [])
  const isOwn = (e: ManagedFieldsEntry): boolean =>
    e.manager === a.manager && e.operation === 'Apply' && (e.subresource ?? '') === a.subresource
  const own = entries.find(isOwn)
  const others = entries.filter(e => !isOwn(e))

  const wanted = without(configured(shape, config), a.reset)
  const all = merge(shape, clone(live), clone(config)) as Document
  const kept = unionAll([wanted, ...others.filter(e => e.apiVersion === a.apiVersion).map(fieldsOf)])
  const merged = own ? withoutAbandoned(a, all, own, others, kept) : all
  return after(merged, document => settled(a, document, live, { own, others, wanted }))
}

/** The object that a merge comes to, with its managedFields; throws 409 when it takes fields of others and may not. */
function settled(
  a: Apply,
  merged: Document,
  live: Document,
  { own, others, wanted }: { own: ManagedFieldsEntry | undefined; others: readonly ManagedFieldsEntry[]; wanted: FieldSet },
): Maybe<KubeObject> {
  // In normal form, so that a zero value that is dropped when stored counts as no change.
  const object = a.codec.decodeValue(merged).object as KubeObject
  a.codec.applyDefaults(object)
  a.defaults?.(object)
  const changes = compare(a.codec.shape, live, object)
  const changed = without(changes.changed, a.reset)
  const versions = new Map([[a.apiVersion, { changed, removed: changes.removed }]])
  const elsewhere = new Set(others.map(e => e.apiVersion ?? '').filter(version => version !== a.apiVersion))
  const seen = inTurn(elsewhere, version => after(compareIn(a, version, live, object), c => void (c && versions.set(version, c))))
  return after(seen, () => managed(a, live, object, changes, versions, { own, others, wanted }))
}

function managed(
  a: Apply,
  live: Document,
  object: KubeObject,
  changes: Comparison,
  versions: ReadonlyMap<string, Comparison>,
  { own, others, wanted }: { own: ManagedFieldsEntry | undefined; others: readonly ManagedFieldsEntry[]; wanted: FieldSet },
): KubeObject {
  const left: ManagedFieldsEntry[] = []
  const conflicts: { entry: ManagedFieldsEntry; fields: FieldSet }[] = []
  for (const entry of others) {
    const there = versions.get(entry.apiVersion ?? '')
    if (!there) continue
    const contested = intersection(fieldsOf(entry), there.changed)
    if (!isEmptySet(contested)) conflicts.push({ entry, fields: contested })
    const fields = difference(difference(fieldsOf(entry), there.changed), there.removed)
    if (!isEmptySet(fields)) left.push(fields === entry.fieldsV1 ? entry : { ...entry, fieldsV1: fields })
  }
  if (!a.force) {
    const allowed = a.manager === kubectl && conflicts.length > 0 ? ownedByLastApplied(a.codec.shape, live, a.apiVersion) : {}
    const open = conflicts.map(({ entry, fields }) => ({ entry, fields: difference(fields, allowed) })).filter(c => !isEmptySet(c.fields))
    if (open.length > 0) throw conflict(open)
  }

  const fields = difference(wanted, serverOwned)
  const same =
    own && own.apiVersion === a.apiVersion && equal(fieldsOf(own), fields) && isEmptySet(changes.changed) && isEmptySet(changes.removed)
  const entry: ManagedFieldsEntry = same
    ? own
    : {
        manager: a.manager,
        operation: 'Apply',
        apiVersion: a.apiVersion,
        time: a.now,
        fieldsType: 'FieldsV1',
        fieldsV1: fields,
        ...(a.subresource ? { subresource: a.subresource } : {}),
      }
  object.metadata = { ...object.metadata, managedFields: [...left, ...(isEmptySet(fields) ? [] : [entry])].sort(entryOrder) }
  if (a.manager === kubectl) keepLastApplied(object, a.config as Document)
  return object
}

/** What changes as another version sees it; undefined when it is not served. */
function compareIn(a: Apply, version: string, live: object, object: KubeObject): Maybe<Comparison | undefined> {
  const other = a.in?.(version)
  if (!other) return undefined
  return after(a.live ? other.from(live as KubeObject) : ({} as KubeObject), before =>
    after(other.from(object), now => {
      const { changed, removed } = compare(other.shape, before, now)
      return { changed: without(changed, a.reset), removed }
    }),
  )
}

/** The merged object without what the manager named the last time and nobody names now. */
function withoutAbandoned(
  a: Apply,
  merged: Document,
  own: ManagedFieldsEntry,
  others: readonly ManagedFieldsEntry[],
  kept: FieldSet,
): Maybe<Document> {
  const { shape } = a.codec
  const version = own.apiVersion ?? ''
  if (version === a.apiVersion) {
    remove(shape, merged, fieldsOf(own), kept)
    return merged
  }
  // The manager used another version the last time: its fields are taken out there, and what is named in this version is put back.
  const other = a.in?.(version)
  if (!other) return merged
  const theirs = unionAll(others.filter(e => e.apiVersion === version).map(fieldsOf))
  const pruned = after(other.from(merged as unknown as KubeObject), object => {
    const there = clone(object)
    remove(other.shape, there, fieldsOf(own), theirs)
    return other.back(there)
  })
  return after(pruned, back => merge(shape, clone(back), clone(named(shape, merged, kept))) as Document)
}

/** The part of a value that a set names: its members whole, and the keys of the list items on the way to them. */
function named(shape: Shape, value: unknown, set: FieldSet): unknown {
  if (isOneValue(shape, value) || shape.kind === 'set') return value
  if (shape.kind === 'keyed') {
    return (value as unknown[]).flatMap(item => {
      const below = set[itemElement(shape, item)]
      if (below === undefined) return []
      if (isEmptySet(below)) return [item]
      const keys = Object.fromEntries(shape.keys.map(k => [k.name, (item as Document)[k.name]]))
      return [{ ...keys, ...(named(shape.item, item, below) as Document) }]
    })
  }
  const out: Document = {}
  for (const element in set) {
    const name = element.slice(2)
    const field = (value as Document)[name]
    if (!element.startsWith('f:') || field === undefined || field === null) continue
    const inner = shape.kind === 'map' ? shape.item : shape.fields.get(name)
    setOwn(out, name, inner === undefined || isEmptySet(set[element]!) ? field : named(inner, field, set[element]!))
  }
  return out
}

/** Fields of an object that nobody managed so far belong to a manager of that name, so that applies can conflict with them. */
function beforeFirstApply(a: Apply): ManagedFieldsEntry[] {
  const copy = { ...a.live!, metadata: { ...a.live!.metadata } }
  updateManagedFields({
    codec: a.codec,
    live: undefined,
    object: copy,
    manager: 'before-first-apply',
    apiVersion: a.apiVersion,
    subresource: '',
    reset: [],
    now: a.now,
  })
  return copy.metadata.managedFields ?? []
}

/** Every item of a keyed list must have keys: without them nothing tells which item is meant. */
export function checkKeys(shape: Shape, value: unknown, at: string): void {
  if (shape.free) return
  if (shape.kind === 'struct') {
    for (const [name, inner] of Object.entries(value as Document)) {
      const below = shape.fields.get(name)
      if (below && inner !== undefined && inner !== null) checkKeys(below, inner, `${at}.${name}`)
    }
  } else if (shape.kind === 'map') {
    if (shape.item.kind !== 'leaf' && !shape.item.free)
      for (const [name, inner] of Object.entries(value as Document)) checkKeys(shape.item, inner, `${at}.${name}`)
  } else if (shape.kind !== 'leaf') {
    const seen = new Set<string>()
    for (const [i, item] of (value as unknown[]).entries()) {
      if (shape.kind === 'keyed') {
        const missing = shape.keys.find(key => (item as Document)[key.name] === undefined && key.default === undefined)
        // Where a list has several keys, upstream asks for one of them only.
        if (missing && shape.keys.length === 1)
          throw untyped(
            `${at}: element ${i}: associative list with keys has an element that omits key field ${JSON.stringify(missing.name)} (and doesn't have default value)`,
          )
      }
      const element = itemElement(shape, item)
      if (seen.has(element)) throw untyped(`${at}: duplicate entries for key ${pathText([element])}`)
      seen.add(element)
      if (shape.kind === 'keyed') checkKeys(shape.item, item, `${at}${pathText([element])}`)
    }
  }
}

/** The live value with what the configuration says; both may be changed. */
export function merge(shape: Shape | undefined, live: unknown, config: unknown): unknown {
  if (live === undefined || live === null || config === null || shape === undefined) return config
  if (isOneValue(shape, live) || isOneValue(shape, config)) return config
  if (shape.kind === 'struct' || shape.kind === 'map') {
    const out = live as Document
    for (const [name, value] of Object.entries(config as Document)) {
      if (value !== undefined)
        setOwn(
          out,
          name,
          merge(shape.kind === 'map' ? shape.item : shape.fields.get(name), Object.hasOwn(out, name) ? out[name] : undefined, value),
        )
    }
    return out
  }
  return mergeItems(shape, live as unknown[], config as unknown[])
}

/** The items of the configuration keep their order; those that only the live list has come where they were. */
function mergeItems(shape: Shape, live: unknown[], config: unknown[]): unknown[] {
  const current = new Map(live.map(item => [itemElement(shape, item), item]))
  const named = new Set(config.map(item => itemElement(shape, item)))
  const done = new Set<string>()
  const out: unknown[] = []
  let at = 0
  const skip = (): void => {
    for (; at < live.length; at++) {
      const element = itemElement(shape, live[at])
      if (!named.has(element)) out.push(live[at])
      else if (!done.has(element)) return
    }
  }
  for (const item of config) {
    skip()
    const element = itemElement(shape, item)
    done.add(element)
    out.push(shape.kind === 'set' ? item : merge(shape.item, current.get(element), item))
  }
  skip()
  return out
}

/**
 * Takes out what the manager named the last time and nobody names now. A struct goes when nobody has anything in it; an item of a list
 * unless somebody has the item itself.
 */
function remove(shape: Shape, value: unknown, last: FieldSet, kept: FieldSet): void {
  // Items of a list by their elements, of equal ones the first; those that go, go together at the end.
  const items =
    Array.isArray(value) && shape.kind !== 'leaf'
      ? new Map((value as unknown[]).map((item, i) => [itemElement(shape, item), i] as const).reverse())
      : undefined
  const leaving = new Set<number>()
  for (const element in last) {
    if (element === '.') continue
    const stay = kept[element]
    const below = last[element]!
    const isField = element.startsWith('f:')
    const gone = isField ? stay === undefined : isMember(below) && !(stay && isMember(stay))
    const inner = shape.kind === 'struct' ? shape.fields.get(element.slice(2)) : shape.item
    if (shape.kind === 'struct' || shape.kind === 'map') {
      if (!isField || !isDocument(value)) continue
      const name = element.slice(2)
      if (gone) delete value[name]
      else if (inner && value[name] !== undefined && !isEmptySet(below)) remove(inner, value[name], below, stay ?? {})
    } else {
      const at = items?.get(element)
      if (at === undefined) continue
      if (gone) leaving.add(at)
      else if (inner && !isEmptySet(below)) remove(inner, (value as unknown[])[at], below, stay ?? {})
    }
  }
  if (leaving.size === 0) return
  const list = value as unknown[]
  let length = 0
  for (const [i, item] of list.entries()) if (!leaving.has(i)) list[length++] = item
  list.length = length
}

/** How upstream names a manager in conflicts. */
function managerText(e: ManagedFieldsEntry): string {
  const name = `${JSON.stringify(e.manager ?? '')}${e.subresource ? ` with subresource ${JSON.stringify(e.subresource)}` : ''}`
  return e.operation === 'Update' ? `${name} using ${e.apiVersion}` : name
}

function conflict(conflicts: readonly { entry: ManagedFieldsEntry; fields: FieldSet }[]): StatusError {
  const byManager = conflicts
    .map(({ entry, fields }) => ({ manager: managerText(entry), paths: [...members(fields)].map(pathText).sort() }))
    .sort((a, b) => (a.manager < b.manager ? -1 : 1))
  const causes: StatusCause[] = byManager.flatMap(({ manager, paths }) =>
    paths.map(field => ({ reason: 'FieldManagerConflict', message: `conflict with ${manager}`, field })),
  )
  const message =
    causes.length === 1
      ? `Apply failed with 1 conflict: conflict with ${byManager[0]!.manager}: ${causes[0]!.field}`
      : `Apply failed with ${causes.length} conflicts: ${byManager.map(({ manager, paths }) => [`conflicts with ${manager}:`, ...paths.map(path => `- ${path}`)].join('\n')).join('\n')}`
  return new StatusError(409, 'Conflict', message, { causes })
}

/**
 * Strategic merge patch: a merge patch that knows from the schema which lists merge, and by which key.
 * https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
 */
import { clone, getOwn, setOwn } from '../jsonvalue.ts'
import { code, planOf, type FieldPlan, type Plan } from '../plan.ts'
import type { ObjectSchema } from '../schema.ts'
import { badRequest, StatusError } from '../status.ts'
import { canonical, isDocument, parseObjectPatch, type Document } from './document.ts'

const directive = '$patch'
const retainKeys = '$retainKeys'
const deleteFrom = '$deleteFromPrimitiveList/'
const elementOrder = '$setElementOrder/'

/**
 * Applies a patch to an object of the type; the object is not changed. Throws a StatusError: 400 when the patch is malformed, 500 (as
 * upstream) when its lists do not fit the type.
 */
export const strategicMergePatch = (schema: ObjectSchema, document: object, patch: Uint8Array | string): unknown =>
  mergeObject(clone(document) as Document, parseObjectPatch(patch), planOf(schema))

/** Upstream has no status of its own for these, so they are plain failures of the server. */
const failure = (message: string): StatusError => new StatusError(500, '', message)
const noMergeKey = (item: unknown, key: string): StatusError => failure(`map: ${goMap(item)} does not contain declared merge key: ${key}`)

/** Changes and returns `original`; takes the directives out of `patch`. */
function mergeObject(original: Document | undefined, patch: Document, plan: Plan | undefined): Document {
  const told = getOwn(patch, directive)
  if (told !== undefined) {
    if (told === 'delete') return {}
    if (told !== 'replace') throw failure(`unknown patch type: ${goMap(told)} in map: ${goMap(patch)}`)
    delete patch[directive]
    return patch
  }
  const out = original ?? {}
  retain(out, patch)
  orderLists(out, patch, plan)
  for (const [patchKey, value] of Object.entries(patch)) {
    const deletes = patchKey.startsWith(deleteFrom)
    const key = deletes ? patchKey.slice(deleteFrom.length) : patchKey
    if (value === null) {
      delete out[key]
      continue
    }
    const current = getOwn(out, key)
    if (isDocument(current) && isDocument(value)) {
      const below = lookUp(plan, key)
      setOwn(out, key, below.replaces ? plain(value) : mergeObject(current, value, below.plan))
    } else if (Array.isArray(current) && Array.isArray(value)) {
      const field = plan?.fields.get(key)
      setOwn(out, key, deletes || merges(field) ? mergeList(current, value, field, deletes) : plain(value))
    } else if (!deletes) setOwn(out, key, plain(value))
  }
  return out
}

/** What a field's or map key's value is, and whether a patch replaces it whole. */
function lookUp(plan: Plan | undefined, key: string): { plan: Plan | undefined; replaces: boolean } {
  if (plan?.code === code.map) return { plan: plan.item, replaces: false }
  const field = plan?.fields.get(key)
  return { plan: field?.plan, replaces: field?.field.patchStrategy === 'replace' }
}

const merges = (field: FieldPlan | undefined): boolean => field?.field.patchStrategy?.split(',').includes('merge') ?? false

/** `$retainKeys`: fields of the original that are not named go. */
function retain(original: Document, patch: Document): void {
  const kept = getOwn(patch, retainKeys)
  if (kept === undefined) return
  delete patch[retainKeys]
  if (!Array.isArray(kept)) throw badRequest('invalid patch format of retainKeys')
  const names = new Set<unknown>(kept)
  for (const [key, value] of Object.entries(patch)) {
    if (value === null || key.startsWith(deleteFrom) || key.startsWith(elementOrder)) continue
    if (!names.has(key)) throw badRequest('invalid patch format of retainKeys')
  }
  for (const key of Object.keys(original)) if (!names.has(key)) delete original[key]
}

/** `$setElementOrder/LIST`: merges the list, then puts its items into the order given. */
function orderLists(original: Document, patch: Document, plan: Plan | undefined): void {
  for (const patchKey of Object.keys(patch)) {
    if (!patchKey.startsWith(elementOrder)) continue
    const order = patch[patchKey]
    delete patch[patchKey]
    const key = patchKey.slice(elementOrder.length)
    const current = getOwn(original, key)
    const wanted = getOwn(patch, key)
    if (!Array.isArray(order)) throw badRequest('invalid patch format of setElementOrder list')
    if (current !== undefined && !Array.isArray(current)) throw failure(`expected a list in field ${key}`)
    if (wanted !== undefined && wanted !== null && !Array.isArray(wanted)) throw failure(`expected a list in field ${key}`)
    // A null deletes the list; that is left to the ordinary merge.
    if (wanted === null || (current === undefined && wanted === undefined)) continue
    const field = plan?.fields.get(key)
    const mergeKey = field?.field.mergeKey
    if (wanted) checkOrder(wanted, order, mergeKey)
    const merged =
      wanted === undefined
        ? current!
        : current === undefined
          ? (plain(wanted) as unknown[])
          : merges(field)
            ? mergeList(current, wanted, field, false)
            : (plain(wanted) as unknown[])
    setOwn(original, key, arrange(merged, order, current ?? [], mergeKey))
    delete patch[key]
  }
}

/** The items of the patch must come in the order that is asked for. */
function checkOrder(items: readonly unknown[], order: readonly unknown[], mergeKey: string | undefined): void {
  const wanted = order.map(item => identityOf(item, mergeKey))
  let at = 0
  for (const item of items) {
    if (isDocument(item) && getOwn(item, directive) !== undefined) continue
    const identity = identityOf(item, mergeKey)
    while (at < wanted.length && wanted[at] !== identity) at++
    if (at === wanted.length)
      throw failure(`The order in patch list:\n${goList(items)}\n doesn't match $setElementOrder list:\n${goList(order)}\n`)
    at++
  }
}

function mergeList(original: unknown[], patch: unknown[], field: FieldPlan | undefined, deletes: boolean): unknown[] {
  if (original.length === 0 && patch.length === 0) return original
  const all = [...original, ...patch]
  if (all.some(Array.isArray)) throw new StatusError(422, 'Invalid', 'the server rejected our request due to an error in our request', {})
  const objects = all.filter(isDocument).length
  if (objects > 0 && objects < all.length) throw failure('list element types are not identical')
  if (objects === 0) {
    if (deletes) {
      const gone = new Set(patch)
      return original.filter(item => !gone.has(item))
    }
    return arrange([...new Set(all)], patch, original, undefined)
  }
  const mergeKey = field?.field.mergeKey
  if (!mergeKey) throw failure(`cannot merge lists without merge key for ${field?.name ?? 'a list'}`)
  const { left, wanted } = special(original as Document[], patch as Document[], mergeKey)
  const merged = [...left]
  const known = positions(merged, mergeKey)
  for (const item of wanted) {
    if (getOwn(item, mergeKey) === undefined) throw noMergeKey(item, mergeKey)
    const identity = identityOf(item, mergeKey)
    const at = known.get(identity)
    if (at === undefined) {
      known.set(identity, merged.length)
      merged.push(plain(item) as Document)
    } else merged[at] = mergeObject(merged[at], item, field?.plan.item)
  }
  return arrange(merged, wanted, left, mergeKey)
}

/** Takes the items with a `$patch` directive out of a patch: `delete` removes matching items, `replace` all that were there. */
function special(original: Document[], patch: Document[], mergeKey: string): { left: Document[]; wanted: Document[] } {
  const gone = new Set<string>()
  let replace = false
  const wanted: Document[] = []
  for (const item of patch) {
    const told = getOwn(item, directive)
    if (told === undefined) wanted.push(item)
    else if (told === 'delete') {
      if (getOwn(item, mergeKey) === undefined) throw noMergeKey(item, mergeKey)
      gone.add(identityOf(item, mergeKey))
    } else if (told === 'replace') replace = true
    else if (told === 'merge') throw failure('merging lists cannot yet be specified in the patch')
    else throw failure(`unknown patch type: ${goMap(told)} in map: ${goMap(item)}`)
  }
  if (replace) return { left: wanted.map(item => plain(item) as Document), wanted: [] }
  return { left: gone.size === 0 ? original : original.filter(item => !gone.has(identityOf(item, mergeKey))), wanted }
}

/** What tells an item of a list from others, as a text: its merge key, or without one the whole. */
function identityOf(item: unknown, mergeKey: string | undefined): string {
  const by = mergeKey !== undefined && isDocument(item) ? getOwn(item, mergeKey) : item
  return typeof by === 'string' ? `s${by}` : isDocument(by) || Array.isArray(by) ? `j${canonical(by)}` : `j${JSON.stringify(by)}`
}

/** Where the items of a list are; of those with the same identity the first. */
function positions(list: readonly unknown[], mergeKey: string | undefined): Map<string, number> {
  const out = new Map<string, number>()
  for (const [i, item] of list.entries()) {
    const identity = identityOf(item, mergeKey)
    if (!out.has(identity)) out.set(identity, i)
  }
  return out
}

/**
 * Orders a merged list: items that `order` names come as there, the others (those only the server has) as in `live`; where one of these
 * meets one of those, the live order decides if it knows both, else the named item comes first.
 */
function arrange(merged: unknown[], order: readonly unknown[], live: readonly unknown[], mergeKey: string | undefined): unknown[] {
  const wanted = positions(order, mergeKey)
  const before = positions(live, mergeKey)
  const placed = merged.map(item => {
    const identity = identityOf(item, mergeKey)
    return { item, wanted: wanted.get(identity) ?? -1, live: before.get(identity) ?? -1 }
  })
  const named = placed.filter(p => p.wanted >= 0).sort((a, b) => a.wanted - b.wanted)
  const others = placed.filter(p => p.wanted < 0).sort((a, b) => a.live - b.live)
  const out: unknown[] = []
  let i = 0
  for (const { item, live: at } of named) {
    while (i < others.length && at >= 0 && others[i]!.live >= 0 && others[i]!.live < at) out.push(others[i++]!.item)
    out.push(item)
  }
  return [...out, ...others.slice(i).map(p => p.item)]
}

/** A value of a patch as it is stored: without nulls and directives. */
function plain(value: unknown): unknown {
  if (Array.isArray(value))
    return value
      .filter(item => !isDocument(item) || getOwn(item, directive) === undefined)
      .map(item => (isDocument(item) ? plain(item) : item))
  if (!isDocument(value)) return value
  const out: Document = {}
  for (const [key, inner] of Object.entries(value)) {
    if (inner === null || key === directive || key === retainKeys || key.startsWith(deleteFrom) || key.startsWith(elementOrder)) continue
    setOwn(out, key, plain(inner))
  }
  return out
}

/** Go's `%v` of a map: sorted keys, no quotes. */
const goMap = (value: unknown): string =>
  isDocument(value)
    ? `map[${Object.keys(value)
        .sort()
        .map(key => `${key}:${goMap(value[key])}`)
        .join(' ')}]`
    : Array.isArray(value)
      ? goList(value)
      : value === null
        ? '<nil>'
        : String(value)
const goList = (items: readonly unknown[]): string => `[${items.map(goMap).join(' ')}]`

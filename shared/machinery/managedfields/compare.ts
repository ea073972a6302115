/** The fields in which two versions of an object differ, as structured-merge-diff tells them. */
import { isEmptySet, member, type FieldSet } from './fieldset.ts'
import { fieldElement, itemElement, type Shape } from './shape.ts'

export interface Comparison {
  /** Fields that are new or have another value. */
  changed: FieldSet
  /** Fields that are gone. */
  removed: FieldSet
}

type Values = { readonly [name: string]: unknown }

/** Compares two objects of a type; both in normal form. */
export function compare(shape: Shape, old: object, now: object): Comparison {
  const result: Comparison = { changed: {}, removed: {} }
  compareStruct(shape, old as Values, now as Values, result)
  return result
}

/** How a value of a shape merges: one that is not of the type, which validation will refuse, is one value. */
function kindFor({ kind }: Shape, value: unknown): Shape['kind'] {
  if (kind === 'leaf' || typeof value !== 'object' || value === null) return 'leaf'
  return Array.isArray(value) === (kind === 'keyed' || kind === 'set') ? kind : 'leaf'
}

/**
 * The set of a value that was not there before: the element itself and everything below.
 */
export function added(shape: Shape, value: unknown): FieldSet {
  switch (kindFor(shape, value)) {
    case 'leaf':
      return member
    case 'struct': {
      const out: FieldSet = { '.': member }
      let any = false
      const object = value as Values
      for (const name in object) {
        const field = object[name]
        if (field === undefined) continue
        const fieldShape = shape.fields.get(name)
        out[fieldElement(shape, name)] = fieldShape === undefined || fieldShape.kind === 'leaf' ? member : added(fieldShape, field)
        any = true
      }
      return any ? out : member
    }
    case 'map': {
      const out: FieldSet = { '.': member }
      let any = false
      const { item } = shape
      const object = value as Values
      for (const name in object) {
        out[`f:${name}`] = item.kind === 'leaf' ? member : added(item, object[name])
        any = true
      }
      return any ? out : member
    }
    default: {
      const items = value as unknown[]
      if (items.length === 0) return member
      const out: FieldSet = { '.': member }
      for (const item of items) {
        const element = itemElement(shape, item)
        // Two items with one key (environment variables may come twice) are one value.
        out[element] = out[element] !== undefined || shape.kind === 'set' ? member : added(shape.item, item)
      }
      return out
    }
  }
}

/**
 * The set of what an applied configuration says: leaves, items of lists, keys of maps and what is empty; not the structs around them.
 */
export function configured(shape: Shape, value: unknown): FieldSet {
  const out: FieldSet = {}
  switch (kindFor(shape, value)) {
    case 'leaf':
      return member
    case 'struct':
    case 'map':
      for (const [name, inner] of Object.entries(value as Values)) {
        if (inner === undefined) continue
        const below = shape.kind === 'map' ? shape.item : shape.fields.get(name)
        const set = below === undefined || inner === null ? member : configured(below, inner)
        // A name that the type does not have is the key of a map.
        const isKey = shape.kind === 'map' || !shape.fields.has(name)
        out[`f:${name}`] = isKey && !isEmptySet(set) ? { '.': member, ...set } : set
      }
      return out
    default:
      for (const item of value as unknown[]) {
        const element = itemElement(shape, item)
        const set = shape.kind === 'set' ? member : configured(shape.item, item)
        out[element] = isEmptySet(set) ? member : { '.': member, ...set }
      }
      return out
  }
}

function compareStruct(shape: Shape, old: Values, now: Values, result: Comparison): void {
  for (const name in now) {
    const b = now[name]
    if (b === undefined) continue
    const a = old[name]
    if (a === b) continue
    const inner = shape.kind === 'map' ? shape.item : shape.fields.get(name)
    compareValue(inner, fieldElement(shape, name), a, b, result)
  }
  for (const name in old) {
    const a = old[name]
    if (a !== undefined && now[name] === undefined)
      compareValue(shape.kind === 'map' ? shape.item : shape.fields.get(name), `f:${name}`, a, undefined, result)
  }
}

function compareValue(shape: Shape | undefined, element: string, a: unknown, b: unknown, result: Comparison): void {
  if (a === undefined) {
    if (b !== undefined) result.changed[element] = shape === undefined ? member : added(shape, b)
    return
  }
  if (b === undefined) {
    result.removed[element] = shape === undefined ? member : added(shape, a)
    return
  }
  if (shape === undefined || kindFor(shape, a) === 'leaf' || kindFor(shape, b) === 'leaf') {
    if (!equal(a, b)) result.changed[element] = member
    return
  }
  const below: Comparison = { changed: {}, removed: {} }
  if (shape.kind === 'struct' || shape.kind === 'map') compareStruct(shape, a as Values, b as Values, below)
  else compareItems(shape, a as unknown[], b as unknown[], below)
  for (const _ in below.changed) {
    result.changed[element] = below.changed
    break
  }
  for (const _ in below.removed) {
    result.removed[element] = below.removed
    break
  }
}

/** Items of a keyed list or a set; where a key comes twice, all its items together are one value. */
function compareItems(shape: Shape, old: readonly unknown[], now: readonly unknown[], result: Comparison): void {
  const before = byElement(shape, old)
  const after = byElement(shape, now)
  for (const [element, items] of after) {
    const former = before.get(element)
    if (former?.length === 1 && items.length === 1)
      compareValue(shape.kind === 'set' ? undefined : shape.item, element, former[0], items[0], result)
    else if (former === undefined)
      result.changed[element] = items.length === 1 && shape.kind === 'keyed' ? added(shape.item, items[0]) : member
    else if (!equal(former, items)) result.changed[element] = member
  }
  for (const [element, items] of before) {
    if (!after.has(element)) result.removed[element] = items.length === 1 && shape.kind === 'keyed' ? added(shape.item, items[0]) : member
  }
}

function byElement(shape: Shape, items: readonly unknown[]): Map<string, unknown[]> {
  const out = new Map<string, unknown[]>()
  for (const item of items) {
    const element = itemElement(shape, item)
    const same = out.get(element)
    if (same) same.push(item)
    else out.set(element, [item])
  }
  return out
}

/** Whether two JSON values are equal; a field that is undefined is absent. */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) !== Array.isArray(b)) return false
  if (Array.isArray(a)) {
    const other = b as unknown[]
    return a.length === other.length && a.every((item, i) => equal(item, other[i]))
  }
  const left = a as Values
  const right = b as Values
  for (const name in left) if (!equal(left[name], right[name])) return false
  for (const name in right) if (right[name] !== undefined && left[name] === undefined) return false
  return true
}

/**
 * Sets of field paths in the form in which FieldsV1 holds them, worked on as they are: a key is a path element (`f:name`, `k:{"name":"c"}`,
 * `v:"x"`), its value the set below. `{}` below an element means the element itself; where there is more below, `.` says that the element
 * itself is in the set too.
 */
import { parseJson } from '../int64.ts'

export interface FieldSet {
  [element: string]: FieldSet
}

/** The member mark; shared, never changed. */
export const member: FieldSet = Object.freeze({})

export const isEmptySet = (set: FieldSet): boolean => {
  for (const _ in set) return false
  return true
}
/** Whether the element that holds this set is itself in the set. */
export const isMember = (set: FieldSet): boolean => set['.'] !== undefined || isEmptySet(set)

/** Joins what is known of an element: whether it is a member, and the set below it; undefined when there is neither. */
function node(self: boolean, below: FieldSet | undefined): FieldSet | undefined {
  if (below === undefined || isEmptySet(below)) return self ? member : undefined
  return self ? { '.': member, ...below } : below
}

/** All members of both. Neither is changed; the result may share parts with them. */
export function union(a: FieldSet, b: FieldSet): FieldSet {
  const out: FieldSet = { ...a }
  for (const element in b) {
    if (element === '.') continue
    const mine = a[element]
    const theirs = b[element]!
    out[element] = mine === undefined ? theirs : mine === theirs ? mine : joined(mine, theirs)
  }
  return out
}

function joined(a: FieldSet, b: FieldSet): FieldSet {
  const below = union(withoutSelf(a), withoutSelf(b))
  return node(isMember(a) || isMember(b), below) ?? member
}

/** All members of all sets; the work is that of reading them once. None is changed; the result may share parts with them. */
export function unionAll(sets: readonly FieldSet[]): FieldSet {
  if (sets.length < 2) return sets[0] ?? {}
  if (sets.length === 2) return union(sets[0]!, sets[1]!)
  const parts = new Map<string, FieldSet[]>()
  for (const set of sets)
    for (const element in set) {
      const known = parts.get(element)
      if (known) known.push(set[element]!)
      else parts.set(element, [set[element]!])
    }
  const out: FieldSet = {}
  for (const [element, list] of parts)
    out[element] = list.length === 1 ? list[0]! : (node(list.some(isMember), unionAll(list.map(withoutSelf))) ?? member)
  return out
}

function withoutSelf(set: FieldSet): FieldSet {
  if (set['.'] === undefined) return set
  const { '.': _, ...below } = set
  return below
}

/** The members of `a` that are not members of `b`; `a` itself when none is. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  let differs = false
  // Built anew: an object from which a field is deleted is slow ever after.
  const out: FieldSet = {}
  for (const element in a) {
    const mine = a[element]!
    const theirs = element === '.' ? undefined : b[element]
    const left = theirs === undefined ? mine : node(isMember(mine) && !isMember(theirs), difference(withoutSelf(mine), withoutSelf(theirs)))
    if (left !== mine) differs = true
    if (left !== undefined) out[element] = left
  }
  return differs ? out : a
}

/** The members of both. */
export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  const out: FieldSet = {}
  for (const element in a) {
    if (element === '.') continue
    const theirs = b[element]
    if (theirs === undefined) continue
    const mine = a[element]!
    const both = node(isMember(mine) && isMember(theirs), intersection(withoutSelf(mine), withoutSelf(theirs)))
    if (both !== undefined) out[element] = both
  }
  return out
}

/** The set without the given paths and everything below them. */
export function without(set: FieldSet, paths: readonly (readonly string[])[]): FieldSet {
  let out = set
  for (const path of paths) out = withoutPath(out, path, 0) ?? {}
  return out
}

function withoutPath(set: FieldSet, path: readonly string[], at: number): FieldSet | undefined {
  const element = path[at]!
  const below = set[element]
  if (below === undefined) return set
  const { [element]: _, ...rest } = set
  if (at < path.length - 1) {
    const left = withoutPath(withoutSelf(below), path, at + 1)
    const kept = node(isMember(below), left)
    if (kept !== undefined) return { ...rest, [element]: kept }
  }
  return isEmptySet(rest) ? undefined : rest
}

/** Every member as a list of elements from the top. */
export function* members(set: FieldSet, prefix: readonly string[] = []): Generator<readonly string[]> {
  for (const element in set) {
    if (element === '.') continue
    const path = [...prefix, element]
    const below = set[element]!
    if (isMember(below)) yield path
    yield* members(below, path)
  }
}

/** A path as upstream prints it: `.spec.containers[name="c"].image`. */
export function pathText(path: readonly string[]): string {
  return path
    .map(element => {
      const rest = element.slice(2)
      if (element.startsWith('f:')) return `.${rest}`
      if (element.startsWith('v:')) return `[=${rest}]`
      if (element.startsWith('i:')) return `[${rest}]`
      const keys = Object.entries(parseJson(rest) as Record<string, unknown>)
      return `[${keys.map(([k, v]) => `${k}=${JSON.stringify(v)}`).join(',')}]`
    })
    .join('')
}

/** Whether a value that a client sent is a field set; upstream ignores managedFields that are none. */
export function isFieldSet(value: unknown, depth = 0): value is FieldSet {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || depth > 100) return false
  return Object.entries(value).every(([element, below]) => isElement(element) && isFieldSet(below, depth + 1))
}

function isElement(element: string): boolean {
  if (element === '.' || element.startsWith('f:')) return true
  if (element.startsWith('i:')) return /^i:\d+$/.test(element)
  if (!element.startsWith('k:') && !element.startsWith('v:')) return false
  try {
    const value: unknown = parseJson(element.slice(2))
    return element.startsWith('v:') || (typeof value === 'object' && value !== null && !Array.isArray(value))
  } catch {
    return false
  }
}

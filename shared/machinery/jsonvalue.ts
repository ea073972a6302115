/** JSON values: copies of them, and objects whose keys come from outside. */

/** A copy. structuredClone does the same many times slower, since it must be ready for anything. Fields that are undefined stay away. */
export function clone<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(clone) as T
  const out = {}
  for (const [name, field] of Object.entries(value)) if (field !== undefined) setOwn(out, name, clone(field))
  return out as T
}

/** Levels that a JSON value may have. Upstream allows 10,000, for which our stack is too small; no type of the API comes near. */
export const maxDepth = 1000

/** How deep a value is nested (0: no object or list) and how many values it has. Without recursion: any depth will do. */
export function measure(value: unknown): { depth: number; size: number } {
  let depth = -1
  let size = 0
  for (let level = [value]; level.length > 0; depth++) {
    const below: unknown[] = []
    for (const v of level) {
      size++
      if (typeof v !== 'object' || v === null) continue
      if (Array.isArray(v)) for (const item of v) below.push(item)
      else for (const key in v) below.push((v as Record<string, unknown>)[key])
    }
    level = below
  }
  return { depth, size }
}

/** Sets an own property whatever its name: a plain assignment to `__proto__` would change the prototype. */
export function setOwn(object: object, key: string, value: unknown): void {
  if (key === '__proto__') Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true })
  else (object as Record<string, unknown>)[key] = value
}

/** The entry of a table for a name that comes from outside: never what every object inherits, as `constructor`. */
export const lookUp = <T>(table: { readonly [name: string]: T }, name: string): T | undefined =>
  Object.hasOwn(table, name) ? table[name] : undefined

/** The own property of that name, or undefined. */
export const getOwn = (object: object, key: string): unknown =>
  Object.hasOwn(object, key) ? (object as Record<string, unknown>)[key] : undefined
